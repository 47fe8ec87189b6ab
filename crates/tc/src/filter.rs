//! A filter: where it stands, and what it does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vdpa_hw::IfIndex;

use crate::{Action, Cookie, Direction, Flags, Flower, Split};

/// Where a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On a device.
    Link(IfIndex, Direction),
    /// In a block that several devices share.
    Block(u32),
    /// Wherever it was when it was saved.
    Saved,
}

/// A tc filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Where it stands.
    pub place: Place,
    /// The chain it is in.
    pub chain: u32,
    /// Its priority (`pref`): filters with lower numbers are asked first.
    pub priority: u16,
    /// The Ethernet type it is for; 3 is `all` (`ETH_P_ALL`).
    pub protocol: u16,
    /// Its handle within its priority.
    pub handle: u32,
    /// What it looks at.
    pub classifier: Classifier,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classifier {
    /// A flower rule: what Open vSwitch makes, and what cards take.
    Flower(Box<Flower>),
    /// Another kind (`matchall`, `bpf`, `u32`).
    Other {
        /// Its name.
        kind: String,
        /// Its actions, of a saved filter: the kernel's attributes are each kind's own, and are not read.
        actions: Vec<Action>,
    },
}

impl Filter {
    /// The flower rule, if it is one.
    pub fn flower(&self) -> Option<&Flower> {
        match &self.classifier {
            Classifier::Flower(flower) => Some(flower),
            Classifier::Other { .. } => None,
        }
    }

    /// Its actions.
    pub fn actions(&self) -> &[Action] {
        match &self.classifier {
            Classifier::Flower(flower) => &flower.actions,
            Classifier::Other { actions, .. } => actions,
        }
    }

    /// Whether the hardware has it; `None` where it is no flower rule, or of a kernel that does not say (before 4.13).
    pub fn in_hardware(&self) -> Option<bool> {
        let flags = self.flower()?.flags;
        (flags.contains(Flags::IN_HW) || flags.contains(Flags::NOT_IN_HW))
            .then(|| flags.contains(Flags::IN_HW))
    }

    /// How long ago the last packet came; `None` where none has.
    pub fn used(&self) -> Option<Duration> {
        let used = self.actions().iter().filter_map(|action| action.used).min();
        used.filter(|_| self.counters().total().packets > 0)
    }

    /// What it counted, as its first action did.
    ///
    /// Each action counts the packets that reach it, and the first is reached by all. Open vSwitch takes the action
    /// with the most (`tc_get_flower`'s stats, `lib/tc.c`), since some drivers count for the last alone.
    pub fn counters(&self) -> Split {
        let splits =
            self.actions().iter().filter_map(|action| action.stats.as_ref()).map(crate::Stats::split);
        splits.max_by_key(|split| split.total().packets).unwrap_or_default()
    }

    /// The cookie of its actions: for Open vSwitch's filters, the UFID of the flow.
    pub fn cookie(&self) -> Option<&Cookie> {
        self.actions().iter().find_map(|action| action.cookie.as_ref())
    }
}
