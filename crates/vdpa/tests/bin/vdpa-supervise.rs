//! The supervising process of the daemon tests: what the cli's hidden subcommand does.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use vdpa_datapath::dpdk::{Limits, supervise};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else { return ExitCode::from(2) };
    let limits = Limits { start: Duration::from_mins(1), ..Limits::default() };
    match supervise(&directory, limits, std::io::stderr()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
