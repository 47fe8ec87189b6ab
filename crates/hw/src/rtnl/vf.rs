//! What a PF keeps for its VFs: `IFLA_VFINFO_LIST`.

use std::collections::BTreeMap;

use vdpa_netlink::{Attribute, Attributes, Malformed, Tlvs};

use super::record::HEADER;
use super::wire::{Message, RTM_GETLINK, RTM_SETLINK};
use crate::link::{VfAttributes, VfChange};
use crate::nouns::{IfIndex, MacAddress, VfIndex};

const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_EXT_MASK: u16 = 29;
/// `RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS`: without the statistics, 255 VFs fit into one attribute.
const VFS_WITHOUT_STATISTICS: u32 = 1 | 8;
/// Within `IFLA_VFINFO_LIST`.
const IFLA_VF_INFO: u16 = 1;
/// Within `IFLA_VF_INFO`.
const IFLA_VF_MAC: u16 = 1;
const IFLA_VF_SPOOFCHK: u16 = 4;
const IFLA_VF_TRUST: u16 = 9;
/// `MAX_ADDR_LEN`: the length of the address in `struct ifla_vf_mac`.
const MAX_ADDR_LEN: usize = 32;

/// Asks for the attributes of all VFs of the PF with this network device.
pub(super) fn get(pf: IfIndex) -> Message {
    Message::about_link(RTM_GETLINK, pf, &Tlvs::new().u32(IFLA_EXT_MASK, VFS_WITHOUT_STATISTICS))
}

/// The requests of a change, each with the name of what it sets: one an attribute, so that a refusal
/// says of which (the kernel sets those of one request in turn and stops at the first that fails).
pub(super) fn set(pf: IfIndex, vf: VfIndex, change: VfChange) -> Vec<(Message, String)> {
    let setting = |kind, on: bool| Tlvs::new().bytes(kind, &words(vf, u32::from(on)));
    let mac = change.mac.map(|mac| (mac_of(vf, mac), format!("MAC to {mac}")));
    let spoofchk = change.spoofchk.map(|on| (setting(IFLA_VF_SPOOFCHK, on), format!("spoofchk to {on}")));
    let trust = change.trust.map(|on| (setting(IFLA_VF_TRUST, on), format!("trust to {on}")));
    let request = |attribute: &Tlvs| {
        let list = Tlvs::new().nest(IFLA_VFINFO_LIST, &Tlvs::new().nest(IFLA_VF_INFO, attribute));
        Message::about_link(RTM_SETLINK, pf, &list)
    };
    [mac, spoofchk, trust]
        .into_iter()
        .flatten()
        .map(|(attribute, what)| (request(&attribute), what))
        .collect()
}

/// Reads the answer to [`get`].
pub(super) fn read(message: &Message) -> Result<BTreeMap<VfIndex, VfAttributes>, Malformed> {
    let Some(list) = message.attributes(HEADER).find(IFLA_VFINFO_LIST)? else { return Ok(BTreeMap::new()) };
    list.nest().into_iter().map(|info| read_one(info?.nest())).collect()
}

fn read_one(info: Attributes<'_>) -> Result<(VfIndex, VfAttributes), Malformed> {
    let mac = info.require(IFLA_VF_MAC, "IFLA_VF_MAC")?;
    let head: [u8; 10] =
        mac.payload().get(..10).and_then(|head| head.try_into().ok()).ok_or(Malformed::Size {
            kind: IFLA_VF_MAC,
            length: mac.payload().len(),
            wanted: "a struct ifla_vf_mac",
            size: 4 + MAX_ADDR_LEN,
        })?;
    let [a, b, c, d, octets @ ..] = head;
    let vf = u32::from_ne_bytes([a, b, c, d]);
    let index = u16::try_from(vf).map(VfIndex::new).map_err(|_| Malformed::Value {
        kind: IFLA_VF_MAC,
        name: "vf",
        value: vf.to_string(),
    })?;
    let setting = |kind| info.find(kind).and_then(|found| found.map(switch).transpose()).map(Option::flatten);
    let attributes = VfAttributes {
        mac: MacAddress::new(octets),
        trust: setting(IFLA_VF_TRUST)?,
        spoofchk: setting(IFLA_VF_SPOOFCHK)?,
    };
    Ok((index, attributes))
}

