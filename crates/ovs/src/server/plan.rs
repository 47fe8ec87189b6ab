//! From what is and what is to be, the one transaction between them. No I/O.
//!
//! Every decision rests on rows that were read, so the transaction begins by verifying those rows: if another
//! writer came between, it fails as a whole and is planned anew. That no name was taken in between needs no
//! verify: names are unique in the schema. Columns are mutated, never rewritten, so that what others keep in
//! them stays.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    BridgeName, Change, Error, PortKey, PortName, Presence, Settings, VlanId,
    ovsdb::{Condition, Mutation, Mutator, NamedUuid, Operation, Row, Transaction, Until, Uuid, Value},
    owned::{self, Owned},
    server::{
        DATABASE, OWNER, OWNER_TAG, PORT_TAG,
        view::{self, BridgeRow, InterfaceRow, PortRow, View},
    },
    state::VLAN,
};

/// What has to be done, and what has to be looked at afterwards.
#[derive(Debug)]
pub(super) struct Plan {
    /// The transaction; without any operation if there is nothing to do.
    pub(super) txn: Transaction,
    /// The operations that fail if another writer came between.
    pub(super) verifies: usize,
    /// The operation that reads `next_cfg` back.
    pub(super) next_cfg: usize,
    /// The operations that insert an interface.
    pub(super) inserts: Vec<usize>,
    /// The interfaces asked for that are there already.
    pub(super) kept: Vec<InterfaceRow>,
    /// How many ports come or go.
    pub(super) ports: usize,
}

/// The parts of a plan while it is made.
#[derive(Default)]
struct Edits<'a> {
    remove: Vec<&'a PortRow>,
    insert: Vec<(&'a PortKey, &'a PortName, Settings)>,
    vlans: Vec<(&'a PortRow, Option<VlanId>)>,
    kept: Vec<InterfaceRow>,
}

/// Plans a change; refuses one that would touch what is not ours.
pub(super) fn plan(view: &View, change: &Change) -> Result<Plan, Error> {
    change.check()?;
    let bridge = view.bridge(&change.bridge);
    let edits = edits(view, bridge, change)?;
    let create = bridge.is_none() && change.presence == Presence::Present;
    let delete = bridge.filter(|_| change.presence == Presence::Absent);
    let settings: Vec<Owned> = change
        .settings_of_switch()
        .filter_map(|(key, setting)| {
            let now = view.owned(key);
            Some(now.with(setting)).filter(|next| *next != now)
        })
        .collect();
    let retyped = bridge.filter(|_| change.presence != Presence::Absent);
    let retyped = retyped.map(|bridge| retype(bridge, change)).transpose()?.flatten();

    let mut txn = Transaction::new(DATABASE);
    let moved = !edits.remove.is_empty() || !edits.insert.is_empty();
    let touched = moved || !edits.vlans.is_empty();
    if !(create || delete.is_some() || touched || retyped.is_some() || !settings.is_empty()) {
        return Ok(Plan { txn, verifies: 0, next_cfg: 0, inserts: vec![], kept: edits.kept, ports: 0 });
    }

    if !settings.is_empty() {
        let row =
            Row::new().with("other_config", &view.other_config).with("external_ids", &view.external_ids);
        let columns = vec!["other_config", "external_ids"];
        txn.verify("Open_vSwitch", vec![Condition::equal("_uuid", view.root)], columns, row);
    }
    if let Some(bridge) = bridge.filter(|_| touched || delete.is_some() || retyped.is_some()) {
        verify_bridge(&mut txn, bridge);
        if !edits.remove.is_empty() || !edits.vlans.is_empty() {
            verify_tags(&mut txn, view);
        }
    }
    let verifies = txn.operations().len();

    let mut inserts = Vec::new();
    let mut ports = Vec::new();
    if create {
        ports.push(insert_local_port(&mut txn, &change.bridge));
    }
    for (key, name, settings) in &edits.insert {
        inserts.push(txn.operations().len());
        ports.push(insert_port(&mut txn, key, name, settings)?);
    }
    for (row, vlan) in &edits.vlans {
        let vlan = vlan.map_or_else(Value::none, |vlan| i64::from(vlan.get()).into());
        txn.update("Port", vec![Condition::equal("_uuid", row.uuid)], Row::new().with(VLAN, vlan));
    }
    let root = || vec![Condition::equal("_uuid", view.root)];
    let all = |uuids: Vec<Uuid>| uuids.into_iter().collect::<Value>();
    let mut of_root = Vec::new();
    if create {
        let row = Row::new()
            .with("name", change.bridge.as_str())
            .with("datapath_type", change.datapath_type.as_deref().unwrap_or_default())
            .with("ports", ports.into_iter().collect::<Value>())
            .with("external_ids", [(OWNER_TAG, OWNER)].into_iter().collect::<Value>());
        let uuid = txn.insert("Bridge", row);
        of_root.push(Mutation::new("bridges", Mutator::Insert, [uuid].into_iter().collect::<Value>()));
    } else if let Some(bridge) = delete {
        of_root.push(Mutation::new("bridges", Mutator::Delete, all(vec![bridge.uuid])));
    } else if let Some(bridge) = bridge.filter(|_| moved) {
        let gone = edits.remove.iter().map(|port| port.uuid).collect::<Vec<_>>();
        let mut mutations = Vec::new();
        if !gone.is_empty() {
            mutations.push(Mutation::new("ports", Mutator::Delete, all(gone)));
        }
        if !ports.is_empty() {
            mutations.push(Mutation::new("ports", Mutator::Insert, ports.into_iter().collect::<Value>()));
        }
        txn.mutate("Bridge", vec![Condition::equal("_uuid", bridge.uuid)], mutations);
    }
    if let Some((bridge, kind)) = retyped {
        let row = Row::new().with("datapath_type", kind);
        txn.update("Bridge", vec![Condition::equal("_uuid", bridge.uuid)], row);
    }
    of_root.extend(settings.iter().flat_map(set));
    of_root.push(Mutation::new("next_cfg", Mutator::Add, 1));
    txn.mutate("Open_vSwitch", root(), of_root);
    let next_cfg = txn.select("Open_vSwitch", root(), &["next_cfg"]);
    let count = edits.remove.len() + inserts.len();
    Ok(Plan { txn, verifies, next_cfg, inserts, kept: edits.kept, ports: count })
}

