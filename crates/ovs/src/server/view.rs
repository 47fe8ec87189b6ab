//! The database as one read shows it: four tables, one transaction, no effect.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    BridgeName, BridgeState, Elsewhere, Error, Observation, Owner, PortKey, PortName, PortState, Settings,
    Versions,
    ovsdb::{Condition, Function, OperationResult, Row, Transaction, Uuid, Value},
    owned::{self, Owned},
    server::{DATABASE, OWNER, OWNER_TAG, PORT_TAG, settings},
    state::{GLANCED, glanced},
};

/// What is read of the tables, parsed and joined.
#[derive(Debug)]
pub(super) struct View {
    pub(super) root: Uuid,
    pub(super) other_config: BTreeMap<String, String>,
    pub(super) external_ids: BTreeMap<String, String>,
    pub(super) next_cfg: i64,
    pub(super) cur_cfg: i64,
    versions: Versions,
    pub(super) bridges: Vec<BridgeRow>,
}

#[derive(Debug)]
pub(super) struct BridgeRow {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) external_ids: BTreeMap<String, String>,
    pub(super) datapath_type: String,
    pub(super) port_refs: Vec<Uuid>,
    pub(super) ports: Vec<PortRow>,
}

#[derive(Debug)]
pub(super) struct PortRow {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) external_ids: BTreeMap<String, String>,
    pub(super) interfaces: Vec<InterfaceRow>,
    /// Known of rows of ours only: those of a glance, until all are read.
    pub(super) settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct InterfaceRow {
    pub(super) uuid: Uuid,
    pub(super) name: String,
    pub(super) ofport: Option<i64>,
    pub(super) error: Option<String>,
    admin_state: Option<String>,
    link_state: Option<String>,
    glanced: Row,
}

/// A port row that is ours: tagged, with a key and one interface of its own name.
#[derive(Debug)]
pub(super) struct OurPort<'a> {
    pub(super) key: PortKey,
    pub(super) name: PortName,
    pub(super) row: &'a PortRow,
    pub(super) interface: &'a InterfaceRow,
}

/// The columns read of an interface.
pub(super) const INTERFACE_COLUMNS: &[&str] =
    &["_uuid", "name", "ofport", "error", "admin_state", "link_state", "type", "options"];

impl View {
    /// The transaction that reads it.
    pub(super) fn transaction() -> Transaction {
        let mut txn = Transaction::new(DATABASE);
        txn.select(
            "Open_vSwitch",
            vec![],
            &[
                "_uuid",
                "other_config",
                "external_ids",
                "next_cfg",
                "cur_cfg",
                "ovs_version",
                "dpdk_version",
                "dpdk_initialized",
                "iface_types",
            ],
        );
        txn.select("Bridge", vec![], &["_uuid", "name", "ports", "external_ids", "datapath_type"]);
        txn.select("Port", vec![], &["_uuid", "name", "interfaces", "external_ids", "tag"]);
        txn.select("Interface", vec![], INTERFACE_COLUMNS);
        txn
    }

