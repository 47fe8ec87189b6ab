//! Starting a supervisor as a transient unit of systemd: restarted when it fails, logged by the journal,
//! in a control group of its own.

use std::ffi::{OsStr, OsString};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use vdpa_hw::Vf;

use super::layout::{Home, unit_name};
use super::supervise::Limits;
use super::{Spec, unit};
use crate::error::{Error, Result};

/// How many lines of the journal a failed start quotes.
const QUOTED: &str = "6";
/// How long systemd may take beyond the unit's own limits.
const MARGIN: Duration = Duration::from_secs(15);

/// Starts the unit and waits until it says that it is ready.
pub(super) async fn start(command: &[OsString], spec: &Spec, home: &Home, limits: Limits) -> Result<()> {
    let vf = spec.vf;
    let properties = unit::properties(version().await, spec, home, limits);
    let arguments = start_arguments(command, spec, home, &properties);
    let output = run("systemd-run", &arguments, limits.start + MARGIN).await;
    let said = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => text(&output.stderr),
        Err(error @ Error::Timeout { .. }) => error.to_string(),
        Err(error) => return Err(error),
    };
    // The supervisor's own words are the best; without them it was not even started.
    let why = match home.failure() {
        Some(failure) => failure,
        None => match journal(vf).await {
            Some(journal) => format!("{said}; the journal says: {journal}"),
            None => said,
        },
    };
    Err(Error::NotStarted { vf, why })
}

/// Stops the unit, and waits until all its processes have gone. A unit that systemd does not know is
/// stopped.
pub(super) async fn stop(vf: Vf, limit: Duration) -> Result<()> {
    let unit = unit_name(vf);
    let arguments = ["stop", &unit].map(OsString::from);
    let output = run("systemctl", &arguments, limit + MARGIN).await?;
    // systemctl(1): 5 says that the unit is not loaded.
    if !output.status.success() && output.status.code() != Some(5) {
        return Err(failed("systemctl", &arguments, &output));
    }
    Ok(())
}

fn start_arguments(command: &[OsString], spec: &Spec, home: &Home, properties: &[String]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--quiet".into(),
        format!("--unit={}", unit_name(spec.vf)).into(),
        format!("--description=vDPA datapath of {}", spec.vf).into(),
        "--service-type=notify".into(),
        // A unit that has failed for good must not keep its name: why it failed is in its directory.
        "--collect".into(),
    ];
    arguments.extend(properties.iter().map(|property| format!("--property={property}").into()));
    arguments.push("--".into());
    arguments.extend(command.iter().cloned());
    arguments.push(home.path().into());
    arguments
}

/// The version of the systemd that runs.
async fn version() -> u32 {
    let output = run("systemctl", &["--version".into()], MARGIN).await;
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    unit::version(&said).unwrap_or(unit::OLDEST)
}

async fn journal(vf: Vf) -> Option<String> {
    let unit = unit_name(vf);
    let arguments = ["--unit", &unit, "--lines", QUOTED, "--output", "cat", "--no-pager"].map(OsString::from);
    let output = run("journalctl", &arguments, MARGIN).await.ok()?;
    let said = text(&output.stdout);
    (output.status.success() && !said.is_empty()).then_some(said)
}

async fn run(program: &str, arguments: &[OsString], limit: Duration) -> Result<Output> {
    let child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(output) = tokio::time::timeout(limit, child).await else {
        let awaited = line(program, arguments);
        return Err(Error::Timeout { awaited, limit, seen: "the command was still running".into() });
    };
    output.map_err(Error::io(format!("run {program}")))
}

fn failed(program: &str, arguments: &[OsString], output: &Output) -> Error {
    let said = text(&output.stderr);
    Error::Command {
        command: line(program, arguments),
        status: output.status.to_string(),
        said: if said.is_empty() { Vec::new() } else { vec![said] },
    }
}

fn line(program: &str, arguments: &[OsString]) -> String {
    let words = [OsStr::new(program)].into_iter().chain(arguments.iter().map(OsString::as_os_str));
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().lines().collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_unit_is_named_after_its_vf_and_runs_the_supervisor() {
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        let home = Home::of(Path::new("/run/vdpa"), vf);
        let command = ["/usr/bin/vdpa".into(), "supervise".into()];
        let spec = Spec::new(vf, "0000:43:00.2".parse().unwrap(), "/usr/bin/dpdk-vdpa");
        let properties = unit::properties(252, &spec, &home, Limits::default());
        let arguments = start_arguments(&command, &spec, &home, &properties);
        let line = line("systemd-run", &arguments);
        for part in [
            "systemd-run --quiet --unit=vdpa-dpdk-0000-43-00.0-vf0.service ",
            " --service-type=notify ",
            " --collect ",
            " --property=Restart=on-failure ",
            " --property=TimeoutStartSec=125 ",
            " --property=KillMode=mixed ",
            " --property=LimitMEMLOCK=infinity ",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(line.ends_with(" -- /usr/bin/vdpa supervise /run/vdpa/0000-43-00.0-vf0"), "{line}");
    }

    #[tokio::test]
    async fn a_command_has_a_time_limit() {
        let error = run("sleep", &["60".into()], Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(&error, Error::Timeout { awaited, .. } if awaited == "sleep 60"), "{error}");
    }
}
