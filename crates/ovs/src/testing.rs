//! Private daemons for tests: a real ovsdb-server and ovs-vswitchd in a temporary directory, one pair a test.
//!
//! Needs the packages openvswitch-switch and openvswitch-common and no privilege: the daemons use dummy
//! datapaths and dummy netdevs, so any name is a netdev that exists. With [`Netdevs::OwnNamespace`] ovs-vswitchd
//! runs in a network namespace of its own instead, with the real userspace datapath, where a netdev that does
//! not exist cannot be opened.
//!
//! The daemons end with the [`Daemons`], and also if the thread that started them dies (`PR_SET_PDEATHSIG`), so
//! start them from the test's own thread.
//!
//! ```no_run
//! # async fn test() {
//! use vdpa_ovs::{Vswitch, testing::Daemons};
//!
//! let daemons = Daemons::start().await;
//! let switch = daemons.vswitch();
//! assert_eq!(switch.writes(), 0);
//! # }
//! ```
#![allow(clippy::expect_used, clippy::panic, reason = "a test that has no daemons has failed")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Limits, Ovsdb, Unixctl, Vswitchd};

/// How long a daemon may take to answer. It takes some 70 ms on an idle machine.
const READY: Duration = Duration::from_secs(30);

/// The schema that comes with Open vSwitch.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Which netdevs the daemons see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Netdevs {
    /// Every name is a netdev (`--enable-dummy=override`).
    #[default]
    Dummy,
    /// Only those of a network namespace made for the daemon; [`Daemons::in_namespace`] can make some. Bridges
    /// need `datapath_type=netdev`.
    OwnNamespace,
    /// The same, and those that DPDK makes up, by the build of ovs-vswitchd that has it (package
    /// openvswitch-switch-dpdk).
    Dpdk,
}

/// Where Debian has its two builds. Where both are installed, the one in `PATH` is that with DPDK.
const WITH_DPDK: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const WITHOUT_DPDK: &str = "/usr/lib/openvswitch-switch/ovs-vswitchd";

/// A running pair of daemons.
#[derive(Debug)]
pub struct Daemons {
    ovsdb: Child,
    vswitchd: Child,
    netdevs: Netdevs,
    dir: tempfile::TempDir,
}

impl Daemons {
    /// Starts a pair with dummy netdevs, and waits until it has taken up its first configuration.
    ///
    /// # Panics
    /// If that fails: this is a test's fixture.
    pub async fn start() -> Self {
        Self::start_with(Netdevs::Dummy).await
    }

    /// Starts a pair.
    ///
    /// # Panics
    /// If that fails: this is a test's fixture.
    pub async fn start_with(netdevs: Netdevs) -> Self {
        let dir = tempfile::Builder::new().prefix("vdpa-ovs-").tempdir().expect("a temporary directory");
        let database = dir.path().join("conf.db");
        run(Command::new("ovsdb-tool").arg("create").arg(&database).arg(SCHEMA));
        let ovsdb = start_ovsdb(dir.path());
        let vswitchd = start_vswitchd(dir.path(), netdevs);
        let daemons = Self { ovsdb, vswitchd, netdevs, dir };
        daemons.ready().await;
        daemons
    }

