//! The receipt: what the host was like before `setup`, written down before anything is changed.
//!
//! It lies in /run and vanishes at a reboot, as do the VFs and the eswitch mode of which it speaks. What
//! survives a reboot (OVSDB rows, domain definitions) is found again by our tag.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vdpa_hw::{PciAddress, Vf};

use crate::error::Error;
use crate::host::Access;
use crate::plan::Order;
use crate::step::Step;
use crate::whole;

/// The receipt's version; another one is not read.
const VERSION: u32 = 1;

/// How a statement read at a certain time; `None` where its subject did not exist.
pub type Befores = BTreeMap<String, Option<Step>>;

/// What was done to the host, and what it was like before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    version: u32,
    /// How far things are.
    pub phase: Phase,
    /// How the host is reached.
    pub access: Access,
    /// Which came first, VFs or eswitch; `None` where both were there before.
    pub order: Option<Order>,
    /// The statements wanted, stage by stage.
    pub stages: Vec<Vec<Step>>,
    /// Statements of an earlier `setup` about subjects that nobody wants any more, until they are taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obsolete: Vec<Vec<Step>>,
    /// How each subject read before the first `setup`: what `teardown` restores.
    pub initial: Befores,
}

/// How far a host is between what it was and what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A `setup` began and has not ended: it goes on, or it was killed.
    Applying,
    /// Every statement held at the end of `setup`.
    Applied,
    /// A rollback or `teardown` began and has not ended.
    Restoring,
}

impl Receipt {
    /// A receipt for `stages` on a host that nothing was done to.
    pub fn new(access: Access, order: Option<Order>, stages: Vec<Vec<Step>>) -> Self {
        let (obsolete, initial) = (Vec::new(), Befores::new());
        Self { version: VERSION, phase: Phase::Applying, access, order, stages, obsolete, initial }
    }

    /// Whether it is for these stages and nothing else: what was there before them it says already.
    pub fn is_for(&self, stages: &[Vec<Step>]) -> bool {
        self.obsolete.is_empty() && self.stages == stages
    }

    /// The receipt for `stages` on a host that this one's were enforced on. What the first `setup` found stays
    /// what `teardown` restores.
    #[must_use]
    pub fn with(&self, access: Access, order: Option<Order>, stages: Vec<Vec<Step>>) -> Self {
        if self.is_for(&stages) {
            return Self { phase: Phase::Applying, access, order: order.or(self.order), ..self.clone() };
        }
        let kept: BTreeSet<String> = stages.iter().flatten().map(Step::subject).collect();
        let counts: BTreeMap<PciAddress, u16> = stages.iter().flatten().filter_map(vf_count).collect();
        // What hangs on a VF that is to go goes with it.
        let goes = |vf: Vf| counts.get(&vf.pf).is_some_and(|count| vf.index.get() >= *count);
        // What was written to firmware stays until `teardown`: taking it back costs a reboot too.
        let stays = |step: &Step| matches!(step, Step::Firmware { .. });
        let is_left = |step: &&Step| {
            !step.hangs_on().is_some_and(goes) && !stays(step) && !kept.contains(&step.subject())
        };
        let left = self.in_order().map(|stage| stage.iter().filter(is_left).cloned().collect());
        let mut obsolete: Vec<Vec<Step>> = left.collect();
        // What was not there before us and stays without this has nothing to go back to.
        let mut stages = stages;
        let has_before = |step: &Step| matches!(self.initial.get(&step.subject()), Some(Some(_)));
        let let_go = obsolete.iter().flatten().filter(|step| !has_before(step)).filter_map(Step::let_go);
        stages.push(let_go.collect());
        for stage in &mut obsolete {
            stage.retain(|step| has_before(step) || step.let_go().is_none());
        }
        stages.retain(|stage| !stage.is_empty());
        obsolete.retain(|stage| !stage.is_empty());
        let (order, initial) = (order.or(self.order), self.initial.clone());
        Self { version: VERSION, phase: Phase::Applying, access, order, stages, obsolete, initial }
    }

