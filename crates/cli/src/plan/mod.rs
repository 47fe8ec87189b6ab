//! From the host file to statements about this host, in stages.
//!
//! The steps of a stage do not depend on each other and run together; stages run in order. There are two
//! orders: switchdev first, as the vendor's current documentation has it, or VFs first, for kernels that refuse
//! switchdev without VFs and for VFs that are there already. Which one is tried is each card's own affair: cards do
//! not wait for each other but at the end of a stage.
//!
//! ```text
//!  switchdev first           VFs first
//!  ───────────────           ─────────
//!  firmware settings         firmware settings
//!                            probing off
//!  VFs in the way: none
//!  steering, encapsulation   steering, encapsulation
//!  probing off, names │ eswitch: switchdev
//!                            names │ VFs
//!  VFs                       the VFs' drivers off
//!                            eswitch: switchdev
//!  MACs and rates of the VFs, inline mode, hw-tc-offload
//!  bonds of uplinks
//!  the card's ports are one in hardware
//!  bridge with its ports and hw-offload │ drivers of the VFs
//!  what drivers make of VFs
//!  links up, datapaths
//!  domains
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use vdpa_hw::PciAddress;

use self::bond::ResolvedBond;
use self::nic::ResolvedNic;
use crate::config::{HostFile, Nic};
use crate::error::Error;
use crate::firmware::Wanted;
use crate::host::Host;
use crate::observe::observe;
use crate::step::Step;
use crate::view::View;

mod bond;
mod bridge;
mod datapath;
mod mac;
mod nic;
mod userspace;

/// How a subject reads now, for people; `None` where it is not there.
pub fn reads(now: Option<&Step>) -> String {
    now.map_or_else(|| "not there".to_owned(), Step::value)
}

/// A statement that is wanted, and how it reads now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The statement.
    pub wanted: Step,
    /// How it would have to read to be true now; `None` where its subject is not there yet.
    pub now: Option<Step>,
}

impl Change {
    /// Whether it is true already.
    pub fn holds(&self) -> bool {
        self.now.as_ref() == Some(&self.wanted)
    }
}

/// Which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The eswitch is switched while there are no VFs.
    SwitchdevFirst,
    /// VFs are made, and set free of their drivers, before the eswitch is switched.
    VfsFirst,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SwitchdevFirst => "switchdev first",
            Self::VfsFirst => "VFs first",
        })
    }
}

/// What the host file means on this host.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Statements about firmware.
    pub firmware: Vec<Step>,
    /// Cards whose VFs wait for the firmware that the file asks for to be in force.
    pub waiting: BTreeSet<PciAddress>,
    nics: Vec<ResolvedNic>,
    bonds: Vec<ResolvedBond>,
    /// What DPDK in Open vSwitch is told of its devices, where the bridge is one of the userspace datapath.
    extra: Option<String>,
    file: HostFile,
}

/// Statements by stage.
type Stages = [Vec<Step>; 13];

const PROBING: usize = 0;
const EMPTY: usize = 1;
const SETTINGS: usize = 2;
const FIRST: usize = 3;
const SECOND: usize = 4;
const THIRD: usize = 5;
const DEVICES: usize = 6;
const BONDS: usize = 7;
const LAGS: usize = 8;
const SWITCH: usize = 9;
const AUXILIARIES: usize = 10;
const DATAPATHS: usize = 11;
const DOMAINS: usize = 12;

