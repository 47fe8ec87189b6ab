//! `vdpa bench`: how fast it is between two ends, and whether the card carried it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use vdpa_ovs::BridgeName;

use super::{Result, Session};
use crate::bench::{
    Asked, Bench, Case, Direction, End, FORMAT, Facts, Rate, Record, Run, Server, Ssh, Through, compare,
    keep, keepable, plot,
};
use crate::doctor::evidence::Taken;
use crate::error::Error;
use crate::host::Host;
use crate::privilege::SYS_ADMIN;
use crate::report::{Outcome, count, harmless};

mod show;

use show::{show, show_comparison, tell};

const HELP: &str = "\
Runs iperf3 (or ping, with --ping) between two ends, and looks at Open vSwitch's flows and the card's counters over the
same seconds, as `vdpa verify` does: each result says whether the packets went through hardware. The first 2 s of each
measurement do not count: until then flows are installed. Nothing of the host is changed, and the server is stopped again.

An END is a network namespace (`ip netns`), `pid:N` for that of a process, `here`, or `ssh:HOST` for a VM or another
machine: HOST is what ssh(1) takes, and has to let root in by key. iperf3 has to be installed at both ends.
Without --sink an iperf3 server has to be listening at the address already.

Exit codes: 0 measured; 1 not measured, or worse than the earlier record by more than the threshold, or
with --require-hardware not proven to be through hardware; 2 usage.
With --json: `record`, which is what --record keeps, and `comparison` {figures [{name, unit, then, now, ratio, worse}],
alone, differences}.

Examples:
  sudo vdpa bench --from vm0 --to 10.0.0.2 --sink vm1
  sudo vdpa bench --from vm0 --to 10.0.0.2 --sink ssh:root@10.0.0.2 --streams 1,4,16 --record today.json
  sudo vdpa bench --from vm0 --to 10.0.0.2 --sink vm1 --compare before.json --threshold 5 --plot change.svg
  sudo vdpa bench --from vm0 --to 10.0.0.2 --ping --require-hardware
  vdpa bench --read today.json --compare before.json --plot change.svg";

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Options {
    /// Run the client at this end.
    #[arg(long, value_name = "END", requires = "to", required_unless_present = "read")]
    pub from: Option<End>,
    /// Measure to this address.
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    pub to: Option<IpAddr>,
    /// Run an iperf3 server at this end, where the address is.
    #[arg(long, value_name = "END", requires = "to")]
    pub sink: Option<End>,
    /// How many streams side by side; a measurement each.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,8",
          value_parser = clap::value_parser!(u16).range(1..=128))]
    pub streams: Vec<u16>,
    /// Which way data goes; a measurement each.
    #[arg(long, value_name = "WAY,…", value_delimiter = ',', value_enum, default_value = "forward,reverse")]
    pub direction: Vec<Direction>,
    /// UDP, each stream of so many bits a second (`500M`, `10G`), and not TCP.
    #[arg(long, value_name = "RATE")]
    pub udp: Option<Rate>,
    /// Round trips of ping, and not throughput.
    #[arg(long, conflicts_with_all = ["streams", "direction", "udp", "sink", "port"])]
    pub ping: bool,
    /// How many seconds are measured each time.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(3..=3600))]
    pub seconds: u16,
    /// The port that iperf3's server listens on.
    #[arg(long, value_name = "PORT", default_value_t = 5201, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Another configuration for ssh than that of the user (`ssh -F`): under sudo that is root.
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// The bridge [default: that of the last `setup`, of the host file, or ovs-sriov].
    #[arg(long, value_name = "NAME")]
    pub bridge: Option<BridgeName>,
    /// Exit with 1 unless every packet that was measured went through hardware.
    #[arg(long)]
    pub require_hardware: bool,
    /// Keep the results, with what the host is made of, in this file.
    #[arg(long, value_name = "FILE", conflicts_with = "read")]
    pub record: Option<PathBuf>,
    /// Draw a picture of them, beside the earlier ones where there are some (SVG).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Hold them against an earlier record.
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// How much worse than the earlier record a result may be, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, requires = "compare",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub threshold: u8,
    /// Measure nothing: take the results from this record.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "sink"])]
    pub read: Option<PathBuf>,
}

