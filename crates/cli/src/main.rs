//! The `vdpa` command.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use vdpa_cli::args::{Cli, Command};
use vdpa_cli::commands;
use vdpa_cli::report::Log;
use vdpa_cli::trace::{self, Trace};

fn main() -> ExitCode {
    let began = Instant::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return commands::not_understood(&error),
    };
    // A supervisor inherits the environment of the command that starts it, but the record is not its own.
    let path =
        std::env::var_os(trace::VARIABLE).filter(|_| !matches!(cli.command, Command::Supervise { .. }));
    let trace = match path.map(|path| Trace::to(path.as_ref(), began)).transpose() {
        Ok(trace) => trace,
        Err(error) => {
            eprintln!("error: cannot write the file that {} names: {error}", trace::VARIABLE);
            return ExitCode::from(2);
        }
    };
    let level = ["warn", "vdpa=debug,info", "trace"][usize::from(cli.common.verbose.min(2))];
    let filter = EnvFilter::try_from_env("VDPA_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let to = Log::new(cli.common.simulate.is_some());
    let log = tracing_subscriber::fmt::layer().with_ansi(to.has_colours()).with_writer(move || to);
    let log = log.with_span_events(FmtSpan::CLOSE);
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(trace.clone().map(|trace| trace.with_filter(filter_fn(Trace::records))))
        .init();
    let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(commands::run(cli));
            // A write that the kernel does not return from keeps us no longer than the kernel does.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            tracing::error!("cannot start: {error}");
            ExitCode::FAILURE
        }
    };
    if let Some(Err(error)) = trace.map(|trace| trace.end()) {
        eprintln!("warning: the file that {} names is cut short: {error}", trace::VARIABLE);
    }
    code
}
