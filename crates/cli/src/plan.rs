//! From the host file to statements about this host, in stages.
//!
//! The steps of a stage do not depend on each other and run together; stages run in order. There are two
//! orders (pitfall 1): switchdev first, as the vendor's current documentation has it, or VFs first, for
//! kernels that refuse switchdev without VFs and for VFs that are there already.
//!
//! ```text
//!  switchdev first           VFs first
//!  ───────────────           ─────────
//!  firmware settings         firmware settings
//!  probing off, names        probing off, names
//!                            VFs, and their drivers off
//!  eswitch: switchdev        eswitch: switchdev
//!  VFs
//!  MACs, hw-tc-offload
//!  bridge with its ports and hw-offload │ drivers of the VFs
//!  links up, datapaths
//!  domains
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use vdpa_datapath::dpdk;
use vdpa_eswitch::Mode;
use vdpa_hw::{DriverName, MacAddress, PciAddress, Role, Vf, VfIndex};

use crate::config::{Datapath, HostFile, Nic, NicName, VfSpec};
use crate::error::Error;
use crate::firmware::Wanted;
use crate::host::Host;
use crate::observe::observe;
use crate::step::{Device, DpdkProcess, KernelDevice, Names, Step, Wiring};
use crate::view::View;

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
    file: HostFile,
}

#[derive(Debug, Clone)]
struct ResolvedNic {
    pf: PciAddress,
    driver: Option<DriverName>,
    vfs: Vec<VfSpec>,
    /// The MAC of each VF, given or derived.
    macs: BTreeMap<VfIndex, MacAddress>,
    /// VFs are there and the eswitch is in legacy mode: VFs come first whatever is preferred.
    has_legacy_vfs: bool,
    switchdev: bool,
    /// The dpdk-vdpa program, where a VF needs it.
    program: PathBuf,
}

/// Holds the host file against the host: every card is there and can do what is asked of it.
///
/// # Errors
/// What the file asks for and the host cannot have, before anything is changed.
pub async fn resolve(host: &Host, view: &View<'_>, file: &HostFile) -> Result<Resolved, Error> {
    let mut pfs: Vec<(PciAddress, &Nic)> = Vec::new();
    for nic in &file.nics {
        let pf = find(view, &nic.pf).await.map_err(|error| error.at_usage(nic.places.pf.as_ref()))?;
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
        match resolve_nic(host, view, pf, nic, file).await {
            Ok(resolved) => nics.push(resolved),
            // The firmware in force allows fewer, and what the file asks for of it allows them.
            Err(Error::TooManyVfs { asked, .. }) if wanted.allows(pf, asked) => {
                waiting.insert(pf.first_function());
            }
            Err(error @ Error::TooManyVfs { .. }) => return Err(error.at(places.vfs.as_ref())),
            Err(error) => return Err(error.at_usage(places.pf.as_ref())),
        }
        for (spec, domain) in nic.vfs.iter().filter_map(|vf| Some((vf, vf.vm.as_ref()?))) {
            let known = host.domains.status(domain).await.map_err(Error::from);
            known.map_err(
                |error| if error.is_usage() { error.at(places.vms.get(&spec.index)) } else { error },
            )?;
        }
    }
    let firmware = wanted.statements(view).await?;
    Ok(Resolved { firmware, waiting, nics, file: file.clone() })
}

/// The function that a host file names.
async fn find(view: &View<'_>, name: &NicName) -> Result<PciAddress, Error> {
    match name {
        NicName::Pci(address) => Ok(*address),
        NicName::Netdev(name) => {
            let links = view.links().await?;
            let link = links.iter().find(|link| link.name == *name).and_then(|link| link.parent);
            link.ok_or_else(|| Error::NoNetdev(name.clone()))
        }
    }
}

