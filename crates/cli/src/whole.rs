//! Files of ours, each written whole or not at all, with the mode it is to have.
//!
//! A file is made under a name beside its own, on which nothing may lie and no link is followed (`O_EXCL`), and takes the
//! place of the old one when it is whole on the disk. Its mode is set and not left to the umask: whoever runs `setup` with
//! an open one would else leave a receipt that anybody may write, and root acts by it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Everybody may look: `status` needs no privilege.
pub(crate) const READABLE: u32 = 0o644;
/// Nobody else may even open it.
pub(crate) const PRIVATE: u32 = 0o600;

/// Makes the directory of a file of ours, if it is not there: everybody may look, nobody else may write.
pub(crate) fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(directory)
}

/// Writes `content` so that at any time the file at `path` is the old one or the new one, whole. Where that fails, the
/// old one is there and nothing besides.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    make_directory(directory)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = directory.join(name);
    // Left by one that was killed; a link that somebody put there goes, and what it points to stays.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&new)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(READABLE))?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    if let Err(error) = written() {
        // A full disk should not be fuller for the attempt.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn a_file_is_replaced_and_a_link_in_the_way_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let (path, precious) =
            (directory.path().join("made/receipt.json"), directory.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        write(&path, b"old").unwrap();
        symlink(&precious, directory.path().join("made/receipt.json.new")).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        let made = path.parent().unwrap();
        assert_eq!(fs::read_dir(made).unwrap().count(), 1, "something besides was left");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, READABLE);
    }

    #[test]
    fn where_it_cannot_be_written_the_old_one_stays_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("receipt.json");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("old"), "").unwrap();
        write(&path, b"new").unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "something besides was left");
    }
}
