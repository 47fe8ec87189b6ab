//! The parameters of a device's driver: `devlink dev param`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::ParseError;

use crate::mode::words;

/// A parameter and what it is set to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name: `flow_steering_mode`, `enable_roce`.
    pub name: String,
    /// Whether it means the same with every driver.
    pub generic: bool,
    /// Its values by the moment from which they hold.
    pub values: BTreeMap<ParamMode, ParamValue>,
}

words! {
    /// When a parameter takes effect (`enum devlink_param_cmode`).
    ParamMode: u8, "a devlink parameter mode" {
        /// At once.
        Runtime = 0 "runtime",
        /// When the driver is loaded or reloaded.
        Driverinit = 1 "driverinit",
        /// After the next reset: it is kept in the device.
        Permanent = 2 "permanent",
    }
}

/// The value of a parameter, with its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamValue {
    /// A truth value (`NLA_FLAG` on the wire).
    Bool(bool),
    /// An 8-bit number.
    U8(u8),
    /// A 16-bit number.
    U16(u16),
    /// A 32-bit number.
    U32(u32),
    /// A 64-bit number.
    U64(u64),
    /// A text of at most 31 bytes (`__DEVLINK_PARAM_MAX_STRING_VALUE`).
    Text(String),
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::U8(value) => value.fmt(f),
            Self::U16(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
