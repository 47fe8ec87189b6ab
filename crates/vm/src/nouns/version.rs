//! Versions of libvirt.

use std::fmt;
use std::str::FromStr;

use vdpa_hw::ParseError;

/// A version of libvirt, `9.0.0`. What is not said is 0: `7.9` is `7.9.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u16,
    minor: u16,
    micro: u16,
}

impl Version {
    /// `major.minor.micro`.
    pub const fn new(major: u16, minor: u16, micro: u16) -> Self {
        Self { major, minor, micro }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parts: Option<Vec<u16>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([major]) => Ok(Self::new(*major, 0, 0)),
            Some([major, minor]) => Ok(Self::new(*major, *minor, 0)),
            Some([major, minor, micro]) => Ok(Self::new(*major, *minor, *micro)),
            _ => Err(ParseError {
                noun: "a version of libvirt",
                text: text.to_owned(),
                why: "it has up to three numbers, as 9.0.0",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_compare_number_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("7.10.0") > version("7.9") && version("7.9") == version("7.9.0"));
        assert!(version("10.0.0") > version("9.11.3"));
        for text in ["", "9.", "v9", "9.0.0.1", "9.0.0-rc1", "99999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn versions_round_trip(major: u16, minor: u16, micro: u16) {
            let version = Version::new(major, minor, micro);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