/// Which ports go, which come, which are there.
fn edits<'a>(view: &'a View, bridge: Option<&'a BridgeRow>, change: &'a Change) -> Result<Edits<'a>, Error> {
    let wanted = change.wanted();
    let Some(bridge) = bridge else {
        return match change.presence {
            Presence::Present => no_bridge_yet(view, change, wanted),
            _ if wanted.is_empty() => Ok(Edits::default()),
            _ => Err(Error::NoBridge { bridge: change.bridge.clone() }),
        };
    };
    if change.presence == Presence::Absent {
        if !bridge.is_ours() {
            return Err(Error::NotOwner { bridge: change.bridge.clone() });
        }
        let ports: Vec<_> = bridge.foreign_ports().map(|port| port.name.clone()).collect();
        if !ports.is_empty() {
            return Err(Error::ForeignPorts { bridge: change.bridge.clone(), ports });
        }
        let remove = bridge.our_ports().map(|port| port.row).collect();
        return Ok(Edits { remove, ..Edits::default() });
    }

    let (keep, remove): (Vec<_>, Vec<_>) = bridge
        .our_ports()
        .partition(|port| change.keeps(&port.key, &port.name) && change.suits(&port.key, &port.row.settings));
    let mut edits = Edits { remove: remove.iter().map(|port| port.row).collect(), ..Edits::default() };
    edits.vlans = keep
        .iter()
        .filter_map(|port| Some((port.row, *change.vlans.get(&port.key)?)))
        .filter(|(row, vlan)| row.settings.vlan() != *vlan)
        .collect();
    let ours: HashMap<_, _> = keep.iter().map(|port| ((&port.key, &port.name), port.interface)).collect();
    let replaced: HashMap<_, _> = remove.iter().map(|port| (&port.key, &port.row.settings)).collect();
    let going: HashSet<_> = edits.remove.iter().map(|port| port.uuid).collect();
    let holders = holders(view);
    for (key, name) in wanted {
        if let Some(interface) = ours.get(&(key, name)) {
            edits.kept.push((*interface).clone());
            continue;
        }
        match holders.get(name.as_str()).filter(|(_, port)| !going.contains(&port.uuid)) {
            None => {
                let settings = change.settings.get(key).or_else(|| replaced.get(key).copied());
                edits.insert.push((key, name, change.settled(key, settings)));
            }
            Some((holder, port)) if holder.uuid == bridge.uuid && port.ours().is_none() => {
                // Somebody else's port carries this netdev on this very bridge: it is as asked, and not ours.
                edits.kept.extend(port.interfaces.iter().find(|row| row.name == name.as_str()).cloned());
            }
            Some((holder, port)) => return Err(elsewhere(name, holder, port)),
        }
    }
    Ok(edits)
}

fn no_bridge_yet<'a>(
    view: &View,
    change: &'a Change,
    wanted: BTreeMap<&'a PortKey, &'a PortName>,
) -> Result<Edits<'a>, Error> {
    let holders = holders(view);
    if let Some((name, (holder, port))) =
        wanted.values().find_map(|name| Some((name, holders.get(name.as_str())?)))
    {
        return Err(elsewhere(name, holder, port));
    }
    let settings = |key| change.settled(key, change.settings.get(key));
    let insert = wanted.into_iter().map(|(key, name)| (key, name, settings(key))).collect();
    Ok(Edits { insert, ..Edits::default() })
}

