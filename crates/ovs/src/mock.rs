//! An in-memory switch with real state, which refuses what Open vSwitch refuses.
//!
//! It keeps the same [contract](crate::contract) as the real one. It knows no other layer: what it needs of the
//! machine around it, and what it does to it, goes through [`Hooks`].

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Applied, BridgeName, BridgeState, Change, Elsewhere, Error, InterfaceFailure, OWNER, OWNER_TAG,
    Observation, Owner, PORT_TAG, PortKey, PortName, PortState, Presence, Setting, Settings, Versions,
    Vswitch, ovsdb::ErrorKind,
};

/// The key of the switch's `other_config` that this crate sets.
const HW_OFFLOAD: &str = "hw-offload";

/// The switch.
#[derive(Debug)]
pub struct MockVswitch {
    hooks: Hooks,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Snapshot,
    writes: u64,
}

/// What the mock asks of the machine around it. The hooks are called with the mock's lock held: they must not
/// call the mock.
#[derive(Clone)]
pub struct Hooks {
    /// Called with the operation's name before an effect (`false`) and after it (`true`). An error is a fault:
    /// before, the transaction is refused; after, the connection is lost and the outcome unknown to the caller.
    pub gate: Gate,
    /// Whether a netdev exists.
    pub netdev_exists: NetdevExists,
    /// Called after an effect with the netdevs that the switch has open, and whether hardware offload is in
    /// force (an ingress qdisc on each: `netdev_tc_init_flow_api`, lib/netdev-offload-tc.c).
    pub on_ports: OnPorts,
}

/// See [`Hooks::gate`].
pub type Gate = Arc<dyn Fn(&str, bool) -> Result<(), String> + Send + Sync>;
/// See [`Hooks::netdev_exists`].
pub type NetdevExists = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// See [`Hooks::on_ports`].
pub type OnPorts = Arc<dyn Fn(&[String], bool) + Send + Sync>;

/// The whole state, to be kept in a file and taken up again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// Every bridge by name, whoever made it.
    pub bridges: BTreeMap<String, MockBridge>,
    /// The switch's `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// Whether ovs-vswitchd has turned hardware offload on. Once on it stays so until a restart, whatever
    /// `other_config` reads (`netdev_set_flow_api_enabled`, lib/netdev-offload.c).
    pub hw_offload_in_force: bool,
    /// The configuration number last asked for.
    pub next_cfg: i64,
    /// The number that is applied.
    pub cur_cfg: i64,
    /// What the switch says it is.
    pub versions: Versions,
    /// Whether ovs-vswitchd stands still: changes are recorded and never applied.
    pub stopped: bool,
}

/// A bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MockBridge {
    /// The row's `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// The row's `datapath_type`.
    pub datapath_type: String,
    /// Ports by netdev, without the bridge's own.
    pub ports: BTreeMap<String, MockPort>,
}

/// A port with its interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MockPort {
    /// The Port row's `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// The `OpenFlow` port number.
    pub ofport: Option<i64>,
    /// Why the netdev could not be opened.
    pub error: Option<String>,
    /// What somebody has set in its rows.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

