//! The commands: flags in, exit code out, the engine in between.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use vdpa_ovs::BridgeName;

use crate::args::{Cli, Command, Common};
use crate::config::{self, HostFile};
use crate::engine::{Failure, Run, Stop};
use crate::error::Error;
use crate::host::{Access, Host, SimulatedHost, real};
use crate::iproute2::Object;
use crate::lock::Lock;
use crate::privilege::{self, Capability};
use crate::receipt::Drawer;
use crate::report::{Outcome, Output, Standing};
use crate::step::Step;

pub mod bench;
pub mod bridge;
mod device;
pub mod doctor;
pub mod firmware;
pub mod flows;
mod generate;
mod plan;
pub mod prepare;
pub mod service;
mod setup;
pub mod source;
pub mod stats;
mod status;
mod supervise;
mod teardown;
pub mod topology;
pub mod verify;
pub mod vm;

/// What every command has at hand.
struct Session {
    common: Common,
    output: Output,
    stop: Stop,
}

/// Carries out a command.
pub async fn run(cli: Cli) -> ExitCode {
    let began = Instant::now();
    let name = match &cli.command {
        Command::Supervise { directory } => return supervise::run(directory).await,
        Command::Mgmtdev(words) => return device::run(&cli.common, Object::MgmtDev, words).await,
        Command::Dev(words) => return device::run(&cli.common, Object::Dev, words).await,
        Command::Completions { shell } => return generate::completions(*shell),
        Command::Man { into } => return generate::man(into.as_deref()),
        Command::Setup(_) => "setup",
        Command::Plan(_) => "plan",
        Command::Status(_) => "status",
        Command::Teardown(_) => "teardown",
        Command::Vm(vm) => vm.name(),
        Command::Doctor(_) => "doctor",
        Command::Host(command) => command.name(),
        Command::Flows(_) => "flows",
        Command::Topology(_) => "topology",
        Command::Stats(_) => "stats",
        Command::Firmware(options) => options.name(),
        Command::Verify(_) => "verify",
        Command::Bench(_) => "bench",
        Command::Service(options) => options.name(),
    };
    let output = Output::new(cli.common.json, cli.common.simulate.is_some());
    let session = Session { common: cli.common, output, stop: Stop::default() };
    let result = match &cli.command {
        Command::Setup(options) => setup::run(&session, options).await,
        Command::Plan(options) => plan::run(&session, options).await,
        Command::Status(wanted) => status::run(&session, wanted).await,
        Command::Teardown(options) => teardown::run(&session, options).await,
        Command::Doctor(options) => doctor::run(&session, options).await,
        Command::Service(options) => service::run(&session, options).await,
        Command::Host(command) => prepare::run(&session, command).await,
        Command::Firmware(options) => firmware::run(&session, options).await,
        Command::Flows(options) => match flows::run(&session, options).await {
            // It has printed as it went.
            Ok(code) => return code,
            Err(error) => Err(error.into()),
        },
        Command::Verify(options) => verify::run(&session, options).await,
        Command::Bench(options) => bench::run(&session, options).await,
        Command::Topology(options) => topology::run(&session, options).await,
        Command::Stats(options) => stats::run(&session, options).await,
        Command::Vm(vm) => vm::run(&session, vm).await,
        Command::Supervise { .. }
        | Command::Mgmtdev(_)
        | Command::Dev(_)
        | Command::Completions { .. }
        | Command::Man { .. } => unreachable!("returned above"),
    };
    let mut outcome = result.unwrap_or_else(|failure| {
        session.output.error(&failure);
        Outcome::failed(name, &failure)
    });
    outcome.simulated = session.common.simulate.is_some();
    outcome.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    outcome.notes.extend(session.output.notes());
    session.output.document(&outcome);
    ExitCode::from(outcome.exit_code)
}

/// Says what is wrong with the flags, or what they ask to be told (`--help`); with `--json`, in a document like any
/// other.
pub fn not_understood(error: &clap::Error) -> ExitCode {
    let json = error.use_stderr() && std::env::args_os().any(|argument| argument == "--json");
    if json {
        let outcome = Outcome::not_understood(error);
        Output::new(true, false).document(&outcome);
        return ExitCode::from(outcome.exit_code);
    }
    // A reader that has gone away is no reason to fail.
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

impl Session {
    /// The host that the command works on; `access` is needed only for the real one.
    fn host(&self, access: &Access) -> Result<Host, Error> {
        match simulation(&self.common)? {
            Some(simulated) => Ok(simulated.host()),
            None => real(access),
        }
    }

    /// That this process may do what a command does to a real host.
    fn require(&self, command: &'static str, needed: &[Capability]) -> Result<(), Error> {
        if self.is_simulated() { Ok(()) } else { privilege::require(command, needed) }
    }

    /// How the host is reached and which bridge is ours: as the last `setup` wrote down, else by the host file, else as
    /// is usual.
    fn known(&self) -> Result<(Access, BridgeName), Error> {
        if let Some(receipt) = self.drawer().open()? {
            let bridge = receipt.wanted().into_iter().find_map(|step| match step {
                Step::Bridge { name, .. } => Some(name.clone()),
                _ => None,
            });
            if let Some(bridge) = bridge {
                return Ok((receipt.access.clone(), bridge));
            }
        }
        let path = std::path::Path::new(config::DEFAULT_PATH);
        let file =
            if !self.is_simulated() && path.exists() { config::read(path)? } else { HostFile::default() };
        Ok((Access::of(&file, &self.common.ovsdb), file.bridge))
    }

    fn run<'a>(&'a self, host: &'a Host, lock: &'a Lock) -> Run<'a> {
        Run { host, lock, report: &self.output, stop: &self.stop }
    }

    /// The host's lock: whoever changes the host takes it before it looks at the host and its receipt.
    fn lock(&self) -> Result<Lock, Error> {
        Lock::take(&self.run_directory())
    }

    fn is_simulated(&self) -> bool {
        self.common.simulate.is_some()
    }

    /// Where the receipt is: it says how the host is reached.
    fn drawer(&self) -> Drawer {
        Drawer::new(&self.run_directory())
    }

    /// What the receipt says of the host, for programs.
    fn standing(&self) -> Result<Option<Standing>, Error> {
        Ok(self.drawer().open()?.as_ref().map(Standing::from))
    }

    fn run_directory(&self) -> PathBuf {
        match &self.common.simulate {
            Some(directory) => directory.clone().unwrap_or_else(default_directory),
            None => PathBuf::from(crate::host::RUN),
        }
    }

    /// From now on Ctrl-C, SIGTERM and a lost terminal let the stage at work end and the host be restored.
    fn listen_for_signals(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let Ok(mut signals) = signal(kind) else { continue };
            let stop = self.stop.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    stop.request();
                }
            });
        }
    }
}

/// The simulated host, if one is asked for.
fn simulation(common: &Common) -> Result<Option<SimulatedHost>, Error> {
    let Some(directory) = &common.simulate else { return Ok(None) };
    let host = SimulatedHost::open(&directory.clone().unwrap_or_else(default_directory))?;
    if let Some(at) = common.fail_at {
        host.fail_at(at);
    }
    Ok(Some(host))
}

/// A simulated host is kept with the user's state, as the XDG Base Directory Specification has it.
fn default_directory() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into())).join(".local/state");
    state.unwrap_or_else(home).join("vdpa/simulated")
}

/// What every command returns.
type Result<T = Outcome, E = Failure> = std::result::Result<T, E>;