    /// Parses what [`View::transaction`] brought.
    pub(super) fn read(results: &[OperationResult]) -> Result<Self, Error> {
        let [roots, bridges, ports, interfaces] = results else {
            let text = format!("{} results for 4 selects", results.len());
            return Err(Error::Protocol { during: "select".to_owned(), text });
        };
        let Some(root) = roots.rows.first() else { return Err(Error::NotInitialized) };
        let mut interfaces = by_uuid(&interfaces.rows, InterfaceRow::read)?;
        let mut ports = by_uuid(&ports.rows, |row| PortRow::read(row, &mut interfaces))?;
        let mut bridges =
            bridges.rows.iter().map(|row| BridgeRow::read(row, &mut ports)).collect::<Result<Vec<_>, _>>()?;
        bridges.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            root: root.uuid("_uuid")?,
            other_config: root.text_map("other_config")?,
            external_ids: root.text_map("external_ids")?,
            next_cfg: root.integer("next_cfg")?,
            cur_cfg: root.integer("cur_cfg")?,
            versions: Versions {
                ovs: root.optional_text("ovs_version")?,
                // A build without DPDK says "none" (lib/dpdk-stub.c), some time after it started.
                dpdk: root.optional_text("dpdk_version")?.filter(|version| version != "none"),
                dpdk_initialized: root.boolean("dpdk_initialized")?,
                interface_types: root.texts("iface_types")?,
            },
            bridges,
        })
    }

    /// Whether there are ports of ours.
    pub(super) fn has_ours(&self) -> bool {
        self.bridges.iter().flat_map(|bridge| &bridge.ports).any(|port| is_tagged(&port.external_ids))
    }

    /// Adds what [`settings::transaction`] brought: what somebody has set in rows of ours.
    pub(super) fn settle(&mut self, results: &[OperationResult]) -> Result<(), Error> {
        let mut set = settings::read(results)?;
        let ports = self.bridges.iter_mut().flat_map(|bridge| &mut bridge.ports);
        for port in ports.filter(|port| is_tagged(&port.external_ids)) {
            port.settle(&mut set);
        }
        Ok(())
    }

    pub(super) fn bridge(&self, name: &BridgeName) -> Option<&BridgeRow> {
        self.bridges.iter().find(|bridge| bridge.name == name.as_str())
    }

    /// A key of the switch's `other_config`, and whose it is.
    pub(super) fn owned(&self, key: &str) -> Owned {
        Owned::read(key, &self.other_config, &self.external_ids)
    }

    pub(super) fn is_dpdk_built(&self) -> bool {
        self.versions.dpdk.is_some()
    }

    /// The view as callers know it.
    pub(super) fn observation(&self, name: &BridgeName) -> Observation {
        let others = || self.bridges.iter().filter(|bridge| bridge.name != name.as_str());
        let elsewhere = others().flat_map(|bridge| {
            bridge.netdevs().map(|(netdev, key)| (netdev, Elsewhere { bridge: bridge.name.clone(), key }))
        });
        let ours = others().filter(|bridge| bridge.is_ours() || bridge.our_ports().next().is_some());
        let hw_offload = self.owned(owned::HW_OFFLOAD);
        Observation {
            bridge: self.bridge(name).map(BridgeRow::state),
            elsewhere: elsewhere.collect(),
            other_config: foreign(&self.other_config),
            hw_offload: hw_offload.value,
            hw_offload_before: hw_offload.before,
            config_before: Owned::all_before(&self.other_config, &self.external_ids),
            ours_elsewhere: ours.filter_map(|bridge| bridge.name.parse().ok()).collect(),
            versions: self.versions.clone(),
            next_cfg: self.next_cfg,
            cur_cfg: self.cur_cfg,
        }
    }
}

impl BridgeRow {
    fn read(row: &Row, ports: &mut HashMap<Uuid, PortRow>) -> Result<Self, Error> {
        let port_refs = row.uuids("ports")?;
        Ok(Self {
            uuid: row.uuid("_uuid")?,
            name: row.text("name")?,
            external_ids: row.text_map("external_ids")?,
            datapath_type: row.text("datapath_type")?,
            ports: port_refs.iter().filter_map(|uuid| ports.remove(uuid)).collect(),
            port_refs,
        })
    }

    pub(super) fn is_ours(&self) -> bool {
        is_tagged(&self.external_ids)
    }

    /// Every port that has our tag, ours or no longer.
    pub(super) fn tagged_ports(&self) -> impl Iterator<Item = &PortRow> {
        self.ports.iter().filter(|port| is_tagged(&port.external_ids))
    }

