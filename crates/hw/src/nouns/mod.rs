//! The nouns every layer speaks: validated at the door, `Display` and `FromStr` round-trip, no I/O.

mod mac;
mod netdev;
mod pci;
mod vf;

pub use mac::MacAddress;
pub use netdev::{IfIndex, NetdevName};
pub use pci::{DriverName, PciAddress, PciId};
pub use vf::{Vf, VfIndex};

use thiserror::Error;

/// A text that is not the noun it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {noun}: {why}")]
pub struct ParseError {
    /// What the text was taken for, with its article: "a PCI address".
    pub noun: &'static str,
    /// The text as it was given.
    pub text: String,
    /// What is wrong with it and what a right one looks like.
    pub why: &'static str,
}

impl ParseError {
    pub(crate) fn new(noun: &'static str, text: &str, why: &'static str) -> Self {
        Self { noun, text: text.to_owned(), why }
    }
}

/// Serializes a noun as the text it displays as, and reads it back through `FromStr`.
macro_rules! serde_as_text {
    ($($noun:ty),+) => {$(
        impl serde::Serialize for $noun {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $noun {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_text;
