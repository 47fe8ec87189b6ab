//! What an action counted.
//!
//! Source: `include/uapi/linux/gen_stats.h`, `tcf_action_copy_stats` in `net/sched/act_api.c`.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Packets and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets.
    pub packets: u64,
    /// Bytes. tc counts a packet as it meets it: without its Ethernet header on ingress in software, and as the
    /// card counts in hardware.
    pub bytes: u64,
}

impl Counters {
    /// What has been added since `before`; nothing where the counter was started anew.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// The same traffic, by who forwarded it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The card.
    pub hardware: Counters,
    /// The kernel.
    pub software: Counters,
}

impl Split {
    /// Both.
    pub fn total(self) -> Counters {
        self.hardware + self.software
    }

    /// What has been added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            hardware: self.hardware.since(before.hardware),
            software: self.software.since(before.software),
        }
    }
}

/// The statistics of an action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// All packets (`TCA_STATS_BASIC`).
    pub total: Counters,
    /// Those that the hardware forwarded (`TCA_STATS_BASIC_HW`); absent where it has counted none.
    pub hardware: Option<Counters>,
    /// Packets dropped.
    pub drops: u32,
    /// Packets over the limit of a policer.
    pub overlimits: u32,
    /// Packets put back into a queue.
    pub requeues: u32,
    /// Bytes that wait in a queue.
    pub backlog: u32,
    /// Packets that wait in a queue.
    pub qlen: u32,
}

impl Stats {
    /// By who forwarded it: the kernel has what the hardware has not.
    pub fn split(&self) -> Split {
        let hardware = self.hardware.unwrap_or_default();
        Split { hardware, software: self.total.since(hardware) }
    }
}

/// How the hardware counts for an action (`TCA_ACT_HW_STATS`, `TCA_ACT_USED_HW_STATS`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HwStats {
    /// Asked at each dump.
    Immediate,
    /// As the driver last polled it: what is read may be seconds old.
    Delayed,
    /// Not at all.
    Disabled,
}

impl HwStats {
    /// As tc(8) has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Delayed => "delayed",
            Self::Disabled => "disabled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_has_what_hardware_has_not() {
        let total = Counters { packets: 310, bytes: 30380 };
        let all = Stats { total, hardware: Some(total), ..Stats::default() };
        assert_eq!(all.split(), Split { hardware: total, software: Counters::default() });
        let none = Stats { total, ..Stats::default() };
        assert_eq!(none.split().software, total);
    }

    #[test]
    fn a_counter_that_was_started_anew_has_counted_nothing() {
        let (before, now) = (Counters { packets: 9, bytes: 900 }, Counters { packets: 1, bytes: 100 });
        assert_eq!(now.since(before), Counters::default());
    }
}
