//! Who programs the card's flow tables: mlx5's parameter `flow_steering_mode`.
//!
//! Source: `Documentation/networking/devlink/mlx5.rst`; `mlx5_fs_mode_validate` in mlx5's `fs_core.c` takes a new
//! mode in legacy mode only.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::ParseError;

/// The name of the parameter.
pub(crate) const PARAM: &str = "flow_steering_mode";

/// A flow steering mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SteeringMode {
    /// By the firmware, at a command a rule.
    Dmfs,
    /// By the driver, straight into the card's memory: more rules a second, and faster dumps.
    Smfs,
    /// By the card itself (Linux 6.15).
    Hmfs,
}

impl SteeringMode {
    /// Every one of them.
    pub const ALL: &'static [Self] = &[Self::Dmfs, Self::Smfs, Self::Hmfs];
}

impl fmt::Display for SteeringMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dmfs => "dmfs",
            Self::Smfs => "smfs",
            Self::Hmfs => "hmfs",
        })
    }
}

impl FromStr for SteeringMode {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.iter().copied().find(|mode| mode.to_string() == text).ok_or_else(|| ParseError {
            noun: "a flow steering mode",
            text: text.to_owned(),
            why: "it is one of: dmfs smfs hmfs",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_round_trip() {
        for mode in SteeringMode::ALL {
            assert_eq!(mode.to_string().parse(), Ok(*mode));
            assert_eq!(serde_json::to_string(mode).unwrap(), format!("\"{mode}\""));
        }
        assert!("SMFS".parse::<SteeringMode>().is_err());
    }
}
