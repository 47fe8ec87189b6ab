//! The host file: what the host should be.
//!
//! [`HostFile`] is validated whole: once one exists, its parts fit together. What only the host can
//! tell (is this address a PF, does it allow so many VFs) is checked when a plan is made.

mod bond;
pub mod boot;
mod dpdk;
mod firmware;
mod ovs_dpdk;
mod parse;
mod place;
mod raw;

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vdpa_datapath::dpdk::{Memory, Mode};
use vdpa_eswitch::{EncapMode, InlineMode, Rate, SteeringMode};
use vdpa_hw::firmware::{SettingName, Value};
use vdpa_hw::{BondMode, MacAddress, NetdevName, PciAddress, VfIndex};
use vdpa_ovs::{BridgeName, VlanId};
use vdpa_vm::DomainName;

pub use ovs_dpdk::OvsDpdk;
pub use parse::{parse, read};
pub use place::{ConfigError, Place};

/// Where the host file lies unless a flag says otherwise.
pub const DEFAULT_PATH: &str = "/etc/vdpa/host.toml";

/// The bridge that gets made where the host file names none.
pub const DEFAULT_BRIDGE: &str = "ovs-sriov";

/// What a host should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFile {
    /// The OVS bridge that the uplinks and representors become ports of.
    pub bridge: BridgeName,
    /// The cards' ports, by PF.
    pub nics: Vec<Nic>,
    /// Bonds of their uplinks.
    pub bonds: Vec<BondSpec>,
    /// How dpdk-vdpa processes are run.
    pub dpdk: Dpdk,
    /// How DPDK is run in Open vSwitch.
    pub ovs_dpdk: OvsDpdk,
    /// Where the domains are.
    pub libvirt: Libvirt,
    /// What it is booted with.
    pub boot: boot::Boot,
}

/// One physical function and its VFs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nic {
    /// Which one.
    pub pf: NicName,
    /// Its VFs, from 0 on, each of them described.
    pub vfs: Vec<VfSpec>,
    /// Firmware settings of its card.
    pub firmware: BTreeMap<SettingName, NvWanted>,
    /// How its eswitch is to be set besides its mode.
    pub tuning: Tuning,
    /// Where that stands, if it stands in a file.
    #[serde(skip)]
    pub places: Places,
}

/// How an eswitch is to be set besides its mode; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tuning {
    /// Who programs the card's flow tables.
    pub steering: Option<SteeringMode>,
    /// How much of each packet the VFs put into their send descriptors.
    pub inline: Option<InlineMode>,
    /// Whether it can encapsulate.
    pub encap: Option<EncapMode>,
}

/// A bond of two uplinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BondSpec {
    /// Its name.
    pub name: NetdevName,
    /// How it spreads what it sends.
    pub mode: BondMode,
    /// The cards' ports in it, as their own tables name them.
    pub nics: Vec<NicName>,
    /// Where its name stands, if it stands in a file.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// Where in a host file stands what only the host can tell to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// The card's name.
    pub pf: Option<Place>,
    /// How many VFs it is to have.
    pub vfs: Option<Place>,
    /// The domains of its VFs.
    pub vms: BTreeMap<VfIndex, Place>,
    /// Settings that its driver may not have, of the card or of a VF, by key.
    pub keys: BTreeMap<(Option<VfIndex>, &'static str), Place>,
    /// Its firmware settings.
    pub firmware: BTreeMap<SettingName, Place>,
}

/// What a firmware setting is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NvWanted {
    /// This.
    Exactly(Value),
    /// As many VFs as the card's ports are to have, and room for more (`NUM_OF_VFS = "auto"`).
    Headroom,
}

/// How a host file names a PF.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NicName {
    /// By its PCI address.
    Pci(PciAddress),
    /// By the name of its network device.
    Netdev(NetdevName),
}

impl std::fmt::Display for NicName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Netdev(name) => name.fmt(f),
        }
    }
}

