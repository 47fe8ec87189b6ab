//! Reasons for which a flow is not offloaded, each made to hold by what makes it hold: `OpenFlow` rules, conntrack, the
//! card's mode. `verify.rs` has those of settings.

use std::fs;
use std::process::Command;

use super::guest::{Guest, VFS_8};
use super::traffic::Host;
use super::verify::{Bench, holds_offloaded, reasons, there};

/// Where the system's ovs-vswitchd logs.
const LOG: &str = "/var/log/openvswitch/ovs-vswitchd.log";

/// Gives the bridge these `OpenFlow` rules, and has flows made by them. Whatever fits none is switched as ever.
fn rules(bench: &Bench<'_>, guest: &Guest, rules: &[&str]) {
    guest.run("ovs-ofctl", &["del-flows", "ovs-sriov"]);
    for rule in rules.iter().chain(&["priority=0,actions=NORMAL"]) {
        guest.run("ovs-ofctl", &["add-flow", "ovs-sriov", rule]);
    }
    bench.forget_flows();
}

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

/// What Open vSwitch cannot put in a rule: by what it looks at, by what it does, and what nobody but its log can tell.
#[test]
fn a_flow_that_open_vswitch_keeps_says_what_of_it_is_in_the_way() {
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    let representors = guest.representors(&Guest::pf(VFS_8));

    rules(&bench, &guest, &["priority=10,ip,pkt_mark=0/0x1,actions=NORMAL"]);
    there(&bench.between(&bench.first, &bench.second), "unsupported-key");
    // A queue is chosen by the packet's priority, which is looked at for that.
    rules(&bench, &guest, &["priority=10,ip,actions=set_queue:1,NORMAL"]);
    there(&bench.between(&bench.first, &bench.second), "unsupported-key");

    // More actions than a rule of Open vSwitch's can have, of which it says nothing unless asked to. Each request is
    // answered as often.
    let many = vec![format!("output:{}", representors[1]); 40].join(",");
    fs::write(LOG, "").unwrap();
    let rule = format!("priority=10,ip,in_port={},actions={many}", representors[0]);
    rules(&bench, &guest, &[&rule]);
    there(&bench.between(&bench.first, &bench.second), "unknown");
    guest.run("ovs-appctl", &["vlog/set", "netdev_offload_tc:file:dbg"]);
    bench.forget_flows();
    let refused = bench.between(&bench.first, &bench.second);
    guest.run("ovs-appctl", &["vlog/set", "netdev_offload_tc:file:info"]);
    there(&refused, "ovs-refused");
    let said = refused["directions"].to_string();
    assert!(said.contains("Can only support"), "{refused:#}");

    fs::write(LOG, "").unwrap();
    rules(&bench, &guest, &[]);
    holds_offloaded(&bench.between(&bench.first, &bench.second));
    bench.end();
}

/// Pitfall 40: under conntrack ICMP is not offloaded, and with `tc-policy=skip_sw` nothing is. The card takes rules that
/// lead to conntrack and knows no connection, so that what fits them passes in software. The lab's kernel is Debian's, which
/// cannot share recirculation with tc.
#[test]
fn conntrack_in_software_is_told_apart() {
    const STRAIGHT: [&str; 2] =
        ["priority=10,icmp,actions=ct(commit),NORMAL", "priority=10,tcp,actions=ct(commit),NORMAL"];
    const BACK: [&str; 2] = ["table=0,priority=10,ip,actions=ct(table=1)", "table=1,actions=NORMAL"];
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    rules(&bench, &guest, &STRAIGHT);
    there(&bench.between(&bench.first, &bench.second), "icmp-under-conntrack");
    let (from, to) = (bench.first.namespace(), bench.second.namespace());
    let arguments = ["--from", from, "--to", bench.second.address(), "--tcp", "5001", "--sink", to];
    there(&bench.verify(&arguments), "conntrack-in-software");

    rules(&bench, &guest, &BACK);
    let kept = bench.between(&bench.first, &bench.second);
    there(&kept, "recirculation-not-shared");
    there(&kept, "chain-not-in-tc");

    let knob = guest.knob("reject_tc", "1");
    guest.run("ovs-vsctl", &["set", "Open_vSwitch", ".", "other_config:tc-policy=skip_sw"]);
    guest.restart_open_vswitch();
    rules(&bench, &guest, &BACK);
    there(&bench.between(&bench.first, &bench.second), "skip-sw-conntrack");
    drop(knob);
    guest.run("ovs-vsctl", &["remove", "Open_vSwitch", ".", "other_config", "tc-policy"]);
    guest.restart_open_vswitch();
    rules(&bench, &guest, &[]);
    holds_offloaded(&bench.between(&bench.first, &bench.second));
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
