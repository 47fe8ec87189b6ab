//! `vdpa host bridge` with the system's own `NetworkManager` and systemd-networkd: the host is managed by one end of a veth
//! pair, and somebody in a network namespace at the other end pings it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::guest::{Guest, wait_for};

/// The NIC that the host is managed by, and its address.
const NIC: &str = "mg0";
const ADDRESS: &str = "10.7.0.1";

/// Whoever manages the host: at the other end of the cable, in a namespace of its own.
struct FarEnd;

impl FarEnd {
    fn new(guest: &Guest) -> Self {
        guest.run("ip", &["netns", "add", "far"]);
        guest.run("ip", &["link", "add", NIC, "type", "veth", "peer", "name", "mg1", "netns", "far"]);
        guest.run("ip", &["-n", "far", "addr", "add", "10.7.0.2/24", "dev", "mg1"]);
        guest.run("ip", &["-n", "far", "link", "set", "mg1", "up"]);
        Self
    }

    /// The host answers within a minute: ARP and a port that has just come up may cost packets.
    #[allow(clippy::unused_self, reason = "it is the far end that does")]
    fn reaches_the_host(&self) {
        wait_for("an answer to a ping", || {
            let ping = ["netns", "exec", "far", "ping", "-n", "-c", "1", "-W", "5", ADDRESS];
            Command::new("ip").args(ping).output().unwrap().status.success().then_some(())
        });
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", "far"]).status());
        drop(Command::new("ip").args(["link", "del", NIC]).status());
    }
}

/// Who has the address, and what goes which way, without the metric that `NetworkManager` gives a device: the next free one.
fn addresses(guest: &Guest) -> String {
    let addresses = guest.run("ip", &["-4", "-o", "addr", "show", "scope", "global"]);
    let words = |line: &str| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" ");
    let addresses: Vec<String> = addresses.lines().map(words).collect();
    let routes = guest.run("ip", &["-4", "route"]);
    let routes: Vec<&str> = routes.lines().map(|line| line.split(" metric").next().unwrap()).collect();
    format!("{}\n{}", addresses.join("\n"), routes.join("\n"))
}

fn mac(device: &str) -> String {
    fs::read_to_string(format!("/sys/class/net/{device}/address")).unwrap()
}

/// The bridge is made over the NIC, and waits to be confirmed.
fn make(guest: &Guest, far: &FarEnd, manager: &str) {
    let began = std::time::Instant::now();
    let made =
        guest.vdpa(&["host", "bridge", "--over", NIC, "--confirm-within", "5m", "--apply", "--json"]).json();
    println!("{:?} to make it", began.elapsed());
    assert_eq!(made["outcome"], "done", "{made:#}");
    assert_eq!(made["bridge"]["manager"], manager);
    let now = addresses(guest);
    for expected in [&format!("br0 inet {ADDRESS}/24"), "10.77.0.0/16 via 10.7.0.2 dev br0"] {
        assert!(now.contains(expected), "{expected}:\n{now}");
    }
    assert!(!now.contains(NIC), "{now}");
    assert_eq!(mac("br0"), mac(NIC));
    far.reaches_the_host();
    let timers = guest.run("systemctl", &["list-timers", "--no-legend", "vdpa-*"]);
    assert!(timers.contains("vdpa-host-bridge-rollback.timer"), "{timers}");
}

/// Killed on its way, when the bridge has just come to be: the timer takes it back. Then nobody can confirm it.
fn killed(guest: &Guest, far: &FarEnd, state: &dyn Fn() -> String) {
    let before = state();
    let apply = ["host", "bridge", "--over", NIC, "--confirm-within", "10s", "--apply"];
    let began = std::time::Instant::now();
    let mut child = Command::new(guest.program()).args(apply).spawn().unwrap();
    wait_for("the bridge", || Path::new("/sys/class/net/br0").exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the timer to take the bridge back", || {
        let stands = guest.vdpa(&["host", "bridge", "--json"]).json();
        (stands["bridge"]["standing"] == "taken-back").then_some(())
    });
    println!("{:?} from the beginning until the timer had taken it back", began.elapsed());
    let said = guest.vdpa(&["host", "bridge", "--confirm"]).fails_with(1);
    assert!(said.contains("br0 was taken back, as nobody confirmed it within 10 s"), "{said}");
    far.reaches_the_host();
    assert_eq!(state(), before);
    wait_for("the timer's units to go", || {
        let units = guest.run("systemctl", &["list-units", "--all", "--plain", "--no-legend", "vdpa-host-*"]);
        units.is_empty().then_some(())
    });
    fs::remove_file("/run/vdpa/bridge.json").unwrap();
}

/// Confirmed, it is no longer below /run; removed, the host is as it was.
fn confirm_and_remove(guest: &Guest, far: &FarEnd, before: &str, state: &dyn Fn() -> String) {
    let confirmed: Value = guest.vdpa(&["host", "bridge", "--confirm", "--json"]).json();
    assert_eq!(confirmed["bridge"]["standing"], "confirmed", "{confirmed:#}");
    let timers = guest.run("systemctl", &["list-timers", "--no-legend", "vdpa-*"]);
    assert_eq!(timers, "", "the timer is disarmed");
    far.reaches_the_host();
    let refused = guest.vdpa(&["host", "bridge", "--over", NIC]).fails_with(2);
    assert!(refused.contains("the bridge br0 was made before"), "{refused}");
    let began = std::time::Instant::now();
    guest.vdpa(&["host", "bridge", "--remove"]).succeeds();
    println!("{:?} to take it back", began.elapsed());
    far.reaches_the_host();
    assert_eq!(state(), before);
}

