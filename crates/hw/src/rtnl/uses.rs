//! How this host's own traffic uses a network device: addresses, routes, what stands above it.

use std::net::IpAddr;

use vdpa_netlink::{Attribute, Malformed};

use super::record::Record;
use super::wire::Message;
use crate::link::ManagementUse;
use crate::nouns::IfIndex;

/// The length of `struct ifaddrmsg`.
pub(super) const ADDRESS_HEADER: usize = 8;
/// The length of `struct rtmsg`.
pub(super) const ROUTE_HEADER: usize = 12;
/// `AF_INET` and `AF_INET6`.
pub(super) const FAMILIES: [u8; 2] = [2, 10];

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
/// `RTN_UNICAST`: a route that leads somewhere.
const UNICAST: u8 = 1;

/// Kinds whose `IFLA_LINK` is the other end of a pair and not a device below.
const PAIRS: [&str; 3] = ["veth", "netkit", "vxcan"];
/// The kind of `ovs-system`, which every port of an OVS kernel datapath has as its master: what such a bridge
/// is for is in OVSDB, and the layer that speaks to OVS answers for it.
const OVS_DATAPATH: &str = "openvswitch";

/// The address in an `RTM_NEWADDR`, if it is `link`'s and one by which the host can be reached from afar.
pub(super) fn address(message: &Message, link: IfIndex) -> Result<Option<IpAddr>, Malformed> {
    if IfIndex(message.u32(4)?) != link {
        return Ok(None);
    }
    let attributes = message.attributes(ADDRESS_HEADER);
    // IFA_ADDRESS is the peer's on a point-to-point link, where IFA_LOCAL is ours.
    let attribute = match attributes.find(IFA_LOCAL)? {
        Some(local) => Some(local),
        None => attributes.find(IFA_ADDRESS)?,
    };
    Ok(attribute.and_then(ip).filter(|ip| !is_local(ip)))
}

/// Whether an `RTM_NEWROUTE` is a default route through `link`.
pub(super) fn is_default_route(message: &Message, link: IfIndex) -> Result<bool, Malformed> {
    let [family, destination_length, ..] = message.array::<4>(0)?;
    let [kind] = message.array::<1>(7)?;
    if !FAMILIES.contains(&family) || destination_length != 0 || kind != UNICAST {
        return Ok(false);
    }
    let attributes = message.attributes(ROUTE_HEADER);
    if let Some(out) = attributes.find(RTA_OIF)?
        && IfIndex(out.u32()?) == link
    {
        return Ok(true);
    }
    Ok(attributes.find(RTA_MULTIPATH)?.is_some_and(|hops| next_hops(hops.payload()).contains(&link)))
}

/// What stands above `link`: its master, and the devices that point to it.
pub(super) fn above(records: &[Record], link: &Record) -> Vec<ManagementUse> {
    let master = link.link.master.and_then(|index| records.iter().find(|record| record.link.index == index));
    let member = master
        .filter(|master| master.kind.as_deref() != Some(OVS_DATAPATH))
        .map(|master| ManagementUse::MemberOf(master.link.name.clone()));
    let upper = |record: &&Record| {
        record.points_to == Some(link.link.index)
            && record.link.index != link.link.index
            && !record.kind.as_deref().is_some_and(|kind| PAIRS.contains(&kind))
    };
    let carried =
        records.iter().filter(upper).map(|record| ManagementUse::CarriedBy(record.link.name.clone()));
    member.into_iter().chain(carried).collect()
}

fn ip(attribute: Attribute<'_>) -> Option<IpAddr> {
    let payload = attribute.payload();
    let four = <[u8; 4]>::try_from(payload).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(payload).map(IpAddr::from)).ok()
}

/// Addresses that the kernel gives by itself, or that lead nowhere but to this host.
fn is_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// The devices in a list of `struct rtnexthop`: length u16, flags u8, hops u8, ifindex i32, attributes.
fn next_hops(mut bytes: &[u8]) -> Vec<IfIndex> {
    let mut links = Vec::new();
    while let [l, h, _, _, a, b, c, d, ..] = *bytes {
        links.push(IfIndex(u32::from_ne_bytes([a, b, c, d])));
        let length = usize::from(u16::from_ne_bytes([l, h])).max(8).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_netlink::Tlvs;

    fn new_address(index: u32, attributes: &Tlvs) -> Message {
        let mut body = vec![2, 24, 0, 0];
        body.extend(index.to_ne_bytes());
        body.extend(attributes.as_bytes());
        Message { kind: 20, body }
    }

    fn route(family: u8, destination_length: u8, kind: u8, attributes: &Tlvs) -> Message {
        let mut body = vec![family, destination_length, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0];
        body.extend(attributes.as_bytes());
        Message { kind: 24, body }
    }

    #[test]
    fn an_address_from_afar_counts_and_a_link_local_one_does_not() {
        let link = IfIndex(2);
        let read = |payload: &[u8]| {
            address(&new_address(2, &Tlvs::new().bytes(IFA_ADDRESS, payload)), link).unwrap()
        };
        assert_eq!(read(&[10, 0, 0, 5]), "10.0.0.5".parse().ok());
        assert_eq!(read(&[169, 254, 0, 5]), None);
        assert_eq!(read(&[127, 0, 0, 1]), None);
        let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        assert_eq!(read(&v6("2001:db8::1")), "2001:db8::1".parse().ok());
        assert_eq!(read(&v6("fe80::1")), None);
        let other = new_address(3, &Tlvs::new().bytes(IFA_ADDRESS, &[10, 0, 0, 5]));
        assert_eq!(address(&other, link), Ok(None));
    }

    #[test]
    fn on_a_point_to_point_link_the_local_end_counts() {
        let pair = Tlvs::new().bytes(IFA_ADDRESS, &[10, 0, 0, 1]).bytes(IFA_LOCAL, &[10, 0, 0, 2]);
        assert_eq!(address(&new_address(2, &pair), IfIndex(2)), Ok("10.0.0.2".parse().ok()));
    }

    #[test]
    fn default_routes_lead_somewhere_through_one_device_or_several() {
        let link = IfIndex(2);
        let through = Tlvs::new().u32(RTA_OIF, 2);
        assert_eq!(is_default_route(&route(2, 0, UNICAST, &through), link), Ok(true));
        assert_eq!(is_default_route(&route(10, 0, UNICAST, &through), link), Ok(true));
        assert_eq!(is_default_route(&route(2, 24, UNICAST, &through), link), Ok(false));
        assert_eq!(is_default_route(&route(10, 0, 7, &through), link), Ok(false), "unreachable default");
        assert_eq!(is_default_route(&route(2, 0, UNICAST, &Tlvs::new().u32(RTA_OIF, 3)), link), Ok(false));
        let hop = |index: u32| {
            [&16u16.to_ne_bytes()[..], &[0, 0], &index.to_ne_bytes(), &[8, 0, 5, 0, 10, 0, 0, 1]].concat()
        };
        let hops = Tlvs::new().bytes(RTA_MULTIPATH, &[hop(3), hop(2)].concat());
        assert_eq!(is_default_route(&route(2, 0, UNICAST, &hops), link), Ok(true));
    }
}
