//! A guest's kernel pings through a vhost-user socket that Open vSwitch's DPDK serves, and goes on when that was killed.

use std::path::Path;
use std::time::{Duration, Instant};

use vdpa_ovs::testing::{Daemons, Netdevs};
use vdpa_ovs::{
    Change, PortKey, Settings, Vswitch as _,
    ovsdb::{Row, Value},
};
use vdpa_vm::{DomainName, Domains as _, Interface, Role, Source, enforce};

use crate::libvirt::{LIMIT, Libvirt, vf};
use crate::pinger::Pinger;

const MAC: &str = "e4:11:22:33:55:60";
const BRIDGE: &str = "ovs-sriov";
const PORT: &str = "d0vf0";

/// The bridge's own port answers at this address.
const PEER: &str = "10.9.0.1";

/// A bridge in user space with one port, which goes to the guest's socket.
fn wanted(socket: &Path) -> Change {
    let key: PortKey = "0000:43:00.0/vf0".parse().unwrap();
    let options: Value = [("vhost-server-path", socket.to_str().unwrap())].into_iter().collect();
    let interface = Row::new().with("type", "dpdkvhostuserclient").with("options", options);
    let mut change = Change::to(BRIDGE.parse().unwrap())
        .present()
        .datapath_type("netdev")
        .exactly([(key.clone(), PORT.parse().unwrap())])
        .config("dpdk-init", Some("true"))
        // Ordinary memory will do. 22.11's EAL aborts without `--legacy-mem`.
        .config("dpdk-extra", Some("--no-huge --legacy-mem -m 256 --no-pci"));
    change.settings = [(key, Settings { interface, ..Settings::default() })].into();
    change
}

/// Gives the bridge's own port its address, once it is there, in the namespace that ovs-vswitchd has now.
fn answer(daemons: &Daemons) {
    let until = format!("until ip link set {BRIDGE} up 2>/dev/null; do sleep 0.1; done");
    daemons.in_namespace(&["timeout", "60", "sh", "-c", &until]);
    daemons.in_namespace(&["ip", "address", "add", &format!("{PEER}/24"), "dev", BRIDGE]);
}

/// Waits until the switch has counted so many packets each way at the guest's port, which it does every few seconds, and
/// says that the port has a link: a driver has its virtqueues.
async fn has_counted(daemons: &Daemons, packets: u64) {
    let deadline = Instant::now() + LIMIT;
    let counter = |name: &str| {
        let value = daemons.vsctl(&["--if-exists", "get", "Interface", PORT, &format!("statistics:{name}")]);
        value.trim().parse().unwrap_or(0)
    };
    let linked = || daemons.vsctl(&["get", "Interface", PORT, "link_state"]).trim() == "up";
    while counter("rx_packets") < packets || counter("tx_packets") < packets || !linked() {
        assert!(Instant::now() < deadline, "{}", daemons.vsctl(&["list", "Interface", PORT]));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_guests_kernel_pings_through_our_socket_and_outlives_the_crash_of_who_serves_it() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let domain: DomainName = "pings".parse().unwrap();
    let socket = libvirt.directory.path().join("pings.sock");
    let mut daemons = Daemons::start_with(Netdevs::Dpdk).await;
    daemons.vsctl(&["set", "Open_vSwitch", ".", "other_config:per-port-memory=true"]);
    daemons.vswitch().apply(&wanted(&socket)).await.unwrap();
    answer(&daemons);

    let pinger = Pinger::new(libvirt.directory.path());
    let template = pinger.in_domain(&libvirt.template("pings", ""), MAC, "10.9.0.2/24", PEER);
    domains.define(&template).await.unwrap();
    let source = Source::VhostUser { socket: socket.clone(), role: Role::Server };
    enforce(&domains, &domain, vf(), Some(&Interface::new(MAC.parse().unwrap(), source))).await.unwrap();
    domains.start(&domain, LIMIT).await.unwrap();
    pinger.has_answers(5, "through the socket").await;
    // virtio's DRIVER_OK, in the driver's own words; and it was this port that the packets came by.
    let console = pinger.console();
    assert!(console.contains(&format!("guest: eth0 is {MAC}, status 15")), "{console}");
    has_counted(&daemons, 5).await;

    // The guest keeps the socket; whoever comes back finds it there.
    daemons.kill_vswitchd();
    let before = pinger.answers();
    daemons.restart_vswitchd().await;
    answer(&daemons);
    pinger.has_answers(before + 5, "after the crash").await;
    assert!(domains.status(&domain).await.unwrap().active);
    assert_eq!(pinger.console().matches("is e4:11").count(), 1, "it has started anew: {}", pinger.console());
    libvirt.virsh(&["destroy", "pings"]);
}
