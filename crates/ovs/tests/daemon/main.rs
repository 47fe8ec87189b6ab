//! Against real daemons: a private ovsdb-server and ovs-vswitchd for each test, without privilege.

mod applied;
mod datapath;
mod dpdk;
mod hazards;
mod ownership;
mod schemas;

use vdpa_ovs::{
    BridgeName, Change, PortKey, PortName,
    contract::{self, Names},
    testing::{Daemons, Netdevs},
};

#[tokio::test]
async fn ovs_keeps_the_contract() {
    let daemons = Daemons::start().await;
    daemons.vsctl(&["add-br", "br-ex", "--", "add-port", "br-ex", "p7"]);
    let names = Names::new("ovs-sriov", &["p0", "p1", "p2"], None, Some(("br-ex", "p7")));
    contract::all(&daemons.vswitch(), &names).await;
}

/// The userspace datapath with real netdevs, of which there is one pair: what is missing is missing.
#[tokio::test]
async fn ovs_reports_a_missing_netdev_as_the_contract_says() {
    let daemons = Daemons::start_with(Netdevs::OwnNamespace).await;
    daemons.in_namespace(&["ip", "link", "add", "p0", "type", "veth", "peer", "name", "p1"]);
    daemons.vsctl(&["add-br", "br-ex", "--", "set", "Bridge", "br-ex", "datapath_type=netdev"]);
    let names = Names::new("ovs-sriov", &["p0", "p1", "p2"], Some("p9"), Some(("br-ex", "p7")));
    contract::a_missing_netdev_is_reported_and_taken_back(&daemons.vswitch(), &names).await;
}

fn bridge() -> BridgeName {
    "ovs-sriov".parse().unwrap()
}

/// Our bridge, to be there.
fn present() -> Change {
    Change::to(bridge()).present()
}

/// `N` ports: `0000:43:00.0/vfN` on `pN`.
fn ports(count: usize) -> impl Iterator<Item = (PortKey, PortName)> {
    (0..count).map(|n| (format!("0000:43:00.0/vf{n}").parse().unwrap(), format!("p{n}").parse().unwrap()))
}
