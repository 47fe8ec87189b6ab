//! `vdpa topology` on simulated hosts: every form, of hosts of every size.

#[path = "../common/mod.rs"]
mod common;
mod picture;

use std::fmt::Write as _;
use std::path::Path;

use common::Bench;
use common::command::Simulated;
use vdpa_cli::topology::{Topology, dot, look, mermaid, svg, text};
use vdpa_hw::mock::hosts;
use vdpa_vm::mock::MockDomains;

/// A host with two cards, of 64 and of 8 VFs, and VMs `vm0` to `vm7`.
fn two_cards() -> Bench {
    let first = "0000:43:00.0".parse().unwrap();
    let mut machine = hosts::one_card(first, "enp67s0f0".parse().unwrap(), 64);
    let (second, mac) = ("0000:81:00.0".parse().unwrap(), "0c:42:a1:00:01:00".parse().unwrap());
    hosts::add_pf(&mut machine, second, "enp129s0f0".parse().unwrap(), mac, 8, 2);
    let bench = Bench::with_machine(machine);
    for nth in 0..8 {
        let name = format!("vm{nth}");
        let xml = MockDomains::CX6_1.replace("cx6.1", &name);
        let uuid = xml.find("<uuid>").map(|at| xml[at..at + 49].to_owned());
        let xml = uuid.map_or(xml.clone(), |uuid| xml.replace(&uuid, ""));
        bench.host.domains.add(&xml).unwrap();
    }
    bench
}

/// A host file for that host: datapaths of every kind, VMs with one VF and with many.
fn host_file(first: u16, second: u16) -> String {
    let mut text = String::from("[bridge]\nname = \"ovs-sriov\"\n");
    for (pf, vfs) in [("0000:43:00.0", first), ("0000:81:00.0", second)] {
        if vfs == 0 {
            continue;
        }
        let _ = writeln!(text, "[[nic]]\npci = \"{pf}\"\nvfs = {vfs}");
        for vf in 0..vfs.min(12) {
            let datapath = ["dpdk", "kernel", "none"][usize::from(vf % 3)];
            let _ = writeln!(text, "[[nic.vf]]\nindex = {vf}\ndatapath = \"{datapath}\"");
            if datapath != "none" {
                let _ = writeln!(
                    text,
                    "queues = 2\nvm = \"vm{}\"",
                    vf / 4 + if pf.contains("81") { 4 } else { 0 }
                );
            }
        }
    }
    text
}

async fn seen(bench: &Bench) -> Topology {
    look(&bench.host.host(), &"ovs-sriov".parse().unwrap(), &[]).await.unwrap()
}

/// The topology of that host after a `setup`.
async fn set_up(first: u16, second: u16) -> Topology {
    let bench = two_cards();
    if first > 0
        && let Err(failure) = bench.setup(&host_file(first, second)).await
    {
        panic!("{}", failure.error.flat());
    }
    bench.host.domains.start(&"vm0".parse().unwrap());
    seen(&bench).await
}

/// Compares with what is kept beside the tests; `VDPA_GOLDEN=write` keeps it anew.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topology").join(name);
    if std::env::var_os("VDPA_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept, text,
        "{name} is not what it was; if it should not be, `VDPA_GOLDEN=write cargo test -p vdpa --test topology`"
    );
}

#[test]
fn the_reference_host_is_shown_in_every_form() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    for (format, name) in [
        ("text", "host-105.txt"),
        ("dot", "host-105.dot"),
        ("mermaid", "host-105.mmd"),
        ("svg", "host-105.svg"),
    ] {
        golden(name, &host.run(&["topology", "--format", format]).exits(0).out);
    }
    let said = host.run(&["topology", "--json"]).exits(0);
    let document = said.document();
    assert_eq!((&document["simulated"], &document["outcome"]), (&true.into(), &"shown".into()));
    let parts = serde_json::json!({ "bridge": document["bridge"], "cards": document["cards"] });
    golden("host-105.json", &format!("{parts:#}\n"));
}

#[test]
fn a_host_that_nothing_was_done_to_has_cards() {
    let said = Simulated::new().run(&["topology"]).exits(0);
    assert!(said.out.contains("0000:43:00.0  mlx5_core, legacy, 0 of 8 VFs"), "{said}");
    assert!(!said.out.contains("ovs-sriov"), "{said}");
    let said = Simulated::new().run(&["topology", "--pci", "0000:43:00.1"]).exits(0);
    assert!(said.out.contains("0000:43:00.1") && !said.out.contains("0000:43:00.0"), "{said}");
    Simulated::new()
        .run(&["topology", "--pci", "0000:99:00.0"])
        .exits(2)
        .is_an_error("0000:99:00.0", "lspci");
}

#[tokio::test]
async fn pictures_of_every_size_are_sound() {
    for (first, second) in [(0, 0), (2, 0), (8, 0), (64, 0), (64, 8)] {
        let topology = set_up(first, second).await;
        assert_eq!(topology.notes, [""; 0]);
        let svg = svg::picture(&topology, "a host");
        picture::is_sound(&svg);
        if let Some(directory) = std::env::var_os("VDPA_PICTURES") {
            std::fs::write(Path::new(&directory).join(format!("{first}-{second}.svg")), svg).unwrap();
        }
    }
}

