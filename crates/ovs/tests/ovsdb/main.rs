//! The OVSDB client against real servers: a private ovsdb-server, or a cluster of them, for each test.

mod cluster;
mod connections;
mod hazards;
mod locks;
mod operations;
mod replicas;
mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use vdpa_ovs::{
    database,
    ovsdb::{Client, Row, Transaction, Uuid, Value},
    row,
};

/// Nothing here takes as long on a machine that works.
const LIMIT: Duration = Duration::from_secs(30);

const DATABASE: &str = "Open_vSwitch";

row! {
    struct Bridge in "Bridge" {
        name: String,
        ports: BTreeSet<Uuid>,
        flood_vlans: BTreeSet<i64>,
        datapath: String = "datapath_type",
        external_ids: BTreeMap<String, String>,
    }
}

row! {
    struct Queue in "Queue" {
        dscp: Option<i64>,
        other_config: BTreeMap<String, String>,
    }
}

row! {
    struct Interface in "Interface" {
        name: String,
        external_ids: BTreeMap<String, String>,
    }
}

database! {
    struct Switch in "Open_vSwitch" {
        bridges: Bridge,
        queues: Queue,
    }
}

database! {
    struct Interfaces in "Open_vSwitch" {
        interfaces: Interface,
    }
}

/// A transaction that makes a queue, which stays without anything that refers to it.
fn queue(dscp: i64) -> Transaction {
    let mut txn = Transaction::new(DATABASE);
    txn.insert_row(&Queue { dscp: Some(dscp), ..Queue::default() });
    txn
}

/// A transaction that makes the root row with a bridge.
fn bridge(row: &Bridge) -> Transaction {
    let mut txn = Transaction::new(DATABASE);
    let bridge = txn.insert_row(row);
    txn.insert("Open_vSwitch", Row::new().with("bridges", [bridge].into_iter().collect::<Value>()));
    txn
}

/// The queues' `dscp`, in order.
fn queues(switch: &Switch) -> Vec<i64> {
    let mut found: Vec<_> = switch.queues.iter().filter_map(|(_, queue)| queue.dscp).collect();
    found.sort_unstable();
    found
}

async fn write(client: &Client, txn: &Transaction) {
    client.transact(txn).await.unwrap();
}
