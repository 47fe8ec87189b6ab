//! A row's identity.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A row's identity.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub(super) u128);

/// Text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UUID")]
pub struct NoUuid(String);

impl FromStr for Uuid {
    type Err = NoUuid;

    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let invalid = || NoUuid(text.to_owned());
        let bytes: &[u8; 36] = text.as_bytes().try_into().map_err(|_| invalid())?;
        // Digits are combined without a branch each, and judged together: a snapshot has a UUID in every row.
        let (mut number, mut digits) = (0_u128, 0_u8);
        for (at, &byte) in bytes.iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                digits |= if byte == b'-' { 0 } else { NO_DIGIT };
            } else {
                let digit = DIGITS[usize::from(byte)];
                digits |= digit;
                number = number << 4 | u128::from(digit & 0xf);
            }
        }
        if digits & NO_DIGIT == 0 { Ok(Self(number)) } else { Err(invalid()) }
    }
}

/// Set in [`DIGITS`] for a byte that is no hexadecimal digit.
const NO_DIGIT: u8 = 0x80;

/// The value of each byte as a hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        digits[b"0123456789ABCDEF"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

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
