//! Symbolic links of sysfs, of which only the last component counts: `driver -> ../../../../bus/pci/drivers/mlx5_core`.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use rustix::fs::{Mode, OFlags, open, readlinkat};
use rustix::io::Errno;

/// A directory with a link for each of many things. It is walked to once: the kernel gives a page of memory to each link
/// that it meets on the way (`kernfs_iop_get_link()` in fs/kernfs/symlink.c).
pub(super) struct Links(OwnedFd);

impl Links {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(directory, flags, Mode::empty())?))
    }

    /// See [`link`].
    pub(super) fn read<T: FromStr>(&self, name: &str) -> io::Result<Option<T>> {
        match readlinkat(&self.0, name, Vec::new()) {
            Ok(target) => Ok(last(Path::new(OsStr::from_bytes(target.to_bytes())))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The last component of a link's target; `None` where there is no such link.
///
/// A target that does not parse is no link of the kind that was asked for: `None` too.
pub(super) fn link<T: FromStr>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read_link(directory.join(name)) {
        Ok(target) => Ok(last(&target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn last<T: FromStr>(target: &Path) -> Option<T> {
    target.file_name()?.to_str()?.parse().ok()
}
