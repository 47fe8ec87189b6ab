//! The `vdpa` command.

use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use vdpa_cli::args::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = ["warn", "vdpa=debug,info", "trace"][usize::from(cli.common.verbose.min(2))];
    let filter = EnvFilter::try_from_env("VDPA_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::CLOSE)
        .init();
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(vdpa_cli::commands::run(cli)),
        Err(error) => {
            tracing::error!("cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
