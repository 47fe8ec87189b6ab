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
const ARGUMENTS: &[&str] = &["-v", "--help"];

/// The same where `--help` is seen to before `-v`, as a parser of whole command lines does it (`rte_argparse`, which
/// the EAL has since 25.07): it comes up without any device and memory to speak of, and the program then ends at an
/// argument that it does not know.
const WITHOUT_DEVICES: &[&str] =
    &["-v", "--no-pci", "--no-huge", "--in-memory", "--no-telemetry", "-m", "16", "--", "--help"];

/// The first version whose EAL knows `-a`. To those before, the devices to use are told by `-w`, which is gone since
/// 21.11.
const ALLOW_LIST: (u32, u32) = (20, 11);

/// The version of DPDK in `program`: `22.11.11`.
pub(super) async fn of(program: &Path) -> Result<String> {
    match ask(program, ARGUMENTS).await {
        Err(Error::Malformed { .. }) => ask(program, WITHOUT_DEVICES).await,
        answer => answer,
    }
}

/// The argument by which a DPDK of this version is told the devices to use; where it is not known, a recent one.
pub fn allow_list(version: Option<&str>) -> &'static str {
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
    let mut parts = version.unwrap_or_default().split('.');
    match (number(parts.next()), number(parts.next())) {
        (Some(year), Some(month)) if (year, month) < ALLOW_LIST => "-w",
        _ => "-a",
    }
}

async fn ask(program: &Path, arguments: &[&str]) -> Result<String> {
    let waiting = tracing::debug_span!("dpdk.version", waits_for = "dpdk", program = %program.display());
    let command = format!("{} {}", program.display(), arguments.join(" "));
    let mut child = Command::new(program);
    child.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
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

/// `EAL: RTE Version: 'DPDK 22.11.11'`; a vendor's build may have another name for itself (`RTE_VER_PREFIX`).
fn read(said: &str) -> Option<String> {
    let (_, behind) = said.split_once("RTE Version: '")?;
    let (name, version) = behind.split_once('\'')?.0.rsplit_once(' ')?;
    (name.contains("DPDK") && version.starts_with(|first: char| first.is_ascii_digit()))
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dpdk-vdpa of DPDK 22.11 printed.
    #[test]
    fn the_version_is_the_eals() {
        let said = "EAL: Detected CPU lcores: 2\nEAL: Detected NUMA nodes: 1\nEAL: RTE Version: 'DPDK 22.11.11'\n\nUsage: dpdk-vdpa";
        assert_eq!(read(said).as_deref(), Some("22.11.11"));
        assert_eq!(read("EAL: RTE Version: 'MLNX_DPDK 22.11.2310.4.0'").as_deref(), Some("22.11.2310.4.0"));
        assert_eq!(read("Usage: something else"), None);
    }

    #[test]
    fn devices_are_named_as_the_version_wants_it() {
        for old in ["18.11", "19.11.14", "20.08", "20.08.0-rc1"] {
            assert_eq!(allow_list(Some(old)), "-w", "{old}");
        }
        for new in ["20.11.3", "21.11", "22.11.11", "25.11.0", "22.11.2310.4.0", "of somebody's own"] {
            assert_eq!(allow_list(Some(new)), "-a", "{new}");
        }
        assert_eq!(allow_list(None), "-a");
    }

    #[tokio::test]
    async fn a_program_that_is_none_is_told_apart() {
        let error = of(Path::new("/nowhere/dpdk-vdpa")).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nowhere/dpdk-vdpa -v --help");
        let error = of(Path::new("/usr/bin/env")).await.unwrap_err();
        assert!(error.to_string().contains("names no version of DPDK"), "{error}");
    }
}
