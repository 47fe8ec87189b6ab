//! What a connection can do to its user.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use vdpa_ovs::{
    Error, Limits, Ovsdb, Vswitch,
    ovsdb::{
        Condition, ErrorKind, Function, Mutation, Mutator, Operation, Row, Rpc, Transaction, Until, Value,
    },
    testing::Daemons,
};

use crate::{bridge, ports, present};

const LIMIT: Duration = Duration::from_mins(1);

/// A wait for something that comes true only once `comment` is written into the root row's `external_ids`.
fn blocked_wait(milliseconds: u64) -> Transaction {
    let mut txn = Transaction::new("Open_vSwitch");
    let conditions = vec![Condition::new(
        "external_ids",
        Function::Includes,
        [("go", "on")].into_iter().collect::<Value>(),
    )];
    let (columns, rows) = (vec!["external_ids".into()], vec![]);
    let (timeout, table, until) = (milliseconds, "Open_vSwitch".into(), Until::NotEqual);
    txn.push(Operation::Wait { timeout, table, conditions, columns, until, rows });
    txn
}

#[tokio::test]
async fn a_blocked_wait_is_answered_after_later_calls() {
    let daemons = Daemons::start().await;
    let rpc = Rpc::connect(&daemons.socket().into(), None, LIMIT).await.unwrap();
    let txn = blocked_wait(15_000);
    let blocked = rpc.transact(&txn, LIMIT);
    let written = Cell::new(false);
    let others = async {
        for _ in 0..100 {
            rpc.call("list_dbs", &[(); 0], LIMIT).await.unwrap();
        }
        written.set(true);
        daemons.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "external_ids:go=on"]);
    };
    let blocked = async {
        let result = blocked.await;
        assert!(written.get(), "the wait was answered before it could come true");
        result
    };
    let (result, ()) = tokio::join!(blocked, others);
    result.unwrap();
}

#[tokio::test]
async fn a_wait_that_does_not_come_true_is_an_error_of_its_operation() {
    let daemons = Daemons::start().await;
    let rpc = Rpc::connect(&daemons.socket().into(), None, LIMIT).await.unwrap();
    let error = rpc.transact(&blocked_wait(10), LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::Op { index: 0, kind: ErrorKind::TimedOut, .. }), "{error:?}");
}

/// ovsdb-server probes an idle client, and drops it if the echo is not answered. On a Unix socket it does so only
/// if told to.
#[tokio::test]
async fn the_servers_echo_is_answered() {
    let daemons = Daemons::start().await;
    let socket = daemons.dir().join("probed.sock");
    let target = format!("target=\"punix:{}\"", socket.display());
    daemons.vsctl(&[
        "--no-wait",
        "--id=@m",
        "create",
        "Manager",
        &target,
        "inactivity_probe=1000",
        "--",
        "add",
        "Open_vSwitch",
        ".",
        "manager_options",
        "@m",
    ]);
    let rpc = connect_soon(&socket).await;
    tokio::time::sleep(Duration::from_millis(3500)).await; // probed after 1 s, dropped after 2
    assert!(rpc.is_connected(), "the server dropped a client that did not answer its echo");
    rpc.call("list_dbs", &[(); 0], LIMIT).await.unwrap();
}

