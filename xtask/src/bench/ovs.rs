//! `cargo xtask bench ovs`: the OVSDB client beside Open vSwitch's own and ovsdbapp.
//!
//! The contenders and what is measured are in `crates/ovs/examples/measure`, which is built and run here. No VM and no
//! privilege: the daemons are private ones with dummy datapaths.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::host::{self, Need};
use crate::{process, workspace};

/// What to measure, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these: ports, snapshot, transactions
    what: Vec<String>,
    /// Rounds that count; one more comes first, to warm up
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// A release build, and rounds in which Python reads 100 000 rows.
const LIMIT: Duration = Duration::from_hours(2);

/// Whom the client is measured beside.
const CONTENDERS: &[Need] = &[
    Need { of: "bench", witness: "/usr/share/openvswitch/vswitch.ovsschema", package: "openvswitch-switch" },
    Need { of: "bench", witness: "/usr/lib/python3/dist-packages/ovs", package: "python3-openvswitch" },
    Need { of: "bench", witness: "/usr/lib/python3/dist-packages/ovsdbapp", package: "python3-ovsdbapp" },
];

/// Measures.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    host::meet(CONTENDERS.iter()).await?;
    let directory = workspace::target().join("bench");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let mut cargo = process::command("cargo");
    cargo.args(["run", "--release", "--quiet", "--package", "vdpa-ovs", "--features", "testing"]);
    cargo.args(["--example", "measure", "--", "--rounds", &args.rounds.to_string(), "--json"]);
    cargo.arg(directory.join("ovs.json")).args(&args.what);
    let status = process::status(cargo, LIMIT).await?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
