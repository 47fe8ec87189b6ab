//! Guards: what must not be so before the first change is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use vdpa_hw::{ManagementUse, NetdevName, PciAddress, Vf, VfIndex};

use crate::error::Error;
use crate::host::Host;
use crate::occupants::{By, Occupant, occupants};
use crate::plan::Change;
use crate::step::{Device, Step};
use crate::view::View;

/// A guard, by the name with which it is overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// The PF, or a VF that would go, carries traffic of the host itself.
    ManagementTraffic,
    /// A VM or another process has a VF open.
    VfInUse,
    /// VFs that somebody else made would be removed and made anew.
    ExistingVfs,
    /// A VM could not start with its VF, or not with all it asks for, as the host stands now (`setup` only).
    HostUnfit,
    /// What `setup` made was changed since by somebody else (`teardown` only).
    Drift,
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ManagementTraffic => "management-traffic",
            Self::VfInUse => "vf-in-use",
            Self::ExistingVfs => "existing-vfs",
            Self::HostUnfit => "host-unfit",
            Self::Drift => "drift",
        })
    }
}

/// What a guard objects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// The guard.
    pub guard: Guard,
    /// What it found, naming the object.
    pub why: String,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.guard, self.why)
    }
}

/// Asks every guard that the changes concern, but for those in `forced`. `passing` are changes that another one
/// follows; `made` are the statements that an earlier `setup` made true: what is as they say is ours.
///
/// # Errors
/// [`Error::Guarded`] with all objections; a layer's error where the host cannot be looked at.
pub async fn ask(
    host: &Host,
    changes: &[Change],
    passing: &[Change],
    made: &[&Step],
    forced: &BTreeSet<Guard>,
) -> Result<(), Error> {
    let view = View::new(host);
    let due: Vec<&Change> = changes.iter().chain(passing).filter(|change| !change.holds()).collect();
    let mut objections = Vec::new();
    for (pf, disturbed) in disturbed(&due) {
        if view.function(pf).await.is_err_and(|error| error.is_absence_of(pf)) {
            continue; // Nobody uses a card that has gone.
        }
        objections.extend(management_traffic(&view, host, pf, &disturbed, &bonds(changes)).await?);
        objections.extend(vfs_in_use(&view, host, pf, &disturbed).await?);
    }
    objections.extend(existing_vfs(&due, made, passing));
    objections.retain(|objection| !forced.contains(&objection.guard));
    if objections.is_empty() { Ok(()) } else { Err(Error::Guarded(objections)) }
}

/// The bonds that the host file has: to be in one of them is what their members are for.
fn bonds(changes: &[Change]) -> BTreeSet<NetdevName> {
    let name = |change: &Change| match &change.wanted {
        Step::Bond { name, .. } => Some(name.clone()),
        _ => None,
    };
    changes.iter().filter_map(name).collect()
}

/// What of a PF a change takes away for a while or for good.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Disturbed {
    /// Its network device and all of its VFs.
    Whole,
    /// These VFs.
    Vfs(BTreeSet<VfIndex>),
}

impl Disturbed {
    fn concerns(&self, index: VfIndex) -> bool {
        match self {
            Self::Whole => true,
            Self::Vfs(indexes) => indexes.contains(&index),
        }
    }
}

fn disturbed(due: &[&Change]) -> BTreeMap<PciAddress, Disturbed> {
    let mut found: BTreeMap<PciAddress, Disturbed> = BTreeMap::new();
    for change in due {
        match change.wanted {
            Step::Vfs { pf, .. } | Step::EswitchMode { pf, .. } => drop(found.insert(pf, Disturbed::Whole)),
            Step::Driver { vf, .. } | Step::VfAttributes { vf, .. } | Step::Auxiliary { vf, .. }
                if change.now.is_some() =>
            {
                if let Disturbed::Vfs(vfs) = found.entry(vf.pf).or_insert(Disturbed::Vfs(BTreeSet::new())) {
                    vfs.insert(vf.index);
                }
            }
            _ => {}
        }
    }
    found
}

async fn management_traffic(
    view: &View<'_>,
    host: &Host,
    pf: PciAddress,
    disturbed: &Disturbed,
    bonds: &BTreeSet<NetdevName>,
) -> Result<Vec<Objection>, Error> {
    let mut objections = Vec::new();
    let vfs = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.vfs.len());
    let vfs =
        VfIndex::first(u16::try_from(vfs).unwrap_or(u16::MAX)).filter(|index| disturbed.concerns(*index));
    let uplink = (*disturbed == Disturbed::Whole).then_some(Device::Uplink(pf));
    let bond = uplink.map(|_| Device::Bond(pf));
    for device in uplink.into_iter().chain(bond).chain(vfs.map(|index| Device::Vf(Vf { pf, index }))) {
        let Some(link) = view.link(device).await? else { continue };
        let mut uses = host.links.management_uses(link.index).await?;
        uses.retain(|found| !matches!(found, ManagementUse::MemberOf(bond) if bonds.contains(bond)));
        objections.extend(uses.into_iter().map(|found| Objection {
            guard: Guard::ManagementTraffic,
            why: format!("{} ({device}) {found}", link.name),
        }));
    }
    Ok(objections)
}

async fn vfs_in_use(
    view: &View<'_>,
    host: &Host,
    pf: PciAddress,
    disturbed: &Disturbed,
) -> Result<Vec<Objection>, Error> {
    let addresses = view.function(pf).await?.sriov().map(|sriov| sriov.vfs.clone()).unwrap_or_default();
    let all = VfIndex::first(u16::try_from(addresses.len()).unwrap_or(u16::MAX)).zip(addresses);
    let vfs: Vec<(VfIndex, PciAddress)> = all.filter(|(index, _)| disturbed.concerns(*index)).collect();
    let objection = |occupant: Occupant| {
        let why = match occupant.by {
            By::Domain(holder) if holder.active => {
                format!("domain {} runs on {}", holder.domain, holder.resource)
            }
            By::Domain(_) => return None,
            By::Process(process) => format!(
                "process {} ({}) has VF {} open through {}",
                process.pid,
                process.command,
                occupant.address,
                process.path.display()
            ),
        };
        Some(Objection { guard: Guard::VfInUse, why })
    };
    Ok(occupants(host, pf, &vfs).await?.into_iter().filter_map(objection).collect())
}

fn existing_vfs(due: &[&Change], made: &[&Step], passing: &[Change]) -> Vec<Objection> {
    let objection = |change: &&Change| {
        let (Some(found @ Step::Vfs { count: now @ 1.., .. }), Step::Vfs { pf, count: wanted }) =
            (&change.now, &change.wanted)
        else {
            return None;
        };
        let why = match wanted {
            // They come back: as many, and not the same.
            0 if passing.contains(change) => {
                format!("{pf} has {now} VFs, which go before its eswitch is switched")
            }
            0 => return None,
            _ => format!("{pf} has {now} VFs, which go before {wanted} are made"),
        };
        (!made.contains(&found)).then_some(Objection { guard: Guard::ExistingVfs, why })
    };
    due.iter().filter_map(objection).collect()
}
