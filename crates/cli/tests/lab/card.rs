//! Settings of a card and of its VFs, the orders in which a card can be switched, bonds, and bad luck, on a real kernel.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::guest::{Guest, VFS_8, VFS_64, netdevs, wait_for};
use super::state::State;

/// Two VFs of the small card, with further lines for the card and for VF 1.
fn host_file(nic: &str, vf: &str) -> String {
    format!("[[nic]]\npci = \"{}\"\nvfs = 2\n{nic}\n[[nic.vf]]\nindex = 1\n{vf}\n", Guest::pf(VFS_8))
}

/// Pitfall 5: `flow_steering_mode` changes in legacy mode only; the kernel under the lab's card refuses it later.
/// Pitfall 22: what belongs to a VF's port is set through the port, once that is there.
#[test]
fn every_setting_of_a_card_and_its_vfs_reaches_the_kernel_and_goes_again() {
    let guest = Guest::new();
    let (before, card) = (State::of(&guest), Guest::pf(VFS_8));
    let text = host_file(
        "steering_mode = \"smfs\"\nencap_mode = \"none\"\ninline_mode = \"none\"",
        "min_rate_mbps = 10\nmax_rate_mbps = 1000\nlink_state = \"down\"",
    );
    guest.write_host_file(&text);
    guest.vdpa(&["setup"]).succeeds();
    let device = format!("pci/{card}");
    let steering = guest.run("devlink", &["dev", "param", "show", &device, "name", "flow_steering_mode"]);
    assert!(steering.contains("value smfs"), "{steering}");
    let eswitch = guest.run("devlink", &["dev", "eswitch", "show", &device]);
    assert!(eswitch.contains("mode switchdev inline-mode none encap-mode none"), "{eswitch}");
    let rates = guest.run("devlink", &["port", "function", "rate", "show"]);
    let rate = rates.lines().find(|line| line.starts_with(&format!("{device}/2:"))).unwrap_or_default();
    assert!(rate.contains("tx_share 10Mbit") && rate.contains("tx_max 1Gbit"), "{rates}");
    let down = guest.representors(&card).pop().unwrap();
    let link = guest.run("ip", &["-br", "link", "show", "dev", &down]);
    assert!(link.contains("DOWN"), "{link}");
    let again = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");

    guest.write_host_file(&text.replace("max_rate_mbps = 1000", "max_rate_mbps = 400000"));
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    assert!(refused.contains("TX rate value exceed link maximum speed"), "{refused}");
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);

    let _refused = guest.knob("refuse_steering", "1");
    guest.write_host_file(&text);
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    let words = "Software managed steering is not supported by current device (EOPNOTSUPP)";
    assert!(refused.contains(words) && refused.contains("the host is as it was"), "{refused}");
    State::of(&guest).is(&before);
}

/// A VF's VLAN is its representor's on the bridge: there from the port's first moment, and gone with the key.
#[test]
fn a_vlan_is_the_ports_of_the_bridge() {
    let guest = Guest::new();
    let (before, card) = (State::of(&guest), Guest::pf(VFS_8));
    guest.write_host_file(&host_file("", "vlan = 100"));
    guest.vdpa(&["setup"]).succeeds();
    let tags = || {
        guest
            .representors(&card)
            .into_iter()
            .map(|port| guest.run("ovs-vsctl", &["get", "Port", &port, "tag"]))
    };
    assert_eq!(tags().collect::<Vec<_>>(), ["[]", "100"]);
    guest.write_host_file(&host_file("", "vlan = 4094"));
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!(tags().collect::<Vec<_>>(), ["[]", "4094"]);
    assert_eq!(guest.vdpa(&["setup", "--json"]).json()["outcome"], "unchanged");
    guest.write_host_file(&host_file("", ""));
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!(tags().collect::<Vec<_>>(), ["[]", "[]"]);
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
}

/// Pitfall 1: three orders are in use, and the card decides: VFs after the switch, before it, or out of its way.
/// Pitfall 4: a card that keeps its mode while rules are offloaded is let go of by the bridge first.
#[test]
fn each_order_is_found_by_what_the_card_refuses() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("", ""));
    let (needs_vfs, offloaded) = (guest.knob("refuse_without_vfs", "1"), guest.knob("refuse_offloaded", "1"));
    let done = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(done["receipt"]["order"], "vfs-first", "{done:#}");
    assert!(done["notes"][0].as_str().unwrap().contains("SRIOV legacy not enabled (EINVAL)"), "{done:#}");
    guest.vdpa(&["teardown"]).succeeds();
    drop((needs_vfs, offloaded));
    State::of(&guest).is(&before);

    let _no_vfs = guest.knob("refuse_with_vfs", "1");
    guest.set_vfs(&Guest::pf(VFS_8), 2);
    let before = State::of(&guest);
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    assert!(refused.contains("only if there is no VFs created (EOPNOTSUPP)"), "{refused}");
    assert!(refused.contains("switchdev first is not tried: existing-vfs"), "{refused}");
    State::of(&guest).is(&before);
    let done = guest.vdpa(&["setup", "--force", "existing-vfs", "--json"]).json();
    assert_eq!(done["receipt"]["order"], "switchdev-first", "{done:#}");
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
    guest.set_vfs(&Guest::pf(VFS_8), 0);
}

