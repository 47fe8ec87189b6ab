//! Two looks while packets flow: is each direction offloaded?

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vdpa_tc::{Counters, SlowPath, Split};

use super::{Forwarder, Joined, Reason, Survey, why};

/// What lies between two looks.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Before any packet was sent.
    pub before: &'a Survey,
    /// When flows had been installed.
    pub begin: &'a Survey,
    /// When it was over.
    pub end: &'a Survey,
    /// A flow that forwarded less from `begin` to `end` is somebody else's.
    pub least: Least,
}

/// What a flow has to have forwarded to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Least {
    /// Packets.
    Packets(u64),
    /// Bytes.
    Bytes(u64),
}

impl Least {
    /// A packet, whoever's.
    pub const ANY: Self = Self::Packets(1);

    /// For packets that we sent one by one, and whose number is known.
    pub fn of_sent(packets: u64) -> Self {
        Self::Packets((packets / 2).max(1))
    }

    fn reached_by(self, counted: Counters) -> bool {
        match self {
            Self::Packets(packets) => counted.packets >= packets,
            Self::Bytes(bytes) => counted.bytes >= bytes,
        }
    }
}

/// Packets from one port to another, and who forwarded them.
#[derive(Debug, Clone, Serialize)]
pub struct Direction {
    /// The port that they came in by.
    pub from: String,
    /// The port, or ports, that they left by.
    pub to: Vec<String>,
    /// Whether the card forwarded them, and nobody else.
    pub offloaded: bool,
    /// Who forwards.
    pub forwarder: Forwarder,
    /// Whether tc says that the card has the rules: `in_hw`.
    pub in_hw: bool,
    /// What was forwarded while it was measured, by whom.
    #[serde(flatten)]
    pub passed: Split,
    /// Packets that the port gave up to the host's CPU before that, and meanwhile; absent where the driver does not
    /// tell.
    pub slow_path: Option<Slow>,
    /// Why the card does not forward, and what to do.
    pub why: Option<Explained>,
    /// The flows, as Open vSwitch lists them.
    pub flows: Vec<String>,
}

/// Packets on the slow path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slow {
    /// Until flows had been installed: the first ones.
    pub first: u64,
    /// While it was measured.
    pub measured: u64,
}

/// A reason for programs and people.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// The reason itself.
    #[serde(flatten)]
    pub reason: Reason,
    /// What holds.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

impl From<Reason> for Explained {
    fn from(reason: Reason) -> Self {
        Self { text: reason.to_string(), remedy: reason.remedy(), reason }
    }
}

impl Direction {
    /// Packets of it, whoever forwarded them.
    pub fn packets(&self) -> u64 {
        self.passed.total().packets
    }
}

/// The directions in which IP packets for one station passed a port of the bridge meanwhile, the busiest first.
pub fn judge(window: &Window<'_>) -> Vec<Direction> {
    let before: BTreeMap<String, Split> =
        window.begin.joined().iter().map(|joined| (identity(joined), joined.counters())).collect();
    let mut directions: BTreeMap<Way<'_>, Vec<(Joined<'_>, Split)>> = BTreeMap::new();
    for joined in window.end.joined() {
        let on_bridge =
            joined.in_port().and_then(|port| window.end.ports.get(port)).is_some_and(|p| p.on_bridge);
        if !joined.is_unicast_ip() || !on_bridge {
            continue;
        }
        let earlier = before.get(&identity(&joined)).copied().unwrap_or_default();
        let passed = joined.counters().since(earlier);
        if window.least.reached_by(passed.total()) {
            let key = (joined.in_port().unwrap_or_default(), joined.outputs());
            directions.entry(key).or_default().push((joined, passed));
        }
    }
    let mut judged: Vec<Direction> =
        directions.into_iter().map(|((from, to), flows)| direction(window, from, &to, &flows)).collect();
    judged.sort_by_key(|direction| std::cmp::Reverse(direction.packets()));
    judged
}

/// What it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every direction is offloaded.
    Offloaded,
    /// One is not.
    NotOffloaded,
    /// Packets came in by one port, where there had to be two.
    OneSided,
    /// No packets were seen.
    NoPackets,
}

/// What is known of the packets that directions are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Others sent them.
    ByOthers,
    /// They need no answer.
    OneWay,
    /// Whether they were answered.
    Answered(bool),
}

impl Verdict {
    /// Of directions that packets were seen in.
    pub fn of(directions: &[Direction], sent: Sent) -> Self {
        let ports: BTreeSet<&str> = directions.iter().map(|direction| direction.from.as_str()).collect();
        match (directions.is_empty(), directions.iter().all(|direction| direction.offloaded), sent) {
            (true, _, _) => Self::NoPackets,
            (false, false, _) => Self::NotOffloaded,
            // What is answered has two directions, at two ports.
            (false, true, Sent::Answered(answered)) if !answered || ports.len() < 2 => Self::OneSided,
            (false, true, _) => Self::Offloaded,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offloaded => "offloaded",
            Self::NotOffloaded => "not-offloaded",
            Self::OneSided => "one-sided",
            Self::NoPackets => "no-packets",
        }
    }
}

/// The port that packets come in by, and those that they leave by.
type Way<'a> = (&'a str, Vec<&'a str>);

/// What a flow is known by from one look to the next.
fn identity(joined: &Joined<'_>) -> String {
    joined.flow.ufid.map_or_else(|| joined.flow.key.to_string(), |ufid| ufid.to_string())
}

fn direction(window: &Window<'_>, from: &str, to: &[&str], flows: &[(Joined<'_>, Split)]) -> Direction {
    let mut passed = Split::default();
    for (_, one) in flows {
        passed.hardware += one.hardware;
        passed.software += one.software;
    }
    let worst = flows.iter().map(|(joined, _)| joined.forwarder()).max_by_key(|forwarder| match forwarder {
        Forwarder::Hardware => 0,
        Forwarder::Tc => 1,
        Forwarder::Datapath => 2,
    });
    let forwarder = worst.unwrap_or(Forwarder::Datapath);
    let reason = flows.iter().find_map(|(joined, passed)| why(window.end, joined, Some(*passed)));
    Direction {
        from: from.to_owned(),
        to: to.iter().map(|port| (*port).to_owned()).collect(),
        offloaded: reason.is_none() && passed.hardware.packets > 0 && passed.software.packets == 0,
        forwarder,
        in_hw: flows
            .iter()
            .all(|(joined, _)| joined.filter.and_then(vdpa_tc::Filter::in_hardware) == Some(true)),
        passed,
        slow_path: slow(window, from),
        why: reason.map(Explained::from),
        flows: flows.iter().map(|(joined, _)| joined.flow.to_string()).collect(),
    }
}

fn slow(window: &Window<'_>, port: &str) -> Option<Slow> {
    let of = |survey: &Survey| -> Option<SlowPath> { survey.ports.get(port)?.slow_path };
    let (before, begin, end) = (of(window.before)?, of(window.begin)?, of(window.end)?);
    Some(Slow {
        first: begin.rx_packets.saturating_sub(before.rx_packets),
        measured: end.rx_packets.saturating_sub(begin.rx_packets),
    })
}
