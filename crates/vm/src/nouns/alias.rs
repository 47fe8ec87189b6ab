//! The mark on an interface that says which VF it serves.

use std::fmt;
use std::str::FromStr;

use vdpa_hw::{ParseError, PciAddress, Vf};

/// The user alias of a VF's interface: `ua-vdpa-0000-43-00-0-vf3`.
///
/// libvirt keeps an alias that starts with `ua-` in the definition and refuses a second device with
/// it. It allows letters, digits, `_` and `-`, and drops an alias with any other character without a
/// word (`virDomainDeviceAliasIsUserAlias` and `USER_ALIAS_CHARS` in `src/conf`; seen with 9.0), so
/// the `:` and `.` of the PCI address are written as `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias(
    /// The VF that the interface serves.
    pub Vf,
);

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pf = self.0.pf.to_string().replace([':', '.'], "-");
        write!(f, "ua-vdpa-{pf}-vf{}", self.0.index)
    }
}

impl FromStr for Alias {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (pf, index) = text.strip_prefix("ua-vdpa-")?.split_once("-vf")?;
            let [domain, bus, device, function] = pf.split('-').collect::<Vec<_>>().try_into().ok()?;
            let pf: PciAddress = format!("{domain}:{bus}:{device}.{function}").parse().ok()?;
            Some(Self(Vf { pf, index: index.parse().ok()? }))
        };
        parse().ok_or_else(|| ParseError {
            noun: "an alias of ours",
            text: text.to_owned(),
            why: "ours read ua-vdpa-0000-43-00-0-vf3",
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
        ] {
            assert!(other.parse::<Alias>().is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn aliases_round_trip_in_the_characters_libvirt_allows(
            domain: u16, bus: u8, device in 0u8..32, function in 0u8..8, index: u16,
        ) {
            let alias = Alias(Vf::new(PciAddress::new(domain, bus, device, function).unwrap(), index));
            let text = alias.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{}", text);
            prop_assert_eq!(text.parse::<Alias>().unwrap(), alias);
        }
    }
}
