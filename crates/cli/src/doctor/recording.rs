//! Files as they were read: the reader that keeps what it reads, and what it has kept.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vdpa_hw::platform::Files;

use vdpa_netlink::Errno;

use super::redact::redact;

/// What files held, what directories listed and where links led, or why not.
///
/// It is [`Files`] itself: whoever reads through it finds what was found then. What was not looked at is not found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// Contents, after [`redact`](super::redact).
    pub(super) contents: BTreeMap<PathBuf, Result<Vec<u8>, Failure>>,
    /// Names in directories.
    pub(super) listings: BTreeMap<PathBuf, Result<Vec<String>, Failure>>,
    /// Targets of links.
    pub(super) links: BTreeMap<PathBuf, Result<PathBuf, Failure>>,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// The errno, where it was the kernel that refused.
    errno: Option<i32>,
    /// The refusal in words.
    text: String,
}

impl Failure {
    pub(super) fn of(error: &io::Error) -> Self {
        // A simulated host's errors have a kind and no number.
        let number = match error.kind() {
            io::ErrorKind::NotFound => Some(Errno::ENOENT.0),
            _ => None,
        };
        Self { errno: error.raw_os_error().or(number), text: error.to_string() }
    }

    fn error(&self) -> io::Error {
        self.errno.map_or_else(|| io::Error::other(self.text.clone()), io::Error::from_raw_os_error)
    }
}

impl Recording {
    fn found<T: Clone>(entry: Option<&Result<T, Failure>>) -> io::Result<T> {
        match entry {
            Some(Ok(value)) => Ok(value.clone()),
            Some(Err(failure)) => Err(failure.error()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// How many things were looked at.
    pub fn len(&self) -> usize {
        self.contents.len() + self.listings.len() + self.links.len()
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of a file, without its last line end.
    ///
    /// # Errors
    /// The reason why it could not be read, naming the file; a file that is not there is `None`.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, String> {
        match self.read(Path::new(path)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {path}: {error}")),
        }
    }
}

impl Files for Recording {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Self::found(self.contents.get(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Self::found(self.listings.get(path))
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        Self::found(self.links.get(path))
    }

    fn write(&self, _: &Path, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// Reads files and keeps what it reads, redacted: its reader gets no more than what is kept, so that a check says
/// the same of the host as of its bundle.
#[derive(Debug)]
pub(super) struct Recorder {
    files: Arc<dyn Files>,
    kept: Mutex<Recording>,
}

impl Recorder {
    pub(super) fn new(files: Arc<dyn Files>) -> Self {
        Self { files, kept: Mutex::default() }
    }

    /// What was kept so far.
    pub(super) fn recording(&self) -> Recording {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep<T: Clone>(
        &self,
        path: &Path,
        read: io::Result<T>,
        which: impl FnOnce(&mut Recording) -> &mut BTreeMap<PathBuf, Result<T, Failure>>,
    ) -> io::Result<T> {
        let entry = read.as_ref().map(Clone::clone).map_err(Failure::of);
        which(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner)).insert(path.to_owned(), entry);
        read
    }
}

impl Files for Recorder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let read = self.files.read(path).map(|bytes| redact(path, bytes));
        self.keep(path, read, |kept| &mut kept.contents)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.keep(path, self.files.list(path), |kept| &mut kept.listings)
    }

    fn link(&self, path: &Path) -> io::Result<PathBuf> {
        self.keep(path, self.files.link(path), |kept| &mut kept.links)
    }

    fn write(&self, _: &Path, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_hw::platform::Rooted;

    #[test]
    fn what_was_read_reads_the_same_again_and_so_does_what_could_not_be() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sys/a")).unwrap();
        std::fs::write(root.path().join("sys/a/b"), "1\n").unwrap();
        std::os::unix::fs::symlink("../a", root.path().join("sys/a/c")).unwrap();
        let recorder = Recorder::new(Arc::new(Rooted::new(root.path())));
        let paths = ["/sys/a", "/sys/a/b", "/sys/a/c", "/sys/none"].map(Path::new);
        let look = |files: &dyn Files| {
            let kind = |error: io::Error| error.kind();
            paths.map(|path| {
                (
                    files.read(path).map_err(kind),
                    files.list(path).map_err(kind),
                    files.link(path).map_err(kind),
                )
            })
        };
        let then = look(&recorder);
        let recording = recorder.recording();
        assert_eq!(look(&recording), then);
        assert_eq!(then[1].0.as_deref(), Ok(b"1\n".as_slice()));
        assert_eq!(then[3].0, Err(io::ErrorKind::NotFound));
        assert_eq!(recording.len(), 12);
        assert!(recording.text("/sys/a").unwrap_err().starts_with("cannot read /sys/a: "));
    }

    #[test]
    fn nothing_is_written_through_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "1").unwrap();
        let recorder = Recorder::new(Arc::new(Rooted::new(root.path())));
        assert!(recorder.write(Path::new("/a"), "2").is_err());
        assert!(recorder.recording().write(Path::new("/a"), "2").is_err());
        assert_eq!(std::fs::read_to_string(root.path().join("a")).unwrap(), "1");
    }
}
