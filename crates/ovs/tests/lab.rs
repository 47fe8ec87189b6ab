//! The contract on the Open vSwitch of the system: its own unit, the kernel's datapath, network devices that
//! come and go. `cargo xtask hw-test --tier lab` runs it, in a VM that it may change as it likes.

use std::process::Command;

use vdpa_ovs::contract::{self, Names};
use vdpa_ovs::{DEFAULT_SOCKET, Ovsdb};

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_systems_open_vswitch_keeps_the_contract() {
    for (one, other) in [("port0", "end0"), ("port1", "end1"), ("port2", "end2"), ("port3", "end3")] {
        run("ip", &["link", "add", one, "type", "veth", "peer", "name", other]);
    }
    run("ovs-vsctl", &["add-br", "foreign", "--", "add-port", "foreign", "port3"]);
    let netdevs = ["port0", "port1", "port2"];
    let names = Names::new("ours", &netdevs, Some("nowhere0"), Some(("foreign", "port3")));
    contract::all(&Ovsdb::new(DEFAULT_SOCKET), &names).await;
    run("ovs-vsctl", &["del-br", "foreign"]);
}
