//! A daemon's control socket: what `ovs-appctl` speaks (ovs-appctl(8), lib/unixctl.c).
//!
//! It is JSON-RPC 1.0 as OVSDB has it: a command is a method, its arguments are texts, and so is its result.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Error,
    ovsdb::{Remote, Rpc, connect_error},
};

/// Where the daemons keep their pid files and sockets unless told otherwise (`OVS_RUNDIR`).
pub const DEFAULT_RUNDIR: &str = "/run/openvswitch";

/// How long a command may take unless told otherwise. A dump of many flows takes seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// A daemon's control socket.
///
/// ```no_run
/// # async fn run() -> Result<(), vdpa_ovs::Error> {
/// let vswitchd = vdpa_ovs::Unixctl::vswitchd("/run/openvswitch").await?;
/// println!("{}", vswitchd.call("version", &[]).await?);
/// println!("{}", vswitchd.call("dpctl/dump-flows", &["-m", "type=offloaded"]).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Unixctl {
    socket: PathBuf,
    limit: Duration,
}

impl Unixctl {
    /// The control socket at a path. Nothing is connected yet.
    pub fn at(socket: impl AsRef<Path>) -> Self {
        Self { socket: socket.as_ref().to_owned(), limit: LIMIT }
    }

    /// ovs-vswitchd's control socket, `ovs-vswitchd.PID.ctl`, by the pid file beside it. The directory is
    /// [`DEFAULT_RUNDIR`] on most hosts; reading it usually needs root.
    pub async fn vswitchd(rundir: impl AsRef<Path>) -> Result<Self, Error> {
        let pidfile = rundir.as_ref().join("ovs-vswitchd.pid");
        let text = tokio::fs::read_to_string(&pidfile)
            .await
            .map_err(|error| connect_error(pidfile.clone().into(), error))?;
        let pid: u32 = text.trim().parse().map_err(|_| Error::Protocol {
            during: format!("reading {}", pidfile.display()),
            text: format!("{text:?} is no process id"),
        })?;
        Ok(Self::at(rundir.as_ref().join(format!("ovs-vswitchd.{pid}.ctl"))))
    }

    /// The same socket with another time limit on each command.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs a command and gives what it prints. [`Error::Command`] has the daemon's text if it refuses.
    pub async fn call(&self, command: &str, arguments: &[&str]) -> Result<String, Error> {
        let remote = Remote::from(self.socket.as_path());
        let rpc = Rpc::connect(&remote, None, self.limit).await?;
        match rpc.call(command, &arguments, self.limit).await {
            Ok(result) => serde_json::from_slice(&result)
                .map_err(|error| Error::Protocol { during: command.to_owned(), text: error.to_string() }),
            Err(Error::Rpc { method, kind, .. }) => {
                Err(Error::Command { command: method, message: kind.to_string().trim_end().to_owned() })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_socket_is_found_by_the_pid_file() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Unixctl::vswitchd(dir.path()).await.unwrap_err();
        assert!(matches!(missing, Error::Connect { .. }), "{missing:?}");
        std::fs::write(dir.path().join("ovs-vswitchd.pid"), "4711\n").unwrap();
        let found = Unixctl::vswitchd(dir.path()).await.unwrap();
        assert_eq!(found.socket(), dir.path().join("ovs-vswitchd.4711.ctl"));
        std::fs::write(dir.path().join("ovs-vswitchd.pid"), "").unwrap();
        let garbage = Unixctl::vswitchd(dir.path()).await.unwrap_err();
        assert!(matches!(garbage, Error::Protocol { .. }), "{garbage:?}");
    }
}
