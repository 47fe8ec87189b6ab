//! Every operation, and every way for one to fail that a server can be brought to.

use vdpa_ovs::{
    Error,
    ovsdb::{
        Condition, ErrorKind, Function, Mutation, Mutator, Operation, Options, Row, Transaction, Until, Uuid,
        Value,
    },
};

use crate::{DATABASE, LIMIT, Queue, queue, servers::Server, write};

fn kind(result: Result<Vec<vdpa_ovs::ovsdb::OperationResult>, Error>) -> (Option<usize>, ErrorKind) {
    match result.unwrap_err() {
        Error::Op { index, kind, .. } => (Some(index), kind),
        Error::Commit { kind, .. } => (None, kind),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn all_ten_operations_do_what_they_say() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let mut txn = Transaction::new(DATABASE);
    txn.push(Operation::Comment { comment: "a line in the log".to_owned() });
    txn.insert_row(&Queue { dscp: Some(1), ..Queue::default() });
    txn.insert("Queue", Row::new().with("dscp", 2));
    let select = txn.select("Queue", vec![Condition::new("dscp", Function::GreaterOrEqual, 1)], &["dscp"]);
    let update = txn.update("Queue", vec![Condition::equal("dscp", 2)], Row::new().with("dscp", 3));
    let add = Mutation::new("dscp", Mutator::Multiply, 2);
    let mutate = txn.mutate("Queue", vec![Condition::equal("dscp", 3)], vec![add]);
    txn.verify("Queue", vec![Condition::equal("dscp", 6)], vec!["dscp"], Row::new().with("dscp", 6));
    let delete = txn.delete("Queue", vec![Condition::new("dscp", Function::Less, 6)]);
    txn.push(Operation::Commit { durable: true });
    let results = client.transact(&txn).await.unwrap();
    assert!(results[1].uuid.is_some() && results[2].uuid.is_some());
    assert_eq!(results[select].rows.len(), 2);
    assert_eq!(
        (results[update].count, results[mutate].count, results[delete].count),
        (Some(1), Some(1), Some(1))
    );

    let mut left = Transaction::new(DATABASE);
    left.select("Queue", vec![], &["_uuid", "dscp"]);
    let rows = &client.transact(&left).await.unwrap()[0].rows;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].optional_integer("dscp").unwrap(), Some(6));
    assert_eq!(rows[0].uuid("_uuid").unwrap(), results[2].uuid.unwrap());

    let lock = client.lock("ours").await.unwrap();
    lock.owned().await;
    let mut guarded = queue(9);
    guarded.push(Operation::Assert { lock: "ours".to_owned() });
    client.transact(&guarded).await.unwrap();
    let mut aborted = queue(9);
    aborted.push(Operation::Abort);
    assert_eq!(kind(client.transact(&aborted).await), (Some(1), ErrorKind::Aborted));
}

#[tokio::test]
async fn errors_of_operations_are_told_apart() {
    let server = Server::start(&[]).await;
    let client = server.client();
    write(&client, &queue(1)).await;
    let of = async |build: &dyn Fn(&mut Transaction)| {
        let mut txn = Transaction::new(DATABASE);
        build(&mut txn);
        kind(client.transact(&txn).await)
    };
    let here = Some(0);
    let assert = |txn: &mut Transaction| _ = txn.push(Operation::Assert { lock: "x".to_owned() });
    assert_eq!(of(&assert).await, (here, ErrorKind::NotOwner));
    let range = |txn: &mut Transaction| _ = txn.insert("Queue", Row::new().with("dscp", 64));
    assert_eq!(of(&range).await, (here, ErrorKind::ConstraintViolation));
    let column = |txn: &mut Transaction| _ = txn.insert("Queue", Row::new().with("nonsense", 64));
    assert!(matches!(of(&column).await, (Some(0), ErrorKind::SyntaxError | ErrorKind::UnknownColumn)));
    let stale = |txn: &mut Transaction| {
        txn.verify("Queue", vec![Condition::equal("dscp", 1)], vec!["dscp"], Row::new().with("dscp", 2));
    };
    assert_eq!(of(&stale).await, (here, ErrorKind::TimedOut));
    let mutate = |mutator: Mutator, by: i64| {
        move |txn: &mut Transaction| {
            txn.mutate("Queue", vec![], vec![Mutation::new("dscp", mutator, by)]);
        }
    };
    assert_eq!(of(&mutate(Mutator::Divide, 0)).await, (here, ErrorKind::DomainError));
    assert_eq!(of(&mutate(Mutator::Multiply, i64::MAX)).await.0, here);
    let dangling = |txn: &mut Transaction| {
        let nobody = [Uuid::default()].into_iter().collect::<Value>();
        txn.insert(
            "QoS",
            Row::new()
                .with("type", "x")
                .with("queues", [(1, Uuid::default())].into_iter().collect::<Value>()),
        );
        let _ = nobody;
    };
    assert_eq!(of(&dangling).await, (None, ErrorKind::ReferentialIntegrityViolation));
    let twice = |txn: &mut Transaction| {
        for _ in 0..2 {
            let (table, row) = ("Queue".into(), Row::new());
            txn.push(Operation::Insert { table, row, uuid_name: Some("same".to_owned()), uuid: None });
        }
    };
    assert_eq!(of(&twice).await, (Some(1), ErrorKind::DuplicateUuidName));
    let wait = |txn: &mut Transaction| {
        let (table, until, columns) = ("Queue".into(), Until::Equal, vec!["dscp".into()]);
        txn.push(Operation::Wait { timeout: 1, table, conditions: vec![], columns, until, rows: vec![] });
    };
    assert_eq!(of(&wait).await, (here, ErrorKind::TimedOut));
}

