//! Open vSwitch's systemd unit.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;

use super::OvsService;
use crate::error::Error;

/// The unit's name on Debian and Ubuntu, and on RHEL, SUSE and with NVIDIA's packages.
const UNITS: [&str; 2] = ["openvswitch-switch.service", "openvswitch.service"];

/// A restart takes 8 s on an emulated machine.
const LIMIT: Duration = Duration::from_mins(2);

/// The service as systemd has it.
#[derive(Debug, Default)]
pub(super) struct Systemd;

#[async_trait]
impl OvsService for Systemd {
    async fn restart(&self) -> Result<(), Error> {
        let mut missing = Vec::new();
        for unit in UNITS {
            let loaded = systemctl(&["show", "--property=LoadState", "--value", unit]).await?;
            if loaded.trim() == "loaded" {
                tracing::info!(unit, "restarting");
                return systemctl(&["restart", unit]).await.map(drop);
            }
            missing.push(unit);
        }
        Err(Error::Restart(format!("systemd has neither {}", missing.join(" nor "))))
    }
}

async fn systemctl(arguments: &[&str]) -> Result<String, Error> {
    let _waiting = tracing::debug_span!("systemctl", waits_for = "systemd", ?arguments);
    let mut command = Command::new("systemctl");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let said = match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(output)) if output.status.success() => {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    };
    Err(Error::Restart(format!("`systemctl {}`: {said}", arguments.join(" "))))
}
