//! PCI functions by address, by id and by the driver that is bound to them.

use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};

/// Where a PCI function sits: `domain:bus:device.function`, as sysfs names it (`0000:43:00.0`).
///
/// Source: `Documentation/PCI/sysfs-pci.rst`; the fields' widths are those of the PCI specification
/// (domain 16 bits here, as every platform with a `ConnectX` card has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u16,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciAddress {
    const WHY: &'static str = "write it as `lspci -D` does: 0000:43:00.0";

    /// The address with these parts; `None` where the device is over 31 or the function over 7.
    pub const fn new(domain: u16, bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > 31 || function > 7 {
            return None;
        }
        Some(Self { domain, bus, device, function })
    }

    /// Function 0 of the same device: what is one card has this in common.
    #[must_use]
    pub const fn first_function(self) -> Self {
        Self { function: 0, ..self }
    }

    /// The domain.
    pub const fn domain(self) -> u16 {
        self.domain
    }

    /// The bus in its domain.
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The device on its bus, 31 at most.
    pub const fn device(self) -> u8 {
        self.device
    }

    /// The function of its device, 7 at most.
    pub const fn function(self) -> u8 {
        self.function
    }

    /// The function `offset` routing ids further on, as the SR-IOV capability counts its VFs.
    ///
    /// `None` where that runs past the last bus of the domain. Source: PCI Express Base 4.0, 9.3.3.9.
    pub fn offset_by(self, offset: u16) -> Option<Self> {
        let id = u16::from(self.bus) << 8 | u16::from(self.device) << 3 | u16::from(self.function);
        let [bus, devfn] = id.checked_add(offset)?.to_be_bytes();
        Some(Self { domain: self.domain, bus, device: devfn >> 3, function: devfn & 7 })
    }
}

impl fmt::Display for PciAddress {
    /// Digit by digit: a look at a host writes thousands of addresses, and `write!` of four numbers takes ten times as long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |number: u16, place: u16| b"0123456789abcdef"[usize::from(number >> (4 * place) & 15)];
        let (domain, bus, device) = (self.domain, u16::from(self.bus), u16::from(self.device));
        let text = [
            digit(domain, 3),
            digit(domain, 2),
            digit(domain, 1),
            digit(domain, 0),
            b':',
            digit(bus, 1),
            digit(bus, 0),
            b':',
            digit(device, 1),
            digit(device, 0),
            b'.',
            digit(u16::from(self.function), 0),
        ];
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for PciAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        fn hex(text: &str, width: usize) -> Option<u16> {
            let digits = text.len() == width && text.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u16::from_str_radix(text, 16).ok()).flatten()
        }
        let parse = || {
            let (rest, function) = text.rsplit_once('.')?;
            let (rest, device) = rest.rsplit_once(':')?;
            let (domain, bus) = rest.rsplit_once(':')?;
            let byte = |text, width| hex(text, width).and_then(|n| u8::try_from(n).ok());
            Self::new(hex(domain, 4)?, byte(bus, 2)?, byte(device, 2)?, byte(function, 1)?)
        };
        parse().ok_or_else(|| ParseError::new("a PCI address", text, Self::WHY))
    }
}

/// Vendor and device id of a PCI function: what kind of card it is (`15b3:101d`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciId {
    /// The vendor (15b3 is Mellanox/NVIDIA).
    pub vendor: u16,
    /// The device as its vendor numbers it.
    pub device: u16,
}

impl fmt::Display for PciId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl FromStr for PciId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (vendor, device) = text.split_once(':')?;
            let word = |t: &str| (t.len() == 4).then(|| u16::from_str_radix(t, 16).ok()).flatten();
            Some(Self { vendor: word(vendor)?, device: word(device)? })
        };
        parse().ok_or_else(|| ParseError::new("a PCI id", text, "write it as `lspci -n` does: 15b3:101d"))
    }
}

/// The name of a kernel driver as the PCI bus knows it: `mlx5_core`, `vfio-pci`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverName(String);

impl DriverName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DriverName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fits = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
            && !text.starts_with('.');
        fits.then(|| Self(text.to_owned())).ok_or_else(|| {
            ParseError::new(
                "a driver name",
                text,
                "letters, digits, `_`, `-` and `.` only, as in /sys/bus/pci/drivers",
            )
        })
    }
}

serde_as_text!(PciAddress, PciId, DriverName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_read_as_lspci_prints_it() {
        let address: PciAddress = "0000:43:00.0".parse().unwrap();
        assert_eq!(Some(address), PciAddress::new(0, 0x43, 0, 0));
        for bad in
            ["43:00.0", "0000:43:20.0", "0000:43:00.8", "0000:43:00", "", "0000:43:00.0 ", "0000:+3:00.0"]
        {
            let error = bad.parse::<PciAddress>().unwrap_err();
            assert!(error.to_string().contains("0000:43:00.0"), "{error}");
        }
    }

    #[test]
    fn vf_routing_ids_cross_devices_and_buses() {
        let pf: PciAddress = "0000:43:00.0".parse().unwrap();
        assert_eq!(pf.offset_by(2).unwrap().to_string(), "0000:43:00.2");
        assert_eq!(pf.offset_by(8).unwrap().to_string(), "0000:43:01.0");
        assert_eq!(pf.offset_by(256).unwrap().to_string(), "0000:44:00.0");
        let last = PciAddress::new(0, 0xff, 31, 7).unwrap();
        assert_eq!(last.offset_by(1), None);
    }

    proptest! {
        #[test]
        fn addresses_round_trip(domain: u16, bus: u8, device in 0u8..32, function in 0u8..8) {
            let address = PciAddress::new(domain, bus, device, function).unwrap();
            prop_assert_eq!(address.to_string().parse::<PciAddress>().unwrap(), address);
        }

        #[test]
        fn ids_round_trip(vendor: u16, device: u16) {
            let id = PciId { vendor, device };
            prop_assert_eq!(id.to_string().parse::<PciId>().unwrap(), id);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<PciAddress>();
            let _ = text.parse::<PciId>();
            let _ = text.parse::<DriverName>();
        }
    }
}