#[tokio::test]
async fn a_row_gets_the_identity_that_was_chosen_for_it() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let uuid: Uuid = "7b316e1d-d832-45ef-a03d-6a1212d7d15d".parse().unwrap();
    let mut txn = Transaction::new(DATABASE);
    txn.insert_as("Queue", uuid, Row::new().with("dscp", 3));
    assert_eq!(client.transact(&txn).await.unwrap()[0].uuid, Some(uuid));
    assert_eq!(kind(client.transact(&txn).await), (Some(0), ErrorKind::DuplicateUuid));
}

#[tokio::test]
async fn what_the_schema_does_not_have_is_not_sent() {
    let server = Server::start(&[]).await;
    let client = server.client_with(Options { check: true, ..Options::default() });
    write(&client, &queue(1)).await;
    let mut txn = Transaction::new(DATABASE);
    txn.insert("Queue", Row::new().with("dcsp", 1));
    let error = client.transact(&txn).await.unwrap_err();
    assert!(
        matches!(&error, Error::Schema { text, .. } if text.contains("Queue has no column dcsp")),
        "{error}"
    );
    let nowhere = client.schema("Open_vSwich").await.unwrap_err();
    assert!(matches!(&nowhere, Error::Rpc { kind: ErrorKind::UnknownDatabase, .. }), "{nowhere:?}");
    assert!(nowhere.hint().is_some());
    assert_eq!(client.databases().await.unwrap(), ["Open_vSwitch", "_Server"]);
}

/// A declared column of another type than the schema's would be taken for what it is not.
#[tokio::test]
async fn a_declaration_that_does_not_fit_is_an_error_that_names_the_column() {
    mod other {
        use vdpa_ovs::{database, row};
        row! { pub(super) struct Queue in "Queue" { pub(super) dscp: i64 } }
        database! { pub(super) struct Wrong in "Open_vSwitch" { pub(super) queues: Queue } }
        row! { pub(super) struct Nothing in "Queues" { pub(super) dscp: i64 } }
        database! { pub(super) struct Missing in "Open_vSwitch" { pub(super) nothing: Nothing } }
    }
    let server = Server::start(&[]).await;
    let client = server.client();
    let error = client.replicate::<other::Wrong>().await.unwrap_err();
    let text = "column dscp of Queue holds an optional integer, not one integer";
    assert!(error.to_string().contains(text), "{error}");
    let error = client.replicate::<other::Missing>().await.unwrap_err();
    assert!(error.to_string().contains("there is no table Queues"), "{error}");
}

/// A call whose caller stops waiting is taken back from the server, so that it does not come true later.
#[tokio::test]
async fn a_call_that_nobody_waits_for_is_canceled() {
    let server = Server::start(&[]).await;
    let client = server.client();
    let mut blocked = Transaction::new(DATABASE);
    let (table, until, columns) = ("Queue".into(), Until::NotEqual, vec!["dscp".into()]);
    blocked.push(Operation::Wait {
        timeout: 60_000,
        table,
        conditions: vec![],
        columns,
        until,
        rows: vec![],
    });
    blocked.insert("Queue", Row::new().with("dscp", 42));
    let short = std::time::Duration::from_millis(50);
    let error = client.transact_within(&blocked, short).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    write(&client, &queue(1)).await; // what the wait was for
    let mut select = Transaction::new(DATABASE);
    select.select("Queue", vec![], &["dscp"]);
    let rows = &client.transact_within(&select, LIMIT).await.unwrap()[0].rows;
    assert_eq!(rows.len(), 1, "the canceled transaction was run: {rows:?}");
}
