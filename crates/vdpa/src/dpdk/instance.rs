//! A dpdk-vdpa process as it is found.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Spec;

/// A dpdk-vdpa process of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// What it was started as.
    pub spec: Spec,
    /// Its vhost-user socket: where it listens, or where it looks for QEMU.
    pub socket: PathBuf,
    /// How it is.
    #[serde(flatten)]
    pub condition: Condition,
}

/// How a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Condition {
    /// Its supervisor lives, and it is not ready yet.
    Starting,
    /// It serves its socket.
    Ready {
        /// The program's process id.
        pid: u32,
    },
    /// It was started once and serves nothing now.
    Failed {
        /// Why, as far as it is known.
        why: String,
    },
}

impl Instance {
    /// Whether it serves its socket.
    pub fn is_ready(&self) -> bool {
        matches!(self.condition, Condition::Ready { .. })
    }

    /// The program's process id, while it is ready.
    pub fn pid(&self) -> Option<u32> {
        match self.condition {
            Condition::Ready { pid } => Some(pid),
            Condition::Starting | Condition::Failed { .. } => None,
        }
    }
}

/// Which queues to ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Queues {
    /// Every virtqueue that the connected guest has.
    All,
    /// One virtqueue, counted from 0 (receive queues are even, transmit queues odd).
    One(u16),
}

/// The counters of one virtqueue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounters {
    /// The virtqueue, counted from 0.
    pub queue: u32,
    /// Name and value, in the driver's order; mlx5 has `received_descriptors` and five more.
    pub counters: Vec<(String, u64)>,
}
