//! What runs in the datapath: flows, as ovs-vswitchd sees them.

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::flow::Flow;
use crate::{DEFAULT_RUNDIR, Error, Unixctl};

/// Where ovs-vswitchd logs unless told otherwise (`OVS_LOGDIR`).
pub const DEFAULT_LOG: &str = "/var/log/openvswitch/ovs-vswitchd.log";

/// How much of the log's end is read, in bytes.
const TAIL: u64 = 256 << 10;

/// The datapath of the kernel, as the running ovs-vswitchd knows it. Nothing is changed.
#[async_trait]
pub trait Datapath: fmt::Debug + Send + Sync {
    /// Every flow, offloaded or not: `dpctl/dump-flows -m`.
    async fn flows(&self) -> Result<Vec<Flow>, Error>;

    /// Every port: `dpctl/show`.
    async fn ports(&self) -> Result<Vec<DatapathPort>, Error>;

    /// What ovs-vswitchd has logged of flows that it could not offload, oldest first; empty where there is no log to
    /// read. How much it logs is set by `ovs-appctl vlog/set`.
    async fn complaints(&self) -> Result<Vec<String>, Error>;
}

/// A port of a datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatapathPort {
    /// Its number.
    pub number: u32,
    /// Its network device.
    pub name: String,
    /// Its kind (`internal`, `vxlan`); absent for an ordinary network device.
    pub kind: Option<String>,
}

impl DatapathPort {
    /// Whether it is one of the host's own, which no card can reach.
    ///
    /// The kernel's datapath has them as `internal`, Open vSwitch's own as `tap`, or `dummy-internal` where its devices
    /// are dummies (`dpif_netdev_port_open_type` in lib/dpif-netdev.c).
    pub fn is_internal(&self) -> bool {
        matches!(self.kind.as_deref(), Some("internal" | "tap" | "dummy-internal"))
    }

    /// The ports in what `dpctl/show` prints: `  port 1: br0 (internal)`.
    fn all(text: &str) -> Vec<Self> {
        let read = |line: &str| {
            let (number, rest) = line.trim().strip_prefix("port ")?.split_once(": ")?;
            let (name, kind) = match rest.split_once(" (") {
                Some((name, kind)) => (name, kind.split([')', ':']).next()),
                None => (rest, None),
            };
            Some(Self { number: number.parse().ok()?, name: name.to_owned(), kind: kind.map(str::to_owned) })
        };
        text.lines().filter_map(read).collect()
    }
}

/// The running ovs-vswitchd, by its control socket and its log.
#[derive(Clone, Debug)]
pub struct Vswitchd {
    control: Control,
    log: PathBuf,
}

/// Where the daemon is spoken to.
#[derive(Clone, Debug)]
enum Control {
    /// By the pid file in this directory, which is another one after a restart.
    In(PathBuf),
    At(Unixctl),
}

impl Default for Vswitchd {
    fn default() -> Self {
        Self::new(DEFAULT_RUNDIR, DEFAULT_LOG)
    }
}

impl Vswitchd {
    /// The daemon whose pid file is in `rundir` and that logs to `log`.
    pub fn new(rundir: impl AsRef<Path>, log: impl AsRef<Path>) -> Self {
        Self { control: Control::In(rundir.as_ref().to_owned()), log: log.as_ref().to_owned() }
    }

    /// The daemon behind a control socket.
    pub fn at(control: Unixctl, log: impl AsRef<Path>) -> Self {
        Self { control: Control::At(control), log: log.as_ref().to_owned() }
    }

    async fn call(&self, command: &str, arguments: &[&str]) -> Result<String, Error> {
        match &self.control {
            Control::In(rundir) => Unixctl::vswitchd(rundir).await?.call(command, arguments).await,
            Control::At(control) => control.call(command, arguments).await,
        }
    }
}

