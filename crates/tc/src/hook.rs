//! Where filters stand.

use std::fmt;

use serde::{Deserialize, Serialize};
use vdpa_hw::IfIndex;

/// Whether a filter sees what a device receives or what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What it receives.
    Ingress,
    /// What it sends: with a clsact qdisc only.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The qdisc that holds filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QdiscKind {
    /// `ingress`: what ovs-vswitchd puts on the ports of a bridge.
    Ingress,
    /// `clsact`: both directions.
    Clsact,
}

/// A device on which filters can stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The device.
    pub link: IfIndex,
    /// Its qdisc.
    pub kind: QdiscKind,
    /// The block that it shares with others for what it receives (`ingress_block`).
    pub ingress_block: Option<u32>,
    /// The block that it shares with others for what it sends (`egress_block`).
    pub egress_block: Option<u32>,
}

impl Hook {
    /// Whether filters of this direction can stand there.
    pub fn has(&self, direction: Direction) -> bool {
        direction == Direction::Ingress || self.kind == QdiscKind::Clsact
    }
}

/// A chain of filters: packets start at 0, `goto chain` leads to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chain {
    /// Its number.
    pub index: u32,
    /// Whether it has a template, which tells the hardware what its filters will match.
    pub template: bool,
}