    /// The directory of the sockets, the database and the logs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// ovsdb-server's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("db.sock")
    }

    /// The switch, with limits short enough for a test of what does not happen.
    pub fn vswitch(&self) -> Ovsdb {
        let limits = Limits { call: Duration::from_mins(1), ..Limits::default() };
        Ovsdb::new(self.socket()).with_limits(limits)
    }

    /// ovs-vswitchd's control socket.
    pub fn vswitchd_control(&self) -> Unixctl {
        Unixctl::at(self.dir().join("v.ctl"))
    }

    /// What runs in the datapath.
    pub fn datapath(&self) -> Vswitchd {
        Vswitchd::at(self.vswitchd_control(), self.dir().join("v.log"))
    }

    /// ovsdb-server's control socket.
    pub fn ovsdb_control(&self) -> Unixctl {
        Unixctl::at(self.dir().join("o.ctl"))
    }

    /// Runs `ovs-vsctl` on the switch: somebody else's hand. Gives what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let db = format!("--db=unix:{}", self.socket().display());
        run(Command::new("ovs-vsctl").arg(db).arg("--timeout=30").args(arguments))
    }

    /// Runs a command in ovs-vswitchd's network namespace: `ip link add a0 type veth peer name a1`.
    ///
    /// # Panics
    /// If it fails.
    pub fn in_namespace(&self, words: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.arg("--net").arg(format!("--target={}", self.vswitchd.id()));
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        run(command.arg("--").args(words))
    }

    /// Every table as `ovsdb-client dump` prints it in JSON.
    ///
    /// # Panics
    /// If it fails.
    pub fn dump(&self) -> String {
        let db = format!("unix:{}", self.socket().display());
        run(Command::new("ovsdb-client").args(["--format=json", "dump", &db, "Open_vSwitch"]))
    }

    /// Stops ovs-vswitchd where it stands (SIGSTOP).
    ///
    /// # Panics
    /// If there is none.
    pub fn stop_vswitchd(&self) {
        signal(&self.vswitchd, Signal::STOP);
    }

    /// Lets a stopped ovs-vswitchd go on (SIGCONT).
    ///
    /// # Panics
    /// If there is none.
    pub fn continue_vswitchd(&self) {
        signal(&self.vswitchd, Signal::CONT);
    }

    /// Stops ovsdb-server where it stands (SIGSTOP).
    ///
    /// # Panics
    /// If there is none.
    pub fn stop_ovsdb(&self) {
        signal(&self.ovsdb, Signal::STOP);
    }

    /// Kills ovs-vswitchd (SIGKILL). Its network namespace, if it had one of its own, goes with it.
    ///
    /// # Panics
    /// If that fails.
    pub fn kill_vswitchd(&mut self) {
        self.vswitchd.kill().and_then(|()| self.vswitchd.wait()).expect("ovs-vswitchd to be killed");
    }

    /// Starts ovs-vswitchd again, and waits until it answers. It has yet to take up the configuration that is there.
    ///
    /// # Panics
    /// If that fails.
    pub async fn restart_vswitchd(&mut self) {
        self.kill_vswitchd();
        self.vswitchd = start_vswitchd(self.dir(), self.netdevs);
        self.answers(&self.vswitchd_control()).await;
    }

    /// Kills ovsdb-server (SIGKILL).
    ///
    /// # Panics
    /// If that fails.
    pub fn kill_ovsdb(&mut self) {
        self.ovsdb.kill().and_then(|()| self.ovsdb.wait()).expect("ovsdb-server to be killed");
    }

    /// Starts ovsdb-server again on the same database.
    ///
    /// # Panics
    /// If that fails.
    pub async fn restart_ovsdb(&mut self) {
        self.kill_ovsdb();
        self.ovsdb = start_ovsdb(self.dir());
        self.answers(&self.ovsdb_control()).await;
    }

    /// Waits until both daemons answer and ovs-vswitchd has applied the empty database.
    async fn ready(&self) {
        self.answers(&self.ovsdb_control()).await;
        self.vsctl(&["--no-wait", "init"]);
        self.answers(&self.vswitchd_control()).await;
        self.vsctl(&["init"]);
    }

    async fn answers(&self, control: &Unixctl) {
        let deadline = Instant::now() + READY;
        while let Err(error) = control.call("version", &[]).await {
            assert!(Instant::now() < deadline, "{error}; {}", self.logs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn logs(&self) -> String {
        ["o.log", "v.log"]
            .map(|log| {
                std::fs::read_to_string(self.dir().join(log)).unwrap_or_else(|error| error.to_string())
            })
            .join("\n")
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for child in [&mut self.vswitchd, &mut self.ovsdb] {
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                tracing::warn!(%error, "a daemon did not end");
            }
        }
    }
}

fn start_ovsdb(dir: &Path) -> Child {
    let mut command = daemon("ovsdb-server", dir, 'o');
    command.arg(format!("--remote=punix:{}", dir.join("db.sock").display()));
    command.arg("--remote=db:Open_vSwitch,Open_vSwitch,manager_options");
    command.arg(dir.join("conf.db"));
    spawn(&mut command)
}

fn start_vswitchd(dir: &Path, netdevs: Netdevs) -> Child {
    let mut command = match netdevs {
        Netdevs::Dpdk => daemon(WITH_DPDK, dir, 'v'),
        _ if Path::new(WITHOUT_DPDK).exists() => daemon(WITHOUT_DPDK, dir, 'v'),
        Netdevs::Dummy | Netdevs::OwnNamespace => daemon("ovs-vswitchd", dir, 'v'),
    };
    if netdevs == Netdevs::Dummy {
        command.args(["--enable-dummy=override", "--disable-system", "--disable-system-route"]);
    } else {
        let mut inner = Command::new("unshare");
        inner.arg("--net");
        if !rustix::process::geteuid().is_root() {
            inner.args(["--user", "--map-root-user"]);
        }
        inner.arg("--").arg(command.get_program()).args(command.get_args());
        inner.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        command = inner;
    }
    command.arg(format!("unix:{}", dir.join("db.sock").display()));
    spawn(&mut command)
}

/// A daemon's command line, under a parent-death signal; `letter` names its log and control socket.
fn daemon(program: &str, dir: &Path, letter: char) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program, "--no-chdir", "-vconsole:off"]);
    let name = Path::new(program).file_name().map_or(program.into(), std::ffi::OsStr::to_string_lossy);
    command.arg(format!("--pidfile={}", dir.join(format!("{name}.pid")).display()));
    command.arg(format!("--log-file={}", dir.join(format!("{letter}.log")).display()));
    command.arg(format!("--unixctl={}", dir.join(format!("{letter}.ctl")).display()));
    // DPDK keeps its run-time files below the last.
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR", "RUNTIME_DIRECTORY"] {
        command.env(variable, dir);
    }
    command
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn signal(child: &Child, signal: Signal) {
    let sent = kill_process(Pid::from_child(child), signal);
    assert!(sent.is_ok(), "no {signal:?} to {}: {sent:?}", child.id());
}
