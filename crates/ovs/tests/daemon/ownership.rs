//! What is not ours comes through unharmed, and what is ours only while it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use vdpa_ovs::{Change, Error, Ovsdb, Settings, Vswitch, ovsdb::Row, testing::Daemons};

use crate::{bridge, ports, present};

/// A switch that somebody lives in: two bridges with settings of their own.
fn furnish(daemons: &Daemons) {
    daemons.vsctl(&[
        "set",
        "Open_vSwitch",
        ".",
        "other_config:max-idle=5000",
        "other_config:hw-offload=false",
        "external_ids:ovn-remote=tcp",
        "--",
        "add-br",
        "br-ex",
        "--",
        "set",
        "Bridge",
        "br-ex",
        "external_ids:bridge-id=br-ex",
        "other_config:forward-bpdu=true",
        "fail_mode=secure",
        "--",
        "add-port",
        "br-ex",
        "e0",
        "tag=7",
        "--",
        "set",
        "Interface",
        "e0",
        "external_ids:iface-id=x",
        "--",
        "add-bond",
        "br-ex",
        "bond0",
        "e1",
        "e2",
        "--",
        "add-br",
        "br-int",
        "--",
        "add-port",
        "br-int",
        "i0",
    ]);
}

/// The whole database by table and row, less what moves by itself: configuration numbers and counters.
fn dump(daemons: &Daemons) -> BTreeMap<String, Value> {
    let text = daemons.dump();
    let mut tables = BTreeMap::new();
    for table in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let table = table.unwrap();
        let columns: Vec<String> = serde_json::from_value(table["headings"].clone()).unwrap();
        let rows: Vec<Vec<Value>> = serde_json::from_value(table["data"].clone()).unwrap();
        for row in rows {
            for (column, value) in columns.iter().zip(&row) {
                if !["next_cfg", "cur_cfg", "statistics", "status", "_version"].contains(&column.as_str()) {
                    let name = format!("{} {} {column}", table["caption"].as_str().unwrap_or("?"), row[0]);
                    tables.insert(name, value.clone());
                }
            }
        }
    }
    assert!(tables.len() > 100, "the dump was not understood: {text}");
    tables
}

#[tokio::test]
async fn set_and_restore_leave_the_whole_database_as_it_was() {
    let daemons = Daemons::start().await;
    furnish(&daemons);
    let switch = daemons.vswitch();
    let before = dump(&daemons);
    let seen = switch.observe(&bridge()).await.unwrap();
    assert_eq!(seen.elsewhere["e2"].bridge, "br-ex", "bonded netdevs are seen");

    switch.apply(&present().exactly(ports(3)).hw_offload("true")).await.unwrap();
    let during = dump(&daemons);
    let root =
        during.iter().find(|(name, _)| name.contains("Open_vSwitch") && name.ends_with("other_config"));
    assert!(root.unwrap().1.to_string().contains("max-idle"), "a foreign setting is gone");
    let untouched = before
        .iter()
        .filter(|(name, _)| !name.contains("Open_vSwitch table"))
        .filter(|(name, value)| during.get(*name) != Some(*value));
    assert_eq!(untouched.collect::<Vec<_>>(), [], "foreign rows changed");

    switch.apply(&Change::restoring(bridge(), &seen)).await.unwrap();
    assert_eq!(dump(&daemons), before);
}

#[tokio::test]
async fn ports_on_a_foreign_bridge_come_and_go_without_a_trace() {
    let daemons = Daemons::start().await;
    furnish(&daemons);
    let switch = daemons.vswitch();
    let before = dump(&daemons);
    let name = "br-ex".parse().unwrap();
    let seen = switch.observe(&name).await.unwrap();
    let to = || Change::to(name.clone()).present();
    switch.apply(&to().exactly(ports(2))).await.unwrap();
    // A netdev that is on the bridge as part of somebody's bond is on the bridge.
    assert!(
        !switch.apply(&to().with_port("up".parse().unwrap(), "e1".parse().unwrap())).await.unwrap().changed
    );
    switch.apply(&Change::restoring(name.clone(), &seen)).await.unwrap();
    assert_eq!(dump(&daemons), before);
}

#[tokio::test]
async fn a_bridge_of_ours_with_a_foreign_port_is_not_deleted() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(1))).await.unwrap();
    daemons.vsctl(&["add-port", "ovs-sriov", "guest"]);
    let error = switch.apply(&Change::to(bridge()).absent()).await.unwrap_err();
    let Error::ForeignPorts { ports: foreign, .. } = &error else { panic!("{error:?}") };
    assert_eq!(foreign, &["guest"]);
    assert_eq!(switch.observe(&bridge()).await.unwrap().ports().len(), 1, "nothing was touched");
}

#[tokio::test]
async fn a_row_whose_tag_was_taken_off_is_no_longer_ours() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(2))).await.unwrap();
    daemons.vsctl(&["remove", "Port", "p0", "external_ids", "vdpa-owner"]);
    switch.apply(&Change::to(bridge()).exactly([])).await.unwrap();
    let state = switch.observe(&bridge()).await.unwrap().bridge.unwrap();
    assert!(state.ports.is_empty() && state.foreign_ports.contains("p0"), "{state:?}");
}

