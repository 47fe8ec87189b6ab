//! A devlink instance by its handle.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vdpa_hw::{ParseError, PciAddress};

/// A devlink instance as `devlink dev` names it: `pci/0000:43:00.0`, `netdevsim/netdevsim1`.
///
/// Source: `DEVLINK_ATTR_BUS_NAME` and `DEVLINK_ATTR_DEV_NAME`, `Documentation/networking/devlink`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevlinkHandle {
    bus: String,
    name: String,
}

impl DevlinkHandle {
    /// The device `name` on `bus`; neither may be empty nor hold a `/`, a NUL or white space.
    pub fn new(bus: &str, name: &str) -> Result<Self, ParseError> {
        format!("{bus}/{name}").parse()
    }

    /// The bus: `pci`.
    pub fn bus(&self) -> &str {
        &self.bus
    }

    /// The device's name on its bus: `0000:43:00.0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The PCI function it is, if it is one.
    pub fn pci(&self) -> Option<PciAddress> {
        (self.bus == "pci").then(|| self.name.parse().ok()).flatten()
    }
}

impl From<PciAddress> for DevlinkHandle {
    fn from(address: PciAddress) -> Self {
        Self { bus: "pci".to_owned(), name: address.to_string() }
    }
}

impl fmt::Display for DevlinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bus, self.name)
    }
}

impl FromStr for DevlinkHandle {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let part = |part: &str| {
            let odd = |c: char| c == '/' || c.is_whitespace() || c.is_control();
            (!part.is_empty() && !part.contains(odd)).then(|| part.to_owned())
        };
        let parse = || {
            let (bus, name) = text.split_once('/')?;
            Some(Self { bus: part(bus)?, name: part(name)? })
        };
        parse().ok_or_else(|| ParseError {
            noun: "a devlink handle",
            text: text.to_owned(),
            why: "write it as `devlink dev` does: pci/0000:43:00.0",
        })
    }
}

impl Serialize for DevlinkHandle {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DevlinkHandle {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pci_function_has_a_handle_and_is_found_in_it() {
        let address: PciAddress = "0000:43:00.0".parse().unwrap();
        let handle = DevlinkHandle::from(address);
        assert_eq!(handle.to_string(), "pci/0000:43:00.0");
        assert_eq!(handle.pci(), Some(address));
        assert_eq!("netdevsim/netdevsim1".parse::<DevlinkHandle>().unwrap().pci(), None);
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        for bad in ["", "/", "pci/", "/0000:43:00.0", "0000:43:00.0", "pci/a/0", "pci/a b", "p\0/a"] {
            assert!(bad.parse::<DevlinkHandle>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn handles_round_trip(text in "[a-z]{1,9}/[a-z0-9:._-]{1,20}") {
            let handle: DevlinkHandle = text.parse().unwrap();
            prop_assert_eq!(handle.to_string(), text);
            let json = serde_json::to_string(&handle).unwrap();
            prop_assert_eq!(serde_json::from_str::<DevlinkHandle>(&json).unwrap(), handle);
        }
    }
}
