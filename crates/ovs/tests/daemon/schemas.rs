//! What somebody has set in our rows is seen, whichever version the server's schema is.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value as Json, json};
use vdpa_ovs::{
    Change, Ovsdb, Settings, Vswitch,
    ovsdb::{AtomType, ColumnType, Condition, Mutation, Mutator, OperationResult, Row, Transaction, Value},
    testing::Daemons,
};

use crate::{bridge, ports, present};

/// The columns of a Port and of an Interface that ovs-vswitchd.conf.db(5) has under other headings than status and
/// statistics, without the rows' names and what holds them together.
const CONFIGURATION: [(&str, &[&str]); 2] = [
    (
        "Port",
        &[
            "bond_downdelay",
            "bond_fake_iface",
            "bond_mode",
            "bond_updelay",
            "cvlans",
            "external_ids",
            "fake_bridge",
            "lacp",
            "mac",
            "other_config",
            "protected",
            "qos",
            "tag",
            "trunks",
            "vlan_mode",
        ],
    ),
    (
        "Interface",
        &[
            "bfd",
            "cfm_mpid",
            "external_ids",
            "ingress_policing_burst",
            "ingress_policing_kpkts_burst",
            "ingress_policing_kpkts_rate",
            "ingress_policing_rate",
            "lldp",
            "mac",
            "mtu_request",
            "ofport_request",
            "options",
            "other_config",
            "type",
        ],
    ),
];

/// A port's rows have all settings there are, and what ovs-vswitchd reports of a port that works.
#[tokio::test]
async fn every_column_that_can_be_set_is_seen_and_none_that_is_reported() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(1))).await.unwrap();
    // What is set is not to be taken up: it makes no sense together.
    daemons.stop_vswitchd();
    let schema = switch.client().schema("Open_vSwitch").await.unwrap();
    let mut txn = Transaction::new("Open_vSwitch");
    let qos = txn.insert("QoS", Row::new().with("type", "linux-noop"));
    for (table, names) in CONFIGURATION {
        let mut row = Row::new();
        for (name, column) in
            schema.tables[table].columns.iter().filter(|(name, _)| names.contains(&name.as_str()))
        {
            row.set(name, if name == "qos" { Value::from(qos.clone()) } else { some(&column.kind) });
        }
        // Ours stay.
        let ids = row.remove("external_ids").unwrap();
        txn.update(table, vec![Condition::equal("name", "p0")], row);
        let insert = Mutation::new("external_ids", Mutator::Insert, ids);
        txn.mutate(table, vec![Condition::equal("name", "p0")], vec![insert]);
    }
    switch.client().transact(&txn).await.unwrap();

    let seen = settings(&switch).await;
    for ((table, names), seen) in CONFIGURATION.iter().zip([&seen.port, &seen.interface]) {
        let there = |name: &&&str| schema.tables[*table].columns.contains_key(**name);
        let expected: BTreeSet<&str> = names.iter().filter(there).copied().collect();
        assert_eq!(seen.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), expected, "{table}");
    }
}

/// A value that is not as by default.
fn some(kind: &ColumnType) -> Value {
    if kind.value.is_some() {
        return [("a", "b")].into_iter().collect();
    }
    match (&kind.key.one_of, kind.key.kind) {
        (Some(words), _) => Value::Atom(words[0].clone()),
        (None, AtomType::Integer) => 1.into(),
        (None, AtomType::Boolean) => true.into(),
        (None, AtomType::String) => "x".into(),
        (None, other) => panic!("no column was expected to hold {other}"),
    }
}

/// An upgrade of Open vSwitch, or its taking back, converts the database under its clients: columns come and go.
#[tokio::test]
async fn settings_of_another_schema_are_seen_and_go_where_the_port_goes() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(2))).await.unwrap();
    assert!(settings(&switch).await.is_empty());
    convert(&daemons, |tables| {
        tables["Port"]["columns"]["shade"] = json!({ "type": { "key": "integer", "min": 0 } });
        tables["Interface"]["columns"]["colour"] = json!({ "type": "string" });
    });
    let mut txn = Transaction::new("Open_vSwitch");
    txn.update("Port", vec![Condition::equal("name", "p0")], Row::new().with("shade", 0));
    txn.update("Interface", vec![Condition::equal("name", "p0")], Row::new().with("colour", "red"));
    let updated = daemons.vswitch().client().transact(&txn).await.unwrap();
    assert!(updated.iter().all(|OperationResult { count, .. }| *count == Some(1)), "{updated:?}");

    // One that was connected before, and one that was not.
    let expected =
        Settings { port: Row::new().with("shade", 0), interface: Row::new().with("colour", "red") };
    assert_eq!(settings(&switch).await, expected);
    assert_eq!(settings(&daemons.vswitch()).await, expected);
    let (key, _) = ports(1).next().unwrap();
    switch.apply(&Change::to(bridge()).with_port(key, "p9".parse().unwrap())).await.unwrap();
    assert_eq!(settings(&switch).await, expected);

    // Without that column ovs-vswitchd does not go on. What is there can be looked at all the same.
    convert(&daemons, |tables| {
        tables["Interface"]["columns"].as_object_mut().unwrap().remove("lldp").unwrap();
    });
    assert_eq!(settings(&switch).await, expected);
}

/// What somebody has set in the rows of the first port.
async fn settings(switch: &Ovsdb) -> Settings {
    let (key, _) = ports(1).next().unwrap();
    switch.observe(&bridge()).await.unwrap().port(&key).unwrap().settings.clone()
}

/// Has the server convert its database to its own schema with changes.
fn convert(daemons: &Daemons, change: impl FnOnce(&mut Json)) {
    let socket = format!("unix:{}", daemons.socket().display());
    let run = |arguments: &[&str]| {
        let output = Command::new("ovsdb-client").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let mut schema: Json = serde_json::from_slice(&run(&["get-schema", &socket, "Open_vSwitch"])).unwrap();
    change(&mut schema["tables"]);
    schema["version"] = json!("99.0.0");
    schema.as_object_mut().unwrap().remove("cksum");
    let file = daemons.dir().join("converted.ovsschema");
    fs::write(&file, schema.to_string()).unwrap();
    run(&["convert", &socket, file.to_str().unwrap()]);
}
