//! Domains by name.

use std::fmt;
use std::str::FromStr;

use vdpa_hw::ParseError;

/// The name of a libvirt domain: not empty, without `/` and control characters.
///
/// libvirt's rule: `virDomainDefPostParseCheckFeatures` and `virDomainDefNameValidate` in
/// `src/conf` (seen with 9.0: "name a/b cannot contain '/'", "missing name information").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether virsh could take the name for a domain's id or UUID, which it tries first.
    ///
    /// Source: `virshLookupDomainInternal` in `tools/virsh-util.c`.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let digits = self.0.bytes().all(|b| b.is_ascii_digit());
        let uuid =
            self.0.len() >= 32 && self.0.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b' ');
        digits || uuid
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DomainName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |why| Err(ParseError { noun: "a domain name", text: text.to_owned(), why });
        if text.is_empty() {
            return error("it is empty");
        }
        if text.chars().any(|c| c == '/' || c.is_control()) {
            return error("libvirt allows no `/` and no control character in it");
        }
        Ok(Self(text.to_owned()))
    }
}

impl serde::Serialize for DomainName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for DomainName {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_libvirt_refuses_are_refused() {
        assert!("cx6.1".parse::<DomainName>().is_ok());
        assert!("my domain".parse::<DomainName>().is_ok());
        for bad in ["", "a/b", "a\nb", "a\u{0}"] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_like_an_id_or_a_uuid_is_ambiguous() {
        let ambiguous = |text: &str| text.parse::<DomainName>().unwrap().is_ambiguous();
        assert!(ambiguous("7"));
        assert!(ambiguous("5cbb6f7c-7122-4fc4-9706-ff46aed3bf25"));
        assert!(!ambiguous("cx6.1"));
        assert!(!ambiguous("beef"));
    }

    proptest! {
        #[test]
        fn names_round_trip(text in "[^/\\p{Cc}]{1,40}") {
            let name: DomainName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text);
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<DomainName>(&json).unwrap(), name);
        }
    }
}
