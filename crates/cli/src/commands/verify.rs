//! `vdpa verify`: proof of offload.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use vdpa_ovs::BridgeName;

use super::{Result, Session};
use crate::offload::{Direction, Least, Sent, Survey, Verdict, Window, judge};
use crate::privilege::SYS_ADMIN;
use crate::report::{Outcome, count};
use crate::traffic::{End, Plan, Progress};

/// Until flows are installed and packets have passed by them.
const WARM_UP: Duration = Duration::from_secs(2);

const HELP: &str = "\
Looks at Open vSwitch's flows and at the card's tc rules while packets flow, and says of each direction whether the
card forwards it: the rule is in_hw, its hardware counter rises, its software counter does not, and only the first
packets met the host's CPU. Counters of offloaded flows are seconds old (Open vSwitch reads them every 2 s, a card's
driver every second), so it is measured for longer. Nothing of the host is changed.

An END is a network namespace (`ip netns`), `pid:N` for that of a process, or `here`. A VM pings by itself: start it
there, and `vdpa verify --watch 10` here. Under conntrack use --tcp: ICMP is not offloaded there.

Exit codes: 0 every direction is offloaded, 1 one is not or there were no packets, 2 usage.
With --json: `directions`, each with from, to, offloaded, forwarder, in_hw, hardware and software {packets, bytes},
slow_path {first, measured}, why {reason, text, remedy}, and flows; and `traffic` {sent, received}.

Examples:
  sudo vdpa verify --from vm0 --to 10.0.0.2
  sudo vdpa verify --from vm0 --to 10.0.0.2 --tcp 5001 --sink vm1
  sudo vdpa verify --watch 10 --json | jq '.directions[] | select(.offloaded | not) | .why'
  vdpa setup --simulate && vdpa verify --simulate";

/// Options of `verify`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Verify {
    /// Send packets from this end.
    #[arg(long, value_name = "END", requires = "to")]
    pub from: Option<End>,
    /// Send them to this address.
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    pub to: Option<IpAddr>,
    /// Send a TCP stream to this port, and not echo requests.
    #[arg(long, value_name = "PORT", requires = "to")]
    pub tcp: Option<u16>,
    /// Listen at this end, where the address is; otherwise something there has to send back what comes.
    #[arg(long, value_name = "END", requires = "tcp")]
    pub sink: Option<End>,
    /// Send nothing: measure for so many seconds what others send [default without --from: 10].
    #[arg(long, value_name = "SECONDS", conflicts_with = "from", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub watch: Option<u16>,
    /// How many seconds are measured; more than the 2 s after which offloaded counters are read.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(3..=3600))]
    pub seconds: u16,
    /// The bridge [default: that of the last `setup`, of the host file, or ovs-sriov].
    #[arg(long, value_name = "NAME")]
    pub bridge: Option<BridgeName>,
}

/// Measures, judges, and says so.
pub(super) async fn run(session: &Session, options: &Verify) -> Result {
    if [&options.from, &options.sink].into_iter().flatten().any(|end| !matches!(end, End::Here)) {
        session.require("verify", &[SYS_ADMIN])?;
    }
    let (access, bridge) = session.known()?;
    let host = session.host(&access)?;
    let bridge = options.bridge.clone().unwrap_or(bridge);
    let plan = options.plan();
    let drives = plan.is_some() || (session.is_simulated() && options.watch.is_none());
    let time = match (options.watch, drives) {
        (Some(seconds), _) => seconds,
        (None, true) => options.seconds,
        (None, false) => 10,
    };

    let before = Survey::of(&host, &bridge).await?;
    session.output.line(match &plan {
        Some(plan) => format!("packets from {} to {}, measured for {time} s", plan.from, plan.to),
        None if drives => format!("packets from VF 0 to the far end of its cable, measured for {time} s"),
        None => format!("watching {bridge} for {time} s"),
    });
    let mut flowing = host.traffic.start(plan.as_ref()).await?;
    let warm_up = if drives { WARM_UP } else { Duration::ZERO };
    let earlier = flowing.flow_for(warm_up).await?;
    let begin = Survey::of(&host, &bridge).await?;
    let progress = flowing.flow_for(Duration::from_secs(u64::from(time))).await?;
    let end = Survey::of(&host, &bridge).await?;
    drop(flowing);
    host.checkpoint()?;

    let traffic = progress.since(earlier);
    let least = if drives { Least::of_sent(traffic.sent) } else { Least::ANY };
    let directions = judge(&Window { before: &before, begin: &begin, end: &end, least });
    let sent = if drives { Sent::Answered(traffic.received > 0) } else { Sent::ByOthers };
    let verdict = Verdict::of(&directions, sent);
    for direction in &directions {
        show(session, direction);
    }
    session.output.line(text(verdict, &directions, traffic));
    let outcome = Outcome::done("verify", verdict.name()).with("directions", &directions);
    let outcome = if drives { outcome.with("traffic", &traffic) } else { outcome };
    Ok(Outcome { exit_code: u8::from(verdict != Verdict::Offloaded), ..outcome })
}

impl Verify {
    fn plan(&self) -> Option<Plan> {
        let (from, to) = (self.from.clone()?, self.to?);
        Some(Plan { from, to, tcp: self.tcp, sink: self.sink.clone() })
    }
}

/// What it came to, for people.
fn text(verdict: Verdict, directions: &[Direction], traffic: Progress) -> String {
    let all = count(directions.len(), "direction");
    let off = directions.iter().filter(|direction| !direction.offloaded).count();
    let Progress { sent, received } = traffic;
    match verdict {
        Verdict::Offloaded => format!("offloaded: {all}, no packet in software"),
        Verdict::NotOffloaded => format!("not offloaded: {off} of {all}"),
        Verdict::OneSided => {
            format!("not proven: {sent} packets sent, {received} answered, and packets seen at one port only")
        }
        Verdict::NoPackets if sent > 0 => format!(
            "not proven: {sent} packets sent, {received} answered, and no port of the bridge forwarded as many"
        ),
        Verdict::NoPackets => "not proven: no IP packets passed the bridge".to_owned(),
    }
}

/// A direction for people.
fn show(session: &Session, direction: &Direction) {
    let Direction { from, to, passed, slow_path, .. } = direction;
    let mark = session.output.mark(direction.offloaded);
    let out = if to.is_empty() { "nowhere".to_owned() } else { to.join(", ") };
    let in_hw = if direction.in_hw { "in_hw" } else { "not in_hw" };
    let (hardware, software) = (passed.hardware.packets, passed.software.packets);
    session.output.line(format_args!(
        "  {mark} {from} → {out}: {in_hw}, {hardware} packets in hardware, {software} in software"
    ));
    if let Some(slow) = slow_path {
        session.output.line(format_args!(
            "      slow path: {} at first, {} while measured",
            count(slow.first, "packet"),
            slow.measured
        ));
    }
    if let Some(why) = &direction.why {
        session.output.line(format_args!("      why: {}", why.text));
        session.output.line(format_args!("      to do: {}", why.remedy));
    }
}
