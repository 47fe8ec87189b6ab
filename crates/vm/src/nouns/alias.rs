//! The mark on an interface that says that it is ours, and for whom it is there.

use std::fmt;
use std::str::FromStr;

use vdpa_hw::{MacAddress, ParseError, PciAddress, Vf};

/// The user alias of an interface of ours: `ua-vdpa-0000-43-00-0-vf3` where it serves a VF that this host knows,
/// `ua-vdpa-mac-e4-11-22-33-55-60` where all that is known of it is its MAC.
///
/// libvirt keeps an alias that starts with `ua-` in the definition and refuses a second device with
/// it. It allows letters, digits, `_` and `-`, and drops an alias with any other character without a
/// word (`virDomainDeviceAliasIsUserAlias` and `USER_ALIAS_CHARS` in `src/conf`; seen with 9.0), so
/// `:` and `.` are written as `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alias {
    /// It serves this VF.
    Vf(Vf),
    /// It was made with this MAC, for a document that knows no VF.
    Mac(MacAddress),
}

impl From<Vf> for Alias {
    fn from(vf: Vf) -> Self {
        Self::Vf(vf)
    }
}

impl From<MacAddress> for Alias {
    fn from(mac: MacAddress) -> Self {
        Self::Mac(mac)
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vf(vf) => {
                write!(f, "ua-vdpa-{}-vf{}", vf.pf.to_string().replace([':', '.'], "-"), vf.index)
            }
            Self::Mac(mac) => write!(f, "ua-vdpa-mac-{}", mac.to_string().replace(':', "-")),
        }
    }
}

impl FromStr for Alias {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let whom = text.strip_prefix("ua-vdpa-")?;
            if let Some(mac) = whom.strip_prefix("mac-") {
                return Some(Self::Mac(mac.replace('-', ":").parse().ok()?));
            }
            let (pf, index) = whom.split_once("-vf")?;
            let [domain, bus, device, function] = pf.split('-').collect::<Vec<_>>().try_into().ok()?;
            let pf: PciAddress = format!("{domain}:{bus}:{device}.{function}").parse().ok()?;
            Some(Self::Vf(Vf { pf, index: index.parse().ok()? }))
        };
        parse().ok_or_else(|| ParseError {
            noun: "an alias of ours",
            text: text.to_owned(),
            why: "ours read ua-vdpa-0000-43-00-0-vf3 or ua-vdpa-mac-e4-11-22-33-55-60",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_aliases_are_not_ours() {
        for other in [
            "net0",
            "ua-vdpa",
            "ua-vdpa-0000-43-00.0-vf0",
            "ua-vdpa-0000-43-00-0-0-vf0",
            "ua-vdpa-0000-43-00-0-vf",
            "ua-vdpa-mac-e4-11-22-33-55",
            "ua-vdpa-mac-",
        ] {
            assert!(other.parse::<Alias>().is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn aliases_round_trip_in_the_characters_libvirt_allows(
            domain: u16, bus: u8, device in 0u8..32, function in 0u8..8, index: u16, mac: [u8; 6],
        ) {
            let vf = Vf::new(PciAddress::new(domain, bus, device, function).unwrap(), index);
            for alias in [Alias::from(vf), MacAddress::new(mac).into()] {
                let text = alias.to_string();
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{}", text);
                prop_assert_eq!(text.parse::<Alias>().unwrap(), alias);
            }
        }
    }
}
