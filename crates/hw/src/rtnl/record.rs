//! A network device as `RTM_NEWLINK` tells it.

use vdpa_netlink::{Attribute, Malformed};

use super::bond;
use super::wire::{IFF_UP, Message};
use crate::bond::BondMode;
use crate::link::Link;
use crate::nouns::{IfIndex, MacAddress, PciAddress};

/// The length of `struct ifinfomsg`.
pub(super) const HEADER: usize = 16;

const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_PHYS_SWITCH_ID: u16 = 36;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PHYS_PORT_NAME: u16 = 38;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PARENT_DEV_NAME: u16 = 56;
/// Within `IFLA_LINKINFO`.
const IFLA_INFO_KIND: u16 = 1;
/// `AF_BRIDGE`: news of a bridge's ports comes as `RTM_NEWLINK` and `RTM_DELLINK` of that family.
const BRIDGE: u8 = 7;

/// A device with what this layer needs to know of it and its callers do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) link: Link,
    /// What made it, if not a driver: `vlan`, `bond`, `openvswitch`.
    pub(super) kind: Option<String>,
    /// The device that `IFLA_LINK` points to, if it is in this network namespace.
    pub(super) points_to: Option<IfIndex>,
    /// What an administrator calls it besides.
    pub(super) alias: Option<String>,
    /// The mode of a bond.
    pub(super) bond_mode: Option<BondMode>,
}

impl Record {
    /// Reads a message; `None` where it is about something else than a device, or about one whose name
    /// nobody could type (the kernel allows control characters).
    pub(super) fn read(message: &Message) -> Result<Option<Self>, Malformed> {
        let [family, ..] = message.array::<4>(0)?;
        if family == BRIDGE {
            return Ok(None);
        }
        let index = IfIndex(message.u32(4)?);
        let up = message.u32(8)? & IFF_UP != 0;
        let (mut name, mut mac, mut permanent_mac, mut parent, mut master) = (None, None, None, None, None);
        let (mut phys_port_name, mut phys_switch_id, mut kind) = (None, None, None);
        let (mut points_to, mut elsewhere, mut alias, mut bond_mode) = (None, false, None, None);
        for attribute in message.attributes(HEADER) {
            let attribute = attribute?;
            match attribute.kind() {
                IFLA_IFNAME => name = attribute.string().parse().ok(),
                IFLA_ADDRESS => mac = ethernet(attribute),
                IFLA_PERM_ADDRESS => {
                    permanent_mac = ethernet(attribute).filter(|mac| *mac != MacAddress::ZERO);
                }
                IFLA_PARENT_DEV_NAME => parent = attribute.string().parse::<PciAddress>().ok(),
                IFLA_MASTER => master = Some(IfIndex(attribute.u32()?)),
                IFLA_LINK => points_to = Some(IfIndex(attribute.u32()?)).filter(|lower| lower.0 != 0),
                IFLA_LINK_NETNSID => elsewhere = true,
                IFLA_IFALIAS => alias = Some(attribute.string()),
                IFLA_PHYS_PORT_NAME => phys_port_name = Some(attribute.string()),
                IFLA_PHYS_SWITCH_ID => phys_switch_id = Some(hexadecimal(attribute.payload())),
                IFLA_LINKINFO => {
                    kind = attribute.nest().find(IFLA_INFO_KIND)?.map(|attribute| attribute.string());
                    if kind.as_deref() == Some(bond::KIND) {
                        bond_mode = bond::mode(attribute.nest())?;
                    }
                }
                _ => {}
            }
        }
        let Some(name) = name else { return Ok(None) };
        let link = Link {
            index,
            name,
            up,
            mac: mac.unwrap_or(MacAddress::ZERO),
            permanent_mac,
            parent,
            master,
            phys_port_name,
            phys_switch_id,
        };
        let points_to = points_to.filter(|_| !elsewhere);
        Ok(Some(Self { link, kind, points_to, alias, bond_mode }))
    }
}

fn ethernet(attribute: Attribute<'_>) -> Option<MacAddress> {
    attribute.array("a MAC address").ok().map(MacAddress::new)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::super::wire::RTM_NEWLINK;
    use super::*;
    use proptest::prelude::*;
    use vdpa_netlink::Tlvs;

    fn new_link(attributes: &Tlvs) -> Message {
        Message::about_link_flags(RTM_NEWLINK, IfIndex(12), IFF_UP, 0, attributes)
    }

    #[test]
    fn a_representor_is_read() {
        let attributes = Tlvs::new()
            .string(IFLA_IFNAME, "enp67s0f0npf0vf")
            .bytes(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1])
            .bytes(IFLA_PERM_ADDRESS, &[0; 6])
            .bytes(IFLA_PHYS_SWITCH_ID, &[0x0c, 0x42, 0xa1, 0xff, 0xfe, 0x00])
            .string(IFLA_PHYS_PORT_NAME, "pf0vf3")
            .u32(IFLA_MASTER, 9)
            .string(IFLA_PARENT_DEV_NAME, "0000:43:00.0")
            .string(IFLA_PARENT_DEV_NAME + 1, "pci");
        let record = Record::read(&new_link(&attributes)).unwrap().unwrap();
        assert_eq!((record.link.index, record.link.up), (IfIndex(12), true));
        assert_eq!(record.link.name.as_str(), "enp67s0f0npf0vf");
        assert_eq!(record.link.parent.unwrap().to_string(), "0000:43:00.0");
        assert_eq!(record.link.phys_switch_id.as_deref(), Some("0c42a1fffe00"));
        assert_eq!((record.link.master, record.link.permanent_mac), (Some(IfIndex(9)), None));
        assert!(record.link.is_representor());
    }

    #[test]
    fn a_vlan_points_to_the_device_below_and_a_pair_across_namespaces_does_not() {
        let info = Tlvs::new().string(IFLA_INFO_KIND, "vlan");
        let vlan = Tlvs::new().string(IFLA_IFNAME, "eno1.5").u32(IFLA_LINK, 2).nest(IFLA_LINKINFO, &info);
        let record = Record::read(&new_link(&vlan)).unwrap().unwrap();
        assert_eq!((record.kind.as_deref(), record.points_to), (Some("vlan"), Some(IfIndex(2))));
        let elsewhere = vlan.u32(IFLA_LINK_NETNSID, 0);
        assert_eq!(Record::read(&new_link(&elsewhere)).unwrap().unwrap().points_to, None);
    }

    #[test]
    fn an_address_that_is_not_ethernets_is_none() {
        let infiniband = Tlvs::new().string(IFLA_IFNAME, "ib0").bytes(IFLA_ADDRESS, &[1; 20]);
        assert_eq!(Record::read(&new_link(&infiniband)).unwrap().unwrap().link.mac, MacAddress::ZERO);
    }

    proptest! {
        #[test]
        fn no_message_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::read(&Message { kind: RTM_NEWLINK, body });
        }
    }
}
