//! `vdpa` on a real kernel, with systemd, udev and Open vSwitch, and pretend cards.
//!
//! `cargo xtask hw-test --tier lab` runs these in a VM, one after the other in the order of their names, as root.
//! Each leaves the machine as it was, and says so if it does not. What they do not show: the card is a
//! pretence, `in_hw` is its driver's word for it, and packets pass tc in software.

mod auxiliary;
mod boot;
mod bridge;
mod calls;
mod card;
mod clock;
mod dhcp;
mod doctor;
mod firmware;
mod growth;
mod guest;
mod iproute2;
mod killed;
mod prepare;
mod reasons;
mod soak;
mod state;
mod throughput;
mod topology;
mod traffic;
mod verify;
mod vm;

use guest::{Guest, VFS_8, wait_for};
use state::State;
use traffic::{Host, Pinging};

/// Two VFs of the small card, with the datapaths given.
fn host_file(first: &str, second: &str) -> String {
    format!(
        r#"
[bridge]
name = "ovs-sriov"

[[nic]]
pci = "{pci}"
vfs = 2

[[nic.vf]]
index = 0
mac = "e4:11:22:33:55:60"
datapath = "{first}"

[[nic.vf]]
index = 1
mac = "e4:11:22:33:55:61"
datapath = "{second}"

[dpdk]
program = "/usr/local/bin/dpdk-vdpa"
hugepages = false
"#,
        pci = Guest::pf(VFS_8),
    )
}

#[test]
fn a_fresh_boot_becomes_a_host_whose_traffic_is_offloaded() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let done = guest.vdpa(&["setup"]).succeeds();
    println!("{done}");

    // Every statement, as the product sees it and as the system's own tools do.
    let status = guest.vdpa(&["status", "--json"]).json();
    assert_eq!(status["outcome"], "holds", "{status:#}");
    let card = Guest::pf(VFS_8);
    let eswitch = guest.run("devlink", &["dev", "eswitch", "show", &format!("pci/{card}")]);
    assert!(eswitch.contains("mode switchdev"), "{eswitch}");
    let uplink = guest.uplink(&card);
    let vfs = guest.run("ip", &["link", "show", "dev", &uplink]);
    assert!(vfs.contains("vf 0     link/ether e4:11:22:33:55:60"), "{vfs}");
    assert!(vfs.contains("vf 1     link/ether e4:11:22:33:55:61"), "{vfs}");
    let representors = guest.representors(&card);
    assert_eq!(representors.len(), 2, "{representors:?}");
    for port in representors.iter().chain([&uplink]) {
        let features = guest.run("ethtool", &["-k", port]);
        assert!(features.contains("hw-tc-offload: on"), "{port}: {features}");
        assert_eq!(guest.run("ovs-vsctl", &["port-to-br", port]), "ovs-sriov");
        assert_eq!(guest.run("ovs-vsctl", &["get", "Interface", port, "link_state"]), "up", "{port}");
    }
    assert_eq!(guest.run("ovs-vsctl", &["get", "Open_vSwitch", ".", "other_config:hw-offload"]), "\"true\"");

    // The datapaths: a socket for QEMU's group alone, served by a unit; a device on the vdpa bus.
    let unit =
        guest.run("systemctl", &["is-active", &format!("vdpa-dpdk-{}-vf0.service", card.replace(':', "-"))]);
    assert_eq!(unit, "active");
    let socket = guest.run("find", &["/run/vdpa", "-type", "s", "-name", "net.sock", "-printf", "%p %m %g"]);
    assert!(socket.contains("vf0/vhost/net.sock"), "{socket}");
    assert!(!socket.contains("777") && socket.ends_with("libvirt-qemu"), "reachable for others: {socket}");
    let devices = guest.run("vdpa", &["dev", "show"]);
    assert!(devices.contains("mgmtdev pci/0000:01:10.2"), "{devices}");
    assert!(std::path::Path::new("/dev/vhost-vdpa-0").exists());

    // Traffic, VF to VF and VF to the cable's far end.
    let (first, second) = (Host::behind_vf(&guest, 0, "10.9.0.1"), Host::behind_vf(&guest, 1, "10.9.0.2"));
    let wire = Host::at_wire(&guest, "wire1", "10.9.0.3");
    first.pings(&second, 10);
    first.pings(&wire, 10);
    second.pings(&wire, 10);
    // A flow is forgotten after ten seconds without a packet.
    let flowing = [(&first, &second), (&first, &wire), (&second, &wire)].map(|(from, to)| from.pinging(to));
    for (source, destination) in [("55:60", "55:61"), ("55:61", "55:60")] {
        let ends = format!("src=e4:11:22:33:{source},dst=e4:11:22:33:{destination}");
        let flow = wait_for("the flow between the VFs", || {
            let offloaded = guest.run("ovs-appctl", &["dpctl/dump-flows", "-m", "type=offloaded"]);
            let fits = |line: &&str| line.contains(&ends) && line.contains("eth_type(0x0800)");
            offloaded.lines().find(fits).map(str::to_owned)
        });
        assert!(flow.contains("offloaded:yes") && flow.contains("dp:tc"), "{flow}");
    }
    for representor in &representors {
        let filters = guest.run("tc", &["-s", "filter", "show", "dev", representor, "ingress"]);
        // What is flooded goes to the bridge's own port too, which no card can reach.
        let to_one = filters.split("\nfilter ").filter(|filter| filter.contains("dst_mac e4:11:22:33:55"));
        let ip: Vec<&str> = to_one.filter(|filter| filter.contains("eth_type ipv4")).collect();
        assert!(!ip.is_empty(), "{representor}: {filters}");
        for filter in ip {
            assert!(filter.contains("in_hw in_hw_count 1"), "{representor}: {filter}");
            assert!(filter.contains("Sent software 0 bytes 0 pkt"), "{representor}: {filter}");
        }
    }
    for pinging in flowing {
        let (sent, came_back) = pinging.stop();
        assert!(came_back + 2 >= sent, "of {sent} packets {came_back} came back");
    }
    drop((first, second, wire));
    guest.vdpa(&["teardown"]).succeeds();
}

