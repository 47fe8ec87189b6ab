//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};

/// An IEEE 802 MAC address: `e4:11:22:33:55:60`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

impl MacAddress {
    /// All zeros: what a driver reports for a VF whose MAC nobody has set.
    pub const ZERO: Self = Self([0; 6]);

    /// The address with these bytes, first on the wire first.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The bytes, first on the wire first.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether it names a group of stations (the I/G bit; IEEE 802-2014, 8.2.2).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station may have it: neither multicast nor all zeros.
    ///
    /// The kernel's rule: `is_valid_ether_addr` in `include/linux/etherdevice.h`.
    pub fn is_station(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, octet) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{octet:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for MacAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let mut octets = [0; 6];
            let mut parts = text.split(':');
            for octet in &mut octets {
                let part = parts.next()?;
                let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
                *octet = digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()?;
            }
            parts.next().is_none().then_some(Self(octets))
        };
        parse().ok_or_else(|| {
            ParseError::new(
                "a MAC address",
                text,
                "write six bytes in hexadecimal with colons: e4:11:22:33:55:60",
            )
        })
    }
}

serde_as_text!(MacAddress);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn group_and_zero_addresses_are_no_stations() {
        let station = |text: &str| text.parse::<MacAddress>().unwrap().is_station();
        assert!(station("e4:11:22:33:55:60"));
        assert!(!station("01:00:5e:00:00:01"));
        assert!(!station("ff:ff:ff:ff:ff:ff"));
        assert!(!station("00:00:00:00:00:00"));
    }

    #[test]
    fn half_an_address_is_refused() {
        for bad in [
            "e4:11:22:33:55",
            "e4:11:22:33:55:60:61",
            "e4-11-22-33-55-60",
            "e4:11:22:33:55:6",
            "",
            "+4:11:22:33:55:60",
        ] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn addresses_round_trip(octets: [u8; 6]) {
            let mac = MacAddress::new(octets);
            prop_assert_eq!(mac.to_string().parse::<MacAddress>().unwrap(), mac);
            prop_assert_eq!(mac.to_string().to_uppercase().parse::<MacAddress>().unwrap(), mac);
        }
    }
}
