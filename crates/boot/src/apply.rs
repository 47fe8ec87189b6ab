//! Doing what was planned.
//!
//! ```text
//! apply:    backups, record ── files ── boot loader's program ── look again ── modules ── huge pages
//!                               │              │                    │
//!                               └── error ─────┴────────────────────┴─► the files as they were
//! SELinux's module comes with the modules: what fails there is said and stands in nobody's way.
//! ```

use std::path::{Path, PathBuf};

use serde::Serialize;
use vdpa_hw::platform::CommandLine;

use crate::error::{Error, Result};
use crate::grubby::{self, Undo};
use crate::loader::Loader;
use crate::plan::{BootChange, FileChange, NodePages, Plan, Request};
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
        let files: Vec<&FileChange> = files_of(plan).collect();
        for file in &files {
            let is_owned = owned::ALL.iter().any(|path| Path::new(path) == file.path);
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
            return Err(self.take_back(error, plan, earlier.as_ref(), &applied.backups).await);
        }
        self.load_modules(plan, &mut applied).await;
        if let Some(command) = &plan.policy
            && let Err(error) = self.programs.run(command).await
        {
            applied.notes.push(format!("{error}: {}", causes(&error)));
        }
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

    /// Brings back what was there before an attempt that failed.
    async fn take_back(
        &self,
        error: Error,
        plan: &Plan,
        earlier: Option<&Record>,
        backups: &[PathBuf],
    ) -> Error {
        let mut remains = Vec::new();
        let mut kept = |done: Result<()>| {
            remains.extend(done.err().map(|error| format!("{error}: {}", causes(&error))));
        };
        for file in files_of(plan) {
            kept(self.tree.write(&file.path, file.before.as_deref()));
        }
        match &plan.boot {
            Some(boot @ BootChange { undo: Some(undo), .. }) => {
                kept(self.take_back_entries(boot, undo).await);
            }
            // It ended well, so that GRUB's configuration is no longer made from what is there again.
            Some(boot) if matches!(error, Error::NoEffect { .. }) => {
                kept(self.programs.run(&boot.command).await.map(drop));
            }
            _ => {}
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

    /// Gives boot entries their arguments back, as far as `grubby` has changed them.
    async fn take_back_entries(&self, boot: &BootChange, undo: &Undo) -> Result<()> {
        // In any order: grubby puts behind what it is given.
        let sorted = |line: &CommandLine| {
            let mut words: Vec<String> = line.arguments().map(ToString::to_string).collect();
            words.sort_unstable();
            words
        };
        let before = boot
            .files
            .iter()
            .map(|entry| sorted(&CommandLine::parse(entry.before.as_deref().unwrap_or_default())));
        let before: Vec<_> = before.collect();
        let is_back = |text: &str| {
            grubby::entries(text).iter().map(|entry| sorted(&entry.arguments)).eq(before.iter().cloned())
        };
        if is_back(&self.programs.run(&grubby::info()).await?) {
            return Ok(());
        }
        let Some(command) = grubby::undo(undo) else { return Ok(()) };
        self.programs.run(&command).await?;
        if is_back(&self.programs.run(&grubby::info()).await?) {
            return Ok(());
        }
        let missing = "not every entry has the arguments that it had".to_owned();
        Err(Error::NoEffect { command: command.to_string(), missing })
    }

    async fn load_modules(&self, plan: &Plan, applied: &mut Applied) {
        for change in &plan.modules {
            let command = Command::new(["modprobe", "--", change.module.as_str()]);
            if let Err(error) = self.programs.run(&command).await {
                applied.notes.push(format!("{error}: {}", causes(&error)));
            }
        }
    }
}

/// The files that change: of GRUB, and ours.
fn files_of(plan: &Plan) -> impl Iterator<Item = &FileChange> {
    let grub = plan.boot.iter().filter(|boot| boot.undo.is_none());
    grub.flat_map(|boot| &boot.files).chain(&plan.files)
}

/// What an error says below its first line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
