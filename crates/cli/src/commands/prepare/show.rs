//! What came of it, for people and for programs.

use serde_json::{Value, json};
use vdpa_boot::{Applied, NodePages, Pages, Plan, Restored};

use crate::commands::Session;
use crate::report::{Outcome, Report as _};

/// A preparation that was planned, and done if asked.
pub(super) struct Prepared {
    pub(super) plan: Plan,
    pub(super) applied: Option<Applied>,
    /// Whether the exit code is to say that something would change.
    pub(super) detailed: bool,
}

/// What `restore` took back; `None` where nothing was ever written.
pub(super) struct TakenBack {
    pub(super) restored: Option<Restored>,
}

impl Prepared {
    pub(super) fn show(&self, session: &Session) -> Outcome {
        self.tell(session);
        let (outcome, exit_code) = match &self.applied {
            _ if self.plan.is_empty() => ("unchanged", 0),
            None => ("changes", if self.detailed { 10 } else { 0 }),
            Some(applied) if self.is_short(applied) => ("short", 1),
            Some(_) => ("done", 0),
        };
        let backups = self.applied.as_ref().map_or(&[][..], |applied| &applied.backups);
        let outcome = Outcome::done("host prepare", outcome)
            .with("arguments", &self.plan.arguments)
            .with("boot", &self.plan.boot)
            .with("files", &self.plan.files)
            .with("pages", &self.pages())
            .with("modules", &self.plan.modules)
            .with("policy", &self.plan.policy)
            .with("backups", &backups)
            .with("reboot", &self.plan.reboot);
        Outcome { exit_code, ..outcome }
    }

    /// The huge pages that were planned, each with what was given.
    fn pages(&self) -> Value {
        let mut pages = json!(self.plan.pages);
        for (shown, planned) in pages.as_array_mut().into_iter().flatten().zip(&self.plan.pages) {
            if let Some(given) = self.given(planned) {
                shown["given"] = given.into();
            }
        }
        pages
    }

    fn given(&self, planned: &Pages) -> Option<u64> {
        let given = self.applied.iter().flat_map(|applied| &applied.pages);
        given.filter(|given| given.wanted == planned.wanted).map(|given| given.given).next()
    }

    fn is_short(&self, applied: &Applied) -> bool {
        applied.pages.len() < self.plan.pages.len()
            || applied.pages.iter().any(|pages| pages.given != pages.wanted.count)
    }

    fn tell(&self, session: &Session) {
        let (plan, out) = (&self.plan, &session.output);
        if !plan.arguments.is_empty() {
            let state = if plan.boot.is_some() { "" } else { ": written already" };
            out.line(format_args!("kernel arguments {}{state}", plan.arguments.join(" ")));
        }
        out.diff(&plan.diff());
        let done = self.applied.is_some();
        if let Some(boot) = &plan.boot {
            out.line(format_args!("{} `{}`", if done { "ran" } else { "to be run:" }, boot.command));
        }
        for pages in &plan.pages {
            let NodePages { size, node, count } = pages.wanted;
            let given = self.given(pages).filter(|given| *given != count).map(|given| {
                format!(", of which the kernel gave {given}: the rest of the memory is in use or in pieces")
            });
            out.line(format_args!(
                "huge pages of {size} on NUMA node {node}: {} → {count}{}",
                pages.now,
                given.unwrap_or_default()
            ));
        }
        for change in &plan.modules {
            out.line(format_args!(
                "module {} {}",
                change.module,
                if done { "loaded" } else { "to be loaded" }
            ));
        }
        if let Some(command) = &plan.policy {
            out.line(format_args!("SELinux: {} `{command}`", if done { "ran" } else { "to be run:" }));
        }
        let notes = plan.notes.iter().chain(self.applied.iter().flat_map(|applied| &applied.notes));
        notes.for_each(|note| out.note(note));
        for backup in self.applied.iter().flat_map(|applied| &applied.backups) {
            out.line(format_args!("what was there before is kept as {}", backup.display()));
        }
        match (plan.is_empty(), done) {
            (true, _) => out.line("nothing to write"),
            (false, false) => out.line("nothing was written: `vdpa host prepare --apply` does it"),
            (false, true) => out.line("done; `vdpa host restore` takes it back"),
        }
        if !plan.reboot.is_empty() {
            let when = if done || plan.is_empty() { "a reboot is due" } else { "then a reboot is due" };
            out.line(format_args!("{when}:"));
            plan.reboot.iter().for_each(|reason| out.line(format_args!("  {reason}")));
        }
    }
}

impl TakenBack {
    pub(super) fn show(&self, session: &Session) -> Outcome {
        let out = &session.output;
        let Some(restored) = &self.restored else {
            out.line("nothing was prepared here");
            return Self::outcome("unchanged", &Restored::default());
        };
        for path in &restored.files {
            out.line(format_args!("{} is as it was", path.display()));
        }
        for path in &restored.removed {
            out.line(format_args!("{} is removed", path.display()));
        }
        if let Some(command) = &restored.command {
            out.line(format_args!("ran `{command}`"));
        }
        restored.notes.iter().for_each(|note| out.note(note));
        out.line("taken back");
        Self::outcome("done", restored)
    }

    fn outcome(outcome: &'static str, restored: &Restored) -> Outcome {
        Outcome::done("host restore", outcome)
            .with("files", &restored.files)
            .with("removed", &restored.removed)
            .with("ran", &restored.command)
    }
}
