//! What the parts of each VF have counted: its virtqueues, where its datapath tells, and its representor.
//!
//! Nothing is added up and nothing renamed: a counter has the name that its driver gives it. What is put beside it is
//! how fast it counts, from two looks.

mod look;
mod table;

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use vdpa_hw::{NetdevName, PciAddress, Vf};

pub use look::look;
pub use table::lines;

/// One look at the counters of VFs.
#[derive(Debug, Clone)]
pub struct Look {
    /// When it was.
    pub at: Instant,
    /// Each VF, by its PF and index.
    pub vfs: Vec<VfStats>,
}

/// What the parts of a VF have counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VfStats {
    /// The VF.
    pub vf: Vf,
    /// Where it sits.
    pub address: PciAddress,
    /// Who counts for it.
    pub sources: Vec<Source>,
}

/// Someone who counts for a VF.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// What, in its order; empty where it does not say.
    pub counters: Vec<Counter>,
    /// Why it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<String>,
}

/// Who counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "source")]
pub enum Who {
    /// The vDPA driver in the dpdk-vdpa process.
    DpdkVdpa(Queue),
    /// The kernel's vDPA driver.
    KernelVdpa(Queue),
    /// The representor: with what the card has forwarded, where its driver counts that.
    Representor {
        /// Its network device.
        netdev: NetdevName,
    },
    /// The representor: what has passed the host's CPU, and so was not forwarded by the card.
    SlowPath {
        /// Its network device.
        netdev: NetdevName,
    },
}

/// A virtqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Its index; absent where it is about all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Which way its packets go, as the guest sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

/// Which way the packets of a virtqueue go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the guest.
    Receive,
    /// From the guest.
    Transmit,
}

/// A counter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counter {
    /// Its driver's name for it.
    pub name: String,
    /// Its value.
    pub value: u64,
    /// How much it has grown in a second since the look before; absent at the first look, and where it has begun anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
}

impl Look {
    /// The same with how fast each counter has counted since an `earlier` look.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        for now in &mut self.vfs {
            let Some(before) = earlier.vfs.iter().find(|before| before.vf == now.vf) else { continue };
            for source in &mut now.sources {
                let Some(before) = before.sources.iter().find(|before| before.who == source.who) else {
                    continue;
                };
                for counter in &mut source.counters {
                    let before = before.counters.iter().find(|before| before.name == counter.name);
                    // A process that was started again begins anew.
                    let grown = before.and_then(|before| counter.value.checked_sub(before.value));
                    counter.per_second = grown.filter(|_| seconds > 0.0).map(|grown| rate(grown, seconds));
                }
            }
        }
        self
    }
}

impl Queue {
    /// Every queue of a device.
    pub const ALL: Self = Self { queue: None, direction: None };

    /// The queue of this index: of each pair the first receives (virtio 1.2, 5.1.2).
    pub fn of(index: u32) -> Self {
        let direction = if index.is_multiple_of(2) { Direction::Receive } else { Direction::Transmit };
        Self { queue: Some(index), direction: Some(direction) }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.queue, self.direction) {
            (Some(index), Some(Direction::Receive)) => write!(f, " queue {index} rx"),
            (Some(index), Some(Direction::Transmit)) => write!(f, " queue {index} tx"),
            (Some(index), None) => write!(f, " queue {index}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DpdkVdpa(queue) => write!(f, "dpdk-vdpa{queue}"),
            Self::KernelVdpa(queue) => write!(f, "kernel vDPA{queue}"),
            Self::Representor { netdev } => write!(f, "representor {netdev}"),
            Self::SlowPath { netdev } => write!(f, "CPU via {netdev}"),
        }
    }
}

impl Source {
    /// One that has counted.
    pub fn counted(who: Who, counters: impl IntoIterator<Item = (impl Into<String>, u64)>) -> Self {
        let counter = |(name, value): (_, _)| Counter { name: Into::into(name), value, per_second: None };
        Self { who, counters: counters.into_iter().map(counter).collect(), silent: None }
    }

    /// One that says nothing.
    pub fn silent(who: Who, why: impl Into<String>) -> Self {
        Self { who, counters: Vec::new(), silent: Some(why.into()) }
    }
}

/// What has grown so much in so many seconds, grows so much in one; to a tenth.
#[allow(clippy::cast_precision_loss, reason = "a rate is shown with fewer digits than a double has")]
fn rate(grown: u64, seconds: f64) -> f64 {
    (grown as f64 / seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn look(at: Instant, value: u64) -> Look {
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        let source =
            Source::counted(Who::DpdkVdpa(Queue::of(1)), [("completed_descriptors", value), ("new", 7)]);
        Look {
            at,
            vfs: vec![VfStats { vf, address: "0000:43:00.2".parse().unwrap(), sources: vec![source] }],
        }
    }

    #[test]
    fn rates_are_by_the_second() {
        let begin = Instant::now();
        let later = look(begin + Duration::from_secs(2), 1500).since(&look(begin, 1000));
        let counters = &later.vfs[0].sources[0].counters;
        assert_eq!((counters[0].per_second, counters[1].per_second), (Some(250.0), Some(0.0)));
    }

    #[test]
    fn a_counter_that_began_anew_has_no_rate() {
        let begin = Instant::now();
        let later = look(begin + Duration::from_secs(1), 3).since(&look(begin, 1000));
        assert_eq!(later.vfs[0].sources[0].counters[0].per_second, None);
        assert_eq!(look(begin, 3).since(&look(begin, 1)).vfs[0].sources[0].counters[0].per_second, None);
    }

    #[test]
    fn programs_are_told_in_one_shape() {
        let json = serde_json::to_value(&look(Instant::now(), 5).vfs[0]).unwrap();
        let source = &json["sources"][0];
        assert_eq!((&json["vf"], &source["source"]), (&"0000:43:00.0/vf0".into(), &"dpdk-vdpa".into()));
        assert_eq!((&source["queue"], &source["direction"]), (&1.into(), &"transmit".into()));
        assert_eq!(source["counters"][0], serde_json::json!({"name": "completed_descriptors", "value": 5}));
    }
}
