//! The directory of one process: everything about it that is not in the process itself.
//!
//! ```text
//! /run/vdpa/0000-43-00.0-vf0/      0755
//!   spec.json                      what it was started as; its presence makes the process ours
//!   lock                           held by the supervisor while it lives
//!   supervisor.json                the processes, by id and start time
//!   control.sock                   0600; there while the program is ready
//!   failure                        why it failed last, if it did
//!   failures                       how many times in a row
//!   dpdk-version                   of the program, as it says itself
//!   log                            what it said, where no journal keeps it
//!   vhost/                         2770, QEMU's group
//!     net.sock                     the vhost-user socket
//!   dpdk/…                         DPDK's own run-time files
//! ```

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use vdpa_hw::Vf;

use super::Spec;
use super::process::ProcessId;
use super::socket::is_listening;
use crate::error::{Error, Result};

/// The longest path of a Unix socket in bytes: `sun_path` less its NUL, unix(7). DPDK cuts longer ones.
const LONGEST_SOCKET_PATH: usize = 107;

/// A VF as a part of file and unit names: `0000-43-00.0-vf0`.
pub(crate) fn slug(vf: Vf) -> String {
    vf.to_string().replace([':', '/'], "-")
}

/// The systemd unit of a VF's process: `vdpa-dpdk-0000-43-00.0-vf0.service`.
pub fn unit_name(vf: Vf) -> String {
    format!("vdpa-dpdk-{}.service", slug(vf))
}

/// The directory of one process.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    path: PathBuf,
}

/// The processes that serve a VF.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Processes {
    pub(super) supervisor: ProcessId,
    pub(super) program: Option<ProcessId>,
}

