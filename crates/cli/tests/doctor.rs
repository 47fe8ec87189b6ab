//! `vdpa doctor` as a user meets it, on a simulated host.

mod common;

use std::io::Read as _;

use common::command::{Said, Simulated, run, vdpa};
use serde_json::Value;

/// The checks of a document with this id.
#[track_caller]
fn checks<'d>(document: &'d Value, id: &str) -> Vec<&'d Value> {
    let all = document["checks"].as_array().unwrap_or_else(|| panic!("no checks: {document:#}"));
    let found: Vec<_> = all.iter().filter(|check| check["id"] == id).collect();
    assert!(!found.is_empty(), "no check {id}");
    found
}

fn bundle(host: &Simulated) -> (String, Said) {
    let path = host.path().join("case.tar.gz").display().to_string();
    let said = host.run(&["doctor", "--bundle", &path]);
    (path, said)
}

/// Everything in a bundle, as one text.
fn unpacked(path: &str) -> String {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_newcomer_is_told_what_was_found_where_and_what_to_type() {
    let host = Simulated::new();
    host.keep();
    let before = host.state();
    let said = host.run(&["doctor"]).exits(0);
    for line in said.out.lines() {
        assert!(line.starts_with("[simulated] "), "{line:?}");
    }
    for expected in [
        "✓ iommu",
        "! steering",
        "→ in legacy mode and without VFs: devlink dev param set",
        "[/proc/cmdline]",
    ] {
        assert!(said.out.contains(expected), "{expected}\n{said}");
    }
    let sum = said.out.lines().last().unwrap();
    assert!(sum.contains(" checks: ") && sum.contains(" pass, 1 warn"), "{sum}");
    assert_eq!(before, host.state(), "looking changed something");
    assert!(!host.has_receipt());
}

#[test]
fn a_program_gets_every_check_in_one_document() {
    let host = Simulated::new();
    let (said, document) = host.json(&["doctor"]);
    said.exits(0);
    assert_eq!(document["command"], "doctor");
    assert_eq!((&document["outcome"], &document["exit_code"]), (&"well".into(), &0.into()));
    assert_eq!(
        (&document["taken"]["host"], &document["taken"]["simulated"]),
        (&"panlab105".into(), &true.into())
    );
    for check in document["checks"].as_array().unwrap() {
        for key in ["id", "subject", "verdict", "fact", "source"] {
            assert!(check[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {check}");
        }
        assert!(["pass", "warn", "fail", "unknown"].contains(&check["verdict"].as_str().unwrap()), "{check}");
    }
}

#[test]
fn the_exit_code_is_1_where_a_check_fails_and_with_strict_where_one_warns() {
    let host = Simulated::new();
    host.run(&["doctor", "--strict"]).exits(1);
    let file = host.host_file("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 9\n");
    let said = host.run(&["doctor", "--config", file.to_str().unwrap()]).exits(1);
    assert!(said.out.contains("9 VFs are asked for, and the firmware allows 8"), "{said}");
    let (said, document) = host.json(&["doctor", "--pci", "0000:99:00.0", "--vfs", "2"]);
    said.exits(1);
    assert_eq!(document["outcome"], "amiss");
    assert_eq!(checks(&document, "card")[0]["verdict"], "fail");
}

#[test]
fn after_setup_the_vfs_are_there_and_their_users_are_named() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let (said, document) = host.json(&["doctor"]);
    said.exits(0);
    assert!(checks(&document, "card")[0]["fact"].as_str().unwrap().ends_with("2 of 8 VFs"));
    let held = checks(&document, "vf-in-use")[0];
    assert_eq!(held["verdict"], "pass", "our own datapath is in nobody's way: {held}");
    assert!(held["fact"].as_str().unwrap().contains("dpdk-vdpa of ours"), "{held}");
    let network_manager = checks(&document, "network-manager")[0];
    assert_eq!(network_manager["fact"], "manages none of 2 representors");
    let pages = checks(&document, "huge-pages")[0];
    assert!(
        pages["fact"].as_str().unwrap().starts_with("8 needed (8 for cx6.1)"),
        "its datapath runs: {pages}"
    );
}

/// Ports of Open vSwitch's userspace datapath: a socket that nobody serves, one that a VM serves, and DPDK that is gone.
#[test]
fn a_dpdk_port_is_told_of_by_its_vm_and_by_its_error() {
    let host = Simulated::new();
    let vf = "[[nic.vf]]\nindex = 0\ndatapath = \"ovs-dpdk\"\nvm = \"cx6.1\"\n";
    let file = host.host_file(&format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n{vf}"));
    let file = file.to_str().unwrap();
    host.run(&["setup", "--config", file]).exits(0);
    let port = |name: &str| {
        let (said, document) = host.json(&["doctor", "--config", file]);
        let of_it = |check: &&Value| check["subject"] == name;
        let found = checks(&document, "ovs-dpdk").into_iter().find(of_it).cloned();
        found.unwrap_or_else(|| panic!("nothing of {name}\n{said}"))
    };
    assert_eq!(port("d67s0f0")["verdict"], "pass");
    let unserved = port("d67s0f0v0");
    assert_eq!(unserved["verdict"], "warn");
    let fact = unserved["fact"].as_str().unwrap();
    assert!(fact.ends_with("/run/vdpa/0000-43-00.0-vf0/vhost/net.sock: no VM is connected"), "{fact}");
    assert!(unserved["why"].as_str().unwrap().contains("cx6.1"), "{unserved}");

    host.meddle(|state| {
        state["vswitch"]["bridges"]["ovs-sriov"]["ports"]["d67s0f0v0"]["connected"] = true.into();
    });
    assert_eq!(port("d67s0f0v0")["verdict"], "pass");

    host.meddle(|state| {
        state["vswitch"]["versions"]["dpdk_initialized"] = false.into();
        state["vswitch"]["versions"]["interface_types"] = serde_json::json!([]);
    });
    let closed = port("d67s0f0");
    let fact = closed["fact"].as_str().unwrap();
    assert!(fact.contains("could not open network device d67s0f0 (Address family"), "{fact}");
    assert!(closed["remedy"].as_str().unwrap().contains("dpdk-init"), "{closed}");
}

#[test]
fn a_process_that_holds_a_vf_is_named_and_so_is_management_traffic() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    host.meddle(|state| {
        let holder = serde_json::json!([{ "pid": 4711, "command": "qemu-kvm", "path": "/dev/vfio/141" }]);
        state["machine"]["holders"]["0000:43:00.3"] = holder;
        let netdevs = state["machine"]["netdevs"].as_object_mut().unwrap();
        let uplink = netdevs.values_mut().find(|netdev| netdev["name"] == "enp67s0f0").unwrap();
        uplink["uses"] = serde_json::json!([{ "member_of": "eno1" }]);
    });
    let (said, document) = host.json(&["doctor"]);
    said.exits(1);
    let held = checks(&document, "vf-in-use")
        .into_iter()
        .find(|check| check["subject"] == "0000:43:00.0/vf1")
        .unwrap();
    assert_eq!(held["verdict"], "warn");
    assert_eq!(held["fact"], "process 4711 (qemu-kvm) through /dev/vfio/141");
    let management = checks(&document, "management-traffic")[0];
    assert_eq!(management["verdict"], "fail");
    // eno1 stands on it in turn, and carries the default route.
    let fact = management["fact"].as_str().unwrap();
    assert!(
        fact.contains("enp67s0f0 is a member of eno1") && fact.contains("eno1 carries a default route"),
        "{fact}"
    );
}

#[test]
fn a_bundle_says_on_another_machine_what_the_host_said() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let (path, said) = bundle(&host);
    let said = said.exits(0);
    let from = run(&mut vdpa(&["doctor", "--from", &path])).exits(0);
    let here: Vec<&str> = said.out.lines().map(|line| line.strip_prefix("[simulated] ").unwrap()).collect();
    let there: Vec<&str> = from.out.lines().collect();
    assert!(there[0].starts_with("the simulated host panlab105, as vdpa "), "{}", there[0]);
    assert_eq!(there[1..], here[..here.len() - 1], "and the last line here names the bundle");
    assert!(here.last().unwrap().ends_with(&path));

    let (_, document) = host.json(&["doctor"]);
    let again = run(&mut vdpa(&["doctor", "--from", &path, "--json"])).exits(0).document();
    assert_eq!(document["checks"], again["checks"]);
    assert!(unpacked(&path).contains("✓ iommu"), "the report is in it");
}

#[test]
fn no_secret_gets_into_a_bundle() {
    let host = Simulated::new();
    host.keep();
    host.meddle(|state| {
        let domain = &mut state["domains"]["domains"]["cx6.1"]["definition"];
        let xml = domain.as_str().unwrap().replace(
            "<devices>",
            "<devices>\n<graphics type='vnc' port='5900' passwd='geheim'/>\n<disk type='network'><auth username='geheim'/></disk>",
        );
        assert!(xml.contains("geheim"));
        *domain = xml.into();
    });
    let (path, said) = bundle(&host);
    said.exits(0);
    let all = unpacked(&path);
    for secret in ["geheim", "rl_panlab105-root", "<domain", "5cbb6f7c-7122", "vnc"] {
        assert!(!all.contains(secret), "{secret} is in the bundle");
    }
    for kept in ["root=...", "intel_iommu=on iommu=pt", "cx6.1", "memory_kib"] {
        assert!(all.contains(kept), "{kept} is not in the bundle");
    }
}

#[test]
fn what_cannot_be_is_an_error_and_exit_code_2() {
    let host = Simulated::new();
    let none = host.path().join("none.tar.gz").display().to_string();
    run(&mut vdpa(&["doctor", "--from", &none]))
        .exits(2)
        .is_an_error("cannot read the bundle", "`vdpa doctor --bundle");
    let text = host.host_file("no bundle");
    let text = text.to_str().unwrap();
    run(&mut vdpa(&["doctor", "--from", text])).exits(2).is_an_error("is no bundle", "tar tf");
    host.run(&["doctor", "--bundle", text])
        .exits(2)
        .is_an_error("there is such a file already", "name another");
    host.run(&["doctor", "--from", text]).exits(2).is_an_error("", "`--simulate`");
    let broken = host.host_file("[[nic]]\npci = \"0000:43:00.0\"\nvfs = \"two\"\n");
    host.run(&["doctor", "--config", broken.to_str().unwrap()]).exits(2);
    run(&mut vdpa(&["doctor", "--from", text, "--bundle", "x"])).exits(2);
}

#[test]
fn the_list_is_the_page_in_docs() {
    let page = include_str!("../../../docs/doctor.md");
    assert_eq!(run(&mut vdpa(&["doctor", "--list"])).exits(0).out, page);
}