impl Default for Hooks {
    /// No faults, every netdev exists, nobody is told.
    fn default() -> Self {
        Self {
            gate: Arc::new(|_, _| Ok(())),
            netdev_exists: Arc::new(|_| true),
            on_ports: Arc::new(|_, _| {}),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl MockVswitch {
    /// A switch in a given state; `Snapshot::default()` has no bridge.
    pub fn new(hooks: Hooks, state: Snapshot) -> Self {
        Self { hooks, inner: Mutex::new(Inner { state, writes: 0 }) }
    }

    /// The state as it is.
    pub fn snapshot(&self) -> Snapshot {
        self.lock().state.clone()
    }

    /// Changes the state as somebody else would: another tool, a person.
    pub fn edit(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.lock().state);
    }

    /// What a restart of the service does: the configuration is applied from the beginning, and hardware
    /// offload is in force if and only if it is configured.
    pub fn restart(&self) {
        let mut inner = self.lock();
        inner.state.hw_offload_in_force = false;
        inner.state.stopped = false;
        self.settle(&mut inner.state);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// ovs-vswitchd's part: opens what can be opened, and says what it reached.
    fn settle(&self, state: &mut Snapshot) {
        if state.stopped {
            return;
        }
        state.hw_offload_in_force |=
            state.hw_offload().is_some_and(|value| value.eq_ignore_ascii_case("true"));
        state.cur_cfg = state.next_cfg;
        self.reopen(state);
        let open = state.bridges.values().flat_map(|bridge| &bridge.ports);
        let open: Vec<String> =
            open.filter(|(_, port)| port.error.is_none()).map(|(name, _)| name.clone()).collect();
        (self.hooks.on_ports)(&open, state.hw_offload_in_force);
    }

    /// Netdevs come and go under the switch, and it follows (`if_notifier`, vswitchd/bridge.c).
    fn reopen(&self, state: &mut Snapshot) {
        for bridge in state.bridges.values_mut() {
            let mut last = bridge.ports.values().filter_map(|port| port.ofport).max().unwrap_or(0).max(0);
            for (name, port) in &mut bridge.ports {
                if !(self.hooks.netdev_exists)(name) {
                    // Text and -1 as OVS 3.1.0 leaves them in Interface (tests/daemon.rs sees the same).
                    port.error = Some(format!("could not open network device {name} (No such device)"));
                    port.ofport = Some(-1);
                } else if port.error.is_some() || port.ofport.is_none() {
                    last += 1;
                    port.error = None;
                    port.ofport = Some(last);
                }
            }
        }
    }
}

#[async_trait]
impl Vswitch for MockVswitch {
    async fn observe(&self, bridge: &BridgeName) -> Result<Observation, Error> {
        let mut inner = self.lock();
        if !inner.state.stopped {
            self.reopen(&mut inner.state);
        }
        Ok(inner.state.observation(bridge))
    }

    async fn apply(&self, change: &Change) -> Result<Applied, Error> {
        let mut inner = self.lock();
        let mut next = inner.state.after(change)?;
        let changed = next != inner.state;
        if changed {
            (self.hooks.gate)("ovs.apply", false).map_err(|text| Error::Op {
                index: 0,
                operation: format!("change {}", change.bridge),
                kind: ErrorKind::Other(text),
                details: String::new(),
            })?;
            next.next_cfg += 1;
            inner.writes += 1;
            self.settle(&mut next);
            inner.state = next;
            (self.hooks.gate)("ovs.apply", true).map_err(|reason| Error::Disconnected {
                socket: PathBuf::from("(simulated)"),
                during: "transact".to_owned(),
                reason,
            })?;
        } else if !inner.state.stopped {
            self.reopen(&mut inner.state);
        }
        let Snapshot { next_cfg, cur_cfg, .. } = inner.state;
        if cur_cfg < next_cfg {
            return Err(Error::NotApplied { next_cfg, cur_cfg, waited: Duration::ZERO });
        }
        let interfaces = inner.state.failures(change);
        if interfaces.is_empty() {
            Ok(Applied { changed, next_cfg, attempts: 1 })
        } else {
            Err(Error::InterfaceFailed { bridge: change.bridge.clone(), interfaces })
        }
    }

    fn writes(&self) -> u64 {
        self.lock().writes
    }
}

impl Snapshot {
    fn hw_offload(&self) -> Option<&str> {
        self.other_config.get(HW_OFFLOAD).map(String::as_str)
    }

    /// The database after a change, or why it is refused.
    fn after(&self, change: &Change) -> Result<Self, Error> {
        change.check()?;
        let (bridge, mut next) = (&change.bridge, self.clone());
        match (change.presence, self.bridges.get(bridge.as_str())) {
            (Presence::Absent, Some(state)) => {
                if !is_ours(&state.external_ids) {
                    return Err(Error::NotOwner { bridge: bridge.clone() });
                }
                let foreign = state.ports.iter().filter(|(_, port)| port.key().is_none());
                let ports: Vec<String> = foreign.map(|(name, _)| name.clone()).collect();
                if !ports.is_empty() {
                    return Err(Error::ForeignPorts { bridge: bridge.clone(), ports });
                }
                next.bridges.remove(bridge.as_str());
            }
            (Presence::Present, None) => {
                let external_ids = BTreeMap::from([(OWNER_TAG.to_owned(), OWNER.to_owned())]);
                next.bridges.insert(bridge.to_string(), MockBridge { external_ids, ..MockBridge::default() });
            }
            (Presence::AsIs, None) if !change.wanted().is_empty() => {
                return Err(Error::NoBridge { bridge: bridge.clone() });
            }
            _ => {}
        }
        let mut replaced = change.settings.clone();
        if let Some(state) = next.bridges.get_mut(bridge.as_str()) {
            state.ports.retain(|name, port| match (port.key(), name.parse()) {
                (Some(key), Ok(name)) if !change.keeps(&key, &name) => {
                    replaced.entry(key).or_insert_with(|| port.settings.clone());
                    false
                }
                _ => true,
            });
        }
        for (key, name) in change.wanted() {
            next.add(bridge, key, name, replaced.remove(key).unwrap_or_default())?;
        }
        match &change.hw_offload {
            Setting::AsIs => {}
            Setting::Set(value) => drop(next.other_config.insert(HW_OFFLOAD.to_owned(), value.clone())),
            Setting::Unset => drop(next.other_config.remove(HW_OFFLOAD)),
        }
        Ok(next)
    }

    /// Adds a port unless it is there. One netdev is on one bridge: names are unique in the schema
    /// (vswitch.ovsschema, indexes of Port and Interface).
    fn add(
        &mut self,
        bridge: &BridgeName,
        key: &PortKey,
        name: &PortName,
        settings: Settings,
    ) -> Result<(), Error> {
        for (holder, state) in &self.bridges {
            let held = state.ports.get(name.as_str());
            let held_key = held.and_then(MockPort::key);
            match held {
                None if holder != name.as_str() => {}
                Some(_) if holder == bridge.as_str() && held_key.as_ref().is_none_or(|held| held == key) => {
                    return Ok(());
                }
                _ => {
                    return Err(Error::PortElsewhere {
                        port: name.clone(),
                        bridge: holder.clone(),
                        key: held_key,
                    });
                }
            }
        }
        if let Some(state) = self.bridges.get_mut(bridge.as_str()) {
            let tags = [(OWNER_TAG, OWNER), (PORT_TAG, key.as_str())];
            let external_ids = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            state.ports.insert(name.to_string(), MockPort { external_ids, settings, ..MockPort::default() });
        }
        Ok(())
    }

    /// The ports asked for that do not work.
    fn failures(&self, change: &Change) -> Vec<InterfaceFailure> {
        let ports = self.bridges.get(change.bridge.as_str()).map(|bridge| &bridge.ports);
        let wanted = change.wanted().into_values().filter(|name| !change.may_fail.contains(*name));
        wanted
            .filter_map(|name| Some((name, ports?.get(name.as_str())?)))
            .filter(|(_, port)| port.error.is_some() || port.ofport.is_none_or(|ofport| ofport < 0))
            .map(|(name, port)| InterfaceFailure {
                name: name.to_string(),
                ofport: port.ofport,
                error: port.error.clone(),
            })
            .collect()
    }

    fn observation(&self, name: &BridgeName) -> Observation {
        let mut elsewhere = BTreeMap::new();
        for (bridge, state) in self.bridges.iter().filter(|(bridge, _)| *bridge != name.as_str()) {
            elsewhere.insert(bridge.clone(), Elsewhere { bridge: bridge.clone(), key: None });
            for (port, row) in &state.ports {
                elsewhere.insert(port.clone(), Elsewhere { bridge: bridge.clone(), key: row.key() });
            }
        }
        Observation {
            bridge: self.bridges.get(name.as_str()).map(MockBridge::state),
            elsewhere,
            hw_offload: self.hw_offload().map(str::to_owned),
            versions: self.versions.clone(),
            next_cfg: self.next_cfg,
            cur_cfg: self.cur_cfg,
        }
    }
}

impl MockBridge {
    fn state(&self) -> BridgeState {
        let ours = self.ports.iter().filter_map(|(name, port)| port.state(name));
        let mut ports: Vec<_> = ours.collect();
        ports.sort_by(|a, b| (&a.key, &a.name).cmp(&(&b.key, &b.name)));
        let foreign = self.ports.iter().filter(|(name, port)| port.state(name).is_none());
        BridgeState {
            owner: if is_ours(&self.external_ids) { Owner::Ours } else { Owner::Foreign },
            datapath_type: self.datapath_type.clone(),
            ports,
            foreign_ports: foreign.map(|(name, _)| name.clone()).collect(),
        }
    }
}

impl MockPort {
    /// Our key, if the port is ours.
    fn key(&self) -> Option<PortKey> {
        if is_ours(&self.external_ids) { self.external_ids.get(PORT_TAG)?.parse().ok() } else { None }
    }

    fn state(&self, name: &str) -> Option<PortState> {
        Some(PortState {
            key: self.key()?,
            name: name.parse().ok()?,
            ofport: self.ofport,
            error: self.error.clone(),
            admin_up: None,
            link_up: None,
            settings: self.settings.clone(),
        })
    }
}

fn is_ours(external_ids: &BTreeMap<String, String>) -> bool {
    external_ids.get(OWNER_TAG).is_some_and(|owner| owner == OWNER)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::contract::{self, Names};

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
        let tagged = Settings { port: crate::ovsdb::Row::new().with("tag", 7), ..Settings::default() };
        let set = tagged.clone();
        switch.edit(|state| {
            state.bridges.get_mut("ovs-sriov").unwrap().ports.get_mut("eth0").unwrap().settings = set;
        });
        let (key, name): (PortKey, PortName) = ("vf0".parse().unwrap(), "eth1".parse().unwrap());
        switch.apply(&Change::to(bridge()).with_port(key.clone(), name)).await.unwrap();
        let before = switch.observe(&bridge()).await.unwrap();
        assert_eq!(before.port(&key).unwrap().settings, tagged);
        switch.apply(&Change::to(bridge()).without_port(key.clone())).await.unwrap();
        switch.apply(&Change::restoring(bridge(), &before)).await.unwrap();
        assert_eq!(switch.observe(&bridge()).await.unwrap().port(&key).unwrap().settings, tagged);
    }

    #[tokio::test]
    async fn a_fault_before_leaves_the_state_and_one_after_does_not() {
        for after in [false, true] {
            let gate: Gate =
                Arc::new(move |_, at| if at == after { Err("injected".to_owned()) } else { Ok(()) });
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
}
