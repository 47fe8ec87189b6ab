//! hw-tc-offload in ethtool's messages: how requests are written and answers read. No I/O.
//!
//! Source: `net/ethtool/features.c`, `net/ethtool/bitset.c`,
//! `Documentation/networking/ethtool-netlink.rst`; the numbers are from
//! `include/uapi/linux/ethtool_netlink.h`.

use vdpa_hw::IfIndex;
use vdpa_netlink::{Attribute, Attributes, Family, Malformed, Request, Tlvs};

use number::{
    ETHTOOL_A_BITSET_BIT_NAME, ETHTOOL_A_BITSET_BIT_VALUE, ETHTOOL_A_BITSET_BITS, ETHTOOL_A_BITSET_BITS_BIT,
    ETHTOOL_A_BITSET_NOMASK, ETHTOOL_A_BITSET_VALUE, ETHTOOL_A_FEATURES_ACTIVE, ETHTOOL_A_FEATURES_HEADER,
    ETHTOOL_A_FEATURES_HW, ETHTOOL_A_FEATURES_WANTED, ETHTOOL_A_HEADER_DEV_INDEX, ETHTOOL_A_HEADER_FLAGS,
    ETHTOOL_A_STRING_INDEX, ETHTOOL_A_STRING_VALUE, ETHTOOL_A_STRINGSET_ID, ETHTOOL_A_STRINGSET_STRINGS,
    ETHTOOL_A_STRINGSETS_STRINGSET, ETHTOOL_A_STRSET_HEADER, ETHTOOL_A_STRSET_STRINGSETS,
};

/// `ETHTOOL_GENL_NAME`.
pub(crate) const FAMILY: Family = Family::new("ethtool");

/// What `ethtool -k` calls the feature `NETIF_F_HW_TC`.
const HW_TC_OFFLOAD: &str = "hw-tc-offload";

/// Whether a device hands tc rules to its hardware, and whether that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcOffload {
    pub(crate) active: bool,
    pub(crate) changeable: bool,
}

/// Asks for the features of a device.
pub(crate) fn get(link: IfIndex) -> Request {
    Request::new(number::ETHTOOL_MSG_FEATURES_GET, format!("read the features of network device {link}"))
        .with(naming(link))
}

/// Asks for the features of every device, as words of bits: with their names a device's would be kilobytes.
pub(crate) fn list() -> Request {
    let header = Tlvs::new().u32(ETHTOOL_A_HEADER_FLAGS, number::ETHTOOL_FLAG_COMPACT_BITSETS);
    Request::new(number::ETHTOOL_MSG_FEATURES_GET, "list the features of the network devices")
        .with(Tlvs::new().nest(ETHTOOL_A_FEATURES_HEADER, &header))
}

/// Asks for the names of the features, by the bits' numbers.
pub(crate) fn names() -> Request {
    let set = Tlvs::new().u32(ETHTOOL_A_STRINGSET_ID, number::ETH_SS_FEATURES);
    let sets = Tlvs::new().nest(ETHTOOL_A_STRINGSETS_STRINGSET, &set);
    // Without a header, an empty one too, the kernel refuses it.
    let header = Tlvs::new().nest(ETHTOOL_A_STRSET_HEADER, &Tlvs::new());
    Request::new(number::ETHTOOL_MSG_STRSET_GET, "read the names of the features of network devices")
        .with(header.nest(ETHTOOL_A_STRSET_STRINGSETS, &sets))
}

/// Reads which bit hw-tc-offload is; `None` where the kernel has no such feature.
pub(crate) fn read_bit(names: Attributes<'_>) -> Result<Option<u32>, Malformed> {
    let sets = names.require(ETHTOOL_A_STRSET_STRINGSETS, "ETHTOOL_A_STRSET_STRINGSETS")?.nest();
    let set = sets.require(ETHTOOL_A_STRINGSETS_STRINGSET, "ETHTOOL_A_STRINGSETS_STRINGSET")?.nest();
    let strings = set.require(ETHTOOL_A_STRINGSET_STRINGS, "ETHTOOL_A_STRINGSET_STRINGS")?.nest();
    for string in strings {
        let string = string?.nest();
        if string.require(ETHTOOL_A_STRING_VALUE, "ETHTOOL_A_STRING_VALUE")?.string() == HW_TC_OFFLOAD {
            return string.require(ETHTOOL_A_STRING_INDEX, "ETHTOOL_A_STRING_INDEX")?.u32().map(Some);
        }
    }
    Ok(None)
}