impl Home {
    /// The directory of `vf`'s process below `root` (`/run/vdpa`).
    pub(crate) fn of(root: &Path, vf: Vf) -> Self {
        Self { path: root.join(slug(vf)) }
    }

    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All directories below `root` that hold a spec.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(format!("list {}", root.display()))(error)),
        };
        let mut homes: Vec<_> = entries
            .flatten()
            .map(|entry| Self { path: entry.path() })
            .filter(|home| home.spec_path().exists())
            .collect();
        homes.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(homes)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("vhost/net.sock")
    }

    pub(super) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub(super) fn notify_socket(&self) -> PathBuf {
        self.path.join("notify.sock")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    fn spec_path(&self) -> PathBuf {
        self.path.join("spec.json")
    }

    /// Fails where a socket of ours would have a longer path than the kernel allows.
    pub(super) fn check_socket_paths(&self) -> Result<()> {
        for path in [self.socket(), self.control_socket(), self.notify_socket()] {
            let length = path.as_os_str().len();
            if length > LONGEST_SOCKET_PATH {
                return Err(Error::PathTooLong { path, length });
            }
        }
        Ok(())
    }

    /// Makes the directory for `spec`. `group` may use the socket.
    pub(super) fn create(&self, spec: &Spec, group: Option<u32>) -> Result<()> {
        self.make(group)?;
        write_json(&self.spec_path(), spec)
    }

    /// Makes the directory, and in it that of the socket, which `group` may use.
    ///
    /// Modes are set and not left to the umask. A member of QEMU's group needs to write in `vhost/`
    /// where QEMU makes the socket (client mode), and the set-group-id bit gives the socket that group.
    pub(super) fn make(&self, group: Option<u32>) -> Result<()> {
        self.check_socket_paths()?;
        let vhost = self.path.join("vhost");
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o755).create(&self.path)?;
            for directory in self.path.ancestors().take(2) {
                fs::set_permissions(directory, Permissions::from_mode(0o755))?;
            }
            DirBuilder::new().recursive(true).mode(0o700).create(&vhost)?;
            if let Some(group) = group {
                std::os::unix::fs::chown(&vhost, None, Some(group))?;
            }
            // After chown: that clears the set-group-id bit.
            fs::set_permissions(&vhost, Permissions::from_mode(if group.is_some() { 0o2770 } else { 0o700 }))
        };
        make().map_err(Error::io(format!("make the directory {}", self.path.display())))
    }

    /// Removes the directory and all in it, but a vhost-user socket on which somebody listens: our
    /// processes have gone, so it is a QEMU's that waits for its datapath to come back (client mode), or
    /// none of our business.
    pub(super) fn remove(&self) -> Result<()> {
        let remove = || -> io::Result<()> {
            if !is_listening(&self.socket()).unwrap_or(false) {
                return fs::remove_dir_all(&self.path);
            }
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true if entry.file_name() == "vhost" => {}
                    true => fs::remove_dir_all(entry.path())?,
                    false => fs::remove_file(entry.path())?,
                }
            }
            Ok(())
        };
        match remove() {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", self.path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// What the process was started as; `None` if there is none of ours.
    pub(super) fn spec(&self) -> Result<Option<Spec>> {
        read_json(&self.spec_path())
    }

    pub(super) fn processes(&self) -> Result<Option<Processes>> {
        read_json(&self.path.join("supervisor.json"))
    }

    pub(super) fn record_processes(&self, processes: &Processes) -> Result<()> {
        write_json(&self.path.join("supervisor.json"), processes)
    }

    pub(super) fn failure(&self) -> Option<String> {
        fs::read_to_string(self.path.join("failure")).ok().filter(|text| !text.is_empty())
    }

    pub(super) fn record_failure(&self, why: Option<&str>) {
        let path = self.path.join("failure");
        let written = why.map_or_else(|| fs::remove_file(&path), |why| fs::write(&path, why));
        if let Err(error) = written
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "cannot record why the datapath failed");
        }
    }

    /// How many times in a row it has failed.
    pub(super) fn failures(&self) -> u32 {
        let text = fs::read_to_string(self.path.join("failures")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub(super) fn record_failures(&self, count: u32) {
        self.note("failures", &count.to_string());
    }

    /// The version of the program's DPDK; `None` where it did not say.
    pub(super) fn version(&self) -> Option<String> {
        fs::read_to_string(self.path.join("dpdk-version")).ok().filter(|text| !text.is_empty())
    }

    pub(super) fn record_version(&self, version: &str) {
        self.note("dpdk-version", version);
    }

    /// Writes down what the datapath can do without.
    fn note(&self, file: &str, text: &str) {
        let path = self.path.join(file);
        if let Err(error) = fs::write(&path, text) {
            tracing::warn!(%error, path = %path.display(), "cannot write it down");
        }
    }

    /// Takes the lock that one supervisor holds for its life; `None` if another has it. The kernel
    /// releases it when its holder dies, however it dies.
    pub(super) fn lock(&self) -> Result<Option<File>> {
        let path = self.path.join("lock");
        let intent = || format!("lock {}", path.display());
        // Whoever may open it may hold the lock, and no supervisor would start: flock(2).
        let mut options = File::options();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(Error::io(intent()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(Error::io(intent())(errno.into())),
        }
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(format!("read {}", path.display()))(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::Malformed { what: path.display().to_string(), why: error.to_string() })
}

/// Writes a file as a whole or not at all.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let write = || -> io::Result<()> {
        let new = path.with_extension("new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Root starts the program that it names: nobody else may write it, whatever the umask.
        let mut file = File::options().write(true).create_new(true).mode(0o644).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        fs::rename(&new, path)
    };
    write().map_err(Error::io(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    fn spec() -> Spec {
        Spec::new("0000:43:00.0/vf0".parse().unwrap(), "0000:43:00.2".parse().unwrap(), "/opt/dpdk-vdpa")
    }

    #[test]
    fn nobody_else_may_write_what_root_starts() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::of(root.path(), spec().vf);
        let umask = rustix::process::umask(rustix::fs::Mode::empty());
        let lock = home.create(&spec(), None).and_then(|()| home.lock());
        rustix::process::umask(umask);
        let _held = lock.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&home.spec_path()), 0o644, "root starts the program that it names");
        assert_eq!(mode(&home.path().join("lock")), 0o600, "who may open it may hold it");
        assert_eq!(mode(home.path()), 0o755);
    }

    #[test]
    fn names_say_which_vf() {
        assert_eq!(unit_name(spec().vf), "vdpa-dpdk-0000-43-00.0-vf0.service");
    }

    #[test]
    fn the_socket_directory_is_closed_to_others_and_open_to_the_group() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::of(&root.path().join("vdpa"), spec().vf);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        let own_group = fs::metadata(root.path()).unwrap().gid();
        home.create(&spec(), Some(own_group)).unwrap();
        assert_eq!(mode(&home.path().join("vhost")), 0o2770);
        assert_eq!(mode(home.path()), 0o755);
        assert_eq!(mode(home.path().parent().unwrap()), 0o755);
        home.create(&spec(), None).unwrap();
        assert_eq!(mode(&home.path().join("vhost")), 0o700);
        assert_eq!(home.spec().unwrap(), Some(spec()));
        home.remove().unwrap();
        home.remove().unwrap();
        assert_eq!(home.spec().unwrap(), None);
    }

    #[test]
    fn a_directory_without_a_spec_is_not_ours() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("foreign")).unwrap();
        Home::of(root.path(), spec().vf).create(&spec(), None).unwrap();
        let homes = Home::all(root.path()).unwrap();
        assert_eq!(homes.len(), 1);
        assert_eq!(homes[0].spec().unwrap(), Some(spec()));
        assert!(Home::all(&root.path().join("absent")).unwrap().is_empty());
    }

    #[test]
    fn a_path_that_the_kernel_would_not_take_is_refused_before_anything_is_made() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(80));
        let home = Home::of(&deep, spec().vf);
        assert!(matches!(home.create(&spec(), None), Err(Error::PathTooLong { length, .. }) if length > 107));
        assert!(!deep.exists());
    }

    #[test]
    fn one_supervisor_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(root.path());
        let held = home.lock().unwrap();
        assert!(held.is_some());
        assert!(home.lock().unwrap().is_none());
        drop(held);
        assert!(home.lock().unwrap().is_some());
    }
}
