//! Which DPDK a dpdk-vdpa program is built of, in its own words.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Result};

/// The EAL looks at the host's CPUs before it reads its arguments, and loads its drivers after.
const LIMIT: Duration = Duration::from_secs(20);

/// What makes the EAL print its version and end without touching any device: `-v` takes effect when it is read,
/// and `--help` ends the program (`eal_parse_args` in DPDK's `lib/eal/linux/eal.c`).
const ARGUMENTS: [&str; 2] = ["-v", "--help"];

/// The version of DPDK in `program`: `22.11.11`.
pub(super) async fn of(program: &Path) -> Result<String> {
    let waiting = tracing::debug_span!("dpdk.version", waits_for = "dpdk", program = %program.display());
    let command = format!("{} {}", program.display(), ARGUMENTS.join(" "));
    let mut child = Command::new(program);
    child.args(ARGUMENTS).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, child.output()).await;
    drop(waiting);
    let Ok(output) = output else {
        let seen = "it was still running".to_owned();
        return Err(Error::Timeout { awaited: format!("an answer of `{command}`"), limit: LIMIT, seen });
    };
    let output = output.map_err(Error::io(format!("run {command}")))?;
    let said = [output.stdout, output.stderr].concat();
    read(&String::from_utf8_lossy(&said)).ok_or_else(|| Error::Malformed {
        what: format!("what `{command}` says"),
        why: format!("it names no version of DPDK ({})", output.status),
    })
}

/// `EAL: RTE Version: 'DPDK 22.11.11'`
fn read(said: &str) -> Option<String> {
    let (_, behind) = said.split_once("RTE Version: 'DPDK ")?;
    Some(behind.split_once('\'')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dpdk-vdpa of DPDK 22.11 printed.
    #[test]
    fn the_version_is_the_eals() {
        let said = "EAL: Detected CPU lcores: 2\nEAL: Detected NUMA nodes: 1\nEAL: RTE Version: 'DPDK 22.11.11'\n\nUsage: dpdk-vdpa";
        assert_eq!(read(said).as_deref(), Some("22.11.11"));
        assert_eq!(read("Usage: something else"), None);
    }

    #[tokio::test]
    async fn a_program_that_is_none_is_told_apart() {
        let error = of(Path::new("/nowhere/dpdk-vdpa")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nowhere/dpdk-vdpa -v --help");
        let error = of(Path::new("/usr/bin/env")).await.unwrap_err();
        assert!(error.to_string().contains("names no version of DPDK"), "{error}");
    }
}
