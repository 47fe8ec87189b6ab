//! A simulated host: files in a directory, a kernel that gives what memory it has, programs that do what theirs do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use vdpa_hw::platform::{Files, Platform, Rooted};

use crate::Host;
use crate::bridge;
use crate::error::{Error, Result, Said};
use crate::grub::{DEFAULT_FILE, Defaults};
use crate::programs::{Command, Programs};
use crate::tree::Tree;

/// The default file of the reference document's host 105, as the document leaves it: Rocky Linux 8.4 with `sed`'s
/// additions, and `grub2-mkconfig` to make it take effect.
const GRUB: &str = "\
GRUB_TIMEOUT=5
GRUB_DISTRIBUTOR=\"$(sed 's, release .*$,,g' /etc/system-release)\"
GRUB_DEFAULT=saved
GRUB_DISABLE_SUBMENU=true
GRUB_TERMINAL_OUTPUT=\"console\"
GRUB_CMDLINE_LINUX=\"crashkernel=auto intel_iommu=on iommu=pt default_hugepagesz=1G hugepagesz=1G hugepages=24 rdblacklist=nouveau\"
GRUB_DISABLE_RECOVERY=\"true\"
GRUB_ENABLE_BLSCFG=true
";

/// The simulated host whose files are below `root`, with a kernel that shows `files`. The N-th program that it is asked
/// to run fails, if `fail_at` says so.
///
/// # Errors
/// Where `root` cannot be written.
pub fn host_105(root: &Path, files: Arc<dyn Files>, fail_at: Option<u64>) -> io::Result<Host> {
    let grub = root.join("etc/default/grub");
    if !grub.exists() {
        std::fs::create_dir_all(root.join("etc/default"))?;
        std::fs::write(grub, GRUB)?;
    }
    let tree = Tree::new(root.to_owned());
    let programs = SimulatedPrograms { tree, files: files.clone(), runs: AtomicU64::new(0), fail_at };
    Ok(Host::with(root.to_owned(), Platform::over(files), Arc::new(programs)))
}

/// Gives the simulated host below `root` a network: `eno1` under the bridge `baremetal`, as the reference document leaves
/// it, and `eno2` with a profile of `NetworkManager`'s and an address of its own.
///
/// # Errors
/// Where `root` cannot be written.
pub fn furnish_network(root: &Path) -> Result<()> {
    bridge::mock::furnish(&Tree::new(root.to_owned()))
}

/// The files of `/proc` and `/sys` as `base` shows them, with what was written to them, which is kept below `root`. Huge
/// pages come as far as there is memory.
pub fn kernel(root: &Path, base: Arc<dyn Files>) -> Arc<dyn Files> {
    Arc::new(Kernel { changed: Rooted::new(root), base })
}

/// The kernel: what was written to it lies in files of its own.
#[derive(Debug)]
struct Kernel {
    changed: Rooted,
    base: Arc<dyn Files>,
}

impl Files for Kernel {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.changed.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.base.read(path),
            read => read,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        match (self.changed.list(path), self.base.list(path)) {
            (Ok(mut changed), Ok(base)) => {
                changed.extend(base);
                changed.sort_unstable();
                changed.dedup();
                Ok(changed)
            }
            (Ok(names), Err(_)) | (Err(_), Ok(names)) => Ok(names),
            (Err(_), Err(error)) => Err(error),
        }
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        self.base.link(path)
    }

    /// `set_max_huge_pages()` in `mm/hugetlb.c`: pages in use stay, pages come as far as there is memory, and
    /// `nr_hugepages_store_common()` says "done" either way.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let number = |path: &Path| -> io::Result<u64> {
            let text = String::from_utf8_lossy(&self.read(path)?).trim().to_owned();
            text.parse().map_err(|_| io::ErrorKind::InvalidData.into())
        };
        let pool = path.parent().ok_or(io::ErrorKind::NotFound)?;
        let (total, free) = (number(path)?, number(&pool.join("free_hugepages"))?);
        let wanted: u64 = text.parse().map_err(|_| io::Error::from_raw_os_error(22))?;
        let kib: u64 = pool
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok())
            .unwrap_or(1);
        let node = pool.parent().and_then(Path::parent).ok_or(io::ErrorKind::NotFound)?;
        let meminfo = String::from_utf8_lossy(&self.read(&node.join("meminfo"))?).into_owned();
        let free_kib = meminfo
            .lines()
            .find_map(|line| line.split_once("MemFree:")?.1.split_whitespace().next()?.parse::<u64>().ok());
        let given = wanted.clamp(total - free.min(total), total + free_kib.unwrap_or(0) / kib);
        let put = |path: &Path, number: u64| {
            let at = self.changed.below(path);
            std::fs::create_dir_all(at.parent().unwrap_or(&at))?;
            std::fs::write(at, format!("{number}\n"))
        };
        put(path, given)?;
        put(&pool.join("free_hugepages"), free + given - total)
    }
}

/// The programs: `grub2-mkconfig` and `modprobe`.
struct SimulatedPrograms {
    tree: Tree,
    files: Arc<dyn Files>,
    runs: AtomicU64,
    fail_at: Option<u64>,
}

impl fmt::Debug for SimulatedPrograms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedPrograms").field("tree", &self.tree).finish_non_exhaustive()
    }
}

#[async_trait]
impl Programs for SimulatedPrograms {
    fn has(&self, name: &str) -> bool {
        matches!(name, "grub2-mkconfig" | "modprobe") || bridge::mock::PROGRAMS.contains(&name)
    }

    async fn run(&self, command: &Command) -> Result<String> {
        let failed =
            |said: &str| Error::Program { command: command.to_string(), said: Said(said.to_owned()) };
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if self.fail_at == Some(run) {
            return Err(failed("fault injected\nexit status: 1"));
        }
        let words: Vec<&str> = command.words().iter().map(String::as_str).collect();
        match words.as_slice() {
            ["grub2-mkconfig", "-o", path, ..] => {
                let defaults = self.tree.read(Path::new(DEFAULT_FILE))?.unwrap_or_default();
                let defaults = Defaults::parse([(PathBuf::from(DEFAULT_FILE), defaults)])?;
                let line = format!(
                    "linux /vmlinuz root=/dev/mapper/rl_panlab105-root ro {}\n",
                    defaults.command_line()?
                );
                self.tree.write(Path::new(path), Some(&line))?;
            }
            ["modprobe", "--", module] => {
                let modules = Platform::over(self.files.clone()).modules()?;
                let known = module.parse().map(|name| modules.state(&name));
                if known.is_ok_and(|state| state == vdpa_hw::platform::ModuleState::Missing) {
                    let release = modules.release;
                    return Err(failed(&format!(
                        "modprobe: FATAL: Module {module} not found in directory /lib/modules/{release}\nexit status: 1"
                    )));
                }
                let path = Path::new("/proc/modules");
                let now = self.files.read(path).unwrap_or_default();
                let now = String::from_utf8_lossy(&now).into_owned();
                self.tree.write(path, Some(&format!("{module} 16384 0 - Live 0x0\n{now}")))?;
            }
            _ => return bridge::mock::run(&self.tree, &words).map_err(|said| failed(&said)),
        }
        Ok(String::new())
    }
}
