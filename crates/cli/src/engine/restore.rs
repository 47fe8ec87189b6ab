//! Bringing back what was there before.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Run, switched};
use crate::arrival::await_devices;
use crate::enforce::enforce;
use crate::error::Error;
use crate::plan::{Change, compare, reads};
use crate::receipt::Befores;
use crate::step::Step;
use crate::view::View;

/// A statement that could not be brought back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remains {
    /// How it read before.
    pub before: Step,
    /// How it reads now; `None` where its subject is gone.
    pub now: Option<Step>,
    /// Why, where an attempt failed.
    pub why: Option<String>,
}

impl Remains {
    /// `subject: now, was before (why)`.
    pub fn described(&self) -> String {
        let now = reads(self.now.as_ref());
        let why = self.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{}: {now}, was {}{why}", self.before.subject(), self.before.value())
    }
}

/// What came of bringing the host back.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Restored {
    /// How many statements had to be brought back.
    pub of: usize,
    /// Those that were not.
    pub remains: Vec<Remains>,
}

impl Restored {
    /// Whether the host is as it was.
    pub fn is_complete(&self) -> bool {
        self.remains.is_empty()
    }
}

impl Run<'_> {
    /// Brings back what `befores` says of the subjects of `stages`; goes on past errors.
    pub async fn restore(&self, stages: &[Vec<Step>], befores: &Befores) -> Restored {
        let before = |step: &Step| befores.get(&step.subject()).cloned().flatten();
        let mut stages: Vec<Vec<Step>> =
            stages.iter().map(|stage| stage.iter().filter_map(before).collect()).collect();
        stages.extend(besides(&stages, befores));
        let mut failed: BTreeMap<String, String> = BTreeMap::new();
        let mut touched = BTreeSet::new();
        let passes =
            stages.iter().rev().map(|stage| (false, stage)).chain(stages.iter().map(|stage| (true, stage)));
        for (forwards, stage) in passes {
            if forwards {
                await_devices(self.host, stage).await;
            }
            let view = View::new(self.host);
            let mut due = Vec::new();
            for step in stage {
                match compare(self.host, &view, std::slice::from_ref(step)).await {
                    Ok(changes) => due.extend(changes.into_iter().filter(|change| !change.holds())),
                    Err(error) => {
                        failed.insert(step.subject(), error.flat());
                    }
                }
            }
            // What hangs on a VF or a representor that is not there now can be brought back only forwards.
            due.retain(|change| change.now.is_some());
            if due.is_empty() {
                continue;
            }
            touched.extend(due.iter().map(|change| change.wanted.subject()));
            let due: Vec<&Change> = due.iter().collect();
            self.report.stage(&due);
            let switched = switched(&due);
            if !switched.is_empty()
                && let Err(error) = self.detach(&stages, |port| !switched.contains(&port.pf())).await
            {
                self.report.warn(&error.flat());
            }
            let steps: Vec<&Step> = due.iter().map(|change| &change.wanted).collect();
            let mut errors = enforce(self.host, &view, &steps, self.report).await;
            let refused: Vec<Step> = errors.iter().filter_map(refused_mode).collect();
            if !refused.is_empty() {
                errors.extend(self.without_vfs(&refused).await);
            }
            for (step, error) in errors {
                failed.insert(step.subject(), error.flat());
            }
            if let Err(error) = self.host.checkpoint() {
                self.report.warn(&error.flat());
            }
        }
        let remains = self.remains(&stages, &failed).await;
        touched.extend(remains.iter().map(|remains| remains.before.subject()));
        Restored { of: touched.len(), remains }
    }

    async fn remains(&self, stages: &[Vec<Step>], failed: &BTreeMap<String, String>) -> Vec<Remains> {
        let view = View::new(self.host);
        let mut remains = Vec::new();
        let mut seen = BTreeSet::new();
        for step in stages.iter().flatten().filter(|step| seen.insert(step.subject())) {
            let why = failed.get(&step.subject()).cloned();
            match compare(self.host, &view, std::slice::from_ref(step))
                .await
                .map(|mut changes| changes.remove(0))
            {
                Ok(change) if change.holds() => {}
                // With a card that was pulled out went what was to be brought back of it.
                Ok(change) if change.now.is_none() && self.has_gone(&change.wanted).await => {}
                Ok(change) => remains.push(Remains { before: change.wanted, now: change.now, why }),
                Err(error) => {
                    remains.push(Remains {
                        before: step.clone(),
                        now: None,
                        why: Some(why.unwrap_or_else(|| error.flat())),
                    });
                }
            }
        }
        remains
    }
}

impl Run<'_> {
    /// Takes the VFs of cards away that do not switch with them, and switches these cards: the way back of the order
    /// that takes VFs away first. They come again when the statements are gone through forwards.
    async fn without_vfs(&self, modes: &[Step]) -> Vec<(Step, Error)> {
        let none = |step: &Step| step.card().map(|pf| Step::Vfs { pf, count: 0 });
        let none: Vec<Step> = modes.iter().filter_map(none).collect();
        let view = View::new(self.host);
        let mut errors = enforce(self.host, &view, &none.iter().collect::<Vec<_>>(), self.report).await;
        let view = View::new(self.host);
        errors.extend(enforce(self.host, &view, &modes.iter().collect::<Vec<_>>(), self.report).await);
        errors
    }

    async fn has_gone(&self, step: &Step) -> bool {
        let Some(card) = step.card() else { return false };
        matches!(self.host.pci.function(card).await, Err(vdpa_hw::Error::NoFunction(_)))
    }
}

/// The statement about a mode that a kernel refused.
fn refused_mode((step, error): &(Step, Error)) -> Option<Step> {
    (matches!(step, Step::EswitchMode { .. }) && matches!(error, Error::ModeRefused(_))).then(|| step.clone())
}

/// What `befores` says besides: of VFs that were there, their MACs, then their drivers, then what these make of them, then
/// their links; and of firmware that nobody speaks of any more.
fn besides(stages: &[Vec<Step>], befores: &Befores) -> [Vec<Step>; 5] {
    let spoken_of: BTreeSet<String> = stages.iter().flatten().map(Step::subject).collect();
    let mut besides = [const { Vec::new() }; 5];
    for step in befores.values().flatten().filter(|step| !spoken_of.contains(&step.subject())) {
        match step {
            Step::Firmware { .. } => besides[4].push(step.clone()),
            Step::VfAttributes { .. } => besides[0].push(step.clone()),
            Step::Driver { .. } => besides[1].push(step.clone()),
            Step::Auxiliary { .. } => besides[2].push(step.clone()),
            Step::Up { .. } => besides[3].push(step.clone()),
            _ => {}
        }
    }
    besides
}
