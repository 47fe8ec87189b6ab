//! Settings, their names, and the card that has them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Value;
use crate::nouns::{ParseError, serde_as_text};

/// The name of a setting as the firmware tools know it: `NUM_OF_VFS`, `LINK_TYPE_P1`, `HOST_CHAINING[3]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingName(String);

impl SettingName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The port that it is about, counted from 1 (`_P1`, `_P2`); `None` for the card's own.
    pub fn port(&self) -> Option<u8> {
        let (_, port) = self.0.rsplit_once("_P")?;
        match port.as_bytes() {
            [digit @ b'1'..=b'8'] => Some(digit - b'0'),
            _ => None,
        }
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for SettingName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (stem, index) = match text.strip_suffix(']').map(|rest| rest.split_once('[')) {
            Some(Some((stem, index))) => (stem, Some(index)),
            Some(None) => ("", None),
            None => (text, None),
        };
        // `RO` is how the tools mark what cannot be set.
        let fits = text.len() <= 96
            && text != "RO"
            && stem.starts_with(|c: char| c.is_ascii_alphabetic())
            && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && index.is_none_or(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()));
        fits.then(|| Self(text.to_owned())).ok_or_else(|| {
            ParseError::new(
                "a firmware setting's name",
                text,
                "letters, digits and `_`, as `mstconfig query` shows it: NUM_OF_VFS",
            )
        })
    }
}

serde_as_text!(SettingName);

/// A setting with its values; `None` is what the firmware, or whoever asked it, does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub name: SettingName,
    /// What it was made with.
    pub default: Option<Value>,
    /// What is in force.
    pub current: Option<Value>,
    /// What counts from the next reset or boot on.
    pub next: Option<Value>,
    /// Whether it cannot be set.
    pub read_only: bool,
    /// Who told.
    pub keeper: Keeper,
}

impl Setting {
    /// Whether another value counts from the next boot on than is in force.
    pub fn is_pending(&self) -> bool {
        self.current.is_some() && self.next.is_some() && self.current != self.next
    }
}

/// Who tells of a setting, and sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeper {
    /// The kernel, by a devlink parameter.
    Devlink,
    /// mstflint's tool.
    Mstconfig,
    /// MFT's tool.
    Mlxconfig,
    /// What one of the tools printed at another time.
    Saved,
    /// The simulated machine.
    Simulated,
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Devlink => "devlink",
            Self::Mstconfig => "mstconfig",
            Self::Mlxconfig => "mlxconfig",
            Self::Saved => "saved output",
            Self::Simulated => "simulated",
        })
    }
}

/// A card as the tools describe it; `None` is what they leave out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Card {
    /// Where it is: the address that the tool was given, or the name that it has for it.
    pub device: Option<String>,
    /// Its kind: `ConnectX6DX`.
    pub kind: Option<String>,
    /// Its part number.
    pub part: Option<String>,
    /// What it is in words.
    pub description: Option<String>,
}

/// The settings of a card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The card.
    pub card: Card,
    /// Its settings, in the order in which they were told.
    pub settings: Vec<Setting>,
    /// Why there may be more: who could not be asked.
    pub not_asked: Option<String>,
}

impl Settings {
    /// The setting with this name.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_tools() {
        for good in ["NUM_OF_VFS", "LINK_TYPE_P1", "FOO[3]", "num_of_vfs"] {
            assert_eq!(good.parse::<SettingName>().unwrap().to_string(), good);
        }
        for bad in ["", "RO", "8", "*NUM", "A-B", "FOO[]", "FOO[x]", "]", "FOO]", "NUM OF"] {
            assert!(bad.parse::<SettingName>().is_err(), "{bad}");
        }
        let port = |name: &str| name.parse::<SettingName>().unwrap().port();
        assert_eq!((port("LINK_TYPE_P2"), port("NUM_OF_VFS"), port("FOO_P12")), (Some(2), None, None));
    }
}
