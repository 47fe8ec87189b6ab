//! A new disk for a domain, made by qemu-img(1): empty, or on top of a cloud image that stays as it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::{Error, Result};

/// A disk to be made, in the format qcow2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Where.
    pub path: PathBuf,
    /// Its size in GiB; without one, that of the image.
    pub size_gib: Option<u64>,
    /// The image that it is on top of: what the guest writes goes to the disk and never to the image.
    pub image: Option<PathBuf>,
}

/// How long qemu-img may take: it writes a few hundred KiB.
const LIMIT: Duration = Duration::from_mins(1);

impl Disk {
    /// The program and its arguments.
    ///
    /// # Errors
    /// [`Error::Disk`] where the image cannot be read.
    pub fn command(&self) -> Result<Vec<OsString>> {
        let mut words: Vec<OsString> =
            ["qemu-img", "create", "-q", "-f", "qcow2"].map(OsString::from).to_vec();
        if let Some(image) = &self.image {
            let format =
                format(image).map_err(|error| self.error(format!("{}: {error}", image.display())))?;
            let backing = [OsString::from("-F"), format.into(), "-b".into(), image.into()];
            words.extend(backing);
        }
        words.push(self.path.clone().into());
        words.extend(self.size_gib.map(|size| format!("{size}G").into()));
        Ok(words)
    }

    /// Makes it. A file that is there already is not touched.
    ///
    /// # Errors
    /// [`Error::Disk`] with what qemu-img said.
    pub async fn make(&self) -> Result<()> {
        if self.path.symlink_metadata().is_ok() {
            return Err(self.error("it is there already".to_owned()));
        }
        let words = self.command()?;
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        let made = match tokio::time::timeout(LIMIT, command.output()).await {
            Err(_) => Err(format!("no answer from qemu-img after {} s", LIMIT.as_secs())),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err("qemu-img is not installed".to_owned())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        };
        made.map_err(|why| {
            // Half a disk is nobody's.
            let _ = std::fs::remove_file(&self.path);
            self.error(why)
        })
    }

    fn error(&self, why: String) -> Error {
        Error::Disk { path: self.path.clone(), why }
    }
}

/// The format of an image: qcow2 by its first bytes (QEMU's docs/interop/qcow2.txt), or raw.
fn format(image: &Path) -> io::Result<&'static str> {
    let mut magic = [0; 4];
    let mut file = File::open(image)?;
    Ok(match file.read_exact(&mut magic) {
        Ok(()) if magic == *b"QFI\xfb" => "qcow2",
        Ok(()) => "raw",
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "raw",
        Err(error) => return Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_names_the_format_of_what_is_below() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("cloud.img");
        let disk = Disk { path: "/data/a.qcow2".into(), size_gib: Some(30), image: Some(image.clone()) };
        for (content, format) in
            [(&b"QFI\xfb\0\0\0\x03"[..], "qcow2"), (b"\x33\xc0\x8e\xd0", "raw"), (b"", "raw")]
        {
            std::fs::write(&image, content).unwrap();
            let words = disk.command().unwrap();
            let words: Vec<_> = words.iter().map(|word| word.to_str().unwrap()).collect();
            let image = image.to_str().unwrap();
            let wanted = [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-F",
                format,
                "-b",
                image,
                "/data/a.qcow2",
                "30G",
            ];
            assert_eq!(words, wanted);
        }
        let missing = Disk { image: Some("/nowhere".into()), ..disk };
        assert!(
            missing
                .command()
                .unwrap_err()
                .to_string()
                .starts_with("cannot make the disk /data/a.qcow2: /nowhere:")
        );
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_not_touched() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "precious").unwrap();
        let disk = Disk { path: file.path().to_owned(), size_gib: Some(1), image: None };
        assert!(disk.make().await.unwrap_err().to_string().ends_with("it is there already"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
