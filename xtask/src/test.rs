//! `cargo xtask test`: the tests that any Linux machine can run.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{host, process, workspace};

/// For all tests together, with their build.
const LIMIT: Duration = Duration::from_hours(1);

/// How to test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Passed on to `cargo test`
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Installs what is missing, then runs the tests of all crates: unit tests, mocks, and the daemon tier.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    host::meet(host::NEEDS.iter().filter(|need| !["xtask", "dist"].contains(&need.of))).await?;
    let mut cargo = process::command("cargo");
    cargo
        .current_dir(workspace::root())
        .args(["test", "--workspace", "--features", "mock,daemon"])
        .args(&args.rest);
    let status = process::status(cargo, LIMIT).await.context("cannot run the tests")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
