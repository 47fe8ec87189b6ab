//! Tables in memory: they are as on the server, and what changes is told once.

use std::{collections::BTreeMap, time::Duration};

use vdpa_ovs::{
    Error, database,
    ovsdb::{
        Condition, Dynamic, Freshness, Mutation, Mutator, Options, Remote, Row, Transaction, Uuid, Value,
    },
    row,
};

use crate::{
    Bridge, DATABASE, Interfaces, LIMIT, Queue, Switch, bridge, queue, queues,
    servers::{Server, run},
    write,
};

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn what_was_written_is_there_when_the_reply_is() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    for n in 1..=300 {
        write(&client, &queue(n % 60)).await;
        assert_eq!(switch.read().queues.len(), usize::try_from(n).unwrap());
    }
    assert_eq!(switch.last_transaction(), None, "a server that is in no cluster numbers no transactions");
}

/// Pipelined: each of 64 writers at once finds its own row as soon as it is told of success.
#[tokio::test]
async fn many_writers_at_once_each_find_their_own_row() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    let one = async |n: i64| {
        for round in 0..20 {
            let mut txn = Transaction::new(DATABASE);
            let marked =
                Queue { other_config: texts(&[("who", &format!("{n}/{round}"))]), ..Queue::default() };
            txn.insert_row(&marked);
            let uuid = client.transact(&txn).await.unwrap()[0].uuid.unwrap();
            assert_eq!(switch.read().queues.get(uuid).unwrap().other_config, marked.other_config);
        }
    };
    futures::future::join_all((0..64).map(one)).await;
    assert_eq!(switch.read().queues.len(), 64 * 20);
}

#[tokio::test]
async fn sets_and_maps_change_by_their_differences() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let made = Bridge {
        name: "br0".to_owned(),
        flood_vlans: [1, 2, 3].into(),
        external_ids: texts(&[("a", "1"), ("b", "2")]),
        ..Bridge::default()
    };
    write(&client, &bridge(&made)).await;
    let schema = client.schema(DATABASE).await.unwrap();
    let switch = client.replicate::<Switch>().await.unwrap();
    let all = client.replicate_some(Dynamic::new(&schema, &["Bridge"], &[]).unwrap(), []).await.unwrap();
    let mut changes = switch.changes();
    assert_eq!(changes.next().await.of::<Bridge>().len(), 1, "the first diff is everything there is");

    let mut txn = Transaction::new(DATABASE);
    let set = |numbers: &[i64]| numbers.iter().copied().collect::<Value>();
    let map = |pairs: &[(&'static str, &'static str)]| pairs.iter().copied().collect::<Value>();
    let mutations = vec![
        Mutation::new("flood_vlans", Mutator::Delete, set(&[2])),
        Mutation::new("flood_vlans", Mutator::Insert, set(&[4, 5])),
        Mutation::new("external_ids", Mutator::Delete, set_of_texts(&["a", "b"])),
        Mutation::new("external_ids", Mutator::Insert, map(&[("b", "9"), ("c", "3")])),
    ];
    txn.mutate("Bridge", vec![Condition::equal("name", "br0")], mutations);
    txn.update("Bridge", vec![Condition::equal("name", "br0")], Row::new().with("datapath_type", "netdev"));
    write(&client, &txn).await;

    let wanted = Bridge {
        flood_vlans: [1, 3, 4, 5].into(),
        external_ids: texts(&[("b", "9"), ("c", "3")]),
        datapath: "netdev".to_owned(),
        ..made.clone()
    };
    let uuid = switch.read().bridges.find(|_| true).map(|(uuid, _)| uuid).unwrap();
    assert_eq!(**switch.read().bridges.get(uuid).unwrap(), wanted);
    let diff = changes.next().await;
    assert_eq!(diff.tables().collect::<Vec<_>>(), ["Bridge"]);
    let [change] = diff.of::<Bridge>() else { panic!("{diff:?}") };
    assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some(&made), Some(&wanted)));
    // The same through the schema alone.
    let mut select = Transaction::new(DATABASE);
    select.select("Bridge", vec![], &["name", "flood_vlans", "external_ids", "datapath_type"]);
    let selected = client.transact(&select).await.unwrap()[0].rows[0].clone();
    let dynamic = all.read().table("Bridge").unwrap().get(uuid).unwrap().set_columns();
    assert_eq!(*dynamic.get("flood_vlans").unwrap(), *selected.get("flood_vlans").unwrap());
    assert_eq!(dynamic.text_map("external_ids").unwrap(), wanted.external_ids);

    let mut txn = Transaction::new(DATABASE);
    let gone = Mutation::new("bridges", Mutator::Delete, [uuid].into_iter().collect::<Value>());
    txn.mutate("Open_vSwitch", vec![], vec![gone]);
    write(&client, &txn).await;
    let diff = changes.next().await;
    let [change] = diff.of::<Bridge>() else { panic!("{diff:?}") };
    assert_eq!((change.before.as_deref(), change.after.as_deref()), (Some(&wanted), None));
    assert!(switch.read().bridges.is_empty());
}