#[async_trait]
impl Datapath for Vswitchd {
    async fn flows(&self) -> Result<Vec<Flow>, Error> {
        // Lines that are no flows are headings of userspace datapaths' threads.
        let text = self.call("dpctl/dump-flows", &["-m"]).await?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    async fn ports(&self) -> Result<Vec<DatapathPort>, Error> {
        Ok(DatapathPort::all(&self.call("dpctl/show", &[]).await?))
    }

    async fn complaints(&self) -> Result<Vec<String>, Error> {
        let log = self.log.clone();
        let read = tokio::task::spawn_blocking(move || tail(&log)).await;
        // No log, or one that we may not read, says nothing.
        Ok(complaints(&read.ok().and_then(Result::ok).unwrap_or_default()))
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Lines of the modules that offload, if they say what could not be done (lib/netdev-offload-tc.c, lib/tc.c,
/// lib/dpif-netlink.c, lib/dpif-offload.c).
fn complaints(log: &str) -> Vec<String> {
    const MODULES: [&str; 4] = ["|netdev_offload", "|tc(", "|dpif_netlink", "|dpif_offload"];
    const WORDS: [&str; 6] = [
        "failed to offload",
        "isn't supported",
        "unsupported",
        "not supported",
        "mismatch",
        "Can only support",
    ];
    let says = |line: &&str| {
        MODULES.iter().any(|module| line.contains(module)) && WORDS.iter().any(|word| line.contains(word))
    };
    log.lines().filter(says).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Open vSwitch 3.1.0 printed.
    #[test]
    fn ports_are_read_with_their_kinds() {
        let text = "system@ovs-system:\n  lookups: hit:0 missed:0 lost:0\n  flows: 0\n  port 0: ovs-system (internal)\n  \
                    port 2: pf0\n  port 5: vxlan_sys_4789 (vxlan: packet_type=ptap)\n";
        let ports = DatapathPort::all(text);
        let read: Vec<_> =
            ports.iter().map(|port| (port.number, port.name.as_str(), port.kind.as_deref())).collect();
        assert_eq!(
            read,
            [(0, "ovs-system", Some("internal")), (2, "pf0", None), (5, "vxlan_sys_4789", Some("vxlan"))]
        );
        let internal: Vec<_> = ports.iter().map(DatapathPort::is_internal).collect();
        assert_eq!(internal, [true, false, false]);
    }

    /// What Open vSwitch 3.1.0 printed of its own datapath, and of the one with dummies.
    #[test]
    fn ports_of_the_host_have_another_kind_in_userspace() {
        let text = "netdev@ovs-netdev:\n  lookups: hit:0 missed:0 lost:0\n  flows: 0\n  port 0: ovs-netdev (tap)\n  \
                    port 1: br0 (tap)\n  port 2: p0\n  port 3: vhost0 (dpdkvhostuserclient: configured_rx_queues=1)\n\
                    dummy@ovs-dummy:\n  port 0: ovs-dummy (dummy-internal)\n  port 1: p1 (dummy)\n";
        let ports = DatapathPort::all(text);
        let internal: Vec<_> =
            ports.iter().filter(|port| port.is_internal()).map(|port| &*port.name).collect();
        assert_eq!((ports.len(), internal), (6, vec!["ovs-netdev", "br0", "ovs-dummy"]));
    }

    #[test]
    fn of_the_log_only_what_could_not_be_offloaded_counts() {
        let log = "2026-11-22T07:56:04.795Z|00007|tc|INFO|tc: Using policy 'none'\n\
                   2026-11-22T07:56:11.059Z|00081|netdev_offload|INFO|pf0: Assigned flow API 'linux_tc'.\n\
                   2026-11-22T07:56:12.000Z|00082|netdev_offload_tc(handler1)|DBG|offloading attribute dp_hash isn't supported\n\
                   2026-11-22T07:56:13.000Z|00083|dpif_netlink(handler1)|ERR|failed to offload flow: Invalid argument: eth1\n";
        let found = complaints(log);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].ends_with("Invalid argument: eth1"));
    }

    #[tokio::test]
    async fn a_log_that_is_not_there_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Vswitchd::new(dir.path(), dir.path().join("none.log"));
        assert!(daemon.complaints().await.unwrap().is_empty());
        assert!(matches!(daemon.flows().await, Err(Error::Connect { .. })));
    }
}
