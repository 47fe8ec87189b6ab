//! Bonds: several network devices as one (`Documentation/networking/bonding.rst`).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nouns::{IfIndex, NetdevName, ParseError};

/// A bond as it stands now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The kernel's number of it.
    pub index: IfIndex,
    /// Its name.
    pub name: NetdevName,
    /// How it spreads what it sends; `None` for a mode that is not known here.
    pub mode: Option<BondMode>,
    /// Whether [`add_bond`](crate::Links::add_bond) made it: its alias says so.
    pub ours: bool,
    /// The devices in it.
    pub members: BTreeSet<IfIndex>,
}

/// The alias (`IFLA_IFALIAS`, `ip link set … alias`) of bonds that this crate made.
pub const BOND_ALIAS: &str = "vdpa";

/// How a bond spreads what it sends (`BOND_MODE_*` in `include/uapi/linux/if_bonding.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BondMode {
    /// Each packet to the next member.
    #[serde(rename = "balance-rr")]
    BalanceRr,
    /// One member sends, the others stand by.
    #[serde(rename = "active-backup")]
    ActiveBackup,
    /// By a hash of the packet's addresses.
    #[serde(rename = "balance-xor")]
    BalanceXor,
    /// Every packet through every member.
    #[serde(rename = "broadcast")]
    Broadcast,
    /// By a hash, agreed on with the switch (LACP).
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By load.
    #[serde(rename = "balance-tlb")]
    BalanceTlb,
    /// By load, both ways.
    #[serde(rename = "balance-alb")]
    BalanceAlb,
}

impl BondMode {
    /// Every one of them, in the order of the kernel's numbers.
    pub const ALL: &'static [Self] = &[
        Self::BalanceRr,
        Self::ActiveBackup,
        Self::BalanceXor,
        Self::Broadcast,
        Self::Lacp,
        Self::BalanceTlb,
        Self::BalanceAlb,
    ];

    /// Its number in the kernel's header.
    pub(crate) fn number(self) -> u8 {
        let at = Self::ALL.iter().position(|mode| *mode == self);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or_default()
    }

    /// The one with this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for BondMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BalanceRr => "balance-rr",
            Self::ActiveBackup => "active-backup",
            Self::BalanceXor => "balance-xor",
            Self::Broadcast => "broadcast",
            Self::Lacp => "802.3ad",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        })
    }
}

impl FromStr for BondMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.iter().copied().find(|mode| mode.to_string() == text).ok_or_else(|| ParseError {
            noun: "a bond mode",
            text: text.to_owned(),
            why: "it is one of: balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_round_trip_as_words_and_as_numbers() {
        for (number, mode) in (0..).zip(BondMode::ALL) {
            assert_eq!(mode.to_string().parse(), Ok(*mode));
            assert_eq!(serde_json::to_string(mode).unwrap(), format!("\"{mode}\""));
            assert_eq!((mode.number(), BondMode::from_number(number)), (number, Some(*mode)));
        }
        assert_eq!((BondMode::Lacp.number(), BondMode::from_number(7)), (4, None));
    }
}
