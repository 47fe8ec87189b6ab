//! `vdpa topology` of a host with a card, in every form.

use serde_json::Value;

use super::guest::{Guest, VFS_8};
use super::host_file;

#[test]
fn topology_draws_what_is_there() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["setup"]).succeeds();
    let (card, representors) = (Guest::pf(VFS_8), guest.representors(&Guest::pf(VFS_8)));

    let seen = guest.vdpa(&["topology", "--json"]).json();
    let cards = seen["cards"].as_array().unwrap();
    let ours = cards.iter().find(|one| one["pf"] == card.as_str()).unwrap_or_else(|| panic!("{seen:#}"));
    assert_eq!((&ours["mode"], &ours["total_vfs"]), (&"switchdev".into(), &8.into()), "{ours:#}");
    assert_eq!(ours["uplink"]["netdev"], guest.uplink(&card).as_str(), "{ours:#}");
    let vfs = ours["vfs"].as_array().unwrap();
    let of = |pointer: &str| vfs.iter().map(|vf| vf.pointer(pointer).cloned()).collect::<Option<Vec<_>>>();
    let expected = |values: [&str; 2]| Some(values.map(Value::from).to_vec());
    assert_eq!(of("/representor/netdev"), expected([&representors[0], &representors[1]]), "{ours:#}");
    assert_eq!(of("/representor/offload"), expected(["in_force", "in_force"]), "{ours:#}");
    assert_eq!(of("/mac"), expected(["e4:11:22:33:55:60", "e4:11:22:33:55:61"]), "{ours:#}");
    assert_eq!(of("/datapath/kind"), expected(["dpdk", "kernel"]), "{ours:#}");
    assert!(cards.len() >= 2, "the other card is there too: {seen:#}");
    assert_eq!(seen["bridge"]["name"], "ovs-sriov");

    for (format, begin) in [("text", ""), ("dot", "graph vdpa {"), ("mermaid", ""), ("svg", "<svg")] {
        let drawn = guest.vdpa(&["topology", "--format", format, "--pci", &card]).succeeds();
        println!("{drawn}");
        assert!(drawn.starts_with(begin), "{drawn}");
        for name in representors.iter().map(String::as_str).chain(["ovs-sriov", &card, "e4:11:22:33:55:60"]) {
            assert!(drawn.contains(name), "{name} is not in:\n{drawn}");
        }
        assert!(!drawn.contains("simulated"), "{drawn}");
    }
    guest.vdpa(&["teardown"]).succeeds();
}