#[test]
fn a_second_setup_changes_nothing_and_restarts_nothing() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["setup"]).succeeds();
    let daemons = guest.daemons();
    let (before, written) = (State::of(&guest), guest.ovsdb_file());
    let again = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");
    assert_eq!(again["exit_code"], 0);
    assert_eq!(guest.daemons(), daemons, "a daemon was restarted");
    assert_eq!(guest.ovsdb_file(), written, "something was written to OVSDB");
    State::of(&guest).is(&before);
    guest.vdpa(&["teardown"]).succeeds();
}

#[test]
fn no_restart_of_open_vswitch_brings_hw_offload_into_force() {
    let guest = Guest::new();
    guest.restart_open_vswitch();
    let daemons = guest.daemons();
    guest.write_host_file(&host_file("none", "none"));
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!(guest.daemons(), daemons);
    let status = guest.vdpa(&["status", "--json"]).json();
    assert_eq!(status["outcome"], "holds", "{status:#}");
    guest.vdpa(&["teardown"]).succeeds();
}

/// What a package upgrade does: both daemons stop and start. Our rows are theirs to read again, and all that hangs on
/// them comes back by itself.
#[test]
fn open_vswitch_restarted_by_a_package_upgrade_takes_nothing_of_ours_along() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["setup"]).succeeds();
    guest.restart_open_vswitch();
    wait_for("every statement to hold again", || {
        let status = guest.vdpa(&["status", "--json"]).json();
        (status["outcome"] == "holds").then_some(())
    });
    let (first, second) = (Host::behind_vf(&guest, 0, "10.9.0.1"), Host::behind_vf(&guest, 1, "10.9.0.2"));
    first.pings(&second, 5);
    drop((first, second));
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
}

