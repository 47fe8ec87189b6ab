//! `setup` and `teardown` of a simulated host whose Open vSwitch is a real one, for tests that kill them.
//!
//! `vdpa-with-ovs DIRECTORY SOCKET setup|teardown [STOP-AT]`: the host and its file are in the directory, ovsdb-server is
//! behind the socket. Each statement that has become true is a line; at the first with STOP-AT in it, it stands still
//! until it is killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vdpa_cli::engine::{Failure, Run, Stop};
use vdpa_cli::host::{Access, Host, OvsService, SimulatedHost};
use vdpa_cli::lock::Lock;
use vdpa_cli::plan::Change as Statement;
use vdpa_cli::receipt::{Drawer, Receipt};
use vdpa_cli::report::Report;
use vdpa_cli::setup::{Leave, setup};
use vdpa_cli::step::Step;
use vdpa_cli::teardown::teardown;
use vdpa_cli::until::Until;
use vdpa_cli::{Error, config};
use vdpa_ovs::{Applied, BridgeName, Change, Limits, Observation, Ovsdb, Settings, Vswitch};

/// The simulated card's port, as the product asks DPDK for it, and what stands in its place.
const CARD: &str = "0000:43:00.0";
const NULL: &str = "net_null0";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, socket, command, stop_at @ ..] = &arguments[..] else { return ExitCode::from(2) };
    let lines = Lines { stop_at: stop_at.first().cloned() };
    match run(Path::new(directory), Path::new(socket), command, &lines).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.error.flat());
            ExitCode::FAILURE
        }
    }
}

async fn run(directory: &Path, socket: &Path, command: &str, report: &dyn Report) -> Result<(), Failure> {
    let lock = Lock::take(directory)?;
    let receipt = Drawer::new(directory).open()?;
    let simulated = SimulatedHost::open(directory)?;
    let patient = Duration::from_mins(2);
    let limits = Limits { call: patient, applied: patient, ..Limits::default() };
    let vswitch = Arc::new(WithoutCard(Ovsdb::new(socket).with_limits(limits)));
    let host = Host { vswitch, service: Arc::new(WithoutService), ..simulated.host() };
    let stop = Stop::default();
    let run = Run { host: &host, lock: &lock, report, stop: &stop };
    if command == "setup" {
        set_up(&run, receipt, directory, socket).await?;
    } else if let Some(receipt) = receipt {
        teardown(&run, receipt, &BTreeSet::new()).await?;
    }
    Ok(host.checkpoint()?)
}

async fn set_up(
    run: &Run<'_>,
    receipt: Option<Receipt>,
    directory: &Path,
    socket: &Path,
) -> Result<(), Failure> {
    let file = config::read(&directory.join("host.toml")).map_err(Error::from)?;
    let until = Until::default().reaching(receipt.as_ref());
    let leave = Leave { forced: BTreeSet::new(), firmware: false, until };
    setup(run, &file, &Access::of(&file, socket), &leave).await?;
    Ok(())
}

/// Open vSwitch with a null device of DPDK's in the place of the card's port.
#[derive(Debug)]
struct WithoutCard(Ovsdb);

#[async_trait]
impl Vswitch for WithoutCard {
    async fn observe(&self, bridge: &BridgeName) -> Result<Observation, vdpa_ovs::Error> {
        Ok(with_card(self.0.observe(bridge).await?))
    }

    async fn glance(&self, bridge: &BridgeName) -> Result<Observation, vdpa_ovs::Error> {
        Ok(with_card(self.0.glance(bridge).await?))
    }

    async fn apply(&self, change: &Change) -> Result<Applied, vdpa_ovs::Error> {
        let mut change = change.clone();
        for settings in change.settings.values_mut() {
            replace(settings, CARD, NULL);
        }
        self.0.apply(&change).await
    }

    fn writes(&self) -> u64 {
        self.0.writes()
    }
}

fn with_card(mut seen: Observation) -> Observation {
    for port in seen.bridge.iter_mut().flat_map(|bridge| &mut bridge.ports) {
        replace(&mut port.settings, NULL, CARD);
    }
    seen
}

/// Another device for a port that is `device`'s.
fn replace(settings: &mut Settings, device: &str, other: &str) {
    let mut options = settings.interface.text_map("options").unwrap_or_default();
    let Some(devargs) = options.get_mut("dpdk-devargs").filter(|devargs| *devargs == device) else { return };
    other.clone_into(devargs);
    let options = options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    settings.interface.set("options", options.collect::<vdpa_ovs::ovsdb::Value>());
}

/// Nothing that is done here takes a restart.
struct WithoutService;

#[async_trait]
impl OvsService for WithoutService {
    async fn restart(&self) -> Result<(), Error> {
        Err(Error::Restart("this Open vSwitch is no service".to_owned()))
    }
}

/// Says what has become true, up to a statement.
struct Lines {
    stop_at: Option<String>,
}

impl Report for Lines {
    fn done(&self, step: &Step, _: Duration) {
        println!("{step}");
        if self.stop_at.as_ref().is_some_and(|stop_at| step.subject().contains(stop_at)) {
            loop {
                std::thread::park();
            }
        }
    }
    fn planned(&self, _: &[Statement]) {}
    fn stage(&self, _: &[&Statement]) {}
    fn failed(&self, _: &Step, _: &Error) {}
    fn note(&self, text: &str) {
        eprintln!("note: {text}");
    }
    fn warn(&self, text: &str) {
        eprintln!("warning: {text}");
    }
    fn restoring(&self, error: &Error) {
        eprintln!("restoring: {}", error.flat());
    }
}
