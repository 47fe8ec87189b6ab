//! Network devices as rtnetlink shows them, and the attributes that a PF keeps for its VFs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::bond::{Bond, BondMode};
use crate::counters::LinkCounters;
use crate::error::Result;
use crate::nouns::{IfIndex, MacAddress, NetdevName, PciAddress, VfIndex};

/// A network device as it stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's number of it, which stays while its name may change.
    pub index: IfIndex,
    /// Its name.
    pub name: NetdevName,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// Its MAC address; zero where it has none of Ethernet's length.
    pub mac: MacAddress,
    /// The MAC address burnt into the card (`IFLA_PERM_ADDRESS`), where the driver tells it.
    pub permanent_mac: Option<MacAddress>,
    /// The PCI function it belongs to, if it belongs to one (`IFLA_PARENT_DEV_NAME`).
    pub parent: Option<PciAddress>,
    /// The device it is enslaved to: a bond, a bridge, `ovs-system`.
    pub master: Option<IfIndex>,
    /// Which port of its switch it is: `p0`, `pf0vf3` (`IFLA_PHYS_PORT_NAME`).
    pub phys_port_name: Option<String>,
    /// The switch it is a port of, in hexadecimal (`IFLA_PHYS_SWITCH_ID`).
    pub phys_switch_id: Option<String>,
}

impl Link {
    /// Whether it stands for a VF or an SF in the PF's switch (`pf0vf3`, `c1pf0sf5`; a bare number in a
    /// switch on old kernels) and is not a port of the card itself (`p0`, `p0s1`) or a function's own.
    ///
    /// Source: `__devlink_port_phys_port_name_get` in `net/devlink/port.c`.
    pub fn is_representor(&self) -> bool {
        let Some(port) = &self.phys_port_name else { return false };
        let numbered = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let physical = port.strip_prefix('p').is_some_and(|rest| rest.split('s').all(numbered));
        !physical && (self.phys_switch_id.is_some() || !numbered(port))
    }
}

/// What a PF keeps for one of its VFs (`IFLA_VF_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfAttributes {
    /// The administrative MAC; zero where none was set. The VF takes it when a driver binds to it.
    pub mac: MacAddress,
    /// Whether the VF may change its own MAC and go promiscuous; `None` where the driver does not say.
    pub trust: Option<bool>,
    /// Whether frames with a foreign source MAC are dropped; `None` where the driver does not say.
    pub spoofchk: Option<bool>,
}

/// What to change of a VF's attributes; what is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfChange {
    /// The administrative MAC.
    pub mac: Option<MacAddress>,
    /// Trust.
    pub trust: Option<bool>,
    /// Spoof checking.
    pub spoofchk: Option<bool>,
}

/// One way in which a network device carries the traffic by which this host is managed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagementUse {
    /// It has an address that is not link-local.
    Address(IpAddr),
    /// A default route leaves through it.
    DefaultRoute,
    /// It is part of a bond, a bridge, a team or a VRF. Being a port of an OVS kernel datapath does not
    /// count here: what its bridge is for, the `ovs` layer tells.
    MemberOf(NetdevName),
    /// A VLAN or macvlan stands on it.
    CarriedBy(NetdevName),
}

impl fmt::Display for ManagementUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "has address {address}"),
            Self::DefaultRoute => f.write_str("carries a default route"),
            Self::MemberOf(master) => write!(f, "is a member of {master}"),
            Self::CarriedBy(upper) => write!(f, "carries {upper}"),
        }
    }
}

/// The network devices of a host.
///
/// Reads need no privilege; writes need `CAP_NET_ADMIN`. Source: rtnetlink(7).
#[async_trait]
pub trait Links: Send + Sync {
    /// Every network device of this network namespace, by index.
    async fn links(&self) -> Result<Vec<Link>>;

    /// Brings the device up or down.
    async fn set_up(&self, link: IfIndex, up: bool) -> Result<()>;

    /// What the PF with the network device `pf` keeps for each of its VFs.
    async fn vf_attributes(&self, pf: IfIndex) -> Result<BTreeMap<VfIndex, VfAttributes>>;

