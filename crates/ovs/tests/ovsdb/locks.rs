//! Locks: one owner at a time, and who loses it is told.

use vdpa_ovs::{
    Error,
    ovsdb::{ErrorKind, Operation},
};

use crate::{LIMIT, queue, servers::Server};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("not in time")
}

#[tokio::test]
async fn one_owns_a_lock_and_the_next_gets_it_when_it_is_given_up() {
    let server = Server::start(&[]).await;
    let (one, other) = (server.client(), server.client());
    let first = one.lock("leader").await.unwrap();
    assert!(first.is_owned());
    let second = other.lock("leader").await.unwrap();
    assert!(!second.is_owned());
    let mut guarded = queue(1);
    guarded.push(Operation::Assert { lock: "leader".to_owned() });
    one.transact(&guarded).await.unwrap();
    let error = other.transact(&guarded).await.unwrap_err();
    assert!(matches!(error, Error::Op { kind: ErrorKind::NotOwner, .. }), "{error:?}");
    drop(first);
    soon(second.owned()).await;
    other.transact(&guarded).await.unwrap();
}

#[tokio::test]
async fn a_stolen_lock_is_lost_and_its_owner_is_told() {
    let server = Server::start(&[]).await;
    let (one, other) = (server.client(), server.client());
    let first = one.lock("leader").await.unwrap();
    let second = other.steal("leader").await.unwrap();
    assert!(second.is_owned());
    soon(first.lost()).await;
    drop(second);
    soon(first.owned()).await;
}

#[tokio::test]
async fn a_lock_goes_with_the_connection_and_is_asked_for_again() {
    let mut server = Server::start(&[]).await;
    let client = server.client();
    let lock = client.lock("leader").await.unwrap();
    server.kill();
    soon(lock.lost()).await;
    server.restart().await;
    soon(lock.owned()).await;
    drop(lock);
    // Asking twice on one connection is the server's to refuse.
    let _lock = client.lock("leader").await.unwrap();
    let error = client.lock("leader").await.unwrap_err();
    assert!(matches!(&error, Error::Rpc { method, .. } if method == "lock"), "{error:?}");
}
