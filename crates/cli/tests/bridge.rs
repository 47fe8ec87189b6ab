//! `vdpa host bridge` on the simulated host, each command in a process of its own; what the lab does with the real managers is
//! in `lab/bridge.rs`.

mod common;

use common::command::{Simulated, run, vdpa};
use serde_json::Value;

fn standing(host: &Simulated) -> Value {
    host.run(&["host", "bridge", "--json"]).exits(0).document()["bridge"]["standing"].take()
}

#[test]
fn a_bridge_is_planned_made_confirmed_and_removed() {
    let host = Simulated::new();
    let over = ["host", "bridge", "--over", "eno2"];
    let plan = host.run(&over).exits(0);
    for part in [
        "to be run first: `systemd-run --unit=vdpa-host-bridge-rollback",
        "connection add save no type bridge con-name vdpa-br0 ifname br0",
        "ipv4.addresses 172.21.6.104/24",
        "nothing was done: `sudo vdpa host bridge --over eno2 --apply` does it",
    ] {
        assert!(plan.out.contains(part), "{part}: {plan}");
    }
    assert_eq!(standing(&host), Value::Null, "a plan made something");
    let planned = host.run(&[&over[..], &["--json"]].concat()).exits(0).document();
    assert_eq!((&planned["outcome"], &planned["mac"]), (&"changes".into(), &"90:b1:1c:40:59:28".into()));
    assert_eq!(planned["make"].as_array().map(Vec::len), Some(3), "{planned:#}");

    let made = host.run(&[&over[..], &["--apply"]].concat()).exits(0);
    assert!(made.out.contains("`sudo vdpa host bridge --confirm` keeps it"), "{made}");
    assert_eq!(standing(&host), "unconfirmed");
    let again = host.run(&over).exits(2);
    assert!(again.err.contains("the bridge br0 waits to be confirmed"), "{again}");
    host.run(&["host", "bridge", "--confirm"]).exits(0);
    host.run(&["host", "bridge", "--roll-back"]).exits(0);
    assert_eq!(standing(&host), "confirmed", "what is confirmed was rolled back");
    let removed = host.run(&["host", "bridge", "--remove"]).exits(0);
    assert!(removed.out.contains("the bridge br0 is gone"), "{removed}");
    let none = host.run(&["host", "bridge", "--remove"]).exits(0);
    assert!(none.out.contains("no bridge to take back"), "{none}");
}

#[test]
fn one_that_fails_leaves_the_host_as_it_was_and_one_that_nobody_confirms_goes() {
    let host = Simulated::new();
    // The programs that it runs: six look, the seventh arms the timer, the rest make the bridge.
    let failed = host.run(&["host", "bridge", "--over", "eno2", "--apply", "--fail-at", "8"]).exits(1);
    assert!(failed.err.contains("fault injected"), "{failed}");
    assert_eq!(standing(&host), Value::Null);

    host.run(&["host", "bridge", "--over", "eno2", "--apply"]).exits(0);
    host.run(&["host", "bridge", "--roll-back"]).exits(0);
    assert_eq!(standing(&host), "taken-back");
    let late = host.run(&["host", "bridge", "--confirm"]).exits(1);
    late.is_an_error("br0 was taken back, as nobody confirmed it within 60 s", "host bridge --over NIC");
}

#[test]
fn what_cannot_be_is_said_with_what_to_type() {
    let host = Simulated::new();
    for (arguments, what, hint) in [
        (
            &["--over", "eno1"][..],
            "eno1 is not put under a bridge: it belongs to baremetal",
            "vdpa vm create --bridge",
        ),
        (&["--over", "enp67s0f0"], "enp67s0f0 is not put under a bridge: there is no such", "ip -br link"),
        (&["--over", "eno2", "--name", "eno1"], "there is a network device eno1 already", "--name"),
        (&["--over", "eno2", "--manager", "networkd"], "NetworkManager manages it", "--manager nm"),
    ] {
        host.run(&[&["host", "bridge"], arguments].concat()).exits(2).is_an_error(what, hint);
    }
    for arguments in
        [&["--apply"][..], &["--over", "eno2", "--confirm"], &["--over", "eno2", "--confirm-within", "5s"]]
    {
        host.run(&[&["host", "bridge"], arguments].concat()).exits(2);
    }
}

/// A domain that would not start for want of its bridge is told of the command that makes one.
#[test]
fn a_domain_whose_bridge_is_missing_is_told_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("new.qcow2");
    let disk = disk.to_str().unwrap();
    let create =
        ["vm", "create", "new", "--iso", "/dev/null", "--disk", disk, "--bridge", "br-missing", "--start"];
    let refused = run(&mut vdpa(&create)).exits(2);
    refused.is_an_error(
        "there is no bridge `br-missing` on this host",
        "vdpa host bridge --over NIC --name br-missing",
    );
    assert!(!directory.path().join("new.qcow2").exists());
}
