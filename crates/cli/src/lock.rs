//! One `vdpa` at a time: a lock per host.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

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
        let open = || {
            std::fs::create_dir_all(directory)?;
            File::options().create(true).truncate(false).read(true).write(true).open(&path)
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
}