    /// The receipt for bringing back `befores` where nothing else is known.
    pub fn to_restore(access: Access, befores: Vec<Step>) -> Self {
        let initial = befores.iter().map(|step| (step.subject(), Some(step.clone()))).collect();
        Self { phase: Phase::Restoring, initial, ..Self::new(access, None, vec![befores]) }
    }

    /// Whether it is known what was there at first of what `step` is about: of what hangs on a VF that was not there,
    /// nothing. The one statement whose subject grows with the cards is never known whole.
    pub fn knows(&self, step: &Step) -> bool {
        !matches!(step, Step::HwOffload { .. })
            && (self.initial.contains_key(&step.subject())
                || step.hangs_on().is_some_and(|vf| self.was_not_there(vf)))
    }

    /// Takes `befores` for what was there at first, where nothing is known of that yet.
    pub fn remember(&mut self, befores: Befores) {
        for (subject, before) in befores {
            let ours = before.as_ref().and_then(Step::hangs_on).is_some_and(|vf| self.was_not_there(vf));
            match (self.initial.get_mut(&subject), before) {
                // What `knows` says of it.
                (
                    Some(Some(Step::HwOffload { ports, in_force, .. })),
                    Some(Step::HwOffload { ports: all, in_force: found, .. }),
                ) => {
                    in_force.extend(found.difference(ports).copied().collect::<Vec<_>>());
                    ports.extend(all);
                }
                (Some(_), _) => {}
                (None, before) => drop(self.initial.insert(subject, if ours { None } else { before })),
            }
        }
    }

    /// Whether `vf` did not exist before the first `setup`.
    fn was_not_there(&self, vf: Vf) -> bool {
        let count = self.initial.values().flatten().filter_map(vf_count).find(|(pf, _)| *pf == vf.pf);
        count.is_some_and(|(_, count)| vf.index.get() >= count)
    }

    /// Notes that all is as it is wanted, and forgets what was taken back for good.
    pub fn finish(&mut self) {
        self.phase = Phase::Applied;
        let forgotten: BTreeSet<String> =
            std::mem::take(&mut self.obsolete).iter().flatten().map(Step::subject).collect();
        // A VF that was there at first comes back with `teardown`, and what hangs on it too.
        self.initial.retain(|subject, before| {
            !forgotten.contains(subject) || before.as_ref().is_some_and(|step| step.hangs_on().is_some())
        });
    }

    /// What is wanted of each subject in the end: of two statements about one, the later.
    pub fn wanted(&self) -> Vec<&Step> {
        wanted(&self.stages)
    }

    /// What is true only on the way: statements about subjects of which another is wanted in the end.
    pub fn passing(&self) -> Vec<Step> {
        let wanted: BTreeMap<String, &Step> =
            self.wanted().into_iter().map(|step| (step.subject(), step)).collect();
        let differs = |step: &&Step| wanted.get(&step.subject()).is_some_and(|wanted| wanted != step);
        self.stages.iter().flatten().filter(differs).cloned().collect()
    }

    /// What `setup` is to make true: what is wanted, after what was there before where nobody wants it any more.
    pub fn intended(&self) -> Vec<Step> {
        let before = |step: &Step| self.initial.get(&step.subject()).cloned().flatten();
        let back = self.obsolete.iter().rev().flatten().filter_map(before);
        back.chain(self.wanted().into_iter().cloned()).collect()
    }

    /// How the subjects of `stages` read before the first `setup`.
    pub fn initial_of(&self, stages: &[Vec<Step>]) -> Befores {
        let subjects = stages.iter().flatten().map(Step::subject);
        subjects
            .filter_map(|subject| self.initial.get(&subject).cloned().map(|before| (subject, before)))
            .collect()
    }

    /// All stages in the order in which they were enforced.
    pub fn all_stages(&self) -> Vec<Vec<Step>> {
        self.in_order().cloned().collect()
    }

    fn in_order(&self) -> impl Iterator<Item = &Vec<Step>> {
        self.obsolete.iter().chain(&self.stages)
    }
}

fn vf_count(step: &Step) -> Option<(PciAddress, u16)> {
    if let Step::Vfs { pf, count } = step { Some((*pf, *count)) } else { None }
}