#[tokio::test]
async fn names_cannot_break_a_picture() {
    let mut topology = set_up(2, 0).await;
    let evil = "no <such> \"device\" & ]]> --> \\ `x` #35; \u{1}";
    let vf = &mut topology.cards[0].vfs[0];
    let datapath = vf.datapath.as_mut().unwrap();
    (datapath.state, datapath.serves, datapath.detail) = ("failed".to_owned(), false, Some(evil.repeat(4)));
    topology.bridge.as_mut().unwrap().other_ports.insert(evil.to_owned());
    picture::is_sound(&svg::picture(&topology, evil));
    let chart = mermaid::flowchart(&topology, evil);
    for line in chart.lines().filter(|line| line.contains("[\"")) {
        assert_eq!(line.matches('"').count(), 2, "{line}");
        let label = line.split('"').nth(1).unwrap();
        assert!(!label.replace("<br/>", "").contains(['<', '>', '&', '`']), "{label}");
    }
    let graph = dot::graph(&topology, evil);
    for line in graph.lines() {
        let quotes = line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        assert_eq!(quotes % 2, 0, "{line}");
    }
}

#[tokio::test]
async fn what_does_not_work_is_red_and_what_is_not_offloaded_is_yellow() {
    let bench = two_cards();
    bench.setup(&host_file(2, 0)).await.map_err(|failure| failure.error.flat()).unwrap();
    let before = svg::picture(&seen(&bench).await, "");
    let tones = |svg: &str, tone: &str| svg.matches(&format!("<g class=\"{tone}\">")).count() - 1;
    assert_eq!((tones(&before, "bad"), tones(&before, "slow")), (0, 0), "{before}");
    bench.host.machine.meddle(|state| {
        let port = state.netdevs.values_mut().find(|netdev| netdev.name.as_str() == "p67s0f0v1").unwrap();
        port.tc_offload = Some(false);
    });
    let after = seen(&bench).await;
    assert!(
        text::lines(&after).iter().any(|line| line.ends_with("  up, hw-tc-offload off")),
        "{:?}",
        text::lines(&after)
    );
    assert_eq!(tones(&svg::picture(&after, ""), "slow"), 1);
}

/// A host whose VFs are ports of Open vSwitch's userspace datapath.
const OVS_DPDK: &str = r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 2
[[nic.vf]]
index = 0
datapath = "ovs-dpdk"
queues = 2
vm = "vm0"
"#;

/// Each line of the tree, without colours, from the first one with `from` on.
fn tree(topology: &Topology, from: &str) -> Vec<String> {
    let lines = text::lines(topology).into_iter().map(|line| anstream::adapter::strip_str(&line).to_string());
    lines.skip_while(|line| !line.contains(from)).collect()
}

#[tokio::test]
async fn ports_of_dpdk_stand_between_the_bridge_and_what_they_are_of() {
    let bench = two_cards();
    bench.setup(OVS_DPDK).await.map_err(|failure| failure.error.flat()).unwrap();
    let topology = seen(&bench).await;
    let socket = "/run/vdpa/0000-43-00.0-vf0/vhost/net.sock";
    let lines = tree(&topology, "uplink").join("\n");
    for expected in [
        "uplink enp67s0f0  up, dpdk d67s0f0, hw-offload on",
        "representor p67s0f0v0  up, dpdkvhostuserclient d67s0f0v0, software forwards",
        &format!("datapath OVS-DPDK  dpdkvhostuserclient, {socket}"),
        "VM vm0  shut off, 2 queue pairs",
        "representor p67s0f0v1  up, dpdk d67s0f0v1, hw-offload on",
        "bridge ovs-sriov  userspace datapath, hw-offload on",
    ] {
        assert!(lines.contains(expected), "{expected} is not in\n{lines}");
    }
    let port = |nth: usize| {
        let representor = topology.cards[0].vfs[nth].representor.as_ref().unwrap();
        representor.bridged.as_ref().unwrap().dpdk.clone().unwrap()
    };
    assert_eq!((port(0).devargs, port(0).socket.as_deref()), (None, Some(socket)));
    assert_eq!((port(1).devargs.as_deref(), port(1).socket), (Some("0000:43:00.0,representor=[1]"), None));
    for picture in [dot::graph(&topology, ""), mermaid::flowchart(&topology, ""), svg::picture(&topology, "")]
    {
        for part in ["OVS-DPDK", "d67s0f0v1", "userspace datapath"] {
            assert!(picture.contains(part), "{part} is not in\n{picture}");
        }
    }
    picture::is_sound(&svg::picture(&topology, "a host"));
}

/// In the vendor's Open vSwitch the card forwards by `rte_flow`: neither qdisc nor hw-tc-offload is asked of the port.
#[tokio::test]
async fn a_port_of_the_vendors_is_a_cards() {
    let bench = two_cards();
    bench.host.vswitch.edit(|state| {
        state.versions.dpdk = Some("MLNX_DPDK 20.11.6".into());
        state.other_config.insert("hw-offload".into(), "true".into());
    });
    bench.setup(OVS_DPDK).await.map_err(|failure| failure.error.flat()).unwrap();
    let lines = tree(&seen(&bench).await, "VF 0").join("\n");
    assert!(lines.contains("representor p67s0f0v0  up, dpdkvdpa d67s0f0v0, hw-offload on"), "{lines}");
    assert!(lines.contains("datapath OVS-DPDK  dpdkvdpa, /run/vdpa/0000-43-00.0-vf0/"), "{lines}");
}
