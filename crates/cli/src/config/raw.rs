//! The host file as TOML has it, before its parts are held against each other.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;
use vdpa_datapath::dpdk::Mode;
use vdpa_eswitch::{EncapMode, InlineMode, SteeringMode};
use vdpa_hw::{BondMode, MacAddress, NetdevName, PciAddress, VfIndex};
use vdpa_ovs::VlanId;

use super::Datapath;
use super::boot::RawBoot;
use super::firmware::RawFirmware;
use super::ovs_dpdk::RawOvsDpdk;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHost {
    #[serde(default)]
    pub(super) bridge: RawBridge,
    #[serde(default)]
    pub(super) nic: Vec<Spanned<RawNic>>,
    #[serde(default)]
    pub(super) bond: Vec<RawBond>,
    #[serde(default)]
    pub(super) dpdk: RawDpdk,
    #[serde(default)]
    pub(super) ovs_dpdk: RawOvsDpdk,
    #[serde(default)]
    pub(super) libvirt: RawLibvirt,
    #[serde(default)]
    pub(super) boot: RawBoot,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBridge {
    pub(super) name: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNic {
    pub(super) pci: Option<Spanned<PciAddress>>,
    pub(super) netdev: Option<Spanned<NetdevName>>,
    pub(super) vfs: Spanned<u16>,
    #[serde(default)]
    pub(super) firmware: RawFirmware,
    pub(super) steering_mode: Option<Spanned<SteeringMode>>,
    pub(super) inline_mode: Option<Spanned<InlineMode>>,
    pub(super) encap_mode: Option<Spanned<EncapMode>>,
    #[serde(default)]
    pub(super) vf: Vec<RawVf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVf {
    pub(super) index: Spanned<VfIndex>,
    pub(super) mac: Option<Spanned<MacAddress>>,
    pub(super) trust: Option<Spanned<bool>>,
    pub(super) spoofchk: Option<Spanned<bool>>,
    pub(super) link_state: Option<Spanned<String>>,
    pub(super) vlan: Option<VlanId>,
    pub(super) min_rate_mbps: Option<Spanned<u32>>,
    pub(super) max_rate_mbps: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) datapath: Datapath,
    pub(super) queues: Option<Spanned<u16>>,
    pub(super) mode: Option<Spanned<Mode>>,
    pub(super) cores: Option<Spanned<Vec<u16>>>,
    pub(super) vm: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDpdk {
    pub(super) program: Option<PathBuf>,
    pub(super) hugepages: Option<bool>,
    pub(super) memory_mb: Option<u32>,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) driver_args: Vec<String>,
    #[serde(default)]
    pub(super) eal_args: Vec<String>,
    pub(super) group: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLibvirt {
    pub(super) uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBond {
    pub(super) name: Spanned<NetdevName>,
    pub(super) mode: Spanned<BondMode>,
    pub(super) nics: Spanned<Vec<Spanned<String>>>,
}
