//! Files below a root: read whole, replaced in one step.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, fsetxattr, getxattr};

use crate::error::{Error, Result};

/// The files of a host, by the paths that its own processes use.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where `path` of the host is for this process.
    pub(crate) fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.below(path.as_ref()).symlink_metadata().is_ok()
    }

    /// The text of a file; `None` where it does not exist.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<String>> {
        match fs::read_to_string(self.below(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("read {}", path.display()), error)),
        }
    }

    /// The files in a directory whose names end in `suffix`, in the order in which a shell lists them.
    pub(crate) fn list(&self, directory: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.below(directory)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(format!("list {}", directory.display()), error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Error::io(format!("list {}", directory.display()), error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(suffix) && !name.starts_with('.') {
                names.push(directory.join(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Where a link points to, as a path of the host.
    pub(crate) fn link(&self, path: &Path) -> Option<PathBuf> {
        let target = fs::read_link(self.below(path)).ok()?;
        let mut resolved = PathBuf::new();
        for part in path.parent()?.join(target).components() {
            match part {
                std::path::Component::ParentDir => drop(resolved.pop()),
                part => resolved.push(part),
            }
        }
        Some(resolved)
    }

    /// Gives a file this text, or removes it. Whoever reads it meanwhile sees the old text or the new one, whole; mode,
    /// owner and SELinux label stay; what a symbolic link points to is what changes.
    pub(crate) fn write(&self, path: &Path, text: Option<&str>) -> Result<()> {
        let verb = if text.is_some() { "write" } else { "remove" };
        let done = self.try_write(path, text, None);
        done.map_err(|error| Error::io(format!("{verb} {}", path.display()), error))
    }

    /// Gives a file this text, and mode, owner and label of another: nobody may read a copy who may not read what it is
    /// a copy of.
    pub(crate) fn write_like(&self, path: &Path, text: &str, like: &Path) -> Result<()> {
        let done = self.try_write(path, Some(text), Some(like));
        done.map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Gives a file of ours this text, for nobody else to read.
    pub(crate) fn write_private(&self, path: &Path, text: &str) -> Result<()> {
        let write = || -> io::Result<()> {
            let at = self.below(path);
            let directory = at.parent().ok_or(io::ErrorKind::InvalidInput)?;
            fs::create_dir_all(directory)?;
            let new = at.with_extension("vdpa-new");
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &at)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Whether a file is this process's user's, and nobody else may write it.
    pub(crate) fn is_private(&self, path: &Path) -> Result<bool> {
        let found = fs::symlink_metadata(self.below(path));
        let found = found.map_err(|error| Error::io(format!("look at {}", path.display()), error))?;
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
        Ok(found.is_file() && ours && found.mode() & 0o022 == 0)
    }

    fn try_write(&self, path: &Path, text: Option<&str>, like: Option<&Path>) -> io::Result<()> {
        let mut at = self.below(path);
        // A few steps at most, as links to links are rare and a circle shall end.
        let mut named = path.to_owned();
        for _ in 0..8 {
            let Some(target) = self.link(&named) else { break };
            at = self.below(&target);
            named = target;
        }
        let directory = at.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        match text {
            Some(text) => {
                fs::create_dir_all(&directory)?;
                let mut name = std::ffi::OsString::from(".");
                name.push(at.file_name().ok_or(io::ErrorKind::InvalidInput)?);
                name.push(".vdpa-new");
                let new = directory.join(name);
                let like = like.map_or_else(|| at.clone(), |like| self.below(like));
                let written = replace(&at, &new, text, &like);
                if written.is_err() {
                    let _ = fs::remove_file(&new);
                }
                written?;
            }
            None => match fs::remove_file(&at) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        File::open(&directory)?.sync_all()
    }
}

fn replace(old: &Path, new: &Path, text: &str, like: &Path) -> io::Result<()> {
    // Left by one that was killed. Whatever it is, it is not followed.
    match fs::remove_file(new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(new)?;
    match fs::metadata(like) {
        Ok(metadata) => {
            let ours = file.metadata()?;
            if (ours.uid(), ours.gid()) != (metadata.uid(), metadata.gid()) {
                fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
            }
            file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
            let mut label = vec![0; 256];
            if let Ok(length) = getxattr(like, "security.selinux", &mut label[..]) {
                // Where the policy forbids it, the label is that of new files in this directory.
                let _ = fsetxattr(&file, "security.selinux", &label[..length], XattrFlags::empty());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        Err(error) => return Err(error),
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, old)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_links() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path().to_owned());
        let path = Path::new("/etc/default/grub");
        tree.write(path, Some("one\n")).unwrap();
        fs::set_permissions(tree.below(path), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("default/grub", root.path().join("etc/link")).unwrap();
        tree.write(Path::new("/etc/link"), Some("two\n")).unwrap();
        assert_eq!(tree.read(path).unwrap().as_deref(), Some("two\n"));
        assert_eq!(fs::metadata(tree.below(path)).unwrap().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(root.path().join("etc/link")).unwrap().is_symlink());
        assert_eq!(fs::read_dir(root.path().join("etc/default")).unwrap().count(), 1, "nothing is left over");
        let copy = Path::new("/etc/copy");
        tree.write_like(copy, "two\n", path).unwrap();
        assert_eq!(fs::metadata(tree.below(copy)).unwrap().mode() & 0o777, 0o600, "a secret stays one");
        tree.write(path, None).unwrap();
        tree.write(path, None).unwrap();
        assert_eq!(tree.read(path).unwrap(), None);
    }

    #[test]
    fn an_absolute_link_stays_below_the_root() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path().to_owned());
        tree.write(Path::new("/boot/grub.cfg"), Some("x")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink("/boot/grub.cfg", root.path().join("etc/grub.cfg")).unwrap();
        tree.write(Path::new("/etc/grub.cfg"), Some("y")).unwrap();
        assert_eq!(tree.read(Path::new("/boot/grub.cfg")).unwrap().as_deref(), Some("y"));
    }
}
