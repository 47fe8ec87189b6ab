//! What the simulated machine holds.
//!
//! Only facts: the rules by which they change are in [`super::kernel`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::card::{SimPf, SimVf};
use super::fuse::{Fuse, When};
use super::kernel;
use super::nv::SimNv;
use super::traffic::{CpuHits, SimFlow};
use crate::bond::BondMode;
use crate::counters::LinkCounters;
use crate::link::ManagementUse;
use crate::nouns::{DriverName, IfIndex, MacAddress, NetdevName, PciAddress, PciId, Vf};
use crate::pci::Holder;

/// The whole machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Milliseconds since it was switched on.
    pub now_ms: u64,
    /// PCI functions, VFs among them.
    pub functions: BTreeMap<PciAddress, SimFunction>,
    /// Network devices.
    pub netdevs: BTreeMap<IfIndex, Netdev>,
    /// The index that the next network device gets.
    pub next_ifindex: u32,
    /// Drivers that are loaded.
    pub drivers: BTreeSet<DriverName>,
    /// What cards keep over power cycles, by their first function.
    #[serde(default)]
    pub nv: BTreeMap<PciAddress, SimNv>,
    /// Processes that hold a function open.
    pub holders: BTreeMap<PciAddress, Vec<Holder>>,
    /// Kernel vDPA devices by name.
    pub vdpa: BTreeMap<String, VdpaDevice>,
    /// Supervised dpdk-vdpa processes.
    pub dpdk: BTreeMap<Vf, DpdkProcess>,
    /// The flows of the switch.
    #[serde(default)]
    pub flows: Vec<SimFlow>,
    /// How many flows there have been.
    #[serde(default)]
    pub next_flow: u32,
    /// What each port has had of the host's CPU.
    #[serde(default)]
    pub cpu_hits: BTreeMap<IfIndex, CpuHits>,
    /// What has passed each port, by the card or the CPU.
    #[serde(default)]
    pub passed: BTreeMap<IfIndex, LinkCounters>,
    /// The names that udev's rules give representors, by PF and in the order of the VFs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub representor_names: BTreeMap<PciAddress, Vec<NetdevName>>,
    /// What is on its way, and when it comes.
    pub agenda: Vec<(u64, Coming)>,
    /// How many operations it was asked for.
    pub operations: u64,
    /// What was done, in order.
    #[serde(default)]
    pub journal: Vec<String>,
    /// A card that is pulled out, and the operation, counted as in `operations`, just before which that happens.
    #[serde(default)]
    pub removal: Option<(u64, PciAddress)>,
    /// A PF whose files in sysfs cannot be read any more, once so many operations were asked for.
    #[serde(default)]
    pub unreadable: Option<(u64, PciAddress)>,
    /// The fuse, if one is in.
    #[serde(default)]
    pub fuse: Option<Fuse>,
    #[serde(skip)]
    pub(super) strike: Option<When>,
}

/// A PCI function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimFunction {
    /// What it is.
    pub id: PciId,
    /// The bound driver.
    pub driver: Option<DriverName>,
    /// `driver_override`.
    pub driver_override: Option<DriverName>,
    /// NUMA node.
    pub numa_node: Option<u16>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// PF, VF or neither.
    pub role: SimRole,
}

/// A function's part in SR-IOV.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimRole {
    /// A physical function.
    Pf(Box<SimPf>),
    /// A virtual function.
    Vf(SimVf),
    /// Neither.
    Plain,
}

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Netdev {
    /// Its name now.
    pub name: NetdevName,
    /// The name that udev will give it, while it has not yet done so.
    pub udev_name: Option<NetdevName>,
    /// What it is.
    pub role: NetdevRole,
    /// Up or down.
    pub up: bool,
    /// MAC.
    pub mac: MacAddress,
    /// hw-tc-offload; `None` where the driver has no such feature.
    pub tc_offload: Option<bool>,
    /// Whether it has an ingress qdisc.
    pub ingress_qdisc: bool,
    /// Whether it is a port of an OVS bridge.
    pub ovs_port: bool,
    /// How the host's own traffic uses it.
    pub uses: Vec<ManagementUse>,
    /// What makes it a bond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bond: Option<SimBond>,
    /// The bond that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<IfIndex>,
}

