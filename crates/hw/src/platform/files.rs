//! The file trees that a [`Platform`](super::Platform) looks at: the one place here that touches the host.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A host's files, by the paths that its own processes use (`/proc/cmdline`).
///
/// A seam of its own, so that a support bundle, a container's view of its host or a simulated machine can stand
/// in for the running kernel. Errors are the system's, [`NotFound`](io::ErrorKind::NotFound) among them, which is
/// often an answer.
pub trait Files: fmt::Debug + Send + Sync {
    /// The content of a file.
    ///
    /// # Errors
    /// As `open(2)` and `read(2)`.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// As `open(2)` and `getdents(2)`.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Where a symbolic link points to, to the letter.
    ///
    /// # Errors
    /// As `readlink(2)`.
    fn link(&self, path: &Path) -> io::Result<PathBuf>;

    /// Writes to an attribute in one `write(2)`; returns when the kernel has acted on it.
    ///
    /// # Errors
    /// As `open(2)` and `write(2)`: the kernel's answer.
    fn write(&self, path: &Path, text: &str) -> io::Result<()>;
}

/// Files below a directory: `/` for this host, `/host` in a container that sees it there.
#[derive(Debug, Clone)]
pub struct Rooted {
    root: PathBuf,
}

impl Rooted {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `path` of the host is for this process.
    pub fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Files for Rooted {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.below(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.below(path))?;
        let mut names = names
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(self.below(path))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        // Not created. Truncated as by a shell's `>`: sysfs takes no notice, and a plain file holds what was written last.
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.below(path))?;
        let path = path.display();
        let _waiting = tracing::debug_span!("sysfs.write", waits_for = "kernel", %path, text).entered();
        file.write_all(text.as_bytes())
    }
}