fn set_of_texts(texts: &[&'static str]) -> Value {
    texts.iter().copied().collect()
}

/// ovsdb-server as it was before OVS 2.6: no difference is sent, and columns that nobody has set are.
#[tokio::test]
async fn a_server_that_knows_monitor_only_is_followed_by_it() {
    let server = Server::start(&[]).await;
    server.control("ovsdb-server/disable-monitor-cond", &[]).await;
    let client = server.client();
    write(&client, &queue(1)).await;
    let switch = client.replicate::<Switch>().await.unwrap();
    assert_eq!(switch.last_transaction(), None);
    write(&client, &queue(2)).await;
    assert_eq!(queues(&switch.read()), [1, 2]);
    let mut txn = Transaction::new(DATABASE);
    txn.update("Queue", vec![Condition::equal("dscp", 1)], Row::new().with("dscp", 7));
    txn.delete("Queue", vec![Condition::equal("dscp", 2)]);
    write(&client, &txn).await;
    assert_eq!(queues(&switch.read()), [7]);
    // Some rows only cannot be asked for there.
    let some = [("Queue".into(), vec![Condition::equal("dscp", 7)])];
    let error = client.replicate_some(Switch::default(), some).await.unwrap_err();
    assert!(matches!(error, Error::Rpc { .. }), "{error:?}");
}

#[tokio::test]
async fn conditions_choose_rows_and_can_be_changed() {
    let server = Server::start(&[]).await;
    let client = server.client();
    for n in 0..6 {
        write(&client, &queue(n)).await;
    }
    let equal = |n: i64| Condition::equal("dscp", n);
    let some = [("Queue".into(), vec![equal(1), equal(2)])];
    let switch = client.replicate_some(Switch::default(), some).await.unwrap();
    assert_eq!(queues(&switch.read()), [1, 2], "any condition is enough");
    let mut changes = switch.changes();
    changes.next().await;
    switch.set_conditions([("Queue".into(), vec![equal(2), equal(5)])]).await.unwrap();
    assert_eq!(queues(&switch.read()), [2, 5]);
    assert_eq!(changes.next().await.of::<Queue>().len(), 2);
    write(&client, &queue(1)).await;
    assert_eq!(queues(&switch.read()), [2, 5]);
    switch.set_conditions([]).await.unwrap();
    assert_eq!(queues(&switch.read()), [0, 1, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_lost_server_leaves_the_rows_readable_and_comes_back_as_one_diff() {
    let mut server = Server::start(&[]).await;
    let client = server.client();
    for n in 0..5 {
        write(&client, &queue(n)).await;
    }
    let switch = client.replicate::<Switch>().await.unwrap();
    let mut changes = switch.changes();
    assert_eq!(changes.next().await.of::<Queue>().len(), 5);
    server.kill();
    let stale = async {
        while switch.freshness() == Freshness::Live {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, stale).await.unwrap();
    assert_eq!(queues(&switch.read()), [0, 1, 2, 3, 4], "what was known stays readable");
    let error = switch.live(Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(&error, Error::Stale { database, .. } if database == DATABASE), "{error:?}");

    // Somebody else writes while we are away.
    let db = server.dir().join("db");
    let transaction = format!(
        r#"["{DATABASE}",{},{},{}]"#,
        r#"{"op":"delete","table":"Queue","where":[["dscp","==",0]]}"#,
        r#"{"op":"update","table":"Queue","where":[["dscp","==",1]],"row":{"dscp":11}}"#,
        r#"{"op":"insert","table":"Queue","row":{"dscp":12}}"#
    );
    run(std::process::Command::new("ovsdb-tool").arg("transact").arg(&db).arg(transaction));
    server.restart().await;
    switch.live(LIMIT).await.unwrap();
    assert_eq!(queues(&switch.read()), [2, 3, 4, 11, 12]);
    let diff = changes.next().await;
    assert_eq!(diff.of::<Queue>().len(), 3, "what stayed as it was is not told of");
    assert!(changes.try_next().is_none(), "all of it is one diff");
    write(&client, &queue(13)).await;
    assert_eq!(queues(&switch.read()), [2, 3, 4, 11, 12, 13]);
}

#[tokio::test]
async fn a_slow_reader_gets_merged_diffs_and_misses_nothing() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    let mut changes = switch.changes();
    for n in 0..500 {
        write(&client, &queue(n % 60)).await;
    }
    let mut txn = Transaction::new(DATABASE);
    txn.delete("Queue", vec![Condition::equal("dscp", 7)]);
    write(&client, &txn).await;
    let (mut diffs, mut seen) = (0, std::collections::BTreeSet::new());
    while let Some(diff) = changes.try_next() {
        diffs += 1;
        for change in diff.of::<Queue>() {
            assert_eq!(change.before.is_some(), seen.contains(&change.uuid));
            if change.after.is_some() {
                seen.insert(change.uuid)
            } else {
                seen.remove(&change.uuid)
            };
        }
    }
    assert!(diffs <= 64, "{diffs} diffs wait");
    let there: std::collections::BTreeSet<Uuid> = switch.read().queues.iter().map(|(uuid, _)| uuid).collect();
    assert_eq!(seen, there);
}

#[tokio::test]
async fn a_dropped_replica_ends_its_monitor_and_no_other() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let kept = client.replicate::<Switch>().await.unwrap();
    for _ in 0..20 {
        drop(client.replicate::<Switch>().await.unwrap());
    }
    write(&client, &queue(1)).await;
    assert_eq!(queues(&kept.read()), [1]);
    let memory = server.control("memory/show", &[]).await;
    let sessions = memory.split_whitespace().find_map(|word| word.strip_prefix("monitors:"));
    assert_eq!(sessions, Some("1"), "{memory}");
}

#[tokio::test]
async fn until_waits_for_what_is_looked_for() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    let wait =
        switch.until(LIMIT, |switch| switch.queues.find(|queue| queue.dscp == Some(9)).map(|(uuid, _)| uuid));
    let txn = queue(9);
    let (found, results) = tokio::join!(wait, client.transact(&txn));
    assert_eq!(Some(found.unwrap()), results.unwrap()[0].uuid);
    let never = switch.until(Duration::from_millis(20), |_| None::<()>).await.unwrap_err();
    assert!(matches!(never, Error::Timeout { .. }), "{never:?}");
}

/// Rows enough to be taken apart on a thread of their own; and the server dies while it sends them.
#[tokio::test]
async fn a_hundred_thousand_rows_come_whole_or_not_at_all() {
    const ROWS: usize = 100_000;
    let mut server = Server::start(&[]).await;
    let client = server.client();
    let mut port = Value::none();
    for chunk in 0..ROWS / 5000 {
        let mut txn = Transaction::new(DATABASE);
        let mut interfaces = Vec::new();
        for n in chunk * 5000..(chunk + 1) * 5000 {
            let ids = [("vdpa-port", format!("0000:43:00.0/vf{n}"))];
            let ids: Value = ids.iter().map(|(key, value)| (*key, value.as_str())).collect();
            interfaces.push(txn.insert(
                "Interface",
                Row::new().with("name", format!("p{n}").as_str()).with("external_ids", ids),
            ));
        }
        let interfaces: Value = interfaces.into_iter().collect();
        if chunk == 0 {
            let row = txn.insert("Port", Row::new().with("name", "many").with("interfaces", interfaces));
            let row = txn.insert("Bridge", Row::new().with("name", "br0").with("ports", row));
            txn.insert("Open_vSwitch", Row::new().with("bridges", row));
        } else {
            txn.mutate("Port", vec![], vec![Mutation::new("interfaces", Mutator::Insert, interfaces)]);
        }
        let results = client.transact_within(&txn, LIMIT).await.unwrap();
        if port == Value::none() {
            port = Value::from(results[5000].uuid.unwrap());
        }
    }
    let all = client.replicate::<Interfaces>().await.unwrap();
    assert_eq!(all.read().interfaces.len(), ROWS);
    let one = all.read().interfaces.find(|row| row.name == "p77777").map(|(_, row)| row.clone()).unwrap();
    assert_eq!(one.external_ids["vdpa-port"], "0000:43:00.0/vf77777");

    // Through a wire that breaks in the middle of the snapshot, and then no more.
    let socket = server.dir().join("breaking.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let wire = tokio::spawn(breaking_wire(listener, server.dir().join("sock")));
    let other = vdpa_ovs::ovsdb::Client::with(vec![Remote::from(socket)], Options::default());
    let error = other.replicate::<Interfaces>().await.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error:?}");
    let again = other.replicate::<Interfaces>().await.unwrap();
    assert_eq!(again.read().interfaces.len(), ROWS);
    wire.abort();
    server.kill();
    assert_eq!(all.read().interfaces.len(), ROWS, "still readable");
}

/// Carries bytes to and from a server, and hangs up on the first client after a megabyte.
async fn breaking_wire(listener: tokio::net::UnixListener, to: std::path::PathBuf) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut broken = false;
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = tokio::net::UnixStream::connect(&to).await.unwrap();
        if broken {
            tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
            continue;
        }
        broken = true;
        let (mut from_client, mut to_client) = client.split();
        let (from_server, mut to_server) = server.split();
        let down = async {
            let mut some = from_server.take(1 << 20);
            tokio::io::copy(&mut some, &mut to_client).await.ok();
            to_client.shutdown().await.ok();
        };
        tokio::select! {
            () = down => {}
            _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        }
    }
}

row! {
    struct Misread in "Queue" {
        dscp: String,
    }
}

database! {
    struct Misreading in "Open_vSwitch" {
        queues: Misread,
    }
}

/// Schema and rows are asked for at once. Of what does not fit nothing is taken, and the connection stays as it is.
#[tokio::test]
async fn a_table_declared_otherwise_is_refused_and_other_replicas_stay() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    let connection = client.connection().await.unwrap();
    write(&client, &queue(6)).await;
    let error = client.replicate::<Misreading>().await.unwrap_err();
    assert!(matches!(&error, Error::Schema { text, .. } if text.contains("dscp")), "{error:?}");
    write(&client, &queue(7)).await;
    assert_eq!(queues(&switch.read()), [6, 7]);
    assert!(connection.is_connected());
    assert!(switch.freshness() == Freshness::Live);
}