/// Asks for hw-tc-offload to be on or off.
pub(crate) fn set(link: IfIndex, on: bool) -> Request {
    let bit = Tlvs::new().string(ETHTOOL_A_BITSET_BIT_NAME, HW_TC_OFFLOAD);
    let bit = if on { bit.flag(ETHTOOL_A_BITSET_BIT_VALUE) } else { bit };
    let bits = Tlvs::new().nest(ETHTOOL_A_BITSET_BITS_BIT, &bit);
    let wanted = Tlvs::new().nest(ETHTOOL_A_BITSET_BITS, &bits);
    let intent = format!("turn hw-tc-offload of network device {link} {}", if on { "on" } else { "off" });
    Request::new(number::ETHTOOL_MSG_FEATURES_SET, intent)
        .with(naming(link).nest(ETHTOOL_A_FEATURES_WANTED, &wanted))
}

/// Reads the features of a device.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<TcOffload, Malformed> {
    let has = |kind| match attributes.find(kind)? {
        Some(bitset) => value_in(bitset),
        None => Ok(false),
    };
    Ok(TcOffload { active: has(ETHTOOL_A_FEATURES_ACTIVE)?, changeable: has(ETHTOOL_A_FEATURES_HW)? })
}

/// Reads a device's part of the listing: whether `bit` is active.
pub(crate) fn read_active(attributes: Attributes<'_>, bit: u32) -> Result<bool, Malformed> {
    let active = attributes.require(ETHTOOL_A_FEATURES_ACTIVE, "ETHTOOL_A_FEATURES_ACTIVE")?.nest();
    let words = active.require(ETHTOOL_A_BITSET_VALUE, "ETHTOOL_A_BITSET_VALUE")?.payload();
    // Words of 32 bits, in the machine's order of bytes.
    let word = words.chunks_exact(4).zip(0_u32..).find(|(_, at)| *at == bit / 32);
    let word = word.map_or([0; 4], |(word, _)| [word[0], word[1], word[2], word[3]]);
    Ok(u32::from_ne_bytes(word) >> (bit % 32) & 1 == 1)
}

/// Reads a device's part of the listing: which it is.
pub(crate) fn read_link(attributes: Attributes<'_>) -> Result<IfIndex, Malformed> {
    let header = attributes.require(ETHTOOL_A_FEATURES_HEADER, "ETHTOOL_A_FEATURES_HEADER")?.nest();
    header.require(ETHTOOL_A_HEADER_DEV_INDEX, "ETHTOOL_A_HEADER_DEV_INDEX")?.u32().map(IfIndex)
}

fn naming(link: IfIndex) -> Tlvs {
    Tlvs::new().nest(ETHTOOL_A_FEATURES_HEADER, &Tlvs::new().u32(ETHTOOL_A_HEADER_DEV_INDEX, link.0))
}

/// Whether the bitset has hw-tc-offload set. With a mask, it lists set and cleared bits and flags those
/// that are set; without one (`NOMASK`), what it lists is set.
fn value_in(bitset: Attribute<'_>) -> Result<bool, Malformed> {
    let bitset = bitset.nest();
    let listed_is_set = bitset.find(ETHTOOL_A_BITSET_NOMASK)?.is_some();
    let Some(bits) = bitset.find(ETHTOOL_A_BITSET_BITS)? else { return Ok(false) };
    for bit in bits.nest() {
        let bit = bit?.nest();
        if bit.require(ETHTOOL_A_BITSET_BIT_NAME, "ETHTOOL_A_BITSET_BIT_NAME")?.string() == HW_TC_OFFLOAD {
            return Ok(listed_is_set || bit.find(ETHTOOL_A_BITSET_BIT_VALUE)?.is_some());
        }
    }
    Ok(false)
}

/// The numbers of messages and attributes.
mod number {
    use crate::uapi::numbers;

    numbers! { u16:
        ETHTOOL_A_HEADER_DEV_INDEX = 1,
        ETHTOOL_A_HEADER_FLAGS = 3,
        ETHTOOL_A_STRSET_HEADER = 1,
        ETHTOOL_A_STRSET_STRINGSETS = 2,
        ETHTOOL_A_STRINGSETS_STRINGSET = 1,
        ETHTOOL_A_STRINGSET_ID = 1,
        ETHTOOL_A_STRINGSET_STRINGS = 3,
        ETHTOOL_A_STRING_INDEX = 1,
        ETHTOOL_A_STRING_VALUE = 2,
        ETHTOOL_A_FEATURES_HEADER = 1,
        ETHTOOL_A_FEATURES_HW = 2,
        ETHTOOL_A_FEATURES_WANTED = 3,
        ETHTOOL_A_FEATURES_ACTIVE = 4,
        ETHTOOL_A_BITSET_NOMASK = 1,
        ETHTOOL_A_BITSET_BITS = 3,
        ETHTOOL_A_BITSET_VALUE = 4,
        ETHTOOL_A_BITSET_BITS_BIT = 1,
        ETHTOOL_A_BITSET_BIT_NAME = 2,
        ETHTOOL_A_BITSET_BIT_VALUE = 3,
    }

