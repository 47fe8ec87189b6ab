//! A VLAN's number.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The number of a VLAN: 1 to 4094 (IEEE 802.1Q; 0 means none, and 4095 is reserved).
///
/// ```
/// # use vdpa_ovs::VlanId;
/// assert_eq!(VlanId::new(100).unwrap().to_string(), "100");
/// assert!(VlanId::new(0).is_err() && VlanId::new(4095).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    /// The VLAN with this number.
    ///
    /// # Errors
    /// [`Error::Name`] for a number that no VLAN has.
    pub fn new(number: u16) -> Result<Self, Error> {
        match number {
            1..=4094 => Ok(Self(number)),
            _ => Err(Error::Name {
                what: "VLAN",
                value: number.to_string(),
                why: "it is not between 1 and 4094",
            }),
        }
    }

    /// Its number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = Error;

    fn try_from(number: u16) -> Result<Self, Error> {
        Self::new(number)
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
