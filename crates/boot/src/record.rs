//! What is needed to go back, on disk before anything is changed.
//!
//! It lies in `/var/lib` and not in `/run`: what it takes back outlives a reboot.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vdpa_hw::platform::PageSize;

use crate::error::{Error, Result};
use crate::grubby::Undo;
use crate::programs::Command;
use crate::tree::Tree;

const PATH: &str = "/var/lib/vdpa/prepared.json";

/// How things stood before the first `prepare`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Files, with what we wrote last.
    pub(crate) files: Vec<Kept>,
    /// Arguments that `grubby` was told to change.
    pub(crate) arguments: Option<Undo>,
    /// What makes the boot loader's configuration anew, where files of its were edited.
    pub(crate) regenerate: Option<Command>,
    /// Huge pages that were set at run time.
    pub(crate) pages: Vec<KeptPages>,
    /// The boot in which they were: they do not outlive it.
    pub(crate) boot_id: Option<String>,
}

/// A file that we changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    /// Where the text lies that it had; `None` where it did not exist.
    pub(crate) backup: Option<PathBuf>,
    /// The text that we gave it; `None` where we removed it.
    pub(crate) written: Option<String>,
    /// Whether somebody else changed it between two of our changes, so that the backup is not all there was.
    pub(crate) mixed: bool,
}

/// Huge pages of a node that we set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptPages {
    pub(crate) size: PageSize,
    pub(crate) node: u16,
    pub(crate) before: u64,
}

impl Record {
    /// The record that is there.
    pub(crate) fn open(tree: &Tree) -> Result<Option<Self>> {
        let Some(text) = tree.read(Path::new(PATH))? else { return Ok(None) };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| Error::Record { path: PATH.into(), why: error.to_string() })
    }

    pub(crate) fn save(&self, tree: &Tree) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Record { path: PATH.into(), why: error.to_string() })?;
        tree.write(Path::new(PATH), Some(&(text + "\n")))
    }

    pub(crate) fn remove(tree: &Tree) -> Result<()> {
        tree.write(Path::new(PATH), None)
    }

    /// Notes that `path` is about to get the text `after` instead of `now`; the first text it had is what counts.
    pub(crate) fn note(&mut self, path: &Path, now: Option<&str>, after: Option<&str>) -> Option<PathBuf> {
        let written = after.map(str::to_owned);
        if let Some(kept) = self.files.iter_mut().find(|kept| kept.path == path) {
            kept.mixed |= kept.written.as_deref() != now;
            kept.written = written;
            return None;
        }
        let backup = now.map(|_| backup_of(path));
        self.files.push(Kept { path: path.to_owned(), backup: backup.clone(), written, mixed: false });
        backup
    }

    /// Takes it that `path` did not exist before.
    pub(crate) fn forget_backup(&mut self, path: &Path) {
        for kept in self.files.iter_mut().filter(|kept| kept.path == path) {
            kept.backup = None;
        }
    }

    /// Notes that arguments are about to change; how each name stood first is what counts.
    pub(crate) fn note_arguments(&mut self, undo: &Undo) {
        let kept = self.arguments.get_or_insert_default();
        let is_new = |name: &str| !kept.names.iter().any(|known| known == name);
        let names: Vec<_> = undo.names.iter().filter(|name| is_new(name)).cloned().collect();
        let of_new = |argument: &&String| names.iter().any(|name| argument.split('=').next() == Some(name));
        let arguments: Vec<_> = undo.arguments.iter().filter(of_new).cloned().collect();
        kept.arguments.extend(arguments);
        kept.names.extend(names);
    }

    /// Notes that huge pages of a node are about to be set, in the boot that `boot_id` names.
    pub(crate) fn note_pages(&mut self, boot_id: Option<&str>, pages: KeptPages) {
        if self.boot_id.as_deref() != boot_id {
            self.pages.clear();
            self.boot_id = boot_id.map(str::to_owned);
        }
        if !self.pages.iter().any(|kept| (kept.size, kept.node) == (pages.size, pages.node)) {
            self.pages.push(pages);
        }
    }
}

/// Beside the file, under a name that neither GRUB nor systemd nor modprobe reads.
fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-vdpa");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_before_is_what_counts() {
        let mut record = Record::default();
        let path = Path::new("/etc/default/grub");
        assert_eq!(record.note(path, Some("one"), Some("two")), Some("/etc/default/grub.before-vdpa".into()));
        assert_eq!(record.note(path, Some("two"), Some("three")), None);
        assert!(!record.files[0].mixed);
        record.note(path, Some("somebody's"), Some("four"));
        assert!(record.files[0].mixed);

        let undo = |names: &[&str], arguments: &[&str]| Undo {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        };
        record.note_arguments(&undo(&["iommu"], &["iommu=off"]));
        record.note_arguments(&undo(&["iommu", "isolcpus"], &["iommu=pt", "isolcpus=1"]));
        assert_eq!(record.arguments, Some(undo(&["iommu", "isolcpus"], &["iommu=off", "isolcpus=1"])));

        let pages = |before| KeptPages { size: PageSize::MIB_2, node: 0, before };
        record.note_pages(Some("boot 1"), pages(0));
        record.note_pages(Some("boot 1"), pages(8));
        assert_eq!(record.pages, [pages(0)]);
        record.note_pages(Some("boot 2"), pages(4));
        assert_eq!(record.pages, [pages(4)], "what was set in an earlier boot is gone with it");
    }
}
