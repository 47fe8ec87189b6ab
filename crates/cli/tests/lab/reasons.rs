//! More reasons for which a flow is not offloaded, each made to hold; and ends of traffic of every kind.

use std::process::Command;

use super::guest::{Guest, VFS_8};
use super::traffic::Host;
use super::verify::{Bench, holds_offloaded, reasons, there};

#[test]
fn ends_are_ipv6_addresses_and_namespaces_of_processes_too() {
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    bench.first.also_has("fd09::1");
    bench.second.also_has("fd09::2");
    let (near, far) = (bench.first.process(), bench.second.process());
    let (from, sink) = (format!("pid:{}", near.id()), format!("pid:{}", far.id()));
    holds_offloaded(&bench.verify(&["--from", &from, "--to", "fd09::2"]));
    holds_offloaded(&bench.verify(&["--from", &from, "--to", "fd09::2", "--tcp", "5001", "--sink", &sink]));
    holds_offloaded(&bench.verify(&["--from", &from, "--to", bench.wire.address()]));
    drop((near, far));
    bench.end();
}

/// `hw-offload` is `true` and no port has a place for filters, as where ovs-vswitchd has not taken the setting up.
#[test]
fn without_any_qdisc_hw_offload_is_not_in_force() {
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    let qdiscs = guest.run("tc", &["qdisc", "show"]);
    let hooks: Vec<(&str, &str)> = qdiscs
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(1).is_some_and(|kind| ["ingress", "clsact"].contains(kind)))
        .map(|words| (words[1], words[4]))
        .collect();
    assert!(hooks.len() >= 3, "{qdiscs}");
    for (kind, port) in hooks {
        // The kernel refuses while Open vSwitch reads or changes filters there.
        super::guest::wait_for("the end of requests for filters", || {
            let deleted = Command::new("tc").args(["qdisc", "del", "dev", port, kind]).output().unwrap();
            deleted.status.success().then_some(())
        });
    }
    bench.forget_flows();
    there(&bench.between(&bench.first, &bench.second), "hw-offload-not-in-force");
    guest.restart_open_vswitch();
    holds_offloaded(&bench.between(&bench.first, &bench.second));
    bench.end();
}

/// Somebody put the PF on a bridge and left the eswitch as the card came: nothing can be offloaded.
#[test]
fn in_legacy_mode_the_card_has_no_representors() {
    let guest = Guest::new();
    let uplink = guest.uplink(&Guest::pf(VFS_8));
    let was_up = guest.run("ip", &["-br", "link", "show", "dev", &uplink]).contains(",UP");
    guest.run("ovs-vsctl", &["set", "Open_vSwitch", ".", "other_config:hw-offload=true"]);
    guest.run("ovs-vsctl", &["add-br", "br-legacy", "--", "add-port", "br-legacy", &uplink]);
    guest.run("ip", &["link", "set", &uplink, "up"]);
    guest.run("ip", &["address", "add", "10.9.0.9/24", "dev", "br-legacy"]);
    guest.run("ip", &["link", "set", "br-legacy", "up"]);
    let wire = Host::at_wire(&guest, "wire1", "10.9.0.3");
    let arguments = [
        "verify",
        "--json",
        "--seconds",
        "4",
        "--bridge",
        "br-legacy",
        "--from",
        wire.namespace(),
        "--to",
        "10.9.0.9",
    ];
    let said = guest.vdpa(&arguments).json();
    there(&said, "eswitch-legacy");
    assert!(reasons(&said).contains(&"internal-source"), "the host's answers: {said:#}");
    drop(wire);
    guest.run("ovs-vsctl", &["del-br", "br-legacy"]);
    guest.run("ovs-vsctl", &["remove", "Open_vSwitch", ".", "other_config", "hw-offload"]);
    guest.restart_open_vswitch();
    // Open vSwitch 3.1 leaves its qdisc behind.
    drop(Command::new("tc").args(["qdisc", "del", "dev", &uplink, "ingress"]).output());
    if !was_up {
        guest.run("ip", &["link", "set", &uplink, "down"]);
    }
}