/// VFs that are there and have drivers are set free for the switch, however long that takes, and have them again.
#[test]
fn bound_vfs_are_set_free_for_the_switch() {
    let guest = Guest::new();
    guest.set_vfs(&Guest::pf(VFS_8), 2);
    let before = State::of(&guest);
    let _knobs = [guest.knob("refuse_bound", "1"), guest.knob("switch_ms", "1500")];
    guest.write_host_file(&host_file("", ""));
    let done = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(done["receipt"]["order"], "vfs-first", "{done:#}");
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
    guest.set_vfs(&Guest::pf(VFS_8), 0);
}

/// Pitfall 21: a VF takes its administrative MAC when a driver is bound to it. One that does not is found out.
#[test]
fn a_vf_that_takes_another_mac_than_its_own_is_found_out() {
    let guest = Guest::new();
    let before = State::of(&guest);
    let knob = guest.knob("ignore_mac", "1");
    guest.write_host_file(&host_file("", "mac = \"e4:11:22:33:55:61\""));
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    assert!(refused.contains("has the MAC") && refused.contains("the host is as it was"), "{refused}");
    drop(knob);
    State::of(&guest).is(&before);
}

/// The card is pulled out while its VFs are being made.
#[test]
fn a_card_that_is_pulled_out_in_the_middle_is_named_and_nothing_of_ours_is_left() {
    let guest = Guest::new();
    // The far end of its cable goes and comes with it, and comes as new: as it may not be after a network manager had it.
    guest.run("ip", &["link", "set", "wire1", "down", "addrgenmode", "eui64"]);
    let (before, card) = (State::of(&guest), Guest::pf(VFS_8));
    guest.write_host_file(&host_file("", ""));
    let slow = guest.knob("numvfs_ms", "2000");
    let setup = guest.begin_setup_until("eswitch of");
    fs::write(format!("/sys/bus/pci/devices/{card}/remove"), "1").unwrap();
    let output = setup.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the host is as it was"), "{said}");
    assert!(!std::path::Path::new("/run/vdpa/receipt.json").exists());
    let bridges = guest.run("ovs-vsctl", &["list-br"]);
    assert_eq!(bridges, "");
    drop(slow);
    fs::write("/sys/bus/pci/rescan", "1").unwrap();
    wait_for("the card", || netdevs(&card).pop());
    guest.run("udevadm", &["settle"]);
    State::of(&guest).is(&before);
}

/// A write to `sriov_numvfs` that sleeps in the driver cannot be called back, and even a look at that file waits behind
/// it. The command says so when its time is up; that it is gone only when the driver has returned is the kernel's doing.
/// Then `teardown` goes on.
#[test]
fn a_write_that_hangs_is_named_in_time() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("", ""));
    let held = guest.knob("hold_numvfs", "1");
    let began = Instant::now();
    let (mut setup, said) = guest.begin_until_it_says(&["setup"], "hint: ");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    let expected = format!(
        "the kernel does not return from work on {}: a write of 2 to sriov_numvfs takes more than 22s",
        Guest::pf(VFS_8)
    );
    assert!(said.contains(&expected) && said.contains("REMAINS"), "{said}");
    drop(held);
    assert_eq!(setup.wait().unwrap().code(), Some(3));
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
}

/// Pitfall 8: VF LAG: both eswitches, the bond, the card's word in debugfs, then drivers for the VFs. Here the two ports
/// are on two cards, which the lab's driver allows; the bond is the kernel's own.
#[test]
fn a_bond_of_two_uplinks_is_one_port_in_hardware() {
    let guest = Guest::new();
    // Loaded by itself, the module would make a bond0 that stays.
    guest.run("modprobe", &["bonding", "max_bonds=0"]);
    let before = State::of(&guest);
    let (first, second) = (Guest::pf(VFS_8), Guest::pf(VFS_64));
    let text = format!(
        "[[nic]]\npci = \"{first}\"\nvfs = 2\n[[nic]]\npci = \"{second}\"\nvfs = 1\n\
         [[bond]]\nname = \"bond7\"\nmode = \"active-backup\"\nnics = [\"{first}\", \"{second}\"]\n"
    );
    guest.write_host_file(&text);
    guest.vdpa(&["setup"]).succeeds();
    for pf in [&first, &second] {
        let state = fs::read_to_string(format!("/sys/kernel/debug/mlx5/{pf}/lag/state")).unwrap();
        assert_eq!(state.trim(), "active", "{pf}");
        let uplink = guest.uplink(pf);
        let link = guest.run("ip", &["-d", "link", "show", "dev", &uplink]);
        assert!(link.contains("master bond7") && link.contains("bond_slave"), "{link}");
    }
    assert_eq!(guest.run("ovs-vsctl", &["port-to-br", "bond7"]), "ovs-sriov");
    let ports = guest.run("ovs-vsctl", &["list-ports", "ovs-sriov"]);
    assert_eq!(ports.lines().count(), 4, "the bond and three representors: {ports}");
    let again = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");
    guest.vdpa(&["teardown"]).succeeds();
    let left = Command::new("ip").args(["link", "show", "dev", "bond7"]).output().unwrap();
    assert!(!left.status.success(), "the bond is left");
    State::of(&guest).is(&before);

    // Firmware that has no LAG: the bond is the kernel's, and never the card's.
    let _held = guest.knob("hold_lag", "1");
    let refused = guest.vdpa(&["setup"]).fails_with(1);
    assert!(refused.contains("the host is as it was"), "{refused}");
    State::of(&guest).is(&before);
}