/// The same between what was read and what is written: the write fails as a whole, and is planned anew.
#[tokio::test]
async fn a_tag_taken_off_after_it_was_read_is_seen() {
    let daemons = Daemons::start().await;
    daemons.vswitch().apply(&present().exactly(ports(2))).await.unwrap();
    let socket = daemons.dir().join("between.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let between = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = UnixStream::connect(daemons.socket()).await.unwrap();
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = async {
            let (mut buffer, mut taken) = (vec![0; 1 << 16], false);
            while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                if !taken && String::from_utf8_lossy(&buffer[..length]).contains("\"mutate\"") {
                    taken = true;
                    daemons.vsctl(&["remove", "Port", "p0", "external_ids", "vdpa-owner"]);
                }
                to_server.write_all(&buffer[..length]).await.unwrap();
            }
        };
        tokio::join!(up, tokio::io::copy(&mut from_server, &mut to_client)).1.ok();
    };
    let (switch, change) = (Ovsdb::new(&socket), Change::to(bridge()).exactly([]));
    let applied = tokio::select! {
        applied = switch.apply(&change) => applied.unwrap(),
        () = between => panic!("the connection ended"),
    };
    assert_eq!((applied.changed, applied.attempts), (true, 2), "{applied:?}");
    let state = daemons.vswitch().observe(&bridge()).await.unwrap().bridge.unwrap();
    assert!(state.ports.is_empty() && state.foreign_ports.contains("p0"), "{state:?}");
}

/// A VLAN tag that a person put on our port is part of how the VF is reached: it goes where the key goes.
#[tokio::test]
async fn what_others_set_in_our_rows_stays_with_the_key() {
    let daemons = Daemons::start().await;
    furnish(&daemons);
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(2))).await.unwrap();
    daemons.vsctl(&[
        "set",
        "Port",
        "p0",
        "tag=7",
        "external_ids:owner=me",
        "--",
        "set",
        "Interface",
        "p0",
        "ingress_policing_rate=1000",
        "external_ids:iface-id=x",
        "--",
        "--id=@q",
        "create",
        "QoS",
        "type=linux-noop",
        "--",
        "set",
        "Port",
        "p0",
        "qos=@q",
    ]);
    let before = dump_by_name(&daemons);
    let seen = switch.observe(&bridge()).await.unwrap();
    assert!(seen.ports()[1].settings.is_empty(), "{:?}", seen.ports()[1]);
    let glance = switch.glance(&bridge()).await.unwrap();
    let tag = Settings { port: Row::new().with("tag", 7), ..Settings::default() };
    assert_eq!([&glance.ports()[0].settings, &glance.ports()[1].settings], [&tag, &Settings::default()]);

    let (key, _) = ports(1).next().unwrap();
    switch.apply(&Change::to(bridge()).with_port(key.clone(), "p9".parse().unwrap())).await.unwrap();
    let moved = switch.observe(&bridge()).await.unwrap();
    assert_eq!(moved.port(&key).unwrap().settings, seen.port(&key).unwrap().settings);
    assert_eq!(daemons.vsctl(&["get", "Port", "p9", "tag", "external_ids:owner"]), "7\nme\n");

    switch.apply(&Change::to(bridge()).exactly([])).await.unwrap();
    let json = serde_json::to_string(&seen).unwrap();
    let kept = serde_json::from_str(&json).unwrap();
    assert_eq!(seen, kept, "an observation survives the receipt");
    switch.apply(&Change::restoring(bridge(), &kept)).await.unwrap();
    assert_eq!(dump_by_name(&daemons), before);
}

/// The Port and Interface rows by name, less their identities and what moves by itself.
fn dump_by_name(daemons: &Daemons) -> BTreeSet<String> {
    let columns = |table, columns| daemons.vsctl(&["--columns", columns, "list", table]);
    let port = "name,tag,trunks,vlan_mode,qos,other_config,external_ids,protected,fake_bridge";
    let interface = "name,type,options,ingress_policing_rate,external_ids,other_config,mac,mtu_request";
    let rows = [columns("Port", port), columns("Interface", interface)].join("\n");
    rows.split("\n\n").map(|row| row.trim().to_owned()).collect()
}

/// Two writers on the same rows: every change goes through, and none undoes another.
#[tokio::test]
async fn writers_that_collide_all_get_through() {
    let daemons = Daemons::start().await;
    let (first, second) = (daemons.vswitch(), daemons.vswitch());
    first.apply(&present()).await.unwrap();
    let add = async |switch: &vdpa_ovs::Ovsdb, parity: usize| {
        let mut attempts = 0;
        for (_, (key, name)) in ports(20).enumerate().filter(|(n, _)| n % 2 == parity) {
            attempts += switch.apply(&Change::to(bridge()).with_port(key, name)).await.unwrap().attempts;
        }
        attempts
    };
    let (one, other) = tokio::join!(add(&first, 0), add(&second, 1));
    assert_eq!(first.observe(&bridge()).await.unwrap().ports().len(), 20);
    assert!(one + other > 20, "the writers never met: nothing was shown");
}

#[tokio::test]
async fn a_bridge_made_by_another_in_between_is_used_as_it_is() {
    let daemons = Daemons::start().await;
    let (first, second) = (daemons.vswitch(), daemons.vswitch());
    let (a, b) = (present().exactly(ports(1)), present().exactly(ports(1)));
    let (a, b) = tokio::join!(first.apply(&a), second.apply(&b));
    assert_ne!(a.unwrap().changed, b.unwrap().changed, "one makes it, the other finds it");
    assert_eq!(first.observe(&bridge()).await.unwrap().ports().len(), 1);
}