    /// Changes what the PF with the network device `pf` keeps for VF `vf`.
    async fn set_vf_attributes(&self, pf: IfIndex, vf: VfIndex, change: VfChange) -> Result<()>;

    /// Every bond of this network namespace, by index.
    async fn bonds(&self) -> Result<Vec<Bond>>;

    /// Makes a bond that looks at its members' links every 100 ms, and marks it with [`BOND_ALIAS`](crate::BOND_ALIAS).
    /// Refused (EEXIST) where a device has that name.
    async fn add_bond(&self, name: &NetdevName, mode: BondMode) -> Result<IfIndex>;

    /// Removes a bond; its members are on their own then, and down.
    async fn remove_bond(&self, bond: IfIndex) -> Result<()>;

    /// Puts a device, which must be down, into a bond, which brings it up; or takes it out, and leaves it down.
    async fn set_master(&self, link: IfIndex, bond: Option<IfIndex>) -> Result<()>;

    /// What the device has counted.
    async fn counters(&self, link: IfIndex) -> Result<LinkCounters>;

    /// How the device takes part in this host's own traffic: empty where it may be taken away.
    async fn management_uses(&self, link: IfIndex) -> Result<Vec<ManagementUse>>;

    /// The devices with an ingress or clsact qdisc: where tc filters can stand.
    ///
    /// ovs-vswitchd puts one on each of its ports when hw-offload is in force, and only then
    /// (`netdev_tc_init_flow_api` in OVS's `lib/netdev-offload-tc.c`).
    async fn with_ingress_qdisc(&self) -> Result<BTreeSet<IfIndex>>;

    /// Removes the ingress or clsact qdisc of the device, and the filters on it with it.
    ///
    /// ovs-vswitchd 3.1.0 leaves its own behind when a port goes.
    async fn remove_ingress_qdisc(&self, link: IfIndex) -> Result<()>;

    /// The network device of the PCI function `parent` that is no port of a switch (a VF's own), or
    /// of a PF (its uplink): awaited until it exists and udev has done with it.
    ///
    /// Waits on rtnetlink notifications, no longer than `limit`. A function that does not exist is waited
    /// for like one that has no network device yet.
    async fn netdev_of(&self, parent: PciAddress, limit: Duration) -> Result<Link>;

    /// The network device of this name: awaited until it exists and udev has done with it.
    ///
    /// Waits on rtnetlink notifications, no longer than `limit`.
    async fn named(&self, name: &NetdevName, limit: Duration) -> Result<Link>;

    /// These devices, when udev has given each its final name; at once where no udev runs.
    ///
    /// What says so is udev's record `/run/udev/data/nINDEX`, once it has the time of the first
    /// processing (`rename_netif` in systemd's `src/udev/udev-event.c`). Waits on inotify, no longer than
    /// `limit`.
    async fn settled(&self, links: &[IfIndex], limit: Duration) -> Result<Vec<Link>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: Option<&str>, switch: Option<&str>) -> Link {
        Link {
            index: IfIndex(1),
            name: "eth0".parse().unwrap(),
            up: true,
            mac: MacAddress::ZERO,
            permanent_mac: None,
            parent: None,
            master: None,
            phys_port_name: name.map(str::to_owned),
            phys_switch_id: switch.map(str::to_owned),
        }
    }

    /// Pitfall 17: since Linux 5.8 representors are in the PF's `net/` directory too: the first entry is not the PF's.
    #[test]
    fn representors_are_told_by_their_port_names() {
        for name in ["pf0vf3", "c1pf0vf3", "pf0sf5", "pf0", "3"] {
            assert!(port(Some(name), Some("0c42a1")).is_representor(), "{name}");
        }
        for name in [Some("p0"), Some("p12"), Some("p0s1"), None] {
            assert!(!port(name, Some("0c42a1")).is_representor(), "{name:?}");
            assert!(!port(name, None).is_representor(), "{name:?}");
        }
        assert!(!port(Some("0"), None).is_representor(), "a numbered port of a card without a switch");
    }
}