#[test]
fn switchdev_refused_by_the_card_leaves_everything_as_it_was() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("none", "none"));
    let knob = guest.knob("fail_switchdev", "22");
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    drop(knob);
    for expected in [
        "cannot switch the eswitch of pci/0000:01:00.0 to switchdev",
        "kernel: labcx: Failed setting eswitch to offloads (EINVAL)",
        "the host is as it was",
    ] {
        assert!(refused.contains(expected), "`{expected}` is not in:\n{refused}");
    }
    State::of(&guest).is(&before);
    assert!(!std::path::Path::new("/run/vdpa/receipt.json").exists());
}

#[test]
fn teardown_leaves_the_host_as_it_was_and_a_foreign_bridge_loses_no_packet() {
    let guest = Guest::new();
    guest.run(
        "ovs-vsctl",
        &["set", "Open_vSwitch", ".", "other_config:hw-offload=true", "other_config:max-idle=30000"],
    );
    let foreign = traffic::ForeignBridge::new(&guest, "br-foreign");
    guest.run("ovs-vsctl", &["br-set-external-id", "br-foreign", "made-by", "somebody"]);
    let before = State::of(&guest);

    let traffic: Pinging = foreign.pinging();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["setup"]).succeeds();
    guest.vdpa(&["teardown"]).succeeds();
    let (sent, received) = traffic.stop();
    assert!(sent > 20, "only {sent} packets were sent meanwhile");
    assert_eq!(sent, received, "the foreign bridge lost packets");

    State::of(&guest).is(&before);
    drop(foreign);
    guest.run("ovs-vsctl", &["remove", "Open_vSwitch", ".", "other_config", "hw-offload", "max-idle"]);
}

#[test]
fn the_domain_gets_its_interface_and_keeps_every_other_byte() {
    let guest = Guest::new();
    let domain = "<domain type='qemu'>\n  <name>lab.1</name>\n  <memory unit='MiB'>64</memory>\n  <vcpu>2</vcpu>\n  \
                  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n  <features><acpi/></features>\n  \
                  <devices>\n    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n  </devices>\n</domain>\n";
    std::fs::write("/tmp/lab.1.xml", domain).unwrap();
    guest.run("systemctl", &["start", "libvirtd"]);
    guest.run("virsh", &["define", "/tmp/lab.1.xml"]);
    let before = guest.run("virsh", &["dumpxml", "--inactive", "lab.1"]);
    guest.write_host_file(
        &host_file("dpdk", "kernel")
            .replace("datapath = \"dpdk\"", "datapath = \"dpdk\"\nqueues = 2\nvm = \"lab.1\""),
    );
    guest.vdpa(&["setup"]).succeeds();
    let wired = guest.run("virsh", &["dumpxml", "--inactive", "lab.1"]);
    for expected in [
        "<interface type='vhostuser'>",
        "<mac address='e4:11:22:33:55:60'/>",
        "path='/run/vdpa/0000-01-00.0-vf0/vhost/net.sock'",
        "queues='2'",
    ] {
        assert!(wired.contains(expected), "`{expected}` is not in:\n{wired}");
    }
    std::fs::write("/tmp/wired.xml", &wired).unwrap();
    guest.run("virt-xml-validate", &["/tmp/wired.xml", "domain"]);
    guest.vdpa(&["teardown"]).succeeds();
    assert_eq!(guest.run("virsh", &["dumpxml", "--inactive", "lab.1"]), before);
    guest.run("virsh", &["undefine", "lab.1"]);
}

#[test]
fn vfs_that_others_made_are_taken_over_and_given_back() {
    let guest = Guest::new();
    let card = Guest::pf(VFS_8);
    guest.set_vfs(&card, 2);
    guest.run("ip", &["link", "set", &guest.uplink(&card), "vf", "0", "mac", "02:00:00:00:00:01"]);
    guest.rebind(&card, 0);
    let before = State::of(&guest);
    guest.write_host_file(&host_file("none", "none"));
    guest.vdpa(&["setup"]).succeeds();
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
    guest.set_vfs(&card, 0);
}
