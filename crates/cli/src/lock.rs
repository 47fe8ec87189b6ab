//! One `vdpa` at a time: a lock per host.

use std::fs::{File, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::Error;
use crate::whole;

/// The lock, for as long as it lives. The kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock in `directory`, or says who has it.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder's process id; [`Error::Run`] where `directory` cannot be used.
    pub fn take(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("lock");
        let open = || -> std::io::Result<File> {
            whole::make_directory(directory)?;
            let mut options = File::options();
            options.create(true).truncate(false).read(true).write(true).mode(whole::PRIVATE);
            let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path)?;
            // Whoever may open it, if only for reading, may hold the lock and keep everybody out: flock(2).
            file.set_permissions(Permissions::from_mode(whole::PRIVATE))?;
            Ok(file)
        };
        let file = open().map_err(|source| Error::Run { path: path.clone(), source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let written = file.set_len(0).and_then(|()| {
                    std::os::unix::fs::FileExt::write_all_at(
                        &file,
                        std::process::id().to_string().as_bytes(),
                        0,
                    )
                });
                written.map_err(|source| Error::Run { path, source })?;
                Ok(Self { file })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
                Err(Error::Locked { holder })
            }
            Err(errno) => Err(Error::Run { path, source: errno.into() }),
        }
    }

    /// Leaves it taken until this process is gone, which is not before the kernel has returned from what it was asked
    /// for: whoever comes meanwhile would only be stuck in it too.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // By name, since closing the file is not enough: a process that is just being started shares it until it has
        // become its program.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_has_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path()).unwrap();
        match Lock::take(directory.path()) {
            Err(Error::Locked { holder }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(directory.path()).unwrap();
    }

    #[test]
    fn one_that_is_kept_outlives_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        Lock::take(directory.path()).unwrap().keep();
        assert!(matches!(Lock::take(directory.path()), Err(Error::Locked { .. })));
    }

    #[test]
    fn nobody_else_can_hold_it_and_a_link_in_its_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        // As an older version left it.
        std::fs::write(&path, "1").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(Lock::take(directory.path()).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);

        let precious = directory.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let error = Lock::take(directory.path()).unwrap_err();
        assert!(matches!(&error, Error::Run { path: named, .. } if *named == path), "{error:?}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    }
}