async fn connect_soon(socket: &std::path::Path) -> Rpc {
    let deadline = Instant::now() + LIMIT;
    loop {
        match Rpc::connect(&socket.into(), None, LIMIT).await {
            Ok(rpc) => return rpc,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn refusals_of_the_server_are_told_apart() {
    let daemons = Daemons::start().await;
    let rpc = Rpc::connect(&daemons.socket().into(), None, LIMIT).await.unwrap();
    let method = rpc.call("nonsense", &[(); 0], LIMIT).await.unwrap_err();
    assert!(matches!(&method, Error::Rpc { kind: ErrorKind::UnknownMethod, .. }), "{method:?}");
    let database = rpc.transact(&Transaction::new("nonsense"), LIMIT).await.unwrap_err();
    assert!(matches!(&database, Error::Rpc { kind: ErrorKind::UnknownDatabase, .. }), "{database:?}");

    let mut table = Transaction::new("Open_vSwitch");
    table.select("nonsense", vec![], &[]);
    let table = rpc.transact(&table, LIMIT).await.unwrap_err();
    assert!(matches!(&table, Error::Op { index: 0, kind: ErrorKind::SyntaxError, .. }), "{table:?}");

    let mut abort = Transaction::new("Open_vSwitch");
    abort.select("Bridge", vec![], &["name"]);
    abort.push(Operation::Abort);
    abort.select("Bridge", vec![], &["name"]);
    let abort = rpc.transact(&abort, LIMIT).await.unwrap_err();
    assert!(matches!(&abort, Error::Op { index: 1, kind: ErrorKind::Aborted, .. }), "{abort:?}");

    // A port without an interface: sound as an operation, not as a transaction. Its error comes last.
    let mut commit = Transaction::new("Open_vSwitch");
    let port = commit.insert("Port", Row::new().with("name", "p0"));
    let mut row = Row::new().with("name", "br0");
    row = row.with("ports", port);
    let bridge = commit.insert("Bridge", row);
    commit.mutate("Open_vSwitch", vec![], vec![Mutation::new("bridges", Mutator::Insert, bridge)]);
    let commit = rpc.transact(&commit, LIMIT).await.unwrap_err();
    let kind = ErrorKind::ReferentialIntegrityViolation;
    assert!(matches!(&commit, Error::Commit { kind: seen, .. } if *seen == kind), "{commit:?}");
}

#[tokio::test]
async fn two_rows_of_one_name_fail_at_the_commit() {
    let daemons = Daemons::start().await;
    daemons.vsctl(&["add-br", "br0"]);
    let rpc = Rpc::connect(&daemons.socket().into(), None, LIMIT).await.unwrap();
    let mut txn = Transaction::new("Open_vSwitch");
    let bridge = txn.insert("Bridge", Row::new().with("name", "br0"));
    let insert = Mutation::new("bridges", Mutator::Insert, bridge);
    txn.mutate("Open_vSwitch", vec![], vec![insert]);
    let error = rpc.transact(&txn, LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::Commit { kind: ErrorKind::ConstraintViolation, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_killed_during_a_call_leaves_the_outcome_unknown() {
    let mut daemons = Daemons::start().await;
    let rpc = Rpc::connect(&daemons.socket().into(), None, LIMIT).await.unwrap();
    daemons.stop_ovsdb(); // the call reaches a server that does not answer
    let txn = blocked_wait(0);
    let call = rpc.transact(&txn, LIMIT);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        daemons.kill_ovsdb();
    };
    let (result, ()) = tokio::join!(call, kill);
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }) && error.outcome_unknown(), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let daemons = Daemons::start().await;
    let limits = Limits { call: Duration::from_millis(200), ..Limits::default() };
    let switch = Ovsdb::new(daemons.socket()).with_limits(limits);
    switch.observe(&bridge()).await.unwrap();
    daemons.stop_ovsdb();
    let error = switch.observe(&bridge()).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[tokio::test]
async fn a_restarted_server_is_connected_to_again() {
    let mut daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    assert!(switch.apply(&present().exactly(ports(1))).await.unwrap().changed);
    daemons.kill_ovsdb();
    let error = switch.observe(&bridge()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("db.sock"), "{error}");
    daemons.restart_ovsdb().await;
    assert_eq!(switch.observe(&bridge()).await.unwrap().ports().len(), 1);
    assert!(switch.apply(&present().exactly(ports(2))).await.unwrap().changed);
}

#[tokio::test]
async fn control_sockets_answer_and_refuse() {
    let daemons = Daemons::start().await;
    let control = daemons.vswitchd_control();
    let version = control.call("version", &[]).await.unwrap();
    assert!(version.starts_with("ovs-vswitchd (Open vSwitch) "), "{version:?}");
    assert!(control.call("dpctl/dump-flows", &["-m", "type=offloaded"]).await.is_err(), "no datapath yet");
    daemons.vsctl(&["add-br", "br0"]);
    control.call("dpctl/dump-flows", &["-m"]).await.unwrap();
    control.call("dpctl/dump-conntrack", &[]).await.unwrap();
    assert_eq!(control.version().await.unwrap(), version.trim_end());
    let commands = control.commands().await.unwrap();
    assert!(commands.iter().any(|command| command.starts_with("dpctl/dump-flows")), "{commands:?}");
    // Line by line it is the same text.
    let mut lines = Vec::new();
    control.lines("list-commands", &[], |line| lines.push(line.trim().to_owned())).await.unwrap();
    assert_eq!(lines[1..], commands);
    let error = control.lines("nonsense", &[], |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("is not a valid command"), "{error}");
    let error = control.call("nonsense", &["a", "b"]).await.unwrap_err();
    assert!(error.to_string().contains("is not a valid command"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_named() {
    let daemons = Daemons::start().await;
    let error = Ovsdb::new(daemons.dir().join("conf.db")).observe(&bridge()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.hint().is_some());
}
