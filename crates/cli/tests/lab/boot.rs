//! The service: what it writes, and the host after a boot.
//!
//! The two halves of a test are run in one VM, with a reboot between them.

use std::fs;
use std::path::Path;

use super::guest::{Guest, VFS_8, VFS_64, wait_for};
use super::host_file;
use super::state::State;
use super::traffic::Host;

const HOST_FILE: &str = "/etc/vdpa/host.toml";
const UNITS: [&str; 3] = ["vdpa-card.service", "vdpa-datapath.service", "vdpa-domains.service"];

/// What `systemd-analyze security` may find at most; 10 is a service that may do everything.
const EXPOSURE: f64 = 4.0;

/// Puts down the host file of a boot.
fn write_host_file(text: &str) {
    fs::create_dir_all("/etc/vdpa").unwrap();
    fs::write(HOST_FILE, text).unwrap();
}

fn files(guest: &Guest) -> String {
    guest.run("find", &["/etc/systemd", "-printf", "%p %l %s\n"])
}

fn unit(name: &str) -> String {
    format!("/etc/systemd/system/{name}")
}

/// A property of a unit, as systemd has it.
fn property(guest: &Guest, unit: &str, name: &str) -> String {
    guest.run("systemctl", &["show", "--value", "--property", name, unit])
}

/// Seconds from the kernel's start to a unit's becoming active.
fn active_after(guest: &Guest, unit: &str) -> f64 {
    seconds(guest, unit, "ActiveEnterTimestampMonotonic")
}

/// A time of a unit, in seconds after the kernel's start.
fn seconds(guest: &Guest, unit: &str, property_name: &str) -> f64 {
    property(guest, unit, property_name).parse::<f64>().unwrap() / 1e6
}

#[test]
fn the_units_are_sound_and_hardened_and_go_without_a_trace() {
    let guest = Guest::new();
    write_host_file(&host_file("dpdk", "kernel"));
    let before = files(&guest);
    let first = guest.vdpa(&["service", "install", "--json"]).json();
    assert_eq!(first["outcome"], "done", "{first:#}");
    let again = guest.vdpa(&["service", "install", "--json"]).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");

    for name in UNITS {
        assert_eq!(guest.run("systemd-analyze", &["verify", &unit(name)]), "", "{name}");
        assert_eq!(guest.run("systemctl", &["is-enabled", name]), "enabled");
        let overall =
            guest.run("systemd-analyze", &["security", "--offline=true", "--no-pager", &unit(name)]);
        let overall = overall.lines().last().unwrap().to_owned();
        println!("{overall}");
        let score = overall.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap();
        assert!(score <= EXPOSURE, "{name}: {overall}");
    }

    guest.vdpa(&["service", "remove"]).succeeds();
    let left = files(&guest);
    assert_eq!(left, before);
    assert_eq!(guest.run("systemctl", &["list-units", "--all", "--plain", "--no-legend", "vdpa-*"]), "");
    fs::remove_dir_all("/etc/vdpa").unwrap();
}

#[test]
fn a_unit_of_somebody_elses_and_a_read_only_etc_are_named() {
    let guest = Guest::new();
    write_host_file(&host_file("none", "none"));
    fs::write(unit(UNITS[1]), "[Unit]\nDescription=somebody's\n").unwrap();
    let said = guest.vdpa(&["service", "install"]).fails_with(1);
    assert!(said.contains("vdpa-datapath.service is in the way"), "{said}");
    assert!(!Path::new(&unit(UNITS[0])).exists(), "something was written");
    fs::remove_file(unit(UNITS[1])).unwrap();

    guest.run("mount", &["--bind", "/etc/systemd/system", "/etc/systemd/system"]);
    guest.run("mount", &["-o", "remount,bind,ro", "/etc/systemd/system"]);
    let said = guest.vdpa(&["service", "install"]).fails_with(1);
    guest.run("umount", &["/etc/systemd/system"]);
    assert!(said.contains("cannot write /etc/systemd/system/vdpa-card.service"), "{said}");
    assert!(said.contains("Read-only file system") && said.contains("findmnt"), "{said}");

    fs::remove_dir_all("/etc/vdpa").unwrap();
    let said = guest.vdpa(&["service", "install"]).fails_with(2);
    assert!(said.contains("cannot read the host file /etc/vdpa/host.toml"), "{said}");
}

/// Between a boot and its end a host file may go: units fail, and say what they miss.
#[test]
fn a_unit_without_its_host_file_fails_by_name_and_changes_nothing() {
    let guest = Guest::new();
    let before = State::of(&guest);
    write_host_file(&host_file("none", "none"));
    guest.vdpa(&["service", "install"]).succeeds();
    fs::remove_dir_all("/etc/vdpa").unwrap();
    for name in UNITS {
        guest.refuses("systemctl", &["start", name]);
        assert_eq!(property(&guest, name, "Result"), "exit-code", "{name}");
        let journal = guest.run("journalctl", &["-u", name, "-o", "cat", "--no-pager"]);
        assert!(journal.contains("cannot read the host file /etc/vdpa/host.toml"), "{name}: {journal}");
    }
    guest.vdpa(&["service", "remove"]).succeeds();
    State::of(&guest).is(&before);
}

