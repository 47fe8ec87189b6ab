//! What a program takes on this machine, by GNU time, which does not count itself as a shell would.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;

use crate::host::Need;
use crate::process;

/// The longest that a program may take.
const LIMIT: Duration = Duration::from_mins(10);

/// What measures.
pub(super) const TIME: Need = Need { of: "bench", witness: "/usr/bin/time", package: "time" };

/// What a run took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Taken {
    /// Seconds from start to end, in hundredths.
    pub(super) wall: f64,
    /// Seconds of CPU, in hundredths.
    pub(super) cpu: f64,
    /// The most memory held, in KiB.
    pub(super) memory: u64,
}

/// Runs a program to its end, on one core. What it prints is read and thrown away.
pub(super) async fn run(arguments: &[String]) -> Result<Taken> {
    let said = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let mut command = process::command("taskset");
    command.args(["-c", "0", "time", "-f", "%e %U %S %M", "-o"]).arg(said.path()).args(arguments);
    // Into a pipe: grep ends at the first match where what it prints goes to /dev/null.
    let mut child =
        command.env("LC_ALL", "C").stdout(Stdio::piped()).spawn().context("cannot start taskset")?;
    let mut printed = child.stdout.take().context("there is no pipe")?;
    let ended = async {
        tokio::io::copy(&mut printed, &mut tokio::io::sink()).await?;
        child.wait().await
    };
    let status = tokio::time::timeout(LIMIT, ended).await.context("it takes too long")??;
    ensure!(status.success(), "it failed ({status})");
    let text = fs::read_to_string(said.path()).context("cannot read what time said")?;
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[wall, user, system, memory] = numbers.as_slice() else { bail!("time said {text:?}") };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of KiB")]
    let memory = memory as u64;
    Ok(Taken { wall, cpu: user + system, memory })
}

/// Runs a program to its end, and nothing beside it.
pub(super) async fn start(arguments: &[String]) -> Result<()> {
    let [program, arguments @ ..] = arguments else { bail!("no program") };
    let mut command = process::command(program);
    let status = command.args(arguments).stdout(Stdio::null()).status().await.context("it does not start")?;
    ensure!(status.success(), "it failed ({status})");
    Ok(())
}