/// What one VF should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VfSpec {
    /// Its index.
    pub index: VfIndex,
    /// Its MAC; left out, it is derived from the card's permanent address.
    pub mac: Option<MacAddress>,
    /// Whether it may change its own MAC and go promiscuous, where somebody asks.
    pub trust: Option<bool>,
    /// Whether frames with a foreign source MAC are dropped, where somebody asks.
    pub spoofchk: Option<bool>,
    /// Whether its link is up: that of its representor.
    pub up: bool,
    /// The VLAN that it is in, where somebody asks: its representor's port of the bridge is an access port.
    pub vlan: Option<VlanId>,
    /// How fast it may send.
    pub rate: Rate,
    /// Who serves its virtio queues.
    pub datapath: Datapath,
    /// Queue pairs for the VM.
    pub queues: NonZeroU16,
    /// Which end of its dpdk-vdpa process's socket listens; left out, as for all of them.
    pub mode: Option<Mode>,
    /// The CPUs of its dpdk-vdpa process, the main one first; none, if it may use all.
    pub cores: Vec<u16>,
    /// The domain that it is wired into.
    pub vm: Option<DomainName>,
}

/// Who serves a VF's virtio queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(clap::ValueEnum)]
pub enum Datapath {
    /// A dpdk-vdpa process behind a vhost-user socket.
    Dpdk,
    /// The kernel, behind `/dev/vhost-vdpa-N`.
    Kernel,
    /// Open vSwitch's userspace datapath, behind a vhost-user socket.
    #[serde(rename = "ovs-dpdk")]
    OvsDpdk,
    /// Nobody: a plain VF with a network device on the host.
    #[default]
    None,
}

/// How dpdk-vdpa processes are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dpdk {
    /// The program's path; left out, `dpdk-vdpa` is looked for where programs are.
    pub program: Option<PathBuf>,
    /// Where its memory comes from.
    pub memory: Memory,
    /// Which end of the sockets listens.
    pub mode: Mode,
    /// Arguments for every process's vDPA driver, `key=value`.
    pub driver_args: Vec<String>,
    /// Further arguments for every process's EAL.
    pub eal_args: Vec<String>,
    /// The group that may open the sockets: the one QEMU runs as.
    pub group: Option<String>,
}

impl Default for Dpdk {
    fn default() -> Self {
        Self {
            program: None,
            memory: Memory::HugePages(None),
            mode: Mode::default(),
            driver_args: Vec::new(),
            eal_args: Vec::new(),
            group: None,
        }
    }
}

/// Where the domains are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Libvirt {
    /// libvirt's connection URI.
    pub uri: String,
}

impl Default for Libvirt {
    fn default() -> Self {
        Self { uri: "qemu:///system".to_owned() }
    }
}

impl HostFile {
    /// The host file of the simple case: one card, every VF alike.
    pub fn single(pf: NicName, vfs: u16, bridge: Option<BridgeName>, datapath: Datapath) -> Self {
        let vfs = VfIndex::first(vfs).map(|index| VfSpec { datapath, ..VfSpec::plain(index) }).collect();
        Self {
            bridge: bridge.unwrap_or_else(default_bridge),
            nics: vec![Nic {
                pf,
                vfs,
                firmware: BTreeMap::new(),
                tuning: Tuning::default(),
                places: Places::default(),
            }],
            bonds: Vec::new(),
            dpdk: Dpdk::default(),
            ovs_dpdk: OvsDpdk::default(),
            libvirt: Libvirt::default(),
            boot: boot::Boot::default(),
        }
    }
}

/// Of a host that nothing is said about.
impl Default for HostFile {
    fn default() -> Self {
        let (dpdk, libvirt) = (Dpdk::default(), Libvirt::default());
        let (bridge, boot) = (default_bridge(), boot::Boot::default());
        let ovs_dpdk = OvsDpdk::default();
        Self { bridge, nics: Vec::new(), bonds: Vec::new(), dpdk, ovs_dpdk, libvirt, boot }
    }
}

/// The bridge where none is named.
pub(crate) fn default_bridge() -> BridgeName {
    DEFAULT_BRIDGE.parse().unwrap_or_else(|error| unreachable!("{DEFAULT_BRIDGE}: {error}"))
}
