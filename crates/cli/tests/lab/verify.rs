//! `vdpa verify` where a card forwards: the pretend one, a module that carries out the rules it has taken.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::guest::{Guest, VFS_8, wait_for};
use super::host_file;
use super::state::State;
use super::traffic::Host;

/// Two VFs with hosts behind them, and the cable's far end.
pub(crate) struct Bench<'a> {
    guest: &'a Guest,
    pub(crate) first: Host,
    pub(crate) second: Host,
    pub(crate) wire: Host,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(guest: &'a Guest) -> Self {
        guest.write_host_file(&host_file("none", "none"));
        guest.vdpa(&["setup"]).succeeds();
        let (first, second) = (Host::behind_vf(guest, 0, "10.9.0.1"), Host::behind_vf(guest, 1, "10.9.0.2"));
        let wire = Host::at_wire(guest, "wire1", "10.9.0.3");
        let bench = Self { guest, first, second, wire };
        bench.first.pings(&bench.second, 3);
        bench
    }

    pub(crate) fn end(self) {
        let Self { guest, first, second, wire } = self;
        drop((first, second, wire));
        // The VFs have been elsewhere, and came back down.
        guest.vdpa(&["teardown", "--force", "drift"]).succeeds();
    }

    /// Has every flow installed anew, as things are now.
    pub(crate) fn forget_flows(&self) {
        self.guest.run("ovs-appctl", &["revalidator/purge"]);
        std::thread::sleep(Duration::from_millis(500));
    }

    /// Measures again where the machine below stood still meanwhile: flows go and too few packets come then.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Value {
        let all = [&["verify", "--json", "--seconds", "4"], arguments].concat();
        let mut attempts = 0;
        loop {
            let began = Instant::now();
            let document = self.guest.vdpa(&all).json();
            attempts += 1;
            if began.elapsed() < Duration::from_secs(14) || attempts == 5 {
                return document;
            }
        }
    }

    pub(crate) fn between(&self, from: &Host, to: &Host) -> Value {
        self.verify(&["--from", from.namespace(), "--to", to.address()])
    }
}

