//! The mock keeps the contract, and does what only a mock is asked to do.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    PortKey, PortName, Settings,
    contract::{self, Names},
    ovsdb::Row,
};

fn bridge() -> BridgeName {
    "ovs-sriov".parse().unwrap()
}

fn change() -> Change {
    Change::to(bridge()).present().with_port("vf0".parse().unwrap(), "eth0".parse().unwrap())
}

#[tokio::test]
async fn the_mock_keeps_the_contract() {
    let names = Names::new("ovs-sriov", &["eth0", "eth1", "eth2"], Some("eth9"), Some(("br-ex", "eth7")));
    let foreign = MockBridge {
        ports: BTreeMap::from([("eth7".to_owned(), MockPort::default())]),
        external_ids: BTreeMap::from([("owner".to_owned(), "somebody".to_owned())]),
        ..MockBridge::default()
    };
    let state = Snapshot {
        bridges: BTreeMap::from([("br-ex".to_owned(), foreign)]),
        other_config: BTreeMap::from([("max-idle".to_owned(), "5000".to_owned())]),
        ..Snapshot::default()
    };
    let hooks = Hooks { netdev_exists: Arc::new(|name| name != "eth9"), ..Hooks::default() };
    let switch = MockVswitch::new(hooks, state.clone());
    contract::all(&switch, &names).await;
    let mut after = switch.snapshot();
    (after.next_cfg, after.cur_cfg) = (0, 0);
    after
        .bridges
        .values_mut()
        .flat_map(|bridge| bridge.ports.values_mut())
        .for_each(|port| port.ofport = None);
    assert_eq!(after, state, "the contract left something behind");
}

#[tokio::test]
async fn what_others_set_stays_with_the_key() {
    let switch = MockVswitch::new(Hooks::default(), Snapshot::default());
    switch.apply(&change()).await.unwrap();
    let tagged = Settings { port: Row::new().with("tag", 7), ..Settings::default() };
    let set = Settings { interface: Row::new().with("mtu_request", 9000), ..tagged.clone() };
    switch.edit(|state| {
        state.bridges.get_mut("ovs-sriov").unwrap().ports.get_mut("eth0").unwrap().settings = set.clone();
    });
    let (key, name): (PortKey, PortName) = ("vf0".parse().unwrap(), "eth1".parse().unwrap());
    switch.apply(&Change::to(bridge()).with_port(key.clone(), name)).await.unwrap();
    let before = switch.observe(&bridge()).await.unwrap();
    assert_eq!(before.port(&key).unwrap().settings, set);
    assert_eq!(switch.glance(&bridge()).await.unwrap().port(&key).unwrap().settings, tagged);
    switch.apply(&Change::to(bridge()).without_port(key.clone())).await.unwrap();
    switch.apply(&Change::restoring(bridge(), &before)).await.unwrap();
    assert_eq!(switch.observe(&bridge()).await.unwrap().port(&key).unwrap().settings, set);
}

#[tokio::test]
async fn a_fault_before_leaves_the_state_and_one_after_does_not() {
    for after in [false, true] {
        let gate: Gate = Arc::new(move |_, at| if at == after { Err("injected".to_owned()) } else { Ok(()) });
        let switch = MockVswitch::new(Hooks { gate, ..Hooks::default() }, Snapshot::default());
        let error = switch.apply(&change()).await.unwrap_err();
        assert_eq!(error.outcome_unknown(), after, "{error}");
        assert_eq!(switch.observe(&bridge()).await.unwrap().is_ours(), after);
        assert_eq!(switch.writes(), u64::from(after));
    }
}

#[tokio::test]
async fn offload_stays_in_force_until_a_restart() {
    let in_force = Arc::new(AtomicBool::new(false));
    let told = in_force.clone();
    let on_ports: OnPorts = Arc::new(move |ports, offload| {
        assert_eq!(ports, ["eth0"]);
        told.store(offload, Ordering::Relaxed);
    });
    let switch = MockVswitch::new(Hooks { on_ports, ..Hooks::default() }, Snapshot::default());
    switch.apply(&change().hw_offload("true")).await.unwrap();
    assert!(in_force.load(Ordering::Relaxed));
    switch.apply(&change().hw_offload_unset()).await.unwrap();
    assert!(in_force.load(Ordering::Relaxed), "turning the key off must not turn offload off");
    switch.restart();
    assert!(!in_force.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_stopped_daemon_records_and_does_not_apply() {
    let switch = MockVswitch::new(Hooks::default(), Snapshot { stopped: true, ..Snapshot::default() });
    let error = switch.apply(&change()).await.unwrap_err();
    assert!(matches!(error, Error::NotApplied { next_cfg: 1, cur_cfg: 0, .. }), "{error}");
    assert!(switch.observe(&bridge()).await.unwrap().is_ours());
}

#[tokio::test]
async fn the_state_survives_json() {
    let switch = MockVswitch::new(Hooks::default(), Snapshot::default());
    switch.apply(&change().hw_offload("true")).await.unwrap();
    let json = serde_json::to_string(&switch.snapshot()).unwrap();
    let again = MockVswitch::new(Hooks::default(), serde_json::from_str(&json).unwrap());
    assert_eq!(again.snapshot(), switch.snapshot());
    assert!(!again.apply(&change()).await.unwrap().changed);
}
