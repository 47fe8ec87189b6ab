//! Clusters: the leader is found and followed, and what was missed is all that is sent.

use vdpa_ovs::{
    Error,
    ovsdb::{Client, Member, Options},
};

use crate::{
    DATABASE, LIMIT, Queue, Switch, queue, queues,
    servers::{Cluster, Server},
    write,
};

fn leader_only() -> Options {
    Options { member: Some(Member::leader_of(DATABASE)), ..Options::default() }
}

/// A clustered server knows its last transactions, so a client that comes back gets only what it missed.
#[tokio::test]
async fn a_client_that_comes_back_to_a_cluster_resumes() {
    let cluster = Cluster::start(1).await;
    let client = Client::with(cluster.remotes(), leader_only());
    for n in 0..5 {
        write(&client, &queue(n)).await;
    }
    let switch = client.replicate::<Switch>().await.unwrap();
    let mut changes = switch.changes();
    changes.next().await;
    let last = switch.last_transaction();
    assert!(last.is_some());
    let other = Client::with(cluster.remotes(), Options::default());
    client.connection().await.unwrap().close("the test's doing");
    write(&other, &queue(50)).await;
    switch.live(LIMIT).await.unwrap();
    switch.until(LIMIT, |switch| (switch.queues.len() == 6).then_some(())).await.unwrap();
    let diff = changes.next().await;
    assert_eq!(diff.of::<Queue>().len(), 1);
    assert_eq!(queues(&switch.read()), [0, 1, 2, 3, 4, 50]);
    assert_ne!(switch.last_transaction(), last);
}

#[tokio::test]
async fn another_leader_is_followed() {
    let mut cluster = Cluster::start(3).await;
    let client = Client::with(cluster.remotes(), leader_only());
    let first = until_led(&client, &cluster).await;
    write(&client, &queue(1)).await;
    let switch = client.replicate::<Switch>().await.unwrap();
    let mut changes = switch.changes();
    assert_eq!(changes.next().await.of::<Queue>().len(), 1);

    // It gives the lead away, and then it dies for good.
    cluster.members[first].kill();
    cluster.members.remove(first);
    let second = until_led(&client, &cluster).await;
    let remote = client.connection().await.unwrap().remote().clone();
    assert_eq!(remote, cluster.members[second].remote());
    write(&client, &queue(2)).await;
    switch.until(LIMIT, |switch| (switch.queues.len() == 2).then_some(())).await.unwrap();
    assert_eq!(queues(&switch.read()), [1, 2]);
    assert_eq!(changes.next().await.of::<Queue>().len(), 1, "no row comes twice");
}

#[tokio::test]
async fn a_member_that_does_not_lead_is_refused_where_the_leader_is_asked_for() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let follower = &cluster.members[(leader + 1) % 3];
    let error = follower.client_with(leader_only()).connection().await.unwrap_err();
    assert!(matches!(&error, Error::NotServing { .. }), "{error:?}");
    // Any member will do for one that only reads.
    let any = Options { member: Some(Member::any_of(DATABASE)), ..Options::default() };
    let client = follower.client_with(any);
    let switch = loop {
        // It takes a moment before a new member has joined.
        match client.replicate::<Switch>().await {
            Ok(switch) => break switch,
            Err(Error::NotServing { .. } | Error::Rpc { .. }) => tokio::time::sleep(LIMIT / 1000).await,
            Err(error) => panic!("{error:?}"),
        }
    };
    write(&cluster.members[leader].client(), &queue(7)).await;
    switch.until(LIMIT, |switch| (queues(switch) == [7]).then_some(())).await.unwrap();
}

/// A server that is in no cluster leads itself.
#[tokio::test]
async fn a_server_alone_will_always_do() {
    let server = Server::start(&[]).await;
    let client = server.client_with(leader_only());
    write(&client, &queue(1)).await;
    let nowhere = Options { member: Some(Member::leader_of("nowhere")), ..Options::default() };
    let error = server.client_with(nowhere).connection().await.unwrap_err();
    assert!(matches!(&error, Error::NotServing { text, .. } if text.contains("nowhere")), "{error:?}");
}

/// Waits until the client is connected to a leader; gives which member it is.
async fn until_led(client: &Client, cluster: &Cluster) -> usize {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let error = match client.connection().await {
            Ok(rpc) => {
                let leader = cluster.leader().await;
                if cluster.members[leader].remote() == *rpc.remote() {
                    return leader;
                }
                "it leads no longer".to_owned()
            }
            Err(error) => error.to_string(),
        };
        assert!(std::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(LIMIT / 1000).await;
    }
}
