//! Going back: files from their backups, then the boot loader's program, then huge pages; the record goes last, so that
//! what is interrupted can go on.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::plan::FileChange;
use crate::policy::{self, Module};
use crate::programs::Command;
use crate::record::Record;
use crate::{Host, grubby, owned};

/// What was taken back.
#[derive(Debug, Default, Serialize)]
pub struct Restored {
    /// Files that have the text they had.
    pub files: Vec<PathBuf>,
    /// Files that are gone, as there were none.
    pub removed: Vec<PathBuf>,
    /// What was run.
    pub command: Option<Command>,
    /// What stays as it is until the next boot, or has to be looked after.
    pub notes: Vec<String>,
}

impl Host {
    /// Takes back what was ever applied; `None` where nothing was. Needs root.
    ///
    /// # Errors
    /// [`Error::Changed`] where a file was changed since, unless `force`: then nothing was touched.
    pub async fn restore(&self, force: bool) -> Result<Option<Restored>> {
        let Some(record) = Record::open(&self.tree)? else { return Ok(None) };
        let mut changes = Vec::new();
        for kept in &record.files {
            let now = self.tree.read(&kept.path)?;
            let before = match &kept.backup {
                Some(backup) => Some(self.tree.read(backup)?.ok_or_else(|| {
                    let missing = std::io::ErrorKind::NotFound.into();
                    Error::io(format!("read the backup {}", backup.display()), missing)
                })?),
                None => None,
            };
            // A restore that was interrupted has brought some back already.
            if now == before {
                continue;
            }
            if (kept.mixed || now != kept.written) && !force {
                let since = FileChange { path: kept.path.clone(), before: kept.written.clone(), after: now };
                return Err(Error::Changed { path: kept.path.clone(), diff: since.diff() });
            }
            changes.push(FileChange { path: kept.path.clone(), before: now, after: before });
        }
        let mut restored = Restored::default();
        for change in &changes {
            self.tree.write(&change.path, change.after.as_deref())?;
            let list = if change.after.is_some() { &mut restored.files } else { &mut restored.removed };
            list.push(change.path.clone());
        }
        restored.command =
            record.arguments.as_ref().and_then(grubby::undo).or_else(|| record.regenerate.clone());
        if let Some(command) = &restored.command {
            self.programs.run(command).await?;
            restored.notes.push("the running kernel keeps its arguments until the next boot".to_owned());
        }
        self.restore_pages(&record, &mut restored)?;
        if record.files.iter().any(|kept| kept.path == Path::new(owned::MODULES)) {
            restored.notes.push("modules that are loaded stay so until the next boot".to_owned());
        }
        if record.files.iter().any(|kept| kept.path == Path::new(policy::PATH))
            && matches!(Module::of(&self.tree, &*self.programs)?, Module::Possible { installed: true })
        {
            self.programs.run(&policy::remove()).await?;
            restored.notes.push("SELinux's policy is without the module vdpa".to_owned());
        }
        for backup in record.files.iter().filter_map(|kept| kept.backup.as_ref()) {
            self.tree.write(backup, None)?;
        }
        Record::remove(&self.tree)?;
        Ok(Some(restored))
    }

    fn restore_pages(&self, record: &Record, restored: &mut Restored) -> Result<()> {
        let boot_id = self.tree.read(Path::new("/proc/sys/kernel/random/boot_id"))?;
        if record.boot_id.as_deref() != boot_id.as_deref().map(str::trim) {
            if !record.pages.is_empty() {
                let note = "huge pages that this boot began with stay until the next";
                restored.notes.push(note.to_owned());
            }
            return Ok(());
        }
        for pages in &record.pages {
            let now = self.platform.set_huge_pages(pages.size, Some(pages.node), pages.before)?;
            if now != pages.before {
                restored.notes.push(format!(
                    "{now} huge pages of {} on NUMA node {} are in use and stay",
                    pages.size, pages.node
                ));
            }
        }
        Ok(())
    }
}
