//! Starting a supervisor where no systemd runs: a detached process that tells us when it is ready.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::process::Command;
use vdpa_hw::Vf;

use super::layout::Home;
use super::notify;
use super::process::ProcessId;
use crate::error::{Error, Result};

/// How many lines of a failed start's log are quoted.
const QUOTED: usize = 6;

/// Starts a supervisor for `home` and waits until it is ready.
///
/// The supervisor makes itself a session leader, so that neither Ctrl-C nor the end of a terminal or of
/// an SSH connection reaches it; its parent is init once this command ends.
pub(super) async fn start(command: &[OsString], vf: Vf, home: &Home, limit: Duration) -> Result<()> {
    let intent = || format!("start the supervisor of {vf}");
    let (program, leading) = command.split_first().ok_or_else(|| Error::Malformed {
        what: "the supervisor's command".into(),
        why: "it is empty".into(),
    })?;
    let socket = home.notify_socket();
    let _ = std::fs::remove_file(&socket);
    let listener = UnixDatagram::bind(&socket).map_err(Error::io(intent()))?;
    // Whoever may write to it could say that the datapath is ready.
    std::fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(Error::io(intent()))?;
    let log = || File::options().create(true).append(true).mode(0o644).open(home.log());
    let mut child = Command::new(program)
        .args(leading)
        .arg(home.path())
        .env(notify::VARIABLE, &socket)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log().map_err(Error::io(intent()))?)
        .stderr(log().map_err(Error::io(intent()))?)
        .spawn()
        .map_err(Error::io(intent()))?;
    let outcome = tokio::select! {
        ready = ready(&listener) => ready.map_err(Error::io(intent())),
        ended = child.wait() => {
            let status = ended.map_err(Error::io(intent()))?;
            Err(Error::NotStarted { vf, why: last_words(home, &format!("its supervisor ended ({status})")) })
        }
        () = tokio::time::sleep(limit) => {
            Err(Error::NotStarted { vf, why: last_words(home, &format!("it was not ready within {limit:?}")) })
        }
    };
    let _ = std::fs::remove_file(&socket);
    outcome
}

/// Ends the supervisor, and the program with it; `false` if one of them is still there.
pub(super) async fn stop(home: &Home, grace: Duration) -> io::Result<bool> {
    let Ok(Some(processes)) = home.processes() else { return Ok(true) };
    let mut ended = processes.supervisor.end(grace).await?;
    // A supervisor that was killed leaves the program to notice it by itself.
    if let Some(program) = processes.program {
        ended &= program.end(grace).await?;
    }
    Ok(ended)
}

/// Whether the supervisor runs.
pub(super) fn is_running(home: &Home) -> bool {
    let processes = home.processes().ok().flatten();
    processes.map(|processes| processes.supervisor).is_some_and(ProcessId::is_running)
}

/// Waits for `READY=1`.
async fn ready(listener: &UnixDatagram) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let length = listener.recv(&mut buffer).await?;
        if buffer[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1") {
            return Ok(());
        }
    }
}

/// What the supervisor said about its failure, or else the last lines of its log.
fn last_words(home: &Home, otherwise: &str) -> String {
    home.failure().unwrap_or_else(|| {
        let log = std::fs::read(home.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(QUOTED)..].join(" | ");
        if last.is_empty() { otherwise.to_owned() } else { format!("{otherwise}: {last}") }
    })
}