#[test]
fn network_manager_puts_the_nic_under_a_bridge_and_back() {
    const CONFIG: &str = "/run/NetworkManager/conf.d/lab-bridge.conf";
    let guest = Guest::new();
    // It would ask for addresses on every other NIC that there is.
    let others =
        format!("[keyfile]\nunmanaged-devices=*,except:interface-name:{NIC},except:interface-name:br0\n");
    fs::create_dir_all("/run/NetworkManager/conf.d").unwrap();
    fs::write(CONFIG, format!("[main]\nno-auto-default=*\n{others}")).unwrap();
    let far = FarEnd::new(&guest);
    // After the NIC: one that runs does not always tell of a new device in time; one that starts lists all there are.
    guest.run("systemctl", &["start", "NetworkManager.service"]);
    wait_for("NetworkManager to know of the NIC", || {
        guest.run("nmcli", &["-t", "-f", "DEVICE", "device"]).lines().any(|name| name == NIC).then_some(())
    });
    let refused = guest.vdpa(&["host", "bridge", "--over", NIC]).fails_with(2);
    assert!(refused.contains("neither NetworkManager nor systemd-networkd manages it"), "{refused}");
    // udev's rules leave veth devices alone (85-nm-unmanaged.rules).
    guest.run("nmcli", &["device", "set", NIC, "managed", "yes"]);
    let profile = [
        "connection",
        "add",
        "type",
        "ethernet",
        "ifname",
        NIC,
        "con-name",
        "management",
        "ipv4.method",
        "manual",
        "ipv4.addresses",
        "10.7.0.1/24",
        "ipv4.routes",
        "10.77.0.0/16 10.7.0.2",
        "ipv6.method",
        "disabled",
    ];
    guest.run("nmcli", &profile);
    guest.run("nmcli", &["--wait", "60", "connection", "up", "management"]);
    far.reaches_the_host();

    let state = || {
        let profiles = guest.run("nmcli", &["-t", "-f", "NAME,UUID,FILENAME,DEVICE", "connection"]);
        let ours: Vec<&str> = profiles.lines().filter(|line| !line.starts_with("lo:")).collect();
        let file = guest.run("cat", &["/etc/NetworkManager/system-connections/management.nmconnection"]);
        let kept = guest.run("ls", &["/etc/NetworkManager/system-connections"]);
        format!("{}\n{}\n{file}\n{kept}", ours.join("\n"), addresses(&guest))
    };
    let before = state();
    make(&guest, &far, "nm");
    let unsaved = guest.run("ls", &["/etc/NetworkManager/system-connections"]);
    assert_eq!(unsaved, "management.nmconnection", "an unconfirmed bridge outlives a reboot");
    confirm_and_remove(&guest, &far, &before, &state);

    guest.run("nmcli", &["connection", "delete", "management"]);
    drop(far);
    guest.run("systemctl", &["stop", "NetworkManager.service"]);
    fs::remove_file(CONFIG).unwrap();
}

#[test]
fn networkd_puts_the_nic_under_a_bridge_and_a_timer_takes_it_back() {
    const FILE: &str = "/etc/systemd/network/10-management.network";
    let guest = Guest::new();
    let far = FarEnd::new(&guest);
    fs::create_dir_all("/etc/systemd/network").unwrap();
    let network = format!(
        "[Match]\nName={NIC}\n\n[Network]\nAddress={ADDRESS}/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n\n[Route]\n\
         Destination=10.77.0.0/16\nGateway=10.7.0.2\n"
    );
    fs::write(FILE, network).unwrap();
    guest.run("systemctl", &["start", "systemd-networkd.service"]);
    far.reaches_the_host();

    let state = || {
        let files = guest.run("find", &["/etc/systemd/network", "/run/systemd/network", "-type", "f"]);
        let ours: Vec<&str> = files.lines().filter(|file| file.contains("vdpa") || *file == FILE).collect();
        format!("{}\n{}", ours.join("\n"), addresses(&guest))
    };
    fs::create_dir_all("/run/systemd/network").unwrap();
    let before = state();
    println!("{}", guest.vdpa(&["host", "bridge", "--over", NIC]).succeeds());
    assert_eq!(state(), before, "a plan changed something");
    killed(&guest, &far, &state);
    make(&guest, &far, "networkd");
    assert!(
        !fs::read_dir("/etc/systemd/network")
            .unwrap()
            .any(|file| { file.unwrap().file_name().to_string_lossy().contains("vdpa") })
    );
    confirm_and_remove(&guest, &far, &before, &state);

    drop(far);
    fs::remove_file(FILE).unwrap();
    guest.run("systemctl", &["stop", "systemd-networkd.service", "systemd-networkd.socket"]);
}
