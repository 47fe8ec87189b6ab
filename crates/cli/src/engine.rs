//! The engine: makes statements true, stage by stage, and brings back what was there before.
//!
//! ```text
//!           compare ──► guards ──► for each stage: observe ─► record ─► enforce ──► verify ─► Applied
//!                                                                │          │          │
//!                                                                └──────────┴── error ─┴──► restore
//! ```
//!
//! What was true already is left alone. [`restore`](Run::restore) enforces the recorded statements in reverse, and then
//! once more forwards those that still do not hold: what hangs on a VF or an uplink that went and came
//! back can only be brought back after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use vdpa_hw::PciAddress;

use crate::enforce::enforce;
use crate::error::{Error, RESUME};
use crate::host::Host;
use crate::lock::Lock;
use crate::plan::{Change, compare, reads};
use crate::receipt::{Befores, Drawer, Phase, Receipt};
use crate::report::Report;
use crate::step::{Device, Step};
use crate::view::View;

mod restore;

pub use restore::{Remains, Restored};

/// Set when the user wants to stop: the stage at work is finished, then the host is restored.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Asks the engine to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether it is asked to.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is asked to.
    pub async fn requested(&self) {
        // The sender lives as long as this does.
        drop(self.0.subscribe().wait_for(|stop| *stop).await);
    }
}

/// Why a run failed, and what became of the host.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// What was brought back; `None` where nothing had been changed.
    pub restored: Option<Restored>,
}

impl Failure {
    /// What to type or look at next.
    pub fn hint(&self) -> Option<String> {
        match &self.restored {
            Some(restored) if !restored.is_complete() => Some(RESUME.to_owned()),
            _ => self.error.hint(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, restored: None }
    }
}

/// One run of the engine on a host.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The host.
    pub host: &'a Host,
    /// The host's lock, taken before anything was read that a run before may still have been changing.
    pub lock: &'a Lock,
    /// Who is told.
    pub report: &'a dyn Report,
    /// Whether the user wants it to stop.
    pub stop: &'a Stop,
}

impl Run<'_> {
    /// Where the host's receipt is.
    pub fn drawer(&self) -> Drawer {
        Drawer::new(&self.host.run)
    }

    /// Makes every statement of `receipt` true, or brings back `befores`, which are how they read now. Gives how
    /// they read in the end.
    ///
    /// # Errors
    /// [`Failure`] with the first error and what became of the host.
    pub async fn apply(&self, mut receipt: Receipt, befores: &Befores) -> Result<Vec<Change>, Failure> {
        receipt.phase = Phase::Applying;
        let mut begun = false;
        let result = self.stages(&mut receipt, &mut begun).await;
        let error = match result {
            Ok(statements) => return Ok(statements),
            Err(error) => error,
        };
        if !begun {
            return Err(error.into());
        }
        self.report.restoring(&error);
        let restored = self.restore(&receipt.all_stages(), befores).await;
        Err(Failure { error, restored: Some(restored) })
    }

    async fn stages(&self, receipt: &mut Receipt, begun: &mut bool) -> Result<Vec<Change>, Error> {
        if !receipt.obsolete.is_empty() {
            self.drawer().write(receipt)?;
            *begun = true;
            let wanted: BTreeSet<Device> =
                receipt.stages.iter().flatten().flat_map(ports_of).copied().collect();
            self.detach(&receipt.stages, |port| wanted.contains(port)).await?;
            let back = self.restore(&receipt.obsolete, &receipt.initial_of(&receipt.obsolete)).await;
            if !back.is_complete() {
                return Err(Error::Unverified(back.remains.iter().map(Remains::described).collect()));
            }
        }
        for stage in &receipt.stages {
            if self.stop.is_requested() {
                return Err(Error::Interrupted);
            }
            let view = View::new(self.host);
            let changes = compare(self.host, &view, stage).await?;
            let due: Vec<&Change> = changes.iter().filter(|change| !change.holds()).collect();
            if due.is_empty() {
                continue;
            }
            if !*begun {
                self.drawer().write(receipt)?;
                *begun = true;
            }
            self.report.stage(&due);
            let switched = switched(&due);
            if !switched.is_empty() {
                self.detach(&receipt.stages, |port| !switched.contains(&port.pf())).await?;
            }
            let steps: Vec<&Step> = due.iter().map(|change| &change.wanted).collect();
            let mut errors = enforce(self.host, &view, &steps, self.report).await;
            self.host.checkpoint()?;
            if !errors.is_empty() {
                return Err(errors.swap_remove(0).1);
            }
        }
        let statements = self.verify(receipt).await?;
        receipt.finish();
        self.drawer().write(receipt)?;
        Ok(statements)
    }

    /// Lets our ports leave the bridges of `stages`, but for those that stay: a kernel may not switch a card, nor take
    /// its VFs, while tc rules stand on it ("E-Switch is busy").
    async fn detach(&self, stages: &[Vec<Step>], stays: impl Fn(&Device) -> bool) -> Result<(), Error> {
        let view = View::new(self.host);
        let bridges: Vec<Step> =
            stages.iter().flatten().filter(|step| matches!(step, Step::Bridge { .. })).cloned().collect();
        let mut leaving = Vec::new();
        for change in compare(self.host, &view, &bridges).await? {
            let Some(Step::Bridge { name, exists: true, ports: now }) = change.now else { continue };
            let mut ports = BTreeSet::new();
            for port in now.iter().filter(|port| stays(port)) {
                // A row whose device is gone goes with the others.
                ports.extend(view.has(*port).await.then_some(*port));
            }
            if ports != now {
                leaving.push(Step::Bridge { name, exists: true, ports });
            }
        }
        let errors = enforce(self.host, &view, &leaving.iter().collect::<Vec<_>>(), self.report).await;
        self.host.checkpoint()?;
        errors.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    async fn verify(&self, receipt: &Receipt) -> Result<Vec<Change>, Error> {
        let wanted: Vec<Step> = receipt.wanted().into_iter().cloned().collect();
        let changes = compare(self.host, &View::new(self.host), &wanted).await?;
        let untrue: Vec<String> = changes.iter().filter(|change| !change.holds()).map(described).collect();
        if untrue.is_empty() { Ok(changes) } else { Err(Error::Unverified(untrue)) }
    }
}

/// The cards whose eswitch changes as it may only without flows: its mode, its encapsulation, its inline mode.
fn switched(due: &[&Change]) -> BTreeSet<PciAddress> {
    let pf = |change: &&Change| match change.wanted {
        Step::EswitchMode { pf, .. } | Step::Encap { pf, .. } | Step::Inline { pf, .. } => Some(pf),
        _ => None,
    };
    due.iter().filter_map(pf).collect()
}

fn ports_of(step: &Step) -> impl Iterator<Item = &Device> {
    let ports = if let Step::Bridge { ports, .. } = step { Some(ports) } else { None };
    ports.into_iter().flatten()
}

/// `subject: now → wanted`.
pub fn described(change: &Change) -> String {
    let now = reads(change.now.as_ref());
    format!("{}: {now} → {}", change.wanted.subject(), change.wanted.value())
}
