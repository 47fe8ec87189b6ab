//! A NIC as sysfs shows it, and whether it can be put under a bridge.
//!
//! Source: `Documentation/ABI/testing/sysfs-class-net` and `sysfs-bus-pci`; `netdev_adjacent_sysfs_add` in
//! `net/core/dev.c` for what stands on what; `SET_NETDEV_DEVTYPE` for the kind.

use std::path::{Path, PathBuf};

use vdpa_hw::{MacAddress, NetdevName};

use super::{Refusal, Wanted};
use crate::error::{Error, Result};
use crate::tree::Tree;

/// A NIC that can be bridged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    pub(super) mac: MacAddress,
    pub(super) index: u32,
}

/// Where sysfs has a network device.
pub(super) fn sysfs(name: &NetdevName) -> PathBuf {
    Path::new("/sys/class/net").join(name)
}

/// What an attribute reads; `None` where the device has no such thing.
pub(super) fn attribute(tree: &Tree, name: &NetdevName, attribute: &str) -> Option<String> {
    let text = tree.read(&sysfs(name).join(attribute)).ok().flatten()?;
    Some(text.trim().to_owned())
}

/// Whether the NIC is a port of the bridge.
pub(super) fn is_port(tree: &Tree, bridge: &NetdevName, nic: &NetdevName) -> bool {
    tree.exists(sysfs(bridge).join("brif").join(nic))
}

/// The NIC, if a bridge may be put over it.
pub(super) fn look(tree: &Tree, wanted: &Wanted) -> Result<Nic> {
    let nic = &wanted.over;
    let refuse = |why| Err(Error::Unbridgeable { nic: nic.to_string(), why });
    let at = sysfs(nic);
    if !tree.exists(&at) {
        return refuse(Refusal::Unknown);
    }
    let of = |path: PathBuf| Some(tree.link(&path)?.file_name()?.to_string_lossy().into_owned());
    if let Some(master) = of(at.join("master")) {
        return refuse(Refusal::Member(master));
    }
    if let Some(card) = card(tree, wanted, of(at.join("device")).as_deref()) {
        return refuse(Refusal::Card(card));
    }
    let uevent = attribute(tree, nic, "uevent").unwrap_or_default();
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    if kind == Some("wlan") || tree.exists(at.join("phy80211")) {
        return refuse(Refusal::Wireless);
    }
    if let Some(kind) = kind {
        return refuse(Refusal::NotEthernet(kind.to_owned()));
    }
    // ARPHRD_ETHER in include/uapi/linux/if_arp.h.
    let arp = attribute(tree, nic, "type").unwrap_or_default();
    let mac = attribute(tree, nic, "address").and_then(|text| text.parse::<MacAddress>().ok());
    let index = attribute(tree, nic, "ifindex").and_then(|text| text.parse().ok());
    let (Some(mac), Some(index), "1") = (mac, index, arp.as_str()) else {
        return refuse(Refusal::NotEthernet(format!("ARPHRD {arp}")));
    };
    let uppers = tree
        .list(&at, "")?
        .into_iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.strip_prefix("upper_")?.to_owned()));
    let uppers: Vec<String> = uppers.collect();
    if !uppers.is_empty() {
        return refuse(Refusal::Beneath(uppers));
    }
    if tree.exists(sysfs(&wanted.name)) {
        return refuse(Refusal::NameTaken(wanted.name.clone()));
    }
    Ok(Nic { mac, index })
}

/// What of a card the NIC is, if it is one whose VFs are for guests.
fn card(tree: &Tree, wanted: &Wanted, function: Option<&str>) -> Option<String> {
    let nic = &wanted.over;
    let device = sysfs(nic).join("device");
    let named = |name: &str| wanted.cards.iter().any(|card| card == name);
    if named(nic.as_str()) || function.is_some_and(named) {
        return Some("a card of the host file".to_owned());
    }
    if tree.exists(device.join("physfn")) {
        return Some("a VF".to_owned());
    }
    let vfs = attribute(tree, nic, "device/sriov_numvfs").and_then(|text| text.parse::<u16>().ok());
    if let Some(vfs @ 1..) = vfs {
        return Some(format!("a PF with {vfs} VFs"));
    }
    // Unreadable (EOPNOTSUPP) where the device is no port of a switch.
    let switch = attribute(tree, nic, "phys_switch_id").filter(|id| !id.is_empty())?;
    Some(format!("a port of the switch {switch}"))
}
