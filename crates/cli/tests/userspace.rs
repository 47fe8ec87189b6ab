//! `datapath = "ovs-dpdk"`: DPDK in Open vSwitch, a bridge of DPDK ports, and all of it taken back.

mod common;

use common::{Bench, alike};
use vdpa_cli::plan::Change;

const FILE: &str = r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 3
[[nic.vf]]
index = 0
datapath = "ovs-dpdk"
queues = 2
vm = "cx6.1"
[[nic.vf]]
index = 1
datapath = "ovs-dpdk"
[ovs_dpdk]
socket_mem = "1024,0"
pmd_cpu_mask = "0x30"
"#;

/// Each port of ours with its type and options.
fn ports(bench: &Bench) -> Vec<String> {
    let bridge = bench.host.vswitch.snapshot().bridges["ovs-sriov"].clone();
    let port = |(name, port): (&String, &vdpa_ovs::mock::MockPort)| {
        let interface = &port.settings.interface;
        let options = interface.text_map("options").unwrap();
        let options: Vec<String> = options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{name} {} {}", interface.text("type").unwrap(), options.join(" "))
    };
    bridge.ports.iter().map(port).collect()
}

#[tokio::test]
async fn a_bridge_of_dpdk_ports_comes_and_goes_and_leaves_what_others_set() {
    let bench = Bench::new();
    bench.host.vswitch.edit(|state| {
        state.other_config.insert("dpdk-extra".into(), "--no-huge".into());
        state.other_config.insert("max-idle".into(), "30000".into());
    });
    let fresh = bench.settled_snapshot().await;
    let done = bench.setup(FILE).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(done.statements.iter().all(Change::holds));
    let lines: Vec<String> = done.statements.iter().map(|change| change.wanted.to_string()).collect();
    for expected in [
        "dpdk-init of Open vSwitch: true",
        "dpdk-extra of Open vSwitch: --no-huge -a 0000:43:00.0,representor=[0-2]",
        "dpdk-socket-mem of Open vSwitch: 1024,0",
        "userspace bridge ovs-sriov: with 0000:43:00.0 uplink, 0000:43:00.0 vf 0-2",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
    let state = bench.host.vswitch.snapshot();
    assert_eq!(state.bridges["ovs-sriov"].datapath_type, "netdev");
    assert_eq!(state.other_config["max-idle"], "30000");
    let expected = [
        "d67s0f0 dpdk dpdk-devargs=0000:43:00.0",
        "d67s0f0v0 dpdkvhostuserclient vhost-server-path=/run/vdpa/0000-43-00.0-vf0/vhost/net.sock",
        "d67s0f0v1 dpdkvhostuserclient vhost-server-path=/run/vdpa/0000-43-00.0-vf1/vhost/net.sock",
        "d67s0f0v2 dpdk dpdk-devargs=0000:43:00.0,representor=[2]",
    ];
    assert_eq!(ports(&bench), expected);
    assert!(bench.told.notes().join("\n").contains("no vDPA ports"), "{}", bench.told.notes().join("\n"));

    assert!(!bench.setup(FILE).await.unwrap().changed);
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

/// The vendor's Open vSwitch, as its documentation has it: one port for the representor and the VF's vDPA device.
#[tokio::test]
async fn the_vendors_switch_gets_vdpa_ports() {
    let bench = Bench::new();
    bench.host.vswitch.edit(|state| state.versions.dpdk = Some("MLNX_DPDK 20.11.6".into()));
    bench.setup(FILE).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert_eq!(
        ports(&bench)[1],
        "d67s0f0v0 dpdkvdpa dpdk-devargs=0000:43:00.0,representor=[0] vdpa-accelerator-devargs=0000:43:00.2 \
         vdpa-max-queues=2 vdpa-socket-path=/run/vdpa/0000-43-00.0-vf0/vhost/net.sock"
    );
    assert!(!bench.told.notes().join("\n").contains("no vDPA ports"), "{}", bench.told.notes().join("\n"));
    assert!(!bench.setup(FILE).await.unwrap().changed);
}

/// DPDK listens once: what it is told after it has come up takes a restart, which is said.
#[tokio::test]
async fn a_dpdk_that_is_up_is_restarted_for_other_settings_and_not_for_none() {
    let bench = Bench::new();
    bench.setup(FILE).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(!bench.told.notes().join("\n").contains("restart"), "{}", bench.told.notes().join("\n"));
    let more = FILE.replace("1024,0", "2048,0");
    bench.setup(&more).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(
        bench.told.notes().join("\n").contains("DPDK's settings need a restart of Open vSwitch"),
        "{}",
        bench.told.notes().join("\n")
    );
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(
        bench.told.notes().join("\n").contains("DPDK stays up in ovs-vswitchd"),
        "{}",
        bench.told.notes().join("\n")
    );
}

/// A bridge of somebody else's, in the kernel's datapath, is not turned into another.
#[tokio::test]
async fn a_foreign_bridge_keeps_its_datapath() {
    let bench = Bench::new();
    bench.with_foreign_bridge("ovs-sriov");
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(FILE).await.unwrap_err();
    assert!(
        failure.error.flat().contains("datapath type `system` and not `netdev`"),
        "{}",
        failure.error.flat()
    );
    alike(&fresh, &bench.settled_snapshot().await, "after the refusal");
}