async fn resolve_nic(
    host: &Host,
    view: &View<'_>,
    pf: PciAddress,
    nic: &Nic,
    file: &HostFile,
) -> Result<ResolvedNic, Error> {
    let function = view.function(pf).await?;
    let asked = u16::try_from(nic.vfs.len()).unwrap_or(u16::MAX);
    let sriov = match &function.role {
        Role::Pf(sriov) => sriov,
        // Firmware hides the capability where SRIOV_EN is off.
        Role::Plain if !nic.firmware.is_empty() => {
            return Err(Error::TooManyVfs { nic: nic.pf.clone(), asked, total: 0 });
        }
        Role::Plain | Role::Vf(_) => return Err(vdpa_hw::Error::NotPf(pf).into()),
    };
    if asked > sriov.total_vfs {
        return Err(Error::TooManyVfs { nic: nic.pf.clone(), asked, total: sriov.total_vfs });
    }
    let uplink = view.link(Device::Uplink(pf)).await?;
    let permanent = uplink.map(|link| link.permanent_mac.unwrap_or(link.mac));
    let mac = |vf: &VfSpec| match (vf.mac, permanent) {
        (Some(mac), _) => Ok((vf.index, mac)),
        (None, Some(permanent)) => Ok((vf.index, derived_mac(permanent, vf.index))),
        (None, None) => Err(Error::NoPermanentMac { pf, vf: vf.index }),
    };
    let needs_program = nic.vfs.iter().any(|vf| vf.datapath == Datapath::Dpdk);
    let program =
        if needs_program { host.dpdk_program(file.dpdk.program.as_deref())? } else { PathBuf::new() };
    let switchdev = view.eswitch(pf).await?.mode == Mode::Switchdev;
    Ok(ResolvedNic {
        pf,
        driver: function.driver.clone(),
        vfs: nic.vfs.clone(),
        macs: nic.vfs.iter().map(mac).collect::<Result<_, _>>()?,
        has_legacy_vfs: sriov.num_vfs > 0 && !switchdev,
        switchdev,
        program,
    })
}