/// Holds the host file against the host: every card is there and can do what is asked of it.
///
/// # Errors
/// What the file asks for and the host cannot have, before anything is changed.
pub async fn resolve(host: &Host, view: &View<'_>, file: &HostFile) -> Result<Resolved, Error> {
    let mut pfs: Vec<(PciAddress, &Nic)> = Vec::new();
    for nic in &file.nics {
        let pf = nic::address(view, &nic.pf).await.map_err(|error| error.at_usage(nic.places.pf.as_ref()))?;
        if let Some((_, first)) = pfs.iter().find(|(other, _)| *other == pf) {
            let same = Error::SameNic { first: first.pf.clone(), second: nic.pf.clone(), pf };
            return Err(same.at(nic.places.pf.as_ref()));
        }
        pfs.push((pf, nic));
    }
    let wanted = Wanted::of(&pfs)?;
    let mut nics: Vec<ResolvedNic> = Vec::new();
    let mut waiting = BTreeSet::new();
    for (pf, nic) in pfs {
        let places = &nic.places;
        match nic::resolve(host, view, pf, nic, file).await {
            Ok(resolved) => nics.push(resolved),
            // The firmware in force allows fewer, and what the file asks for of it allows them.
            Err(Error::TooManyVfs { asked, .. }) if wanted.allows(pf, asked) => {
                waiting.insert(pf.first_function());
            }
            Err(error @ Error::TooManyVfs { .. }) => return Err(error.at(places.vfs.as_ref())),
            Err(error @ Error::Placed { .. }) => return Err(error),
            Err(error) => return Err(error.at_usage(places.pf.as_ref())),
        }
        for (spec, domain) in nic.vfs.iter().filter_map(|vf| Some((vf, vf.vm.as_ref()?))) {
            let known = host.domains.status(domain).await.map_err(Error::from);
            known.map_err(
                |error| if error.is_usage() { error.at(places.vms.get(&spec.index)) } else { error },
            )?;
        }
    }
    let mut bonds = Vec::new();
    for bond in &file.bonds {
        bonds.push(bond::resolve(host, view, bond, &mut nics).await?);
    }
    let firmware = wanted.statements(view).await?;
    let extra = if file.is_userspace() { Some(userspace::extra(view, file, &nics).await?) } else { None };
    Ok(Resolved { firmware, waiting, nics, bonds, extra, file: file.clone() })
}

impl Resolved {
    /// The statements in their stages, as the attempt with this number, counted from 0, makes them true.
    /// Where a card waits for its firmware, nothing else can be said yet.
    pub fn stages(&self, attempt: usize) -> Vec<Vec<Step>> {
        if !self.waiting.is_empty() {
            return vec![self.firmware.clone()];
        }
        let mut stages = Stages::default();
        for nic in &self.nics {
            nic.add_switch(&mut stages, attempt);
            for spec in &nic.vfs {
                nic.add_vf(&mut stages, spec);
                datapath::add(&mut stages, nic, spec, &self.file);
            }
        }
        for bond in &self.bonds {
            bond.add(&mut stages);
        }
        match &self.extra {
            Some(extra) => userspace::add(&mut stages, &self.file, &self.nics, extra),
            None => bridge::add(&mut stages, &self.file.bridge, &self.nics, &self.bonds),
        }
        bridge::add_vlans(&mut stages, &self.file.bridge, &self.nics);
        std::iter::once(self.firmware.clone()).chain(stages).filter(|stage| !stage.is_empty()).collect()
    }

    /// The order in which that attempt brings the cards there: that of a card with nothing in the way, if there is
    /// one; `None` where every card is switched already.
    pub fn order(&self, attempt: usize) -> Option<Order> {
        let bare = self.nics.iter().filter(|nic| nic.is_bare());
        bare.chain(&self.nics).find_map(|nic| nic.order(attempt))
    }

    /// How many attempts there are: one more for each further order that may work on a card.
    pub fn attempts(&self) -> usize {
        self.nics.iter().map(|nic| nic.orders().len()).max().unwrap_or(0).max(1)
    }
}

/// How each statement reads now. Statements are looked at side by side.
///
/// # Errors
/// A layer's error where the host cannot be looked at.
pub async fn compare(host: &Host, view: &View<'_>, steps: &[Step]) -> Result<Vec<Change>, Error> {
    view.will_ask(steps.iter().filter_map(|step| match step {
        Step::Firmware { card, name, .. } => Some((*card, name.clone())),
        _ => None,
    }));
    let changes = steps.iter().map(async |step| {
        let now = observe(host, view, step).await?;
        Ok(Change { wanted: step.clone(), now })
    });
    futures::future::try_join_all(changes)
        .instrument(tracing::debug_span!("observe", statements = steps.len()))
        .await
}
