//! Network devices as statements name them: by what they are for.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::{PciAddress, Vf};
use vdpa_ovs::PortKey;

/// A network device, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Device {
    /// The PF's own; in switchdev mode, the uplink representor.
    Uplink(PciAddress),
    /// A VF's representor.
    Representor(Vf),
    /// A VF's own.
    Vf(Vf),
    /// The bond that a PF's uplink is in, by the first of its PFs.
    Bond(PciAddress),
}

impl Device {
    /// The key under which it is a port of the bridge: `0000:43:00.0/uplink`, `0000:43:00.0/vf0`.
    pub fn key(self) -> PortKey {
        let text = match self {
            Self::Uplink(pf) => format!("{pf}/uplink"),
            Self::Bond(pf) => format!("{pf}/bond"),
            Self::Representor(vf) | Self::Vf(vf) => vf.to_string(),
        };
        text.parse().unwrap_or_else(|error| unreachable!("{text} is a key: {error}"))
    }

    /// The physical function that it hangs on.
    pub fn pf(self) -> PciAddress {
        match self {
            Self::Uplink(pf) | Self::Bond(pf) => pf,
            Self::Representor(vf) | Self::Vf(vf) => vf.pf,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uplink(pf) => write!(f, "{pf}/uplink"),
            Self::Representor(vf) => write!(f, "{vf}/representor"),
            Self::Vf(vf) => write!(f, "{vf}/netdev"),
            Self::Bond(pf) => write!(f, "{pf}/bond"),
        }
    }
}

impl FromStr for Device {
    type Err = vdpa_hw::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once('/') {
            Some((pf, "uplink")) => pf.parse().map(Self::Uplink),
            Some((pf, "bond")) => pf.parse().map(Self::Bond),
            Some((vf, "netdev")) => vf.parse().map(Self::Vf),
            Some((vf, "representor")) => vf.parse().map(Self::Representor),
            _ => text.parse().map(Self::Representor),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `0000:43:00.0 uplink, vf 0-7`: ports by PF, consecutive VFs as a range.
pub(super) fn listed(ports: &BTreeSet<Device>) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut vfs: Vec<Vf> = Vec::new();
    for port in ports {
        match port {
            Device::Uplink(pf) => texts.push(format!("{pf} uplink")),
            Device::Bond(pf) => texts.push(format!("{pf} bond")),
            Device::Representor(vf) | Device::Vf(vf) => vfs.push(*vf),
        }
    }
    let consecutive = |a: &Vf, b: &Vf| a.pf == b.pf && a.index.get() + 1 == b.index.get();
    for run in vfs.chunk_by(consecutive) {
        match run {
            [only] => texts.push(format!("{} vf {}", only.pf, only.index)),
            [first, .., last] => texts.push(format!("{} vf {}-{}", first.pf, first.index, last.index)),
            [] => {}
        }
    }
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_round_trip() {
        let pf = "0000:43:00.0".parse().unwrap();
        for device in [
            Device::Uplink(pf),
            Device::Bond(pf),
            Device::Representor(Vf::new(pf, 3)),
            Device::Vf(Vf::new(pf, 3)),
        ] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        assert!("0000:43:00.0".parse::<Device>().is_err());
    }
}
