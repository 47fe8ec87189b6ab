//! A flower rule: tc-flower(8), `net/sched/cls_flower.c`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Action, Key, Match};

/// A flower rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flower {
    /// What a packet has to have.
    pub matches: Vec<Match>,
    /// The device that it must have come in by, for a rule of a shared block (`indev`).
    pub indev: Option<String>,
    /// The class it is put in (`classid`).
    pub class_id: Option<u32>,
    /// Where it is wanted, and where it is.
    pub flags: Flags,
    /// How many cards have it: more than one can where their block is shared.
    pub in_hw_count: Option<u32>,
    /// What of the rule is not known here: keys of a newer kernel or tc, tunnel options.
    pub unread: Vec<Unread>,
    /// What becomes of the packet.
    pub actions: Vec<Action>,
}

impl Flower {
    /// What it wants of this key.
    pub fn key(&self, key: Key) -> Option<&Match> {
        self.matches.iter().find(|found| found.key == key)
    }

    /// What it looks at, as tc(8) writes it: names and values.
    pub fn words(&self) -> impl Iterator<Item = (String, String)> {
        let known = self.matches.iter().map(ToString::to_string);
        known.chain(self.unread.iter().map(ToString::to_string)).map(|words| {
            let (key, value) = words.split_once(' ').unwrap_or((&words, ""));
            (key.to_owned(), value.to_owned())
        })
    }

    /// Whether it looks at conntrack's state, or has a packet pass through conntrack.
    pub fn has_conntrack(&self) -> bool {
        self.key(Key::CtState).is_some() || self.actions.iter().any(Action::is_conntrack)
    }
}

/// A part of a rule that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Unread {
    /// An attribute, by its type.
    Attribute(u16),
    /// A key and its value, as tc(8) has written them.
    Words(String, String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(kind) => write!(f, "attribute {kind}"),
            Self::Words(key, value) => write!(f, "{key} {value}"),
        }
    }
}

/// Where a rule is wanted, and where it is (`TCA_CLS_FLAGS_*`, `include/uapi/linux/pkt_cls.h`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub u32);

impl Flags {
    /// Not for the hardware (`tc-policy=skip_hw`).
    pub const SKIP_HW: Self = Self(1 << 0);
    /// For the hardware alone (`tc-policy=skip_sw`).
    pub const SKIP_SW: Self = Self(1 << 1);
    /// The hardware has it, by its driver's word.
    pub const IN_HW: Self = Self(1 << 2);
    /// The hardware has it not.
    pub const NOT_IN_HW: Self = Self(1 << 3);
    /// Whoever added it wanted to hear why, if the driver refused.
    pub const VERBOSE: Self = Self(1 << 4);

    pub(crate) const NAMES: [(Self, &str); 4] = [
        (Self::SKIP_HW, "skip_hw"),
        (Self::SKIP_SW, "skip_sw"),
        (Self::IN_HW, "in_hw"),
        (Self::NOT_IN_HW, "not_in_hw"),
    ];

    /// Whether all of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" "))
    }
}