    pub(super) const ETHTOOL_FLAG_COMPACT_BITSETS: u32 = 1;
    pub(super) const ETH_SS_FEATURES: u32 = 4;

    pub(super) const ETHTOOL_MSG_STRSET_GET: u8 = 1;
    pub(super) const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
    pub(super) const ETHTOOL_MSG_FEATURES_SET: u8 = 12;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bit(name: &str, set: bool) -> Tlvs {
        let bit = Tlvs::new().u32(1, 40).string(2, name);
        if set { bit.flag(3) } else { bit }
    }

    fn bitset(nomask: bool, bits: &[Tlvs]) -> Tlvs {
        let list = bits.iter().fold(Tlvs::new(), |list, bit| list.nest(1, bit));
        let bitset = if nomask { Tlvs::new().flag(1) } else { Tlvs::new() };
        bitset.u32(2, 64).nest(3, &list)
    }

    fn answer(hw: &Tlvs, active: &Tlvs) -> TcOffload {
        let answer = Tlvs::new().nest(2, hw).nest(4, active);
        read(Attributes::new(answer.as_bytes())).unwrap()
    }

    #[test]
    fn set_and_cleared_are_told_apart_with_and_without_a_mask() {
        let other = bit("tx-checksum-ipv4", true);
        let on = bitset(true, &[other.clone(), bit(HW_TC_OFFLOAD, false)]);
        let off = bitset(true, std::slice::from_ref(&other));
        let may = bitset(false, &[other.clone(), bit(HW_TC_OFFLOAD, true)]);
        let fixed = bitset(false, &[other, bit(HW_TC_OFFLOAD, false)]);
        assert_eq!(answer(&may, &on), TcOffload { active: true, changeable: true });
        assert_eq!(answer(&may, &off), TcOffload { active: false, changeable: true });
        assert_eq!(answer(&fixed, &off), TcOffload { active: false, changeable: false });
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn off_is_a_bit_without_a_value() {
        let name = "18, 0, 2, 0, 104, 119, 45, 116, 99, 45, 111, 102, 102, 108, 111, 97, 100, 0, 0, 0";
        let (on, off) = (format!("{:?}", set(IfIndex(5), true)), format!("{:?}", set(IfIndex(5), false)));
        assert!(on.contains(&format!("{name}, 4, 0, 3, 0")), "{on}");
        assert!(off.contains(&format!("{name}]")), "{off}");
    }

    #[test]
    fn a_bit_is_found_by_its_name_and_read_from_its_word() {
        let string = |index, name: &str| Tlvs::new().u32(1, index).string(2, name);
        let strings = Tlvs::new().nest(1, &string(3, "tx-lro")).nest(1, &string(34, HW_TC_OFFLOAD));
        let names = |strings: &Tlvs| {
            let set = Tlvs::new().u32(1, 4).u32(2, 2).nest(3, strings);
            let names = Tlvs::new().nest(2, &Tlvs::new().nest(1, &set));
            read_bit(Attributes::new(names.as_bytes())).unwrap()
        };
        assert_eq!(names(&strings), Some(34));
        assert_eq!(names(&Tlvs::new().nest(1, &string(3, "tx-lro"))), None);
        let active = |words: &[u32]| {
            let words: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let message = Tlvs::new().nest(4, &Tlvs::new().flag(1).u32(2, 64).bytes(4, &words));
            read_active(Attributes::new(message.as_bytes()), 34).unwrap()
        };
        assert!(active(&[0, 1 << 2]));
        assert!(!active(&[u32::MAX, !(1 << 2)]));
        assert!(!active(&[u32::MAX]), "a kernel with fewer features");
    }

    #[test]
    fn a_listing_says_whose_features_they_are() {
        let of = |link| read_link(Attributes::new(naming(link).as_bytes())).unwrap();
        assert_eq!([of(IfIndex(1)), of(IfIndex(70_000))], [IfIndex(1), IfIndex(70_000)]);
        assert!(read_link(Attributes::new(Tlvs::new().as_bytes())).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let nested = Tlvs::new().bytes(1, &bytes).bytes(2, &bytes).bytes(4, &bytes);
            let _ = read(Attributes::new(nested.as_bytes()));
            let _ = read_link(Attributes::new(nested.as_bytes()));
        }
    }
}

/// The numbers against the header of linux-libc-dev.
#[cfg(all(test, feature = "daemon"))]
mod header {
    use super::number;
    use crate::uapi::check;

    #[test]
    fn every_number_is_the_headers() {
        let commands = [
            ("ETHTOOL_MSG_FEATURES_GET", u64::from(number::ETHTOOL_MSG_FEATURES_GET)),
            ("ETHTOOL_MSG_FEATURES_SET", u64::from(number::ETHTOOL_MSG_FEATURES_SET)),
        ];
        check("/usr/include/linux/ethtool_netlink.h", &[number::TABLE, &commands].concat());
    }
}