/// The reasons of the directions that are not offloaded.
pub(crate) fn reasons(document: &Value) -> Vec<&str> {
    let directions = document["directions"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    directions.iter().filter_map(|direction| direction["why"]["reason"].as_str()).collect()
}

pub(crate) fn holds_offloaded(document: &Value) {
    assert_eq!(document["outcome"], "offloaded", "{document:#}");
    let directions = document["directions"].as_array().unwrap();
    assert_eq!(directions.len(), 2, "{document:#}");
    for direction in directions {
        assert_eq!(direction["in_hw"], true, "{direction:#}");
        assert!(direction["hardware"]["packets"].as_u64() > Some(20), "{direction:#}");
        assert_eq!(direction["software"]["packets"], 0, "{direction:#}");
        assert!(direction["slow_path"]["measured"].as_u64() < Some(5), "{direction:#}");
    }
}

pub(crate) fn there(document: &Value, reason: &str) {
    assert_eq!(document["outcome"], "not-offloaded", "{reason}: {document:#}");
    assert!(reasons(document).contains(&reason), "{reason}: {document:#}");
}

/// Pitfalls 40 and 41: TCP as well as ICMP, and measured for longer than counters take to be read.
#[test]
fn verify_proves_offload_and_a_tap_sees_the_first_packets_only() {
    let guest = Guest::new();
    let before = State::of(&guest);
    let bench = Bench::new(&guest);
    holds_offloaded(&bench.between(&bench.first, &bench.second));
    holds_offloaded(&bench.between(&bench.second, &bench.wire));
    let (from, to) = (bench.first.namespace(), bench.second.namespace());
    holds_offloaded(&bench.verify(&["--from", from, "--to", "10.9.0.2", "--tcp", "5001", "--sink", to]));

    // The proof of the reference document: tcpdump on the representor while packets flow.
    bench.forget_flows();
    let representor = &guest.representors(&Guest::pf(VFS_8))[0];
    let tap = Command::new("tcpdump")
        .args(["-n", "-i", representor, "icmp"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    bench.first.pings(&bench.second, 20);
    let done = Command::new("kill").args(["-INT", &tap.id().to_string()]).status().unwrap();
    assert!(done.success());
    let seen = String::from_utf8(tap.wait_with_output().unwrap().stdout).unwrap();
    let seen = seen.lines().count();
    assert!((1..=6).contains(&seen), "of 20 requests and 20 replies the representor saw {seen}");

    // Packets of others.
    let flowing = bench.first.pinging(&bench.wire);
    let watched = bench.verify(&["--watch", "4"]);
    flowing.stop();
    assert_eq!(watched["outcome"], "offloaded", "{watched:#}");

    // Flows with their filters, joined by UFID.
    let flows = guest.run_vdpa_lines(&["flows", "--json"]);
    let unicast =
        flows.iter().filter(|flow| flow["key"]["eth"].as_str().unwrap_or("").contains("dst=e4:11:22:33:55"));
    let ip: Vec<_> = unicast.filter(|flow| flow["key"]["eth_type"] == "0x0800").collect();
    assert!(ip.len() >= 2, "{flows:#?}");
    assert!(ip.iter().all(|flow| flow["in_hw"] == true && flow["why"].is_null()), "{ip:#?}");
    bench.end();
    State::of(&guest).is(&before);
}

/// What stands in the way on a running host, one after the other, and that it is offloaded again afterwards.
#[test]
fn verify_says_why_a_flow_is_not_offloaded() {
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    let representor = guest.representors(&Guest::pf(VFS_8))[0].clone();
    let knob = guest.knob("reject_tc", "1");
    bench.forget_flows();
    let refused = bench.between(&bench.first, &bench.second);
    there(&refused, "driver-refused");
    // What is shown is typed as it is, and the driver says why.
    let ask = refused["directions"][0]["why"]["ask"].as_str().unwrap_or_else(|| panic!("{refused:#}"));
    let words: Vec<&str> = ask.split_whitespace().collect();
    let said = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("labcx: the lab's card is told to refuse flower rules"), "{ask}: {said}");
    // With no rule in hardware, hw-tc-offload can be turned off.
    guest.run("ethtool", &["-K", &representor, "hw-tc-offload", "off"]);
    drop(knob);
    bench.forget_flows();
    let off = bench.between(&bench.first, &bench.second);
    there(&off, "hw-tc-offload-off");
    assert_eq!(reasons(&off).len(), 1, "the other direction's port is as it was: {off:#}");
    guest.run("ethtool", &["-K", &representor, "hw-tc-offload", "on"]);
    bench.forget_flows();
    holds_offloaded(&bench.between(&bench.first, &bench.second));

    let sflow = ["--", "--id=@s", "create", "sFlow", "agent=lo", "target=\"127.0.0.1:6343\"", "sampling=64"];
    guest.run("ovs-vsctl", &[&sflow[..], &["--", "set", "Bridge", "ovs-sriov", "sflow=@s"]].concat());
    there(&bench.between(&bench.first, &bench.second), "unsupported-action");
    guest.run("ovs-vsctl", &["clear", "Bridge", "ovs-sriov", "sflow"]);

    // The host itself on the bridge.
    guest.run("ip", &["address", "add", "10.9.0.9/24", "dev", "ovs-sriov"]);
    guest.run("ip", &["link", "set", "ovs-sriov", "up"]);
    let host = bench.verify(&["--from", bench.first.namespace(), "--to", "10.9.0.9"]);
    there(&host, "internal-destination");
    there(&host, "internal-source");
    guest.run("ip", &["address", "del", "10.9.0.9/24", "dev", "ovs-sriov"]);

    // A device that is no port of a card.
    guest.run("ip", &["link", "add", "tap-end", "type", "veth", "peer", "name", "tap-port"]);
    guest.run("ip", &["link", "set", "tap-port", "up"]);
    guest.run("ovs-vsctl", &["add-port", "ovs-sriov", "tap-port"]);
    let tap = Host::at_wire(&guest, "tap-end", "10.9.0.4");
    let foreign = bench.between(&tap, &bench.first);
    there(&foreign, "not-on-card");
    there(&foreign, "other-switch");
    guest.run("ovs-vsctl", &["del-port", "ovs-sriov", "tap-port"]);
    drop(tap);
    // Its device goes with the namespace that its other end was in.

    // Pitfall 42: a port without its qdisc.
    // The kernel refuses while Open vSwitch reads or changes filters there.
    wait_for("the end of requests for filters", || {
        let deleted =
            Command::new("tc").args(["qdisc", "del", "dev", &representor, "ingress"]).output().unwrap();
        deleted.status.success().then_some(())
    });
    bench.forget_flows();
    there(&bench.between(&bench.first, &bench.second), "no-ingress-qdisc");
    guest.run("tc", &["qdisc", "add", "dev", &representor, "ingress"]);

    // What only a restart changes.
    guest.run("ovs-vsctl", &["set", "Open_vSwitch", ".", "other_config:tc-policy=skip_hw"]);
    guest.restart_open_vswitch();
    there(&bench.between(&bench.first, &bench.second), "skip-hw");
    guest.run("ovs-vsctl", &["remove", "Open_vSwitch", ".", "other_config", "tc-policy"]);
    guest.run("ovs-vsctl", &["remove", "Open_vSwitch", ".", "other_config", "hw-offload"]);
    guest.restart_open_vswitch();
    there(&bench.between(&bench.first, &bench.second), "hw-offload-off");
    guest.run("ovs-vsctl", &["set", "Open_vSwitch", ".", "other_config:hw-offload=true"]);
    guest.restart_open_vswitch();
    holds_offloaded(&bench.between(&bench.first, &bench.second));
    bench.end();
}
