//! Which way the packets of a measurement went: by the card, or by the host's CPU.
//!
//! Judged as `vdpa verify` judges, over the seconds that were measured. iperf3 says how many bytes arrived: where no port of
//! the bridge forwarded a good part of them, they went another way, and nothing is proven.

use serde::{Deserialize, Serialize};
use vdpa_ovs::BridgeName;

use super::record::Result as Found;
use crate::offload::{self, Least, Sent, Survey, Verdict, Window, judge};

/// Open vSwitch reads the counters of offloaded flows every 2 s: of the shortest measurement, 3 s, a third may be told.
/// So it is enough for a path if it forwarded a quarter of what arrived.
const ENOUGH: u64 = 4;
/// A flow that forwarded less than this part of a stream is somebody else's. Acknowledgements are more: one of 54 bytes for
/// 64 KiB where the kernel merges most.
const FOREIGN: u64 = 2000;

/// Which way packets went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Who forwarded them.
    pub through: Through,
    /// Why that is not known, where it is not.
    pub why: Option<String>,
    /// From port to port.
    pub legs: Vec<Leg>,
}

/// Who forwarded packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Through {
    /// The card, and nobody else.
    Hardware,
    /// The host's CPU, some of them at least.
    Software,
    /// Nobody saw.
    NotProven,
}

/// From one port to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The port that they came in by.
    pub from: String,
    /// The port, or ports, that they left by.
    pub to: Vec<String>,
    /// Whether the card forwarded them, and nobody else.
    pub offloaded: bool,
    /// Bytes that the card forwarded while it was measured.
    pub hardware_bytes: u64,
    /// Bytes that the host's CPU forwarded meanwhile.
    pub software_bytes: u64,
    /// Why the card did not.
    pub why: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

/// Three looks at the host: before anything was sent, when flows were installed, and when it was over.
#[derive(Debug)]
pub(super) struct Looks {
    pub(super) before: Survey,
    pub(super) begin: Survey,
    pub(super) end: Survey,
}

/// What arrived between the second look and the third.
#[derive(Debug, Clone)]
pub(super) enum Carried {
    /// Bytes, for each direction that had some.
    Bytes { ways: Vec<u64>, streams: usize, answered: bool },
    /// Echo requests.
    Requests(u64),
}

impl Path {
    /// Judges.
    pub(super) fn of(looks: &Looks, bridge: &BridgeName, carried: &Carried) -> Self {
        let Looks { before, begin, end } = looks;
        let window = Window { before, begin, end, least: carried.least() };
        let mut directions = judge(&window);
        directions.sort_by_key(|direction| std::cmp::Reverse(direction.passed.total().bytes));
        if !carried.went_by(&directions) {
            directions.clear();
        }
        let verdict = Verdict::of(&directions, carried.sent());
        let (through, why) = match verdict {
            Verdict::Offloaded => (Through::Hardware, None),
            Verdict::NotOffloaded => (Through::Software, None),
            Verdict::OneSided => {
                (Through::NotProven, Some(format!("packets were seen at one port of {bridge} only")))
            }
            Verdict::NoPackets => (
                Through::NotProven,
                Some(format!("no port of {bridge} forwarded as much: they went another way")),
            ),
        };
        Self { through, why, legs: directions.iter().map(Leg::from).collect() }
    }

    /// Where the host could not be looked at.
    pub(super) fn unseen(why: &str) -> Self {
        Self { through: Through::NotProven, why: Some(why.to_owned()), legs: Vec::new() }
    }
}

impl Through {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Hardware => "through hardware",
            Self::Software => "NOT through hardware",
            Self::NotProven => "not proven to go through hardware",
        }
    }
}

impl Carried {
    /// By what was measured.
    pub(super) fn by(found: &Found) -> Self {
        match found {
            Found::RoundTrips(trips) => Self::Requests(trips.sent),
            Found::Throughput(measured) => {
                let ways = || [&measured.forward, &measured.reverse].into_iter().flatten();
                Self::Bytes {
                    ways: ways().map(|way| way.bytes).collect(),
                    streams: ways().map(|way| way.streams.len()).max().unwrap_or(1),
                    answered: ways().all(|way| way.datagrams.is_none()),
                }
            }
        }
    }

    fn least(&self) -> Least {
        match self {
            Self::Bytes { ways, streams, .. } => {
                let streams = u64::try_from(*streams).unwrap_or(u64::MAX).max(1);
                let least = ways.iter().min().map_or(0, |bytes| bytes / streams / FOREIGN);
                Least::Bytes(least.max(1))
            }
            Self::Requests(sent) => Least::Packets((sent / ENOUGH).max(1)),
        }
    }

    fn sent(&self) -> Sent {
        match self {
            Self::Bytes { answered: false, .. } => Sent::OneWay,
            Self::Bytes { .. } | Self::Requests(_) => Sent::Answered(true),
        }
    }

    /// Whether as much went by these directions, the busiest first, as arrived.
    fn went_by(&self, directions: &[offload::Direction]) -> bool {
        let Self::Bytes { ways, .. } = self else { return true };
        let mut ways = ways.clone();
        ways.sort_by_key(|bytes| std::cmp::Reverse(*bytes));
        ways.len() <= directions.len()
            && ways
                .iter()
                .zip(directions)
                .all(|(arrived, direction)| direction.passed.total().bytes >= arrived / ENOUGH)
    }
}

impl From<&offload::Direction> for Leg {
    fn from(direction: &offload::Direction) -> Self {
        let offload::Direction { from, to, offloaded, passed, why, .. } = direction;
        Self {
            from: from.clone(),
            to: to.clone(),
            offloaded: *offloaded,
            hardware_bytes: passed.hardware.bytes,
            software_bytes: passed.software.bytes,
            why: why.as_ref().map(|why| why.text.clone()),
            remedy: why.as_ref().map(|why| why.remedy.clone()),
        }
    }
}

#[cfg(test)]
#[path = "path/tests.rs"]
mod tests;
