//! What a server or a wire can do to a client.

use std::{path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};
use vdpa_ovs::{
    Error,
    ovsdb::{Client, Freshness, Remote},
};

use crate::{LIMIT, Switch, queue, queues, servers::Server, write};

/// Carries bytes to and from a server, those to the client in pieces of a size.
async fn wire(listener: UnixListener, to: PathBuf, piece: usize) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = UnixStream::connect(&to).await.unwrap();
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = server.split();
            let down = async {
                let mut buffer = vec![0; piece];
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                    if piece > 1 {
                        // Several messages of the server come together.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            };
            tokio::join!(down, tokio::io::copy(&mut from_client, &mut to_server)).1.ok();
        });
    }
}

/// Byte by byte, and many messages at once.
#[tokio::test]
async fn it_does_not_matter_how_bytes_arrive() {
    let server = Server::start(&[]).await;
    for (piece, name) in [(1, "bytes.sock"), (1 << 20, "lumps.sock")] {
        let socket = server.dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let wire = tokio::spawn(wire(listener, server.dir().join("sock"), piece));
        let client = Client::new(Remote::from(socket));
        let switch = client.replicate::<Switch>().await.unwrap();
        let before = queues(&switch.read()).len();
        let texts = ["}{", "\"}{\\\"", "\\", "é\u{1F600}", "\n\t"];
        let mut txn = queue(1);
        for text in texts {
            let config = [("text", text)].into_iter().collect();
            txn.insert_row(&crate::Queue { dscp: Some(2), other_config: owned(config) });
        }
        let (first, second) = (queue(3), queue(4));
        let (a, b, c) =
            tokio::join!(client.transact(&txn), client.transact(&first), client.transact(&second));
        for result in [a, b, c] {
            result.unwrap();
        }
        assert_eq!(queues(&switch.read()).len(), before + 3 + texts.len());
        let read = switch.read();
        for text in texts {
            let found =
                read.queues.find(|queue| queue.other_config.get("text").is_some_and(|seen| seen == text));
            assert!(found.is_some(), "{text:?}");
        }
        drop(read);
        wire.abort();
    }
}

fn owned(map: std::collections::BTreeMap<&str, &str>) -> std::collections::BTreeMap<String, String> {
    map.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A NUL would have the server drop the connection; it is refused before it is sent.
#[tokio::test]
async fn a_nul_is_refused_here_and_the_connection_stays() {
    let server = Server::start(&[]).await;
    let client = server.client();
    write(&client, &queue(1)).await;
    let connection = client.connection().await.unwrap();
    let mut txn = queue(2);
    let config = [("text", "a\0b")].into_iter().collect();
    txn.insert_row(&crate::Queue { dscp: None, other_config: owned(config) });
    let error = client.transact(&txn).await.unwrap_err();
    assert!(matches!(&error, Error::Protocol { text, .. } if text.contains("NUL")), "{error:?}");
    assert!(connection.is_connected());
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_transactions_leaves_their_outcome_unknown() {
    let mut server = Server::start(&[]).await;
    let client = server.client();
    let switch = client.replicate::<Switch>().await.unwrap();
    write(&client, &queue(0)).await;
    server.signal(rustix::process::Signal::STOP); // they reach a server that does not answer
    let txns: Vec<_> = (1..=32).map(queue).collect();
    let calls = futures::future::join_all(txns.iter().map(|txn| client.transact(txn)));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.kill();
    };
    let (results, ()) = tokio::join!(calls, kill);
    for result in results {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Disconnected { .. }) && error.outcome_unknown(), "{error:?}");
    }
    assert!(matches!(switch.freshness(), Freshness::Stale(_)));
    server.restart().await;
    switch.live(LIMIT).await.unwrap();
    assert_eq!(queues(&switch.read()), [0], "nothing of what failed was sent twice");
}

/// The file is a database, and not Open vSwitch's.
#[tokio::test]
async fn another_database_is_said_to_be_one() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().to_owned();
    let schema = dir.join("schema");
    std::fs::write(
        &schema,
        r#"{"name":"Other","version":"1.0.0","tables":{"T":{"columns":{"n":{"type":"integer"}}}}}"#,
    )
    .unwrap();
    crate::servers::run(
        std::process::Command::new("ovsdb-tool").arg("create").arg(dir.join("db")).arg(&schema),
    );
    let server = Server::on(dir, &[], Some(temporary)).await;
    let error = server.client().replicate::<Switch>().await.unwrap_err();
    assert!(error.to_string().contains("unknown database"), "{error}");
    assert_eq!(error.hint(), Some("`ovsdb-client list-dbs` names what is there"));
    let switch = vdpa_ovs::Ovsdb::new(server.dir().join("sock"));
    let error = vdpa_ovs::Vswitch::observe(&switch, &"br0".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("unknown database"), "{error}");
}