/// A bond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimBond {
    /// Its mode.
    pub mode: BondMode,
    /// Whether it has our alias.
    pub ours: bool,
}

/// What a network device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetdevRole {
    /// The PF's own; in switchdev mode, the uplink representor.
    Uplink(PciAddress),
    /// The representor of a VF.
    Representor(Vf),
    /// A VF's own.
    VfNetdev(Vf),
    /// Another card's, or a bond.
    Other,
}

/// A kernel vDPA device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VdpaDevice {
    /// The function whose management device made it.
    pub parent: PciAddress,
    /// MAC.
    pub mac: Option<MacAddress>,
    /// Queue pairs.
    pub max_vqp: Option<u16>,
    /// MTU.
    pub mtu: Option<u16>,
    /// The driver of the vdpa bus that is bound to it: `vhost_vdpa`, `virtio_vdpa`.
    pub driver: Option<String>,
    /// The N of `/dev/vhost-vdpa-N`, while `vhost_vdpa` is bound.
    pub char_device: Option<u32>,
}

/// A supervised dpdk-vdpa process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpdkProcess {
    /// Its process id.
    pub pid: u32,
    /// The VF's address at the time it started.
    pub parent: PciAddress,
    /// Its vhost-user socket.
    pub socket: PathBuf,
    /// Whether QEMU is the server and the process connects to it.
    pub client: bool,
    /// Whether it answers.
    pub ready: bool,
    /// What it was started as, as the datapath layer writes it down.
    #[serde(default)]
    pub spec: String,
}

/// Something that is on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coming {
    /// A VF appears on the bus.
    Vf(Vf),
    /// A network device is registered.
    Netdev(Box<Netdev>),
    /// udev gives a network device its name.
    Name(IfIndex),
}

impl State {
    /// Puts `coming` on the agenda, `after_ms` from now.
    pub fn later(&mut self, after_ms: u64, coming: Coming) {
        self.agenda.push((self.now_ms + after_ms, coming));
    }

    /// Makes happen what is due.
    pub(super) fn happen(&mut self) {
        while let Some(at) = self.agenda.iter().position(|(due, _)| *due <= self.now_ms) {
            let (_, coming) = self.agenda.remove(at);
            kernel::happen(self, coming);
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.agenda.iter().map(|(due, _)| *due).min()
    }

    pub(super) fn agenda_is_empty(&self) -> bool {
        self.agenda.is_empty()
    }

    /// The physical function at `address`.
    pub fn pf(&self, address: PciAddress) -> Option<&SimPf> {
        match &self.functions.get(&address)?.role {
            SimRole::Pf(pf) => Some(pf),
            SimRole::Vf(_) | SimRole::Plain => None,
        }
    }

    /// The physical function at `address`, to be changed.
    pub fn pf_mut(&mut self, address: PciAddress) -> Option<&mut SimPf> {
        match &mut self.functions.get_mut(&address)?.role {
            SimRole::Pf(pf) => Some(pf),
            SimRole::Vf(_) | SimRole::Plain => None,
        }
    }

    /// Where `vf` sits, if it exists.
    pub fn vf_address(&self, vf: Vf) -> Option<PciAddress> {
        self.functions.iter().find_map(|(address, function)| match function.role {
            SimRole::Vf(sim) if sim.vf == vf => Some(*address),
            _ => None,
        })
    }

    /// The network device with this role.
    pub fn netdev_with(&self, role: NetdevRole) -> Option<(IfIndex, &Netdev)> {
        self.netdevs.iter().find(|(_, netdev)| netdev.role == role).map(|(index, netdev)| (*index, netdev))
    }

    /// The network device with this name, to be changed.
    pub fn netdev_named(&mut self, name: &str) -> Option<&mut Netdev> {
        self.netdevs.values_mut().find(|netdev| netdev.name.as_str() == name)
    }
}