/// Units that are started again by hand, in any order, take nothing back that a later one has set up.
#[test]
fn units_that_are_restarted_take_nothing_back() {
    let guest = Guest::new();
    let before = State::of(&guest);
    write_host_file(&host_file("dpdk", "kernel"));
    guest.vdpa(&["service", "install"]).succeeds();
    for name in UNITS {
        guest.run("systemctl", &["start", name]);
    }
    let holds = guest.vdpa(&["status", "--json"]).json();
    assert_eq!(holds["outcome"], "holds", "{holds:#}");
    let set_up = State::of(&guest);
    for name in UNITS {
        guest.run("systemctl", &["restart", name]);
    }
    State::of(&guest).is(&set_up);
    guest.vdpa(&["service", "remove"]).succeeds();
    guest.vdpa(&["teardown"]).succeeds();
    fs::remove_dir_all("/etc/vdpa").unwrap();
    State::of(&guest).is(&before);
}

/// The state of a device as `NetworkManager` sees it, once it knows the device.
fn state_for_the_manager(guest: &Guest, name: &str) -> String {
    wait_for("NetworkManager to know the representor", || {
        let devices = guest.run("nmcli", &["--terse", "--fields", "DEVICE,STATE", "device"]);
        let mut states = devices.lines().filter_map(|line| line.split_once(':'));
        states.find(|(device, _)| *device == name).map(|(_, state)| state.to_owned())
    })
}

/// Whether the small card's two representors have their names from us and `NetworkManager` leaves them alone.
fn names_are_ours_and_left_alone(guest: &Guest) {
    let names = ["p1s0f0v0", "p1s0f0v1"];
    assert_eq!(guest.representors(&Guest::pf(VFS_8)), names);
    for name in names {
        assert_eq!(state_for_the_manager(guest, name), "unmanaged", "{name}");
    }
    let journal = guest.run("journalctl", &["-b", "-u", "NetworkManager", "-o", "cat", "--no-pager"]);
    for name in names {
        let taken = format!("device ({name}): state change: unmanaged ->");
        assert!(!journal.contains(&taken), "{journal}");
    }
}

/// Pitfall 19: two cards with one port name each, `pf0vf0`, have representors of different names. Pitfall 25: a network
/// manager that runs leaves them alone, and takes the same devices where it is not told to.
#[test]
fn representors_have_names_of_their_own_and_no_manager() {
    let guest = Guest::new();
    guest.run("systemctl", &["start", "NetworkManager.service"]);
    let (small, large) = (Guest::pf(VFS_8), Guest::pf(VFS_64));
    let file = format!("[[nic]]\npci = \"{small}\"\nvfs = 2\n[[nic]]\npci = \"{large}\"\nvfs = 2\n");
    guest.write_host_file(&file);
    guest.vdpa(&["setup"]).succeeds();
    // One that runs does not always tell of a new device in time; one that starts lists all there are.
    guest.run("systemctl", &["restart", "NetworkManager.service"]);
    names_are_ours_and_left_alone(&guest);
    assert_eq!(guest.representors(&large), ["p2s0f0v0", "p2s0f0v1"]);
    let config = guest.run("NetworkManager", &["--print-config"]);
    assert!(config.contains("[device-vdpa-0000-01-00.0]"), "{config}");
    guest.vdpa(&["teardown"]).succeeds();
    let left = guest.run("find", &["/run/udev", "/run/NetworkManager", "-name", "*vdpa*"]);
    assert_eq!(left, "");

    // What would happen otherwise: the system's name, and a manager that asks for an address.
    guest.set_vfs(&small, 1);
    guest.run("devlink", &["dev", "eswitch", "set", &format!("pci/{small}"), "mode", "switchdev"]);
    guest.run("udevadm", &["settle"]);
    let [representor] = &guest.representors(&small)[..] else { panic!("one representor") };
    assert_eq!(representor, "enp1s0npf0vf0");
    guest.run("systemctl", &["restart", "NetworkManager.service"]);
    wait_for("NetworkManager to take the representor", || {
        (state_for_the_manager(&guest, representor) != "unmanaged").then_some(())
    });
    guest.run("devlink", &["dev", "eswitch", "set", &format!("pci/{small}"), "mode", "legacy"]);
    guest.set_vfs(&small, 0);
    guest.run("systemctl", &["stop", "NetworkManager.service"]);
    for netdev in ["enp1s0np0", "enp2s0np0"] {
        guest.run("ip", &["link", "set", netdev, "down"]);
    }
}

/// Pitfall 44: rows of representors that went with the boot stay in OVSDB; ours are found by their tag and go, and
/// nobody else's is touched. Pitfall 10: one part of the host is made before Open vSwitch, one after it.
mod a_reboot_brings_the_host_back {
    use super::*;

