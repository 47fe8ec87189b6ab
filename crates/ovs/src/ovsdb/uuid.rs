//! A row's identity.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A row's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub(super) u128);

/// Text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID")]
pub struct NoUuid(String);

impl FromStr for Uuid {
    type Err = NoUuid;

    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let bytes = text.as_bytes();
        let mut number = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match ((byte as char).to_digit(16), at) {
                (None, 8 | 13 | 18 | 23) if byte == b'-' => {}
                (Some(digit), 0..=7 | 9..=12 | 14..=17 | 19..=22 | 24..=35) => {
                    number = number << 4 | u128::from(digit);
                }
                _ => return Err(NoUuid(text.to_owned())),
            }
        }
        if bytes.len() == 36 { Ok(Self(number)) } else { Err(NoUuid(text.to_owned())) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form_is_taken() {
        const UUID: &str = "7b316e1d-d832-45ef-a03d-6a1212d7d15d";
        assert_eq!(UUID.parse::<Uuid>().unwrap().to_string(), UUID);
        for text in [&format!("{UUID}0"), &UUID[..35], &UUID.replace('-', "0"), "", "7b316e1d"] {
            assert!(text.parse::<Uuid>().is_err(), "{text:?} was taken");
        }
    }
}
