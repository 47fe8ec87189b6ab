//! Private ovsdb-servers, alone and in a cluster, which end with the test.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use vdpa_ovs::{
    Unixctl,
    ovsdb::{Client, Options, Remote},
};

use crate::LIMIT;

pub(crate) const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// An ovsdb-server on a database of its own.
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    arguments: Vec<String>,
    _temporary: Option<tempfile::TempDir>,
}

impl Server {
    /// One that listens on a Unix socket, and as the arguments say.
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::Builder::new().prefix("vdpa-ovsdb-").tempdir().unwrap();
        let dir = temporary.path().to_owned();
        run(Command::new("ovsdb-tool").arg("create").arg(dir.join("db")).arg(SCHEMA));
        Self::on(dir, arguments, Some(temporary)).await
    }

    /// One on the file `db` of a directory.
    pub(crate) async fn on(dir: PathBuf, arguments: &[&str], temporary: Option<tempfile::TempDir>) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(&dir, &arguments);
        let server = Self { child, dir, arguments, _temporary: temporary };
        server.answers().await;
        server
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn remote(&self) -> Remote {
        self.dir.join("sock").into()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.remote())
    }

    pub(crate) fn client_with(&self, options: Options) -> Client {
        Client::with(vec![self.remote()], options)
    }

    /// What `ovs-appctl` would say to it.
    pub(crate) async fn control(&self, command: &str, arguments: &[&str]) -> String {
        Unixctl::at(self.dir.join("ctl")).call(command, arguments).await.unwrap()
    }

    /// How it stands to its cluster; nothing if it does not answer.
    async fn status(&self) -> String {
        let control = Unixctl::at(self.dir.join("ctl"));
        control.call("cluster/status", &[crate::DATABASE]).await.unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.dir, &self.arguments);
        self.answers().await;
    }

    async fn answers(&self) {
        let deadline = Instant::now() + LIMIT;
        while let Err(error) = Unixctl::at(self.dir.join("ctl")).call("version", &[]).await {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{error}; {log}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three servers of one database.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Server>,
    _temporary: tempfile::TempDir,
}

impl Cluster {
    pub(crate) async fn start(size: usize) -> Self {
        let temporary = tempfile::Builder::new().prefix("vdpa-raft-").tempdir().unwrap();
        let addresses: Vec<_> = (0..size)
            .map(|n| format!("unix:{}", temporary.path().join(format!("raft{n}")).display()))
            .collect();
        let mut members = Vec::new();
        for (n, address) in addresses.iter().enumerate() {
            let dir = temporary.path().join(n.to_string());
            std::fs::create_dir(&dir).unwrap();
            let mut tool = Command::new("ovsdb-tool");
            if n == 0 {
                tool.arg("create-cluster").arg(dir.join("db")).args([SCHEMA, address]);
            } else {
                tool.arg("join-cluster").arg(dir.join("db")).args([crate::DATABASE, address, &addresses[0]]);
            }
            run(&mut tool);
            members.push(Server::on(dir, &[], None).await);
        }
        let deadline = Instant::now() + LIMIT;
        for member in &members {
            while !member.status().await.contains("Status: cluster member") {
                assert!(Instant::now() < deadline, "a member did not join in time");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Self { members, _temporary: temporary }
    }

    pub(crate) fn remotes(&self) -> Vec<Remote> {
        self.members.iter().map(Server::remote).collect()
    }

    /// Which member leads, when all of them know one.
    pub(crate) async fn leader(&self) -> usize {
        let deadline = Instant::now() + LIMIT;
        loop {
            for (n, member) in self.members.iter().enumerate() {
                if member.status().await.contains("Role: leader") {
                    return n;
                }
            }
            assert!(Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A TCP port of this machine that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn spawn(dir: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "ovsdb-server", "--no-chdir", "-vconsole:off"]);
    command.arg(format!("--log-file={}", dir.join("log").display()));
    command.arg(format!("--unixctl={}", dir.join("ctl").display()));
    command.arg(format!("--remote=punix:{}", dir.join("sock").display()));
    command.args(arguments).arg(dir.join("db"));
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, dir);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
