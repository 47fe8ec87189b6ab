//! Bonds as statements have them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use vdpa_hw::{BondMode, PciAddress};

/// What a bond is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondOf {
    /// How it spreads what it sends.
    pub mode: BondMode,
    /// The PFs whose uplinks are in it.
    pub uplinks: BTreeSet<PciAddress>,
}

impl fmt::Display for BondOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uplinks: Vec<String> = self.uplinks.iter().map(ToString::to_string).collect();
        match uplinks.as_slice() {
            [] => write!(f, "{}, empty", self.mode),
            uplinks => write!(f, "{} of {}", self.mode, uplinks.join(" and ")),
        }
    }
}
