//! An in-memory switch with real state, which refuses what Open vSwitch refuses.
//!
//! It keeps the same [contract](crate::contract) as the real one. It knows no other layer: what it needs of the
//! machine around it, and what it does to it, goes through [`Hooks`].

mod datapath;
mod state;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub use self::datapath::MockDatapath;
pub use self::state::{MockBridge, MockPort, Snapshot};
use crate::{Applied, BridgeName, Change, Error, Observation, Vswitch, ovsdb::ErrorKind};

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
        inner.state.hw_offload_in_force = inner.state.is_hw_offload_configured();
        inner.state.versions.dpdk_initialized = false;
        inner.state.versions.interface_types.retain(|kind| !kind.starts_with("dpdk"));
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
        state.start_dpdk();
        state.hw_offload_in_force |= state.is_hw_offload_configured() && !state.hw_offload_needs_restart;
        state.cur_cfg = state.next_cfg;
        self.reopen(state);
        let open = state.bridges.values().flat_map(|bridge| &bridge.ports);
        let open: Vec<String> =
            open.filter(|(_, port)| port.error.is_none()).map(|(name, _)| name.clone()).collect();
        (self.hooks.on_ports)(&open, state.hw_offload_in_force);
    }

    /// Netdevs come and go under the switch, and it follows (`if_notifier`, vswitchd/bridge.c).
    fn reopen(&self, state: &mut Snapshot) {
        let types = &state.versions.interface_types;
        for bridge in state.bridges.values_mut() {
            let mut last = bridge.ports.values().filter_map(|port| port.ofport).max().unwrap_or(0).max(0);
            for (name, port) in &mut bridge.ports {
                // Text and -1 as OVS 3.1.0 leaves them in Interface (tests/daemon sees the same).
                let why = match port.kind() {
                    None if (self.hooks.netdev_exists)(name) => None,
                    None => Some("No such device"),
                    Some(kind) if types.contains(kind) => None,
                    Some(_) => Some("Address family not supported by protocol"),
                };
                if let Some(why) = why {
                    port.error = Some(format!("could not open network device {name} ({why})"));
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

    async fn glance(&self, bridge: &BridgeName) -> Result<Observation, Error> {
        let mut observation = self.observe(bridge).await?;
        for port in observation.bridge.iter_mut().flat_map(|bridge| &mut bridge.ports) {
            port.settings = port.settings.glanced();
        }
        Ok(observation)
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
                remote: PathBuf::from("(simulated)").into(),
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
        if changed && change.wants_dpdk() && !inner.state.versions.dpdk_initialized {
            return Err(Error::DpdkNotInitialized { built: inner.state.versions.dpdk.is_some() });
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
