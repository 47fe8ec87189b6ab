//! A virtual function by its parent and its index: the key that survives renames and rebinds.

use std::fmt;
use std::str::FromStr;

use super::{ParseError, PciAddress, serde_as_text};

/// The number of a VF below its PF, counted from 0 as `virtfnN` and `ip link … vf N` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VfIndex(u16);

impl VfIndex {
    /// The index `n`.
    pub const fn new(n: u16) -> Self {
        Self(n)
    }

    /// The index as a number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The indexes of `count` VFs: 0, 1, … `count` − 1.
    pub fn first(count: u16) -> impl Iterator<Item = Self> + Clone {
        (0..count).map(Self)
    }
}

impl fmt::Display for VfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for VfIndex {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| text.parse().ok().map(Self))
            .flatten()
            .ok_or_else(|| ParseError::new("a VF index", text, "VFs are counted from 0 to 65535"))
    }
}

impl serde::Serialize for VfIndex {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for VfIndex {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u16::deserialize(from).map(Self)
    }
}

/// A virtual function as steps and receipts name it: `0000:43:00.0/vf3`.
///
/// Its own PCI address, netdev and representor are looked up when they are needed, because they
/// come and go; this key does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vf {
    /// The physical function it belongs to.
    pub pf: PciAddress,
    /// Its number below the PF.
    pub index: VfIndex,
}

impl Vf {
    /// VF `index` of `pf`.
    pub const fn new(pf: PciAddress, index: u16) -> Self {
        Self { pf, index: VfIndex::new(index) }
    }
}

impl fmt::Display for Vf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/vf{}", self.pf, self.index)
    }
}

impl FromStr for Vf {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (pf, index) = text.split_once("/vf")?;
            Some(Self { pf: pf.parse().ok()?, index: index.parse().ok()? })
        };
        parse().ok_or_else(|| {
            ParseError::new("a VF", text, "write its PF's address and its index: 0000:43:00.0/vf3")
        })
    }
}

serde_as_text!(Vf);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vf_is_named_by_its_pf_and_index() {
        let vf: Vf = "0000:43:00.0/vf3".parse().unwrap();
        assert_eq!(vf, Vf::new("0000:43:00.0".parse().unwrap(), 3));
        for bad in [
            "0000:43:00.0",
            "0000:43:00.0/vf",
            "0000:43:00.0/vf-1",
            "0000:43:00.0/vf+1",
            "x/vf0",
            "0000:43:00.0/vf65536",
        ] {
            assert!(bad.parse::<Vf>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn vfs_round_trip(bus: u8, index: u16) {
            let vf = Vf::new(PciAddress::new(0, bus, 0, 0).unwrap(), index);
            prop_assert_eq!(vf.to_string().parse::<Vf>().unwrap(), vf);
            let json = serde_json::to_string(&vf).unwrap();
            prop_assert_eq!(serde_json::from_str::<Vf>(&json).unwrap(), vf);
        }
    }
}
