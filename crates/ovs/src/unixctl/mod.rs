//! A daemon's control socket: what `ovs-appctl` speaks (ovs-appctl(8), lib/unixctl.c).
//!
//! It is JSON-RPC 1.0 as OVSDB has it: a command is a method, its arguments are texts, and so is its result.
//! ovs-vswitchd and ovsdb-server both have one; [`Unixctl::commands`] lists what each knows.

mod reply;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use self::reply::Reply;

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
/// vswitchd.lines("dpctl/dump-flows", &["-m", "type=offloaded"], |flow| println!("{flow}")).await?;
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
        Self::daemon(rundir.as_ref(), "ovs-vswitchd").await
    }

    async fn daemon(rundir: &Path, name: &str) -> Result<Self, Error> {
        let pidfile = rundir.join(format!("{name}.pid"));
        let text = tokio::fs::read_to_string(&pidfile)
            .await
            .map_err(|error| connect_error(pidfile.clone().into(), error))?;
        let pid: u32 = text.trim().parse().map_err(|_| Error::Protocol {
            during: format!("reading {}", pidfile.display()),
            text: format!("{text:?} is no process id"),
        })?;
        Ok(Self::at(rundir.join(format!("{name}.{pid}.ctl"))))
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

    /// ovsdb-server's control socket, by the pid file beside it, as [`Unixctl::vswitchd`].
    pub async fn ovsdb_server(rundir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::daemon(rundir.as_ref(), "ovsdb-server").await
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

    /// Runs a command and tells each line of what it prints as it arrives, in memory that does not grow with it:
    /// for dumps of many flows or connections. The time limit is for each read.
    pub async fn lines(
        &self,
        command: &str,
        arguments: &[&str],
        mut each: impl FnMut(&str) + Send,
    ) -> Result<(), Error> {
        let remote = Remote::from(self.socket.as_path());
        let timeout =
            || Error::Timeout { remote: remote.clone(), during: command.to_owned(), limit: self.limit };
        let disconnected = |reason: String| Error::Disconnected {
            remote: remote.clone(),
            during: command.to_owned(),
            reason,
        };
        let protocol = |text: String| Error::Protocol { during: command.to_owned(), text };
        let call = serde_json::json!({ "id": 0, "method": command, "params": arguments }).to_string();
        let mut stream = tokio::time::timeout(self.limit, UnixStream::connect(&self.socket))
            .await
            .map_err(|_| timeout())?
            .map_err(|error| connect_error(remote.clone(), error))?;
        stream.write_all(call.as_bytes()).await.map_err(|error| disconnected(error.to_string()))?;
        let (mut reply, mut chunk) = (Reply::default(), vec![0; 256 << 10]);
        loop {
            let read = tokio::time::timeout(self.limit, stream.read(&mut chunk)).await;
            match read.map_err(|_| timeout())?.map_err(|error| disconnected(error.to_string()))? {
                0 => return Err(disconnected("the daemon closed the connection".to_owned())),
                length => {
                    if reply.feed(&chunk[..length], &mut each).map_err(protocol)? {
                        break;
                    }
                }
            }
        }
        match reply.end(&mut each).map_err(protocol)? {
            None => Ok(()),
            Some(message) => {
                Err(Error::Command { command: command.to_owned(), message: message.trim_end().to_owned() })
            }
        }
    }

    /// The commands that the daemon knows, with their arguments (`list-commands`).
    pub async fn commands(&self) -> Result<Vec<String>, Error> {
        let text = self.call("list-commands", &[]).await?;
        // The first line is a heading.
        Ok(text.lines().skip(1).map(|line| line.trim().to_owned()).collect())
    }

    /// The daemon's own word on what it is (`version`).
    pub async fn version(&self) -> Result<String, Error> {
        Ok(self.call("version", &[]).await?.trim_end().to_owned())
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