/// A VF's MAC where the host file gives none: locally administered, the same at every boot, and
/// different for each VF of each port (FNV-1a of the port's permanent address and the index).
fn derived_mac(permanent: MacAddress, index: VfIndex) -> MacAddress {
    let bytes = permanent.octets().into_iter().chain(index.get().to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [mut octets @ .., _, _] = hash.to_be_bytes();
    octets[0] = octets[0] & 0xfc | 0x02;
    MacAddress::new(octets)
}

impl Resolved {
    /// The statements in their stages. `order` is for cards that leave the choice. Where a card waits for its firmware,
    /// nothing else can be said yet.
    pub fn stages(&self, order: Order) -> Vec<Vec<Step>> {
        if !self.waiting.is_empty() {
            return vec![self.firmware.clone()];
        }
        let mut stages: [Vec<Step>; 8] = Default::default();
        for nic in &self.nics {
            nic.add_switch(&mut stages, order);
            for spec in &nic.vfs {
                nic.add_vf(&mut stages, spec, &self.file);
            }
        }
        let ports: BTreeSet<Device> = self
            .nics
            .iter()
            .flat_map(|nic| {
                let vfs = nic.vfs.iter().map(|spec| Device::Representor(nic.vf(spec)));
                std::iter::once(Device::Uplink(nic.pf)).chain(vfs)
            })
            .collect();
        let bridge = &self.file.bridge;
        stages[SWITCH].push(Step::Bridge { name: bridge.clone(), exists: true, ports: ports.clone() });
        let (value, in_force) = (Some("true".to_owned()), ports.clone());
        stages[SWITCH].push(Step::HwOffload { bridge: bridge.clone(), value, ports, in_force });
        std::iter::once(self.firmware.clone()).chain(stages).filter(|stage| !stage.is_empty()).collect()
    }

    /// The order in which `stages` brings the cards there, with `preferred` for those that leave the choice; `None`
    /// where every one is switched already.
    pub fn order(&self, preferred: Order) -> Option<Order> {
        let to_switch = || self.nics.iter().filter(|nic| !nic.switchdev);
        match to_switch().count() {
            0 => None,
            _ if to_switch().all(|nic| nic.has_legacy_vfs) => Some(Order::VfsFirst),
            _ => Some(preferred),
        }
    }

    /// Whether the order is still a choice: no card has VFs in legacy mode, or is switched already.
    pub fn has_choice(&self) -> bool {
        self.nics.iter().any(|nic| !nic.has_legacy_vfs && !nic.switchdev)
    }
}

const PROBING: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;
const THIRD: usize = 3;
const DEVICES: usize = 4;
const SWITCH: usize = 5;
const DATAPATHS: usize = 6;
const DOMAINS: usize = 7;

impl ResolvedNic {
    fn vf(&self, spec: &VfSpec) -> Vf {
        Vf { pf: self.pf, index: spec.index }
    }

    fn add_switch(&self, stages: &mut [Vec<Step>; 8], order: Order) {
        let pf = self.pf;
        let count = u16::try_from(self.vfs.len()).unwrap_or(u16::MAX);
        stages[PROBING].push(Step::Autoprobe { pf, on: false });
        let vfs = Step::Vfs { pf, count };
        let mode = Step::EswitchMode { pf, mode: Mode::Switchdev };
        let vfs_first = !self.switchdev && (order == Order::VfsFirst || self.has_legacy_vfs);
        if vfs_first {
            stages[FIRST].push(vfs);
            if self.has_legacy_vfs {
                let unbound = |spec| Step::Driver { vf: self.vf(spec), driver: None };
                stages[SECOND].extend(self.vfs.iter().map(unbound));
            }
            stages[THIRD].push(mode);
        } else {
            stages[FIRST].push(mode);
            stages[SECOND].push(vfs);
        }
        // Before the first representor comes, and taken back before those that were there come again.
        let names = Step::Names { pf, names: Some(Names { vfs: count, current: true }) };
        stages[PROBING].push(names.clone());
        stages[DEVICES].push(names);
        stages[DEVICES].push(Step::TcOffload { device: Device::Uplink(pf), on: true });
        stages[DATAPATHS].push(Step::Up { device: Device::Uplink(pf), up: true });
    }

    fn add_vf(&self, stages: &mut [Vec<Step>; 8], spec: &VfSpec, file: &HostFile) {
        let vf = self.vf(spec);
        let mac = self.macs[&spec.index];
        let device = Device::Representor(vf);
        stages[DEVICES].push(Step::VfAttributes { vf, mac, trust: None });
        stages[DEVICES].push(Step::TcOffload { device, on: true });
        // A device that is up cannot be renamed before kernel 6.0: udev is let to finish first.
        stages[DATAPATHS].push(Step::Up { device, up: true });
        stages[SWITCH].push(Step::Driver { vf, driver: self.driver.clone() });
        match spec.datapath {
            Datapath::None => stages[DATAPATHS].push(Step::Up { device: Device::Vf(vf), up: true }),
            Datapath::Kernel => {
                let device = KernelDevice { mac: Some(mac), queues: spec.queues, served: true };
                stages[DATAPATHS].push(Step::Kernel { vf, device: Some(device) });
            }
            Datapath::Dpdk => {
                let process = DpdkProcess {
                    mode: dpdk::Mode::Server,
                    program: self.program.clone(),
                    memory: file.dpdk.memory,
                    eal_args: file.dpdk.eal_args.clone(),
                    ready: true,
                };
                stages[DATAPATHS].push(Step::Dpdk { vf, process: Some(process) });
            }
        }
        if let Some(domain) = &spec.vm {
            let wiring = Wiring { datapath: spec.datapath, mac, queues: spec.queues, current: true };
            stages[DOMAINS].push(Step::Wired { domain: domain.clone(), vf, wiring: Some(wiring) });
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_macs_are_stations_and_differ_by_port_and_vf() {
        let ports = ["0c:42:a1:fa:18:a2", "0c:42:a1:fa:18:a3"].map(|mac| mac.parse::<MacAddress>().unwrap());
        let macs: BTreeSet<_> = ports
            .iter()
            .flat_map(|port| VfIndex::first(127).map(|index| derived_mac(*port, index)))
            .collect();
        assert_eq!(macs.len(), 254);
        assert!(macs.iter().all(|mac| mac.is_station() && mac.octets()[0] & 2 != 0));
        // Stable across versions of this program: a VM's lease depends on it.
        assert_eq!(derived_mac(ports[0], VfIndex::new(0)).to_string(), "7a:76:2f:d3:5a:bb");
    }
}
