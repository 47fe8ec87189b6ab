//! Doing what was planned, and going back.
//!
//! ```text
//! apply:    backups, record ── files ── boot loader's program ── look again ── modules ── huge pages
//!                               │              │                    │
//!                               └── error ─────┴────────────────────┴─► the files as they were
//! restore:  files from their backups ── boot loader's program ── huge pages ── record goes
//! ```

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::grubby;
use crate::loader::Loader;
use crate::plan::{FileChange, NodePages, Plan, Request};
use crate::programs::Command;
use crate::record::{KeptPages, Record};
use crate::want::{Want, listed};
use crate::{Host, owned};

/// What was done.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// Backups that were made.
    pub backups: Vec<PathBuf>,
    /// Huge pages that were set, and what the kernel gave.
    pub pages: Vec<Given>,
    /// What did not work and does not stand in the way.
    pub notes: Vec<String>,
}

/// Huge pages that were asked for, and what the kernel gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Given {
    /// What was asked for.
    #[serde(flatten)]
    pub wanted: NodePages,
    /// How many there are now.
    pub given: u64,
}

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
    /// Does what was planned. Needs root.
    ///
    /// # Errors
    /// Where a file cannot be written or the boot loader's program fails, the files are as they were;
    /// [`Error::HalfDone`] where they could not be brought back.
    pub async fn apply(&self, request: &Request, plan: &Plan) -> Result<Applied> {
        let mut applied = Applied { backups: Vec::new(), pages: Vec::new(), notes: Vec::new() };
        if plan.is_empty() {
            return Ok(applied);
        }
        let earlier = Record::open(&self.tree)?;
        let mut record = earlier.clone().unwrap_or_default();
        let grub = plan.boot.iter().filter(|boot| boot.undo.is_none());
        let files: Vec<&FileChange> = grub.flat_map(|boot| &boot.files).chain(&plan.files).collect();
        for file in &files {
            let is_owned =
                [owned::MODULES, owned::OPTIONS, owned::PAGES].iter().any(|p| Path::new(p) == file.path);
            if let Some(backup) = record.note(&file.path, file.before.as_deref(), file.after.as_deref()) {
                if is_owned {
                    // Ours from an earlier time whose record is gone: nobody wants it back.
                    record.forget_backup(&file.path);
                } else {
                    let text = file.before.as_deref().unwrap_or_default();
                    self.tree.write_like(&backup, text, &file.path)?;
                    applied.backups.push(backup);
                }
            }
        }
        if let Some(boot) = &plan.boot {
            match &boot.undo {
                Some(undo) => record.note_arguments(undo),
                None => record.regenerate = Some(boot.command.clone()),
            }
        }
        let boot_id = self.tree.read(Path::new("/proc/sys/kernel/random/boot_id"))?;
        let boot_id = boot_id.as_deref().map(str::trim);
        for pages in &plan.pages {
            let NodePages { size, node, .. } = pages.wanted;
            record.note_pages(boot_id, KeptPages { size, node, before: pages.now });
        }
        record.save(&self.tree)?;
        if let Err(error) = self.write_and_run(request, plan, &files).await {
            return Err(self.take_back(error, &files, earlier.as_ref(), &applied.backups));
        }
        self.load_modules(plan, &mut applied).await;
        for pages in &plan.pages {
            let NodePages { size, node, count } = pages.wanted;
            let platform = self.platform.clone();
            // Seconds, where the kernel has to move memory about.
            let set = tokio::task::spawn_blocking(move || platform.set_huge_pages(size, Some(node), count));
            match set.await.map_err(std::io::Error::other) {
                Ok(Ok(given)) => applied.pages.push(Given { wanted: pages.wanted, given }),
                Ok(Err(error)) => applied.notes.push(format!("{error}: {}", causes(&error))),
                Err(error) => return Err(Error::io("set huge pages", error)),
            }
        }
        Ok(applied)
    }

    async fn write_and_run(&self, request: &Request, plan: &Plan, files: &[&FileChange]) -> Result<()> {
        for file in files {
            self.tree.write(&file.path, file.after.as_deref())?;
        }
        let Some(boot) = &plan.boot else { return Ok(()) };
        self.programs.run(&boot.command).await?;
        // Ended well is not done: what is there now is what counts.
        let wants = &request.wants;
        let missing = match Loader::of(&self.tree, &*self.programs)? {
            Loader::Grubby => {
                let entries = grubby::entries(&self.programs.run(&grubby::info()).await?);
                let lacks = |want: &&Want| !entries.iter().all(|entry| want.holds(&entry.arguments));
                wants.iter().filter(lacks).collect()
            }
            Loader::Grub(grub) => grub.lacks(&self.tree, wants),
            Loader::Other { .. } => Vec::new(),
        };
        if missing.is_empty() {
            return Ok(());
        }
        let missing = format!("not every entry has {}", listed(missing));
        Err(Error::NoEffect { command: boot.command.to_string(), missing })
    }

    /// Brings files back as they were before an attempt that failed.
    fn take_back(
        &self,
        error: Error,
        files: &[&FileChange],
        earlier: Option<&Record>,
        backups: &[PathBuf],
    ) -> Error {
        let mut remains = Vec::new();
        for file in files {
            if let Err(error) = self.tree.write(&file.path, file.before.as_deref()) {
                remains.push(format!("{error}: {}", causes(&error)));
            }
        }
        if !remains.is_empty() {
            return Error::HalfDone { error: Box::new(error), remains };
        }
        let forget = || -> Result<()> {
            backups.iter().try_for_each(|backup| self.tree.write(backup, None))?;
            earlier.map_or_else(|| Record::remove(&self.tree), |record| record.save(&self.tree))
        };
        if let Err(error) = forget() {
            tracing::warn!(%error, "a backup stays");
        }
        error
    }

    async fn load_modules(&self, plan: &Plan, applied: &mut Applied) {
        for change in &plan.modules {
            let command = Command::new(["modprobe", "--", change.module.as_str()]);
            if let Err(error) = self.programs.run(&command).await {
                applied.notes.push(format!("{error}: {}", causes(&error)));
            }
        }
    }

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

/// What an error says below its first line.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
