//! What hangs on what: card, VFs, representors, bridge, datapaths, virtual machines.
//!
//! A [`Topology`] is what there is, whoever made it, as far as it can be seen; what cannot is said in its notes, and
//! the rest is shown all the same. It is looked at ([`look`]) and then told in one of several ways: [`text`], [`dot`],
//! [`mermaid`], [`svg`], or as it is for programs.

pub mod dot;
mod label;
mod look;
pub mod mermaid;
pub mod svg;
pub mod text;

use std::collections::BTreeSet;

use serde::Serialize;
use vdpa_eswitch::Mode;
use vdpa_hw::{DriverName, MacAddress, NetdevName, PciAddress, VfIndex};
use vdpa_ovs::BridgeName;
use vdpa_vm::DomainName;

pub use look::look;

/// What hangs on what.
///
/// ```json
/// { "bridge": { "name": "ovs-sriov", "ours": true, "userspace": false, "hw_offload": true, "other_ports": [] },
///   "cards": [ { "pf": "0000:43:00.0", "driver": "mlx5_core", "numa_node": 1, "mode": "switchdev", "total_vfs": 8,
///                "uplink": { "netdev": "enp67s0f0", "up": true, "tc_offload": true, "ingress": true,
///                            "bridged": { "works": true, "error": null, "dpdk": null }, "offload": "in_force" },
///                "vfs": [ { "index": 0, "address": "0000:43:00.2", "driver": "mlx5_core", "mac": "e4:11:22:33:55:60",
///                           "representor": { … },
///                           "datapath": { "kind": "dpdk", "state": "ready", "detail": "pid 4711", "serves": true },
///                           "vm": { "domain": "cx6.1", "running": true, "queues": 2, "mac": "e4:11:22:33:55:60" } } ] } ],
///   "notes": [] }
/// ```
///
/// `--json` has `bridge`, `cards` and `notes` in the document that every command prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Topology {
    /// The bridge, if it is there.
    pub bridge: Option<Bridge>,
    /// Cards: functions that can have VFs.
    pub cards: Vec<Card>,
    /// What could not be looked at, and why.
    pub notes: Vec<String>,
}

/// A bridge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bridge {
    /// Its name.
    pub name: BridgeName,
    /// Whether `setup` made it.
    pub ours: bool,
    /// Whether its packets are forwarded by Open vSwitch's own datapath with DPDK (`datapath_type=netdev`), and not by
    /// the kernel's.
    pub userspace: bool,
    /// Whether Open vSwitch is configured to offload.
    pub hw_offload: bool,
    /// What else is on it.
    pub other_ports: BTreeSet<String>,
}

/// A function that can have VFs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Card {
    /// Where it is.
    pub pf: PciAddress,
    /// Its driver.
    pub driver: Option<DriverName>,
    /// The NUMA node that it is near.
    pub numa_node: Option<u16>,
    /// How its switch works; absent where it has none, or cannot be asked.
    pub mode: Option<Mode>,
    /// How many VFs it may have.
    pub total_vfs: u16,
    /// Its own network device.
    pub uplink: Option<Port>,
    /// Its VFs.
    pub vfs: Vec<VfPart>,
}

/// A VF with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VfPart {
    /// Its number.
    pub index: VfIndex,
    /// Where it is.
    pub address: PciAddress,
    /// Its driver.
    pub driver: Option<DriverName>,
    /// Its MAC, as the PF keeps it.
    pub mac: Option<MacAddress>,
    /// Its port of the card's switch.
    pub representor: Option<Port>,
    /// Who serves its queues.
    pub datapath: Option<Datapath>,
    /// Which virtual machine has it.
    pub vm: Option<Vm>,
}

/// A port of a card's switch: an uplink or a representor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Port {
    /// The network device.
    pub netdev: NetdevName,
    /// Whether it is up.
    pub up: bool,
    /// Whether hw-tc-offload is active on it, where that can be asked.
    pub tc_offload: Option<bool>,
    /// Whether it has an ingress qdisc, on which Open vSwitch puts what the card is to do.
    pub ingress: bool,
    /// How it is on the bridge, if it is.
    pub bridged: Option<Bridged>,
    /// What that comes to.
    pub offload: Offload,
}

/// A port on the bridge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bridged {
    /// Whether Open vSwitch has it open.
    pub works: bool,
    /// Why not, in Open vSwitch's words.
    pub error: Option<String>,
    /// What it is there, where it is a port of DPDK's and not the network device itself.
    pub dpdk: Option<DpdkPort>,
}

/// A port of Open vSwitch's userspace datapath.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DpdkPort {
    /// Its name, which is no network device's.
    pub name: String,
    /// Its interface's type: `dpdk`, `dpdkvhostuserclient`, or the vendor's `dpdkvdpa`.
    pub kind: String,
    /// The device that it stands for, in DPDK's words (`options:dpdk-devargs`).
    pub devargs: Option<String>,
    /// The socket by which a virtual machine is connected to it.
    pub socket: Option<String>,
    /// Whether the card can forward what comes in by it: the port is a card's, and `hw-offload` is on.
    pub offloads: bool,
}

/// Whether what comes in by a port can be forwarded by the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Offload {
    /// Yes: flows stand in the card.
    InForce,
    /// No: software forwards.
    Off,
    /// It is on no bridge.
    Unbridged,
    /// Open vSwitch cannot open it.
    Broken,
}

/// Who serves a VF's queues.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Datapath {
    /// `dpdk`, `kernel` or `ovs_dpdk`.
    pub kind: DatapathKind,
    /// `ready`, `starting`, `failed`; of the kernel's devices the driver that has it, or `unbound`; of Open vSwitch's
    /// ports the interface's type, or `failed`.
    pub state: String,
    /// A process id, a socket, or why it failed.
    pub detail: Option<String>,
    /// Whether a virtual machine can use it now.
    pub serves: bool,
}

/// A kind of datapath.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatapathKind {
    /// A dpdk-vdpa process.
    Dpdk,
    /// A vDPA device of the kernel's.
    Kernel,
    /// A port of Open vSwitch's userspace datapath.
    OvsDpdk,
}

/// A virtual machine, as one of its interfaces.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vm {
    /// Its name.
    pub domain: DomainName,
    /// Whether it runs.
    pub running: bool,
    /// Queue pairs of the interface.
    pub queues: u16,
    /// The interface's MAC.
    pub mac: MacAddress,
}

impl Port {
    /// A network device in its place.
    pub fn new(
        netdev: NetdevName,
        up: bool,
        tc_offload: Option<bool>,
        ingress: bool,
        bridged: Option<Bridged>,
    ) -> Self {
        let offload = match &bridged {
            None => Offload::Unbridged,
            Some(bridged) if !bridged.works => Offload::Broken,
            // A card's part in the userspace datapath is rte_flow's, which needs neither qdisc nor hw-tc-offload.
            Some(Bridged { dpdk: Some(port), .. }) if port.offloads => Offload::InForce,
            Some(Bridged { dpdk: Some(_), .. }) => Offload::Off,
            Some(_) if ingress && tc_offload != Some(false) => Offload::InForce,
            Some(_) => Offload::Off,
        };
        Self { netdev, up, tc_offload, ingress, bridged, offload }
    }
}
