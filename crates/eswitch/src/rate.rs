//! How fast a VF may send: the rates of its port.
//!
//! In legacy mode a PF keeps them with its other attributes (`ip link set … vf N max_tx_rate`); in switchdev mode
//! they belong to the port (devlink-rate(8)), and netdevsim refuses the old way with that advice
//! (`nsim_set_vf_rate`). mlx5 has both ways to the same scheduler, but only the port shows what was set through it
//! (`mlx5_esw_devlink_rate_leaf_tx_max_set` in `esw/qos.c`, Linux 5.15).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes a second in a megabit a second: mlx5 and netdevsim take whole ones only.
const BYTES_PER_MBPS: u64 = 125_000;

/// The rates of a VF's port, in Mbit/s; 0 is no limit and no share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// What it gets also when others send (`tx_share`).
    pub min_mbps: u32,
    /// What it never exceeds (`tx_max`).
    pub max_mbps: u32,
}

impl Rate {
    /// No limit and no share: as a port comes up.
    pub const UNLIMITED: Self = Self { min_mbps: 0, max_mbps: 0 };

    /// As devlink has them: share and limit, in bytes a second.
    pub(crate) fn bytes_per_second(self) -> (u64, u64) {
        (u64::from(self.min_mbps) * BYTES_PER_MBPS, u64::from(self.max_mbps) * BYTES_PER_MBPS)
    }

    /// From devlink's. What is no whole megabit, which somebody else's tool may have set on a driver that takes it,
    /// is rounded up, so that it is never taken for none.
    pub(crate) fn from_bytes_per_second(share: u64, max: u64) -> Self {
        let mbps = |bytes: u64| u32::try_from(bytes.div_ceil(BYTES_PER_MBPS)).unwrap_or(u32::MAX);
        Self { min_mbps: mbps(share), max_mbps: mbps(max) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min_mbps, self.max_mbps) {
            (0, 0) => f.write_str("unlimited"),
            (0, max) => write!(f, "at most {max} Mbit/s"),
            (min, 0) => write!(f, "at least {min} Mbit/s"),
            (min, max) => write!(f, "{min} to {max} Mbit/s"),
        }
    }
}

/// The rates of one VF, and the port that has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRate {
    /// The port's index.
    pub port: u32,
    /// Its rates.
    pub rate: Rate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabits_become_bytes_and_come_back() {
        let rate = Rate { min_mbps: 100, max_mbps: 25_000 };
        assert_eq!(rate.bytes_per_second(), (12_500_000, 3_125_000_000));
        let (share, max) = rate.bytes_per_second();
        assert_eq!(Rate::from_bytes_per_second(share, max), rate);
        assert_eq!(Rate::from_bytes_per_second(0, 1), Rate { min_mbps: 0, max_mbps: 1 });
        assert_eq!(Rate::UNLIMITED.to_string(), "unlimited");
    }
}