    const BEFORE: &str = "/var/tmp/before-reboot";

    fn foreign(guest: &Guest) -> String {
        let columns = "--columns=name,external_ids";
        let bridge = guest.run("ovs-vsctl", &[columns, "list", "Bridge", "br-foreign"]);
        let port = guest.run("ovs-vsctl", &[columns, "list", "Port", "foreign0"]);
        let max_idle = guest.run("ovs-vsctl", &["get", "Open_vSwitch", ".", "other_config:max-idle"]);
        format!("{bridge}\n{port}\n{max_idle}")
    }

    #[test]
    fn before_reboot() {
        let guest = Guest::new();
        guest.run(
            "ovs-vsctl",
            &[
                "add-br",
                "br-foreign",
                "--",
                "add-port",
                "br-foreign",
                "foreign0",
                "--",
                "set",
                "Interface",
                "foreign0",
                "type=internal",
                "--",
                "br-set-external-id",
                "br-foreign",
                "made-by",
                "somebody",
                "--",
                "set",
                "Open_vSwitch",
                ".",
                "other_config:max-idle=30000",
            ],
        );
        fs::write(BEFORE, foreign(&guest)).unwrap();
        // Four VFs on another bridge now: rows of all of them are left over at the next boot.
        let two = host_file("dpdk", "kernel");
        write_host_file(&two.replace("vfs = 2", "vfs = 4").replace("ovs-sriov", "ovs-old"));
        guest.vdpa(&["setup", "--config", HOST_FILE]).succeeds();
        assert_eq!(guest.run("ovs-vsctl", &["list-ports", "ovs-old"]).lines().count(), 5);
        write_host_file(&two);
        guest.vdpa(&["service", "install"]).succeeds();
        guest.run("systemctl", &["enable", "NetworkManager.service"]);
        // Nobody here gives it an address to wait for.
        guest.run("systemctl", &["disable", "NetworkManager-wait-online.service"]);
    }

    #[test]
    fn after_reboot() {
        let guest = Guest::new();
        assert_eq!(guest.run("systemctl", &["is-system-running"]), "running");
        println!("{}", guest.run("systemd-analyze", &["time"]));
        for name in UNITS {
            assert_eq!(property(&guest, name, "ActiveState"), "active", "{name}");
            let took = active_after(&guest, name) - seconds(&guest, name, "InactiveExitTimestampMonotonic");
            println!("{name} took {took:.1} s");
            println!("{}", guest.run("journalctl", &["-b", "-u", name, "-o", "cat", "--no-pager"]));
        }
        let [card, datapath, domains] = UNITS.map(|name| active_after(&guest, name));
        let switch = active_after(&guest, "ovsdb-server.service");
        println!(
            "seconds after the kernel's start: card {card:.1}, ovsdb-server {switch:.1}, datapath {datapath:.1}, all {domains:.1}"
        );
        assert!(card < switch && switch < datapath && datapath < domains);
        let manager = active_after(&guest, "NetworkManager.service");
        assert!(card < manager, "NetworkManager was up after {manager:.1} s, before the card");
        names_are_ours_and_left_alone(&guest);

        let status = guest.vdpa(&["status", "--json"]).json();
        assert_eq!(status["outcome"], "holds", "{status:#}");
        assert_eq!(guest.representors(&Guest::pf(VFS_8)).len(), 2);
        let ports = guest.run("ovs-vsctl", &["list-ports", "ovs-sriov"]);
        assert_eq!(ports.lines().collect::<Vec<_>>(), ["enp1s0np0", "p1s0f0v0", "p1s0f0v1"]);
        assert_eq!(guest.run("ovs-vsctl", &["list-br"]), "br-foreign\novs-sriov", "a bridge of ours is left");
        assert_eq!(foreign(&guest), fs::read_to_string(BEFORE).unwrap());
        let (first, second) =
            (Host::behind_vf(&guest, 0, "10.9.0.1"), Host::behind_vf(&guest, 1, "10.9.0.2"));
        first.pings(&second, 3);
        drop((first, second));

        guest.vdpa(&["teardown"]).succeeds();
        guest.vdpa(&["service", "remove"]).succeeds();
        guest.run("systemctl", &["disable", "--now", "NetworkManager.service"]);
        assert_eq!(guest.run("ovs-vsctl", &["list-br"]), "br-foreign", "a bridge of ours is left");
        // It was ours before the reboot, and is known to be.
        let columns =
            guest.run("ovs-vsctl", &["--columns=other_config,external_ids", "list", "Open_vSwitch"]);
        assert!(!columns.contains("hw-offload"), "{columns}");
        assert_eq!(foreign(&guest), fs::read_to_string(BEFORE).unwrap());
        guest.run(
            "ovs-vsctl",
            &["del-br", "br-foreign", "--", "remove", "Open_vSwitch", ".", "other_config", "max-idle"],
        );
        fs::remove_dir_all("/etc/vdpa").unwrap();
    }
}
