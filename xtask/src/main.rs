//! The project's own chores, as `cargo xtask CHORE`.
//!
//! `test` is what a newcomer and CI run, `hw-test` runs tests by tier up to real kernels and real cards, and `lab` is
//! the virtual machine that the lab tier boots, also for use by hand. `bench` measures in it. `fuzz` lets libFuzzer loose on
//! parsers. `errors` writes the catalogue of error messages, `dist` makes packages, `sbom` says what is in them.
#![expect(
    clippy::disallowed_methods,
    reason = "reports and the cache note the time of day; no limit is by it"
)]

mod bench;
#[cfg(test)]
mod claims;
mod dist;
mod errors;
mod fuzz;
mod host;
mod hw_test;
mod lab;
mod process;
mod progress;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// The project's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
enum Xtask {
    /// Install what the tests need, then run everything up to and including the daemon tier
    Test(test::Args),
    /// Run tests by tier: mock, daemon, lab (a virtual machine), card (a real one)
    HwTest(hw_test::Args),
    /// Build, boot and use the virtual hardware lab
    #[command(subcommand)]
    Lab(lab::Command),
    /// Measure `vdpa setup` in the lab, beside shell scripts that do the same
    Bench(bench::Args),
    /// Fuzz what comes from outside and is taken apart here
    Fuzz(fuzz::Args),
    /// Write docs/errors.md, the catalogue of every error message
    Errors(errors::Args),
    /// Make the packages that people install
    Dist(dist::Args),
    /// Print what libraries are in the program, as `CycloneDX`'s JSON
    Sbom,
}

impl Xtask {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Test(args) => test::run(&args).await,
            Self::HwTest(args) => hw_test::run(&args).await,
            Self::Lab(command) => lab::run(command).await,
            Self::Bench(args) => bench::run(&args).await,
            Self::Fuzz(args) => fuzz::run(&args).await,
            Self::Errors(args) => errors::run(&args),
            Self::Dist(args) => dist::run(&args).await,
            Self::Sbom => dist::sbom().await,
        }
    }
}

// One thread: the children ask to be killed when the thread that started them ends, which must not be before us.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let chore = Xtask::parse().run();
    // Dropping the chore kills its children and removes its temporary files.
    let done = tokio::select! {
        done = chore => done,
        signal = interrupted() => match signal {
            Ok(name) => Err(anyhow::anyhow!("interrupted by {name}")),
            Err(error) => Err(error.into()),
        },
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Waits until someone wants this program to end; gives the signal's name.
async fn interrupted() -> std::io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