    pub(super) fn our_ports(&self) -> impl Iterator<Item = OurPort<'_>> {
        self.ports.iter().filter_map(PortRow::ours)
    }

    /// Ports that are neither ours nor the bridge's own.
    pub(super) fn foreign_ports(&self) -> impl Iterator<Item = &PortRow> {
        self.ports.iter().filter(|port| port.name != self.name && port.ours().is_none())
    }

    /// Every netdev on the bridge, the bridge's own and bonded ones too, with our key if the port is ours.
    fn netdevs(&self) -> impl Iterator<Item = (String, Option<PortKey>)> {
        self.ports.iter().flat_map(|port| {
            let key = port.ours().map(|ours| ours.key);
            port.interfaces.iter().map(move |interface| (interface.name.clone(), key.clone()))
        })
    }

    fn state(&self) -> BridgeState {
        let mut ports: Vec<PortState> = self.our_ports().map(|port| port.state()).collect();
        ports.sort_by(|a, b| (&a.key, &a.name).cmp(&(&b.key, &b.name)));
        let foreign = self.foreign_ports().flat_map(|port| &port.interfaces);
        BridgeState {
            owner: if self.is_ours() { Owner::Ours } else { Owner::Foreign },
            datapath_type: self.datapath_type.clone(),
            ports,
            foreign_ports: foreign.map(|interface| interface.name.clone()).collect::<BTreeSet<_>>(),
        }
    }
}

impl PortRow {
    fn read(row: &Row, interfaces: &mut HashMap<Uuid, InterfaceRow>) -> Result<Self, Error> {
        let external_ids = row.text_map("external_ids")?;
        let interfaces: Vec<InterfaceRow> =
            row.uuids("interfaces")?.iter().filter_map(|uuid| interfaces.remove(uuid)).collect();
        let settings = match interfaces.as_slice() {
            [interface] if is_tagged(&external_ids) => {
                Settings { port: glanced(row, GLANCED[0]), interface: interface.glanced.clone() }
            }
            _ => Settings::default(),
        };
        Ok(Self { uuid: row.uuid("_uuid")?, name: row.text("name")?, external_ids, interfaces, settings })
    }

    /// Takes what is set in its rows.
    fn settle(&mut self, set: &mut HashMap<Uuid, Row>) {
        self.settings.port = set.remove(&self.uuid).unwrap_or_default();
        settings::set_ids(&mut self.settings.port, &self.external_ids);
        if let [interface] = self.interfaces.as_slice() {
            self.settings.interface = set.remove(&interface.uuid).unwrap_or_default();
        }
    }

    /// The row as a port of ours. One whose tag lacks a sound key, or that somebody made into a bond, is not:
    /// it is left to whoever did that.
    pub(super) fn ours(&self) -> Option<OurPort<'_>> {
        let [interface] = self.interfaces.as_slice() else { return None };
        if !is_tagged(&self.external_ids) || interface.name != self.name {
            return None;
        }
        let key = self.external_ids.get(PORT_TAG)?.parse().ok()?;
        Some(OurPort { key, name: self.name.parse().ok()?, row: self, interface })
    }
}

impl OurPort<'_> {
    fn state(&self) -> PortState {
        let up = |state: &Option<String>| state.as_deref().map(|state| state == "up");
        PortState {
            key: self.key.clone(),
            name: self.name.clone(),
            ofport: self.interface.ofport,
            error: self.interface.error.clone(),
            admin_up: up(&self.interface.admin_state),
            link_up: up(&self.interface.link_state),
            settings: self.row.settings.clone(),
        }
    }
}

impl InterfaceRow {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            uuid: row.uuid("_uuid")?,
            name: row.text("name")?,
            ofport: row.optional_integer("ofport")?,
            error: row.optional_text("error")?,
            admin_state: row.optional_text("admin_state")?,
            link_state: row.optional_text("link_state")?,
            glanced: glanced(row, GLANCED[1]),
        })
    }
}

/// The settings that are not ours to make.
fn foreign(config: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    config
        .iter()
        .filter(|(key, _)| *key != owned::HW_OFFLOAD)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The condition that a row has our tag.
pub(super) fn tagged() -> Condition {
    let tag = [(OWNER_TAG, OWNER)].into_iter().collect::<Value>();
    Condition::new("external_ids", Function::Includes, tag)
}

fn is_tagged(external_ids: &BTreeMap<String, String>) -> bool {
    external_ids.get(OWNER_TAG).is_some_and(|owner| owner == OWNER)
}

fn by_uuid<T>(
    rows: &[Row],
    mut read: impl FnMut(&Row) -> Result<T, Error>,
) -> Result<HashMap<Uuid, T>, Error> {
    rows.iter().map(|row| Ok((row.uuid("_uuid")?, read(row)?))).collect()
}