/// The bridge and port that have a name, be it as the port's or as one of its interfaces'.
fn holders(view: &View) -> HashMap<&str, (&BridgeRow, &PortRow)> {
    let ports = view.bridges.iter().flat_map(|bridge| bridge.ports.iter().map(move |port| (bridge, port)));
    ports
        .flat_map(|(bridge, port)| {
            let interfaces = port.interfaces.iter().map(|row| row.name.as_str());
            interfaces.chain([port.name.as_str()]).map(move |name| (name, (bridge, port)))
        })
        .collect()
}

fn elsewhere(name: &PortName, holder: &BridgeRow, port: &PortRow) -> Error {
    let key = port.ours().map(|ours| ours.key);
    Error::PortElsewhere { port: name.clone(), bridge: holder.name.clone(), key }
}

/// The datapath that a bridge is to have and has not.
fn retype<'a>(bridge: &'a BridgeRow, change: &'a Change) -> Result<Option<(&'a BridgeRow, &'a str)>, Error> {
    // An empty type is the kernel's (ovs-vswitchd.conf.db(5)).
    let plain = |kind: &'a str| if kind == "system" { "" } else { kind };
    let Some(wanted) = change.datapath_type.as_deref() else { return Ok(None) };
    if plain(wanted) == plain(&bridge.datapath_type) {
        return Ok(None);
    }
    if !bridge.is_ours() {
        let found = bridge.datapath_type.clone();
        let found = if found.is_empty() { "system".to_owned() } else { found };
        let wanted = wanted.to_owned();
        return Err(Error::DatapathType { bridge: change.bridge.clone(), found, wanted });
    }
    Ok(Some((bridge, wanted)))
}

/// A setting and whose it is. An insert into a map changes no key that is there, hence the deletes before it.
fn set(next: &Owned) -> Vec<Mutation> {
    let keys = |keys: &[&str]| keys.iter().copied().collect::<Value>();
    let [tag, before] = owned::tags(&next.key);
    let mut mutations = vec![
        Mutation::new("other_config", Mutator::Delete, keys(&[&next.key])),
        Mutation::new("external_ids", Mutator::Delete, keys(&[&tag, &before])),
    ];
    if let Some(value) = &next.value {
        let pair = [(next.key.as_str(), value.as_str())].into_iter().collect::<Value>();
        mutations.push(Mutation::new("other_config", Mutator::Insert, pair));
    }
    let ids = next.ids();
    if !ids.is_empty() {
        mutations.push(Mutation::new("external_ids", Mutator::Insert, Value::from(&ids)));
    }
    mutations
}

/// The bridge's ports and owner.
fn verify_bridge(txn: &mut Transaction, bridge: &BridgeRow) {
    let row = Row::new()
        .with("ports", bridge.port_refs.iter().copied().collect::<Value>())
        .with("external_ids", &bridge.external_ids);
    txn.verify("Bridge", vec![Condition::equal("_uuid", bridge.uuid)], vec!["ports", "external_ids"], row);
}

/// That the ports with our tag are those that were read, so that what goes or changes is ours still. It is one operation for all of
/// them, on whichever bridge: one a port costs the server ten times as much with a thousand ports.
fn verify_tags(txn: &mut Transaction, view: &View) {
    let ports = view.bridges.iter().flat_map(BridgeRow::tagged_ports);
    let row =
        |port: &PortRow| Row::new().with("name", port.name.as_str()).with("external_ids", &port.external_ids);
    txn.push(Operation::Wait {
        timeout: 0,
        table: "Port".into(),
        conditions: vec![view::tagged()],
        columns: vec!["name".into(), "external_ids".into()],
        until: Until::Equal,
        rows: ports.map(row).collect(),
    });
}

/// The bridge's own port.
fn insert_local_port(txn: &mut Transaction, bridge: &BridgeName) -> NamedUuid {
    let interface =
        txn.insert("Interface", Row::new().with("name", bridge.as_str()).with("type", "internal"));
    txn.insert("Port", Row::new().with("name", bridge.as_str()).with("interfaces", interface))
}

/// A port of ours with its interface. Both rows are tagged, so that what is set in them can be read at once.
fn insert_port(
    txn: &mut Transaction,
    key: &PortKey,
    name: &PortName,
    settings: &Settings,
) -> Result<NamedUuid, Error> {
    let mut insert = |table, set: &Row, interface: Option<NamedUuid>| {
        let mut ids =
            if set.get("external_ids").is_some() { set.text_map("external_ids")? } else { BTreeMap::new() };
        ids.insert(OWNER_TAG.to_owned(), OWNER.to_owned());
        ids.insert(PORT_TAG.to_owned(), key.to_string());
        let mut row = set.clone().with("name", name.as_str()).with("external_ids", &ids);
        if let Some(interface) = interface {
            row = row.with("interfaces", interface);
        }
        Ok(txn.insert(table, row))
    };
    let interface = insert("Interface", &settings.interface, None)?;
    insert("Port", &settings.port, Some(interface))
}
