//! What the host runs on: kernel command line, huge pages, modules, IOMMU, CPUs and NUMA nodes, and what locks
//! the kernel down.
//!
//! [`Platform`] reads it from `/proc`, `/sys` and `/lib/modules`, below any root; nothing is cached, and nothing
//! needs privilege unless its method says so. Each answer is a type of its own, whose file names the kernel's
//! source that it follows:
//!
//! | file | what it tells |
//! |---|---|
//! | `cmdline.rs` | the arguments that the kernel was started with, and how to change such a list without loss |
//! | `huge_pages.rs` | huge pages by size and NUMA node; the one thing here that can be set |
//! | `modules.rs` | which kernel modules are loaded, built in or available, and their parameters |
//! | `iommu.rs` | whether the IOMMU is really on: its units, groups, and what translates in each |
//! | `cpu.rs` | who made the CPUs, NUMA nodes, nested virtualization |
//! | `security.rs` | lockdown, Secure Boot, SELinux |
//! | `files.rs` | the only one that touches the host |
//!
//! ```no_run
//! # fn main() -> vdpa_hw::Result<()> {
//! let platform = vdpa_hw::platform::Platform::default();
//! println!("booted with iommu={:?}", platform.command_line()?.value("iommu"));
//! println!("the IOMMU is {}", if platform.iommu()?.is_on() { "on" } else { "off" });
//! for pool in platform.huge_pages()?.nodes {
//!     println!("{} of {} pages of {} are free", pool.free, pool.total, pool.size);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is absent: no verdict on any of it. What is a precondition of what is the caller's to know.

mod cmdline;
mod cpu;
mod files;
mod huge_pages;
mod iommu;
mod modules;
mod security;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use cmdline::{Argument, CommandLine, HugePageRequest};
pub use cpu::{Cpu, NumaNode, Vendor};
pub use files::{Files, Rooted};
pub use huge_pages::{HugePages, PageSize, Pool};
pub use iommu::{Iommu, IommuGroup};
pub use modules::{ModuleName, ModuleState, Modules};
pub use security::{Lockdown, SecureBoot, Selinux};

use crate::error::{Error, Result};

/// What the host runs on. Clones share nothing but where the files are.
#[derive(Debug, Clone)]
pub struct Platform {
    files: Arc<dyn Files>,
}

impl Platform {
    /// The platform whose files are below `root`: `/` for this host.
    pub fn new(root: impl Into<std::path::PathBuf>) -> Self {
        Self::over(Arc::new(Rooted::new(root)))
    }

    /// The platform that `files` shows.
    pub fn over(files: Arc<dyn Files>) -> Self {
        Self { files }
    }

    /// The text of a file; `None` where it does not exist.
    fn text(&self, path: impl AsRef<Path>) -> Result<Option<String>> {
        let path = path.as_ref();
        let Some(bytes) = self.bytes(path)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| Error::Malformed {
            what: path.display().to_string(),
            text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The content of a file; `None` where it does not exist.
    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        found(self.files.read(path)).map_err(|error| Error::io(format!("read {}", path.display()), error))
    }

    /// An attribute without its line end; `None` where it does not exist.
    fn attribute(&self, path: impl AsRef<Path>) -> Result<Option<String>> {
        Ok(self.text(path)?.map(|text| text.trim().to_owned()))
    }

    /// An attribute that holds a number.
    fn number(&self, path: impl AsRef<Path>) -> Result<Option<u64>> {
        let path = path.as_ref();
        let Some(text) = self.attribute(path)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::Malformed { what: path.display().to_string(), text })
    }

    /// The names in a directory; `None` where it does not exist.
    fn list(&self, path: impl AsRef<Path>) -> Result<Option<Vec<String>>> {
        let path = path.as_ref();
        found(self.files.list(path)).map_err(|error| Error::io(format!("list {}", path.display()), error))
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self::new("/")
    }
}

/// What is not there is an answer. ENODEV is how an attribute answers whose device has just gone.
fn found<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) if error.raw_os_error() == Some(vdpa_netlink::Errno::ENODEV.0) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod fixture {
    //! A host of files that a test writes.

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::Platform;

    pub(super) struct Host(tempfile::TempDir);

    impl Host {
        /// A host with these files: path and content.
        pub(super) fn with(files: &[(&str, &str)]) -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                host.write(path, text.as_bytes());
            }
            host
        }

        pub(super) fn write(&self, path: &str, content: &[u8]) {
            let path = self.0.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        pub(super) fn link(&self, path: &str, target: &str) {
            let path = self.0.path().join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }

        pub(super) fn platform(&self) -> Platform {
            Platform::new(self.0.path())
        }
    }
}
