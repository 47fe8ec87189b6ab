//! `kill -9` after each kind of statement about DPDK in Open vSwitch: a real ovs-vswitchd, in which DPDK comes up, and
//! which does not stop with us.
//!
//! The lab's VM cannot show it: its Open vSwitch is a build without DPDK, and DPDK has no driver for the ports of its
//! card. So the rest of the host is simulated here, and a null device of DPDK's is where the card's port would be
//! (`tests/bin/vdpa-with-ovs.rs`); a VM's port is Open vSwitch's own.

mod common;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use common::alike;
use common::command::{Simulated, run};
use vdpa_ovs::testing::{Daemons, Netdevs};

const FILE: &str = r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 1
[[nic.vf]]
index = 0
datapath = "ovs-dpdk"
"#;

/// What somebody has told DPDK before us, which is what it takes here: no huge pages, and none of this machine's cards.
const THEIRS: &str = "other_config:dpdk-extra=\"--no-huge --legacy-mem -m 256 --no-pci\"";

/// A simulated host with a real Open vSwitch.
struct Host {
    simulated: Simulated,
    daemons: Daemons,
    /// Both as they were at first.
    at_first: (String, String),
}

impl Host {
    async fn new() -> Self {
        let daemons = Daemons::start_with(Netdevs::Dpdk).await;
        daemons.vsctl(&["set", "Open_vSwitch", ".", THEIRS, "other_config:per-port-memory=true"]);
        let simulated = Simulated::new();
        simulated.host_file(FILE);
        let at_first = (simulated.snapshot(), switch(&daemons));
        Self { simulated, daemons, at_first }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vdpa-with-ovs"));
        command.arg(self.simulated.path()).arg(self.daemons.socket()).args(words);
        command
    }

    /// What a command says has become true.
    fn runs(&self, command: &str) -> String {
        run(&mut self.command(&[command])).exits(0).out
    }

    /// A command that is killed when it says that this is as it is to be.
    fn kills(&self, command: &str, stop_at: &str) {
        let mut child = self.command(&[command, stop_at]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let seen = lines.any(|line| line.contains(stop_at));
        child.kill().unwrap();
        let signal = child.wait().unwrap().signal();
        assert!(seen && signal == Some(9), "{command} did not get to `{stop_at}`");
        assert!(self.simulated.has_receipt());
    }

    fn has(&self, what: &str) -> bool {
        switch(&self.daemons).contains(what)
    }

    /// Whether DPDK has come up, which no `teardown` takes back.
    fn dpdk_is_up(&self) -> bool {
        self.daemons.vsctl(&["get", "Open_vSwitch", ".", "dpdk_initialized"]).trim() == "true"
    }

    fn is_as_it_was(&self, case: &str) {
        assert!(!self.simulated.has_receipt(), "{case}: the receipt is left");
        alike(&self.at_first.0, &self.simulated.snapshot(), case);
        alike(&self.at_first.1, &switch(&self.daemons), case);
    }
}

/// What is configured of a switch, line by line.
fn switch(daemons: &Daemons) -> String {
    [
        &["--columns=other_config,external_ids", "list", "Open_vSwitch"][..],
        &["--columns=name,datapath_type,external_ids", "list", "Bridge"],
        &["--columns=name,type,options,error", "list", "Interface"],
    ]
    .map(|words| daemons.vsctl(words))
    .concat()
}

#[tokio::test]
async fn killed_when_dpdk_has_come_up_setup_goes_on() {
    let host = Host::new().await;
    host.kills("setup", "dpdk-init of Open vSwitch");
    assert!(host.dpdk_is_up() && host.has("dpdk-init=\"true\"") && !host.has("datapath_type"));

    let rest = host.runs("setup");
    assert!(rest.contains("userspace bridge ovs-sriov") && !rest.contains("of Open vSwitch"), "{rest}");
    assert!(host.has("dpdk-devargs=net_null0") && host.has("dpdkvhostuserclient"));
    assert_eq!(host.runs("setup"), "", "nothing is left to do");

    // The bridge has gone, what DPDK was told is still there.
    host.kills("teardown", "userspace bridge ovs-sriov");
    assert!(host.has("dpdk-init=\"true\"") && !host.has("datapath_type"));
    host.runs("teardown");
    host.is_as_it_was("a teardown that was killed, and another");
}

#[tokio::test]
async fn killed_when_the_bridge_is_there_teardown_brings_back_what_was() {
    let host = Host::new().await;
    host.kills("setup", "userspace bridge ovs-sriov");
    assert!(host.has("dpdk-devargs=net_null0") && host.has("dpdkvhostuserclient"));

    host.kills("teardown", "dpdk-init of Open vSwitch");
    assert!(!host.has("dpdk-init") && !host.has("datapath_type") && host.dpdk_is_up());
    host.runs("teardown");
    host.is_as_it_was("a setup and a teardown that were killed, and another");
}
