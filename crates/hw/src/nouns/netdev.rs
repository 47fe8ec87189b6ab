//! Network devices by name and by index.

use std::fmt;
use std::str::FromStr;

use super::{ParseError, serde_as_text};

/// The kernel's number of a network device. It never changes while the device lives; a name may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a network device: 1 to 15 bytes, no `/`, `:` or white space, neither `.` nor `..`.
///
/// The kernel's rule: `dev_valid_name` in `net/core/dev.c` (IFNAMSIZ is 16 with the final NUL).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetdevName(String);

impl NetdevName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NetdevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for NetdevName {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl FromStr for NetdevName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |why| Err(ParseError::new("a network device name", text, why));
        if text.is_empty() {
            return error("it is empty");
        }
        if text.len() > 15 {
            return error("the kernel allows 15 characters");
        }
        if matches!(text, "." | "..")
            || text.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
        {
            return error("the kernel allows no `/`, `:` or white space in it");
        }
        Ok(Self(text.to_owned()))
    }
}

serde_as_text!(NetdevName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_the_kernel_refuses_are_refused() {
        assert!("enp67s0f0npf0vf".parse::<NetdevName>().is_ok());
        for bad in ["", ".", "..", "a/b", "a b", "eth0:1", "enp67s0f0npf0vf0", "a\tb", "a\u{0}b"] {
            assert!(bad.parse::<NetdevName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(text in "[a-z][a-z0-9_.-]{0,14}") {
            prop_assert_eq!(text.parse::<NetdevName>().unwrap().to_string(), text);
        }
    }
}
