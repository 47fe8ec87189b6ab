//! What runs in the datapath of a real ovs-vswitchd, by its control socket and its log.

use std::time::{Duration, Instant};

use vdpa_ovs::{
    Datapath, contract,
    flow::Flow,
    testing::{Daemons, Netdevs},
};

/// A packet from a station to another, as `netdev-dummy/receive` takes it.
const PACKET: &str = "in_port(1),eth(src=e4:11:22:33:55:60,dst=e4:11:22:33:55:61),eth_type(0x0800),\
                      ipv4(src=10.0.0.1,dst=10.0.0.2,proto=17,tos=0,ttl=64,frag=no),udp(src=7,dst=9)";

/// Waits until there are flows of which something is so.
async fn flows(daemons: &Daemons, wanted: impl Fn(&Flow) -> bool) -> Vec<Flow> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let flows = daemons.datapath().flows().await.unwrap();
        if flows.iter().any(&wanted) {
            return flows;
        }
        assert!(Instant::now() < deadline, "no such flow: {flows:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn packets_become_flows_that_lead_from_port_to_port() {
    let daemons = Daemons::start().await;
    let datapath = daemons.datapath();
    assert!(datapath.flows().await.is_err(), "there is no datapath yet");
    daemons.vsctl(&["add-br", "br0", "--", "add-port", "br0", "p1", "--", "add-port", "br0", "p2"]);
    assert_eq!(datapath.flows().await.unwrap(), []);

    let control = daemons.vswitchd_control();
    control.call("netdev-dummy/receive", &["p1", PACKET]).await.unwrap();
    let seen = flows(&daemons, |flow| flow.to_string().contains("in_port(p1)")).await;
    assert_eq!(seen.len(), 1, "{seen:#?}");
    let text = seen[0].to_string();
    assert!(text.contains("eth(src=e4:11:22:33:55:60,dst=e4:11:22:33:55:61),eth_type(0x0800)"), "{text}");
    let mut outputs: Vec<String> = seen[0].actions.0.iter().map(ToString::to_string).collect();
    outputs.sort_unstable();
    assert_eq!(outputs, ["br0", "p2"], "flooded: {text}");
    contract::flows_lead_from_port_to_port(&datapath).await;

    // The answer teaches the switch where the first station is: no flood any more.
    let answer = PACKET.replace(":60", ":6x").replace(":61", ":60").replace(":6x", ":61");
    control.call("netdev-dummy/receive", &["p2", &answer.replace("in_port(1)", "in_port(2)")]).await.unwrap();
    let both = flows(&daemons, |flow| flow.to_string().contains("in_port(p2)")).await;
    assert!(both.iter().any(|flow| flow.actions.to_string() == "p1"), "{both:#?}");
    contract::flows_lead_from_port_to_port(&datapath).await;

    let ports = datapath.ports().await.unwrap();
    let kinds: Vec<_> = ports.iter().map(|port| (port.name.as_str(), port.kind.as_deref())).collect();
    assert!(kinds.contains(&("p1", None)) && kinds.contains(&("br0", Some("dummy-internal"))), "{kinds:?}");
    let internal: Vec<_> =
        ports.iter().filter(|port| port.is_internal()).map(|port| port.name.as_str()).collect();
    assert!(internal.contains(&"br0") && !internal.contains(&"p1"), "{ports:?}");
}

/// The userspace datapath, with devices of the kernel and the packets that the kernel sends of its own accord when a
/// device comes up (RFC 4861 and RFC 3810).
#[tokio::test]
async fn the_userspace_datapath_tells_of_the_kernels_packets() {
    let daemons = Daemons::start_with(Netdevs::OwnNamespace).await;
    for (port, end) in [("p0", "e0"), ("p1", "e1")] {
        daemons.in_namespace(&["ip", "link", "add", port, "type", "veth", "peer", "name", end]);
        daemons.in_namespace(&["ip", "link", "set", port, "up"]);
    }
    daemons.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"]);
    daemons.vsctl(&["add-port", "br0", "p0", "--", "add-port", "br0", "p1"]);
    daemons.in_namespace(&["ip", "link", "set", "e0", "up"]);
    let seen = flows(&daemons, |flow| flow.to_string().contains("eth_type(0x86dd)")).await;
    assert!(seen.iter().all(|flow| flow.stats.offloaded.is_none()), "{seen:#?}");
    contract::flows_lead_from_port_to_port(&daemons.datapath()).await;
    let ports = daemons.datapath().ports().await.unwrap();
    assert!(ports.iter().any(|port| port.name == "p0" && port.kind.is_none()), "{ports:?}");
}

/// What the daemon logs of what it could not offload, and nothing else of what it logs.
#[tokio::test]
async fn of_a_real_log_only_what_could_not_be_offloaded_is_told() {
    let daemons = Daemons::start().await;
    let control = daemons.vswitchd_control();
    control.call("vlog/set", &["file:dbg"]).await.unwrap();
    daemons.vsctl(&["add-br", "br0", "--", "add-port", "br0", "p1"]);
    control.call("netdev-dummy/receive", &["p1", PACKET]).await.unwrap();
    flows(&daemons, |_| true).await;
    let log = std::fs::read_to_string(daemons.dir().join("v.log")).unwrap();
    assert!(log.lines().count() > 100, "{log}");
    assert_eq!(daemons.datapath().complaints().await.unwrap(), [""; 0], "nothing was to be offloaded");
}
