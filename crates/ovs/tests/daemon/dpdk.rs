//! The userspace datapath with DPDK: a build that has it, virtual devices, ordinary memory. What a card's ports and a
//! vendor's build (`dpdkvdpa`) do cannot be seen here.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use vdpa_ovs::{
    Change, Error, Observation, PortKey, Setting, Settings, Vswitch,
    ovsdb::{Row, Value},
    testing::{Daemons, Netdevs},
};

use crate::{bridge, present};

/// What somebody has set before us, and what it takes without huge pages. 22.11's EAL aborts without `--legacy-mem`.
const THEIRS: &str = "--no-huge --legacy-mem -m 256";

fn interface(kind: &str, options: &[(&str, &str)]) -> Settings {
    let options: Value = options.iter().copied().collect();
    Settings { interface: Row::new().with("type", kind).with("options", options), ..Settings::default() }
}

/// A bridge with an uplink and a VM's port, as a host file would have it.
fn wanted(socket: &str) -> Change {
    let extra = format!("{THEIRS} --no-pci");
    let ports = [("0000:43:00.0/uplink", "d0uplink"), ("0000:43:00.0/vf0", "d0vf0")];
    let mut change = present()
        .datapath_type("netdev")
        .exactly(ports.map(|(key, name)| (key.parse().unwrap(), name.parse().unwrap())))
        .config("dpdk-init", Some("true"))
        .config("dpdk-extra", Some(&extra));
    let settings: [(PortKey, Settings); 2] = [
        ("0000:43:00.0/uplink".parse().unwrap(), interface("dpdk", &[("dpdk-devargs", "net_null0")])),
        (
            "0000:43:00.0/vf0".parse().unwrap(),
            interface("dpdkvhostuserclient", &[("vhost-server-path", socket)]),
        ),
    ];
    change.settings = settings.into();
    change
}

#[tokio::test]
async fn a_bridge_of_dpdk_ports_serves_a_vms_socket_and_is_taken_back() {
    let daemons = Daemons::start_with(Netdevs::Dpdk).await;
    daemons.vsctl(&["set", "Open_vSwitch", ".", &format!("other_config:dpdk-extra=\"{THEIRS}\"")]);
    // A pool of buffers for each port, of the size that it needs: one for all would be as large as memory is.
    daemons.vsctl(&["set", "Open_vSwitch", ".", "other_config:per-port-memory=true"]);
    let switch = daemons.vswitch();
    let before = switch.observe(&bridge()).await.unwrap();
    assert!(before.versions.dpdk.is_some() && !before.versions.dpdk_initialized, "{:?}", before.versions);

    // QEMU's part: it listens, and the switch connects.
    let socket = daemons.dir().join("vm.sock");
    let change = wanted(socket.to_str().unwrap());
    assert!(switch.apply(&change).await.unwrap().changed);
    assert!(!switch.apply(&change).await.unwrap().changed);
    let seen = switch.observe(&bridge()).await.unwrap();
    assert!(seen.versions.dpdk_initialized && seen.versions.interface_types.contains("dpdkvhostuserclient"));
    assert!(
        seen.ports().len() == 2 && seen.ports().iter().all(vdpa_ovs::PortState::works),
        "{:?}",
        seen.ports()
    );
    let linked = |seen: &Observation| seen.port(&"0000:43:00.0/vf0".parse().unwrap()).unwrap().link_up;
    assert_eq!(linked(&seen), Some(false), "no VM is at its socket");
    assert_eq!(seen.bridge.as_ref().unwrap().datapath_type, "netdev");
    assert_eq!(seen.config_before["dpdk-extra"], Setting::Set(THEIRS.to_owned()));
    assert_eq!(seen.config_before["dpdk-init"], Setting::Unset);
    let qemu = UnixListener::bind(&socket).unwrap();
    qemu.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while qemu.accept().is_err() {
        assert!(Instant::now() < deadline, "ovs-vswitchd connects to QEMU's socket");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // A port with other options is another port.
    let elsewhere = daemons.dir().join("other.sock");
    assert!(switch.apply(&wanted(elsewhere.to_str().unwrap())).await.unwrap().changed);
    let options = daemons.vsctl(&["get", "Interface", "d0vf0", "options:vhost-server-path"]);
    assert!(options.contains("other.sock"), "{options}");

    // A device that DPDK does not find: the words by which `vdpa doctor` knows it.
    let mut lost = wanted(elsewhere.to_str().unwrap());
    let uplink: PortKey = "0000:43:00.0/uplink".parse().unwrap();
    lost.settings.insert(uplink, interface("dpdk", &[("dpdk-devargs", "0000:43:00.0,representor=[0]")]));
    let error = switch.apply(&lost).await.unwrap_err();
    let Error::InterfaceFailed { interfaces, .. } = &error else { panic!("{error:?}") };
    let words = interfaces[0].error.as_deref().unwrap_or_default();
    assert!(words.contains("Error attaching device '0000:43:00.0,representor=[0]' to DPDK"), "{words}");

    let back = Change::to(bridge()).absent().config("dpdk-init", None).config("dpdk-extra", Some(THEIRS));
    assert!(switch.apply(&back).await.unwrap().changed);
    let after = switch.observe(&bridge()).await.unwrap();
    assert_eq!((&after.other_config, after.config_before.len()), (&before.other_config, 0));
    assert_eq!(after.bridge, None);
    assert_eq!(after.other_config["per-port-memory"], "true", "what others set is theirs");
}

/// In the row stands no word of memory, only the log has it: `vdpa doctor` knows such a port by these words.
#[tokio::test]
async fn a_port_for_which_there_is_no_memory_has_it_in_the_log_alone() {
    let daemons = Daemons::start_with(Netdevs::Dpdk).await;
    // 16384 buffers at the least (`dpdk_mp_create()` in lib/netdev-dpdk.c), of which each takes a jumbo frame.
    let little = Some("--no-huge --legacy-mem -m 128 --no-pci");
    let mut change = wanted(daemons.dir().join("vm.sock").to_str().unwrap()).config("dpdk-extra", little);
    let uplink: PortKey = "0000:43:00.0/uplink".parse().unwrap();
    change.settings.get_mut(&uplink).unwrap().interface.set("mtu_request", 9000);
    let error = daemons.vswitch().apply(&change).await.unwrap_err();
    let Error::InterfaceFailed { interfaces, .. } = &error else { panic!("{error:?}") };
    let words = interfaces[0].error.as_deref().unwrap_or_default();
    assert_eq!(words, "could not add network device d0uplink to ofproto (Invalid argument)");
    // Which is written by another thread.
    let log = || std::fs::read_to_string(daemons.dir().join("v.log")).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !log().contains("Failed to create memory pool for netdev d0uplink") {
        assert!(Instant::now() < deadline, "{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_build_without_dpdk_says_so() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    let error = switch.apply(&present().config("dpdk-init", Some("try"))).await.unwrap_err();
    assert!(matches!(error, Error::DpdkNotInitialized { built: false }), "{error:?}");
    assert!(error.hint().unwrap().contains("openvswitch-switch-dpdk"));
}
