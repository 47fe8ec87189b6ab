//! What can be asked of the tc filters of a host.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use vdpa_hw::IfIndex;

use crate::error::Result;
use crate::{Chain, Direction, Filter, Hook};

/// The tc filters of a host and their counters.
///
/// Reads need no privilege. Sources: tc(8), tc-flower(8), `net/sched/cls_api.c`.
#[async_trait]
pub trait Tc: Send + Sync {
    /// Every place where filters for packets of a device can stand: its ingress or clsact qdisc.
    async fn hooks(&self) -> Result<Vec<Hook>>;

    /// The filters of a device in one direction, with their counters as the card has them now.
    ///
    /// Of a device that has no such qdisc, or that does not exist, there are none: the kernel makes no difference
    /// (`tc_dump_tfilter` in `net/sched/cls_api.c`). Those of a block that several devices share are among the filters
    /// of each.
    async fn filters(&self, link: IfIndex, direction: Direction) -> Result<Vec<Filter>>;

    /// The chains of a device in one direction.
    async fn chains(&self, link: IfIndex, direction: Direction) -> Result<Vec<Chain>>;

    /// What of the traffic of a representor the host's CPU has seen; `None` where its driver does not tell.
    ///
    /// mlx5's ordinary counters of a representor have what the hardware forwarded too (`mlx5e_rep_get_stats`); these
    /// are without (`IFLA_OFFLOAD_XSTATS_CPU_HIT`; `ip stats show group offload subgroup cpu_hit`).
    async fn slow_path(&self, link: IfIndex) -> Result<Option<SlowPath>>;
}

/// Packets that took the slow path through the host's CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowPath {
    /// Packets that the card gave up to the representor.
    pub rx_packets: u64,
    /// Packets that the host sent through it.
    pub tx_packets: u64,
}
