//! Files of ours in directories of the system's.
//!
//! A file is ours by its first line, a link by where it points. Whatever else has the name of one is somebody's: it is
//! refused and never touched.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// How the first line of every file of ours begins.
const MARK: &str = "# Written by vdpa";

/// A file of ours, as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    path: PathBuf,
    content: Content,
}

/// What is in a file, or where a link points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A text whose first line says that it is ours.
    Text(String),
    /// A symbolic link.
    Link(PathBuf),
}

impl Owned {
    /// A text of ours; `by` says in its first line which command writes and removes it.
    pub(crate) fn text(path: impl Into<PathBuf>, by: &str, text: &str) -> Self {
        let text = format!("{MARK}: {by}. What is changed here is lost.\n{text}");
        Self { path: path.into(), content: Content::Text(text) }
    }

    /// A link of ours.
    pub(crate) fn link(path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: Content::Link(target.into()) }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is to be in it.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// What of ours is there now.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where something else is; [`Error::File`] where it cannot be read.
    pub(crate) fn found(&self) -> Result<Option<Content>, Error> {
        let cannot = |source| Error::File { verb: "read", path: self.path.clone(), source };
        let is_link = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let found = match &self.content {
            Content::Link(_) if is_link => Content::Link(fs::read_link(&self.path).map_err(cannot)?),
            Content::Text(_) if !is_link => match fs::read_to_string(&self.path) {
                Ok(text) => Content::Text(text),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(self.foreign()),
                Err(error) => return Err(cannot(error)),
            },
            _ => return Err(self.foreign()),
        };
        let ours = match &found {
            Content::Text(text) => text.starts_with(MARK),
            link @ Content::Link(_) => *link == self.content,
        };
        if ours { Ok(Some(found)) } else { Err(self.foreign()) }
    }

    /// Puts it there whole or not at all.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where something else is; [`Error::File`] where it cannot be written.
    pub(crate) fn put(&self) -> Result<(), Error> {
        self.found()?;
        self.write(&self.content)
    }

    /// Brings back what was [found](Self::found).
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub(crate) fn restore(&self, before: Option<&Content>) -> Result<(), Error> {
        match before {
            Some(content) => self.write(content),
            None => self.remove(),
        }
    }

    /// Takes it away, and its directory if nothing else is in that.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where something else is; [`Error::File`] where it cannot be removed.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        if self.found()?.is_none() {
            return Ok(());
        }
        let removed = fs::remove_file(&self.path);
        removed.map_err(|source| Error::File { verb: "remove", path: self.path.clone(), source })?;
        if let Some(directory) = self.path.parent() {
            // An error says that others have something in it.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }

    fn write(&self, content: &Content) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            let directory = self.path.parent().unwrap_or(Path::new("/"));
            let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            fs::create_dir_all(directory)?;
            // Whoever reads the directory knows files by how their names end.
            let new = directory.join(format!(".{name}.new"));
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match content {
                Content::Text(text) => {
                    let mut file = fs::File::options().write(true).create_new(true).mode(0o644).open(&new)?;
                    file.write_all(text.as_bytes())?;
                    file.sync_all()?;
                }
                Content::Link(target) => std::os::unix::fs::symlink(target, &new)?,
            }
            fs::rename(&new, &self.path)
        };
        write().map_err(|source| Error::File { verb: "write", path: self.path.clone(), source })
    }

    fn foreign(&self) -> Error {
        Error::NotOurs(self.path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_is_replaced_and_goes_with_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("rules.d/70-x.rules");
        let (old, new) = (Owned::text(&path, "a test", "old\n"), Owned::text(&path, "a test", "new\n"));
        assert_eq!(old.found().unwrap(), None);
        old.put().unwrap();
        assert_eq!(new.found().unwrap().as_ref(), Some(old.content()));
        new.put().unwrap();
        new.restore(Some(old.content())).unwrap();
        assert_eq!(old.found().unwrap().as_ref(), Some(old.content()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "something besides was left");
        old.remove().unwrap();
        old.remove().unwrap();
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn what_is_not_ours_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let (file, link) = (root.path().join("file"), root.path().join("link"));
        fs::write(&file, "[Unit]\n").unwrap();
        std::os::unix::fs::symlink("elsewhere", &link).unwrap();
        let ours = [
            Owned::text(&file, "a test", "text"),
            Owned::text(&link, "a test", "text"),
            Owned::link(&link, "here"),
            Owned::link(&file, "here"),
        ];
        for owned in ours {
            for result in [owned.found().map(drop), owned.put(), owned.remove()] {
                assert!(matches!(&result, Err(Error::NotOurs(path)) if path == owned.path()), "{result:?}");
            }
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "[Unit]\n");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("elsewhere"));
    }
}
