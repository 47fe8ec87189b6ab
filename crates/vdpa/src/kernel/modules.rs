//! Loading a kernel module, when and only when it is missing.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Result};

/// How long modprobe may take: `mlx5_vdpa` probes every VF of the host while it loads.
const LIMIT: Duration = Duration::from_mins(1);

/// Runs `modprobe NAME` (root).
pub(super) async fn load(module: &str) -> Result<()> {
    tracing::info!(module, "loading a kernel module");
    let command = format!("modprobe {module}");
    let output = Command::new("modprobe")
        .arg(module)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(output) = tokio::time::timeout(LIMIT, output).await else {
        let seen = "modprobe was still running".to_owned();
        return Err(Error::Timeout { awaited: format!("the module {module}"), limit: LIMIT, seen });
    };
    let output = output.map_err(Error::io(format!("run {command}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    Err(Error::Command { command, status: output.status.to_string(), said })
}