/// What is wanted of each subject in the end: of two statements about one, the later.
pub fn wanted(stages: &[Vec<Step>]) -> Vec<&Step> {
    let mut spoken_of = HashSet::with_capacity(stages.iter().map(Vec::len).sum());
    let mut wanted: Vec<&Step> =
        stages.iter().flatten().rev().filter(|step| spoken_of.insert(step.subject())).collect();
    wanted.reverse();
    wanted
}

/// Where receipts are kept.
#[derive(Debug, Clone)]
pub struct Drawer {
    path: PathBuf,
}

impl Drawer {
    /// The drawer in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("receipt.json") }
    }

    /// The receipt, if there is one.
    ///
    /// # Errors
    /// [`Error::Receipt`] where there is one that cannot be read: it is never thrown away.
    pub fn open(&self) -> Result<Option<Receipt>, Error> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error("read", &error)),
        };
        let error = match serde_json::from_str::<Receipt>(&text) {
            Ok(receipt) if receipt.version == VERSION => return Ok(Some(receipt)),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let version = serde_json::from_str::<Versioned>(&text).ok().and_then(|receipt| receipt.version);
        Err(match (version, error) {
            (None, _) => self.error("understand", &"it is cut short"),
            (Some(version), Some(error)) if version == u64::from(VERSION) => self.error("understand", &error),
            (Some(version), _) => {
                self.error("understand", &format!("it is of version {version}, not {VERSION}"))
            }
        })
    }

    /// Writes the receipt so that it is whole on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be written; the one before is still there then.
    pub fn write(&self, receipt: &Receipt) -> Result<(), Error> {
        let _span = tracing::debug_span!("receipt.write");
        let text = serde_json::to_vec(receipt).map_err(|error| self.error("write", &error))?;
        whole::write(&self.path, &text).map_err(|error| self.error("write", &error))
    }

    /// Throws the receipt away: the host is as it was.
    ///
    /// # Errors
    /// [`Error::Receipt`] where it cannot be removed.
    pub fn empty(&self) -> Result<(), Error> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.error("remove", &error)),
            _ => Ok(()),
        }
    }

    fn error(&self, verb: &'static str, why: &dyn std::fmt::Display) -> Error {
        Error::Receipt { verb, path: self.path.clone(), why: why.to_string() }
    }
}

/// What every version of a receipt has: the rest is not looked at.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let pf = "0000:43:00.0".parse().unwrap();
        let (before, after) = (Step::Vfs { pf, count: 0 }, Step::Vfs { pf, count: 2 });
        let access =
            Access { ovsdb: "/run/db.sock".into(), libvirt: "qemu:///system".to_owned(), group: None };
        let mut receipt = Receipt::new(access, Some(Order::SwitchdevFirst), vec![vec![after.clone()]]);
        receipt.remember(Befores::from([(after.subject(), Some(before))]));
        receipt
    }

    #[test]
    fn a_receipt_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let drawer = Drawer::new(&directory.path().join("vdpa"));
        assert_eq!(drawer.open().unwrap(), None);
        drawer.write(&receipt()).unwrap();
        assert_eq!(drawer.open().unwrap(), Some(receipt()));
        drawer.empty().unwrap();
        drawer.empty().unwrap();
        assert_eq!(drawer.open().unwrap(), None);
    }

    #[test]
    fn a_receipt_that_is_cut_short_or_newer_is_kept_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let drawer = Drawer::new(directory.path());
        let whole = serde_json::to_string(&receipt()).unwrap();
        for (text, why) in
            [(&whole[..20], "cut short"), (&whole.replace("\"version\":1", "\"version\":2"), "version 2")]
        {
            std::fs::write(&drawer.path, text).unwrap();
            let error = drawer.open().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("receipt.json"), "{error}");
            assert!(drawer.path.exists());
        }
    }

    #[test]
    fn of_two_statements_about_one_subject_the_later_is_wanted() {
        let vf = "0000:43:00.0/vf0".parse().unwrap();
        let free = Step::Driver { vf, driver: None };
        let bound = Step::Driver { vf, driver: "mlx5_core".parse().ok() };
        assert_eq!(wanted(&[vec![free], vec![bound.clone()]]), [&bound]);
    }
}
