//! The mock's state: a database in small, and what it refuses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    BridgeName, BridgeState, Change, Elsewhere, Error, InterfaceFailure, OWNER, OWNER_TAG, Observation,
    Owner, PORT_TAG, PortKey, PortName, PortState, Presence, Settings, Versions,
    owned::{self, Owned},
};

/// The whole state, to be kept in a file and taken up again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// Every bridge by name, whoever made it.
    pub bridges: BTreeMap<String, MockBridge>,
    /// The switch's `other_config`.
    pub other_config: BTreeMap<String, String>,
    /// The switch's `external_ids`.
    pub external_ids: BTreeMap<String, String>,
    /// Whether ovs-vswitchd has turned hardware offload on. Once on it stays so until a restart, whatever
    /// `other_config` reads (`netdev_set_flow_api_enabled`, lib/netdev-offload.c).
    pub hw_offload_in_force: bool,
    /// Whether only a restart turns hardware offload on, as the documentation of `hw-offload` has it
    /// (ovs-vswitchd.conf.db(5)); 3.1.0 does without.
    pub hw_offload_needs_restart: bool,
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
    /// Whether a VM's driver is at the other end of the socket of a `dpdkvhostuserclient`.
    pub connected: bool,
    /// What somebody has set in its rows.
    #[serde(skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

impl Snapshot {
    /// Whether `hw-offload` reads as true, as `smap_get_bool` (lib/smap.c) has it.
    pub(super) fn is_hw_offload_configured(&self) -> bool {
        self.owned(owned::HW_OFFLOAD).value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// `dpdk_init` in OVS's `lib/dpdk.c`: once, where it is asked for, in a build that has it; until a restart.
    pub(super) fn start_dpdk(&mut self) {
        let asked = self.other_config.get("dpdk-init");
        let asked =
            asked.is_some_and(|value| ["true", "try"].iter().any(|word| value.eq_ignore_ascii_case(word)));
        if asked && self.versions.dpdk.is_some() {
            self.versions.dpdk_initialized = true;
            let types = ["dpdk", "dpdkvhostuser", "dpdkvhostuserclient"];
            self.versions.interface_types.extend(types.map(str::to_owned));
            // By the vendor's documentation ("VirtIO acceleration through hardware vDPA"); not seen running.
            if self.versions.dpdk.as_deref().is_some_and(|dpdk| dpdk.starts_with("MLNX")) {
                self.versions.interface_types.insert("dpdkvdpa".to_owned());
            }
        }
    }

    fn owned(&self, key: &str) -> Owned {
        Owned::read(key, &self.other_config, &self.external_ids)
    }

    fn set(&mut self, next: &Owned) {
        self.other_config.remove(&next.key);
        self.other_config.extend(next.value.iter().map(|value| (next.key.clone(), value.clone())));
        let tags = owned::tags(&next.key);
        self.external_ids.retain(|key, _| !tags.contains(key));
        self.external_ids.extend(next.ids());
    }

    /// The database after a change, or why it is refused.
    pub(super) fn after(&self, change: &Change) -> Result<Self, Error> {
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
                let datapath_type = change.datapath_type.clone().unwrap_or_default();
                let made = MockBridge { external_ids, datapath_type, ..MockBridge::default() };
                next.bridges.insert(bridge.to_string(), made);
            }
            (Presence::AsIs, None) if !change.wanted().is_empty() => {
                return Err(Error::NoBridge { bridge: bridge.clone() });
            }
            _ => next.retype(change)?,
        }
        let mut replaced = change.settings.clone();
        if let Some(state) = next.bridges.get_mut(bridge.as_str()) {
            state.ports.retain(|name, port| match (port.key(), name.parse()) {
                (Some(key), Ok(name))
                    if !change.keeps(&key, &name) || !change.suits(&key, &port.settings) =>
                {
                    replaced.entry(key).or_insert_with(|| port.settings.clone());
                    false
                }
                _ => true,
            });
        }
        for (key, name) in change.wanted() {
            next.add(bridge, key, name, replaced.remove(key).unwrap_or_default())?;
        }
        let ports =
            next.bridges.get_mut(bridge.as_str()).into_iter().flat_map(|state| state.ports.values_mut());
        for port in ports {
            if let Some(vlan) = port.key().and_then(|key| change.vlans.get(&key)) {
                port.settings = port.settings.with_vlan(*vlan);
            }
        }
        for (key, setting) in change.settings_of_switch() {
            let (now, wanted) = (self.owned(key), self.owned(key).with(setting));
            if wanted != now {
                next.set(&wanted);
            }
        }
        Ok(next)
    }

    /// Gives a bridge of ours the datapath that is asked for.
    fn retype(&mut self, change: &Change) -> Result<(), Error> {
        let plain = |kind: &str| if kind == "system" { String::new() } else { kind.to_owned() };
        let Some(wanted) = change.datapath_type.as_deref().map(plain) else { return Ok(()) };
        let Some(state) = self.bridges.get_mut(change.bridge.as_str()) else { return Ok(()) };
        if plain(&state.datapath_type) == wanted {
            return Ok(());
        }
        if !is_ours(&state.external_ids) {
            let found = if state.datapath_type.is_empty() { "system" } else { &state.datapath_type };
            let (bridge, found) = (change.bridge.clone(), found.to_owned());
            return Err(Error::DatapathType { bridge, found, wanted });
        }
        state.datapath_type = wanted;
        Ok(())
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
    pub(super) fn failures(&self, change: &Change) -> Vec<InterfaceFailure> {
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

    pub(super) fn observation(&self, name: &BridgeName) -> Observation {
        let mut elsewhere = BTreeMap::new();
        for (bridge, state) in self.bridges.iter().filter(|(bridge, _)| *bridge != name.as_str()) {
            elsewhere.insert(bridge.clone(), Elsewhere { bridge: bridge.clone(), key: None });
            for (port, row) in &state.ports {
                elsewhere.insert(port.clone(), Elsewhere { bridge: bridge.clone(), key: row.key() });
            }
        }
        let others = self.bridges.iter().filter(|(bridge, _)| *bridge != name.as_str());
        let ours = others.filter(|(_, state)| {
            is_ours(&state.external_ids) || state.ports.values().any(|port| port.key().is_some())
        });
        let hw_offload = self.owned(owned::HW_OFFLOAD);
        Observation {
            bridge: self.bridges.get(name.as_str()).map(MockBridge::state),
            elsewhere,
            other_config: self
                .other_config
                .iter()
                .filter(|(key, _)| *key != owned::HW_OFFLOAD)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            hw_offload: hw_offload.value,
            hw_offload_before: hw_offload.before,
            config_before: Owned::all_before(&self.other_config, &self.external_ids),
            ours_elsewhere: ours.filter_map(|(bridge, _)| bridge.parse().ok()).collect(),
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
    /// The type of its interface, where it is no ordinary network device.
    pub(super) fn kind(&self) -> Option<&str> {
        let kind = self.settings.interface.get("type")?.atom()?.as_str()?;
        (!kind.is_empty()).then_some(kind)
    }

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
            // `netdev_dpdk_vhost_get_carrier()` in lib/netdev-dpdk.c.
            link_up: (self.kind() == Some("dpdkvhostuserclient")).then_some(self.connected),
            settings: self.settings.clone(),
        })
    }
}

fn is_ours(external_ids: &BTreeMap<String, String>) -> bool {
    external_ids.get(OWNER_TAG).is_some_and(|owner| owner == OWNER)
}