/// Measures, keeps, draws and compares.
pub(super) async fn run(session: &Session, options: &Options) -> Result {
    // What cannot be compared or kept is found out before a minute has gone by.
    let earlier = options.compare.as_deref().map(Record::read).transpose()?;
    for path in [&options.record, &options.plot].into_iter().flatten() {
        keepable(path)?;
    }
    let (record, interrupted) = match (&options.from, options.to, &options.read) {
        (Some(from), Some(to), _) => measured(session, options, from, to).await?,
        (_, _, Some(read)) => (shown(session, read)?, false),
        _ => unreachable!("one or the other is required"),
    };
    if let Some(path) = options.record.as_ref().filter(|_| !record.runs.is_empty()) {
        record.write(path)?;
        session.output.line(format_args!("kept in {}", path.display()));
    }
    if let Some(path) = options.plot.as_ref().filter(|_| !record.runs.is_empty()) {
        keep(path, &plot(&record, earlier.as_ref()))?;
        session.output.line(format_args!("drawn in {}", path.display()));
    }
    let compared = earlier.filter(|_| !record.runs.is_empty());
    let comparison = compared.map(|earlier| compare(&earlier, &record, f64::from(options.threshold)));
    if let Some(comparison) = &comparison {
        show_comparison(session, comparison);
    }
    let through = sum(&record.runs);
    tell(session, &record.runs, through);

    let unproven = options.require_hardware && through != Through::Hardware;
    let (worse, incomparable) = match &comparison {
        Some(comparison) => (comparison.worse() > 0, comparison.figures.is_empty()),
        None => (false, false),
    };
    let (outcome, failed) = match () {
        () if interrupted => ("interrupted", true),
        () if worse => ("worse", true),
        () if incomparable => ("incomparable", true),
        () if unproven => ("not-offloaded", true),
        () => ("measured", false),
    };
    let outcome = Outcome::done("bench", outcome).with("record", &record).with("comparison", &comparison);
    Ok(Outcome { exit_code: u8::from(failed), ..outcome })
}

/// Shows what was measured earlier.
fn shown(session: &Session, path: &std::path::Path) -> Result<Record, Error> {
    let record = Record::read(path)?;
    session.output.line(harmless(&record.taken.to_string()));
    for (nth, run) in record.runs.iter().enumerate() {
        show(session, run, nth.checked_sub(1).map(|last| &record.runs[last]));
    }
    Ok(record)
}

/// Measures one case after the other; whether it was interrupted.
async fn measured(
    session: &Session,
    options: &Options,
    from: &End,
    to: IpAddr,
) -> Result<(Record, bool), Error> {
    if session.is_simulated() {
        return Err(Error::NotSimulated("throughput"));
    }
    if [Some(from), options.sink.as_ref()].into_iter().flatten().any(End::is_entered) {
        session.require("bench", &[SYS_ADMIN])?;
    }
    let (access, bridge) = session.known()?;
    let host = session.host(&access)?;
    let bench = Bench {
        from: from.clone(),
        to,
        port: options.port,
        seconds: options.seconds,
        ssh: Ssh { config: options.ssh_config.clone() },
        bridge: options.bridge.clone().unwrap_or(bridge),
    };
    session.listen_for_signals();
    let cases = options.cases();
    let time = u64::from(options.seconds) * u64::try_from(cases.len()).unwrap_or(0);
    session.output.line(format_args!("from {from} to {to}: {}, {time} s", count(cases.len(), "measurement")));
    let mut record = Record {
        format: FORMAT,
        taken: Taken::of(&host),
        facts: Facts::of(&host, &bench.bridge).await,
        asked: Asked {
            from: from.to_string(),
            to,
            sink: options.sink.as_ref().map(ToString::to_string),
            seconds: options.seconds,
        },
        runs: Vec::new(),
    };
    // Whatever is running when this is left ends with its value.
    let interrupted = tokio::select! {
        all = each(session, &host, &bench, options.sink.as_ref(), &cases, &mut record.runs) => all.map(|()| false),
        () = session.stop.requested() => Ok(true),
    };
    session.output.working(None);
    let interrupted = interrupted?;
    if interrupted {
        let all = count(cases.len(), "measurement");
        session.output.caution(format_args!("interrupted after {} of {all}", record.runs.len()));
    }
    Ok((record, interrupted))
}

async fn each(
    session: &Session,
    host: &Host,
    bench: &Bench,
    sink: Option<&End>,
    cases: &[Case],
    runs: &mut Vec<Run>,
) -> Result<(), Error> {
    for case in cases {
        session.output.working(Some(&case.to_string()));
        let server = match sink {
            Some(end) => Some(Server::start(end, bench).await?),
            None => None,
        };
        let run = bench.measure(host, case).await?;
        if let Some(server) = server {
            server.stop().await;
        }
        show(session, &run, runs.last());
        runs.push(run);
    }
    Ok(())
}

impl Options {
    /// Every measurement that is asked for, each once.
    fn cases(&self) -> Vec<Case> {
        if self.ping {
            return vec![Case::RoundTrips];
        }
        let mut cases = Vec::new();
        for &direction in &self.direction {
            for &streams in &self.streams {
                let case = match self.udp {
                    Some(rate) => Case::Udp { direction, streams, rate },
                    None => Case::Tcp { direction, streams },
                };
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
        }
        cases
    }
}

/// The worst of all: who forwarded what was measured.
fn sum(runs: &[Run]) -> Through {
    let any = |through| runs.iter().any(|run| run.path.through == through);
    match () {
        () if any(Through::Software) => Through::Software,
        () if any(Through::NotProven) || runs.is_empty() => Through::NotProven,
        () => Through::Hardware,
    }
}