/// The setting of `struct ifla_vf_trust` and its like: -1 where the driver does not say
/// (`rtnl_fill_vfinfo` in `net/core/rtnetlink.c`).
fn switch(attribute: Attribute<'_>) -> Result<Option<bool>, Malformed> {
    let [.., a, b, c, d] = attribute.array::<8>("a VF's setting")?;
    Ok(match u32::from_ne_bytes([a, b, c, d]) {
        u32::MAX => None,
        setting => Some(setting != 0),
    })
}

fn mac_of(vf: VfIndex, mac: MacAddress) -> Tlvs {
    let mut payload = u32::from(vf.get()).to_ne_bytes().to_vec();
    payload.extend(mac.octets());
    payload.resize(4 + MAX_ADDR_LEN, 0);
    Tlvs::new().bytes(IFLA_VF_MAC, &payload)
}

fn words(vf: VfIndex, setting: u32) -> Vec<u8> {
    [u32::from(vf.get()).to_ne_bytes(), setting.to_ne_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(vf: u16, mac: [u8; 6], trust: u32, spoofchk: u32) -> Tlvs {
        let vf = VfIndex::new(vf);
        mac_of(vf, MacAddress::new(mac))
            .bytes(IFLA_VF_SPOOFCHK, &words(vf, spoofchk))
            .bytes(IFLA_VF_TRUST, &words(vf, trust))
    }

    fn answer(infos: &[Tlvs]) -> Message {
        let list = infos.iter().fold(Tlvs::new(), |list, info| list.nest(IFLA_VF_INFO, info));
        Message::about_link(16, IfIndex(3), &Tlvs::new().nest(IFLA_VFINFO_LIST, &list))
    }

    #[test]
    fn what_the_driver_does_not_say_is_none() {
        let message = answer(&[info(0, [2; 6], 1, 0), info(1, [0; 6], u32::MAX, u32::MAX)]);
        let vfs = read(&message).unwrap();
        let first = VfAttributes { mac: MacAddress::new([2; 6]), trust: Some(true), spoofchk: Some(false) };
        let second = VfAttributes { mac: MacAddress::ZERO, trust: None, spoofchk: None };
        assert_eq!(vfs, BTreeMap::from([(VfIndex::new(0), first), (VfIndex::new(1), second)]));
    }

    #[test]
    fn a_device_without_vfs_keeps_nothing() {
        assert_eq!(read(&Message::about_link(16, IfIndex(3), &Tlvs::new())), Ok(BTreeMap::new()));
    }

    /// What iproute2 6.1 sends for `ip link set dev X vf 1 mac e4:11:22:33:55:60`, from the nest on.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_mac_is_set_in_three_nests() {
        let mac = "e4:11:22:33:55:60".parse().ok();
        let requests = set(IfIndex(3), VfIndex::new(1), VfChange { mac, ..VfChange::default() });
        let [(message, what)] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!(what, "MAC to e4:11:22:33:55:60");
        let nests = &message.body[HEADER..];
        assert_eq!(nests[..12], [48, 0, 22, 0x80, 44, 0, 1, 0x80, 40, 0, 1, 0]);
        assert_eq!(nests[12..22], [1, 0, 0, 0, 0xe4, 0x11, 0x22, 0x33, 0x55, 0x60]);
        assert_eq!(nests[22..], [0; 26]);
    }

    #[test]
    fn each_attribute_is_a_request_of_its_own() {
        let change = VfChange { mac: Some(MacAddress::ZERO), trust: Some(true), spoofchk: Some(false) };
        let what: Vec<_> =
            set(IfIndex(3), VfIndex::new(0), change).into_iter().map(|(_, what)| what).collect();
        assert_eq!(what, ["MAC to 00:00:00:00:00:00", "spoofchk to false", "trust to true"]);
        assert!(set(IfIndex(3), VfIndex::new(0), VfChange::default()).is_empty());
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&Message { kind: 16, body });
        }
    }
}
