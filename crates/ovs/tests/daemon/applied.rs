//! Committed is not applied, and applied is not working.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tracing::{
    Subscriber,
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};
use vdpa_ovs::{Change, Error, Limits, Ovsdb, Vswitch, testing::Daemons};

use crate::{bridge, ports, present};

#[tokio::test]
async fn a_stopped_ovs_vswitchd_is_not_applied_and_goes_on_later() {
    let daemons = Daemons::start().await;
    let limits = Limits { applied: Duration::from_millis(300), ..Limits::default() };
    let switch = Ovsdb::new(daemons.socket()).with_limits(limits);
    daemons.stop_vswitchd();
    let change = present().exactly(ports(2));
    for _ in 0..2 {
        // The second time nothing is left to write, and it is still not applied.
        let error = switch.apply(&change).await.unwrap_err();
        let Error::NotApplied { next_cfg, cur_cfg, .. } = error else { panic!("{error:?}") };
        assert_eq!(next_cfg, cur_cfg + 1);
        assert_eq!(switch.writes(), 1);
    }
    let seen = switch.observe(&bridge()).await.unwrap();
    assert!(!seen.is_applied() && seen.ports().len() == 2);
    daemons.continue_vswitchd();
    let patient = daemons.vswitch();
    assert!(!patient.apply(&change).await.unwrap().changed);
    assert!(patient.observe(&bridge()).await.unwrap().is_applied());
}

/// A patch port without a peer is one that fails under the dummy datapath too.
#[tokio::test]
async fn an_interface_that_does_not_come_up_is_reported_with_the_daemons_text() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    switch.apply(&present().exactly(ports(2))).await.unwrap();
    daemons.vsctl(&["set", "Interface", "p1", "type=patch"]);
    let error = switch.apply(&present().exactly(ports(3))).await.unwrap_err();
    let Error::InterfaceFailed { interfaces, .. } = &error else { panic!("{error:?}") };
    assert_eq!(interfaces.len(), 1, "{error}");
    assert_eq!(interfaces[0].name, "p1");
    assert!(interfaces[0].error.as_deref().is_some_and(|text| text.contains("peer")), "{error}");
    // It is so also when nothing has to be written, and not for ports that are not asked for.
    let again = switch.apply(&present().exactly(ports(3))).await.unwrap_err();
    assert!(matches!(again, Error::InterfaceFailed { .. }), "{again:?}");
    let (key, name) = ports(1).next().unwrap();
    switch.apply(&Change::to(bridge()).with_port(key, name)).await.unwrap();
}

#[tokio::test]
async fn two_hundred_ports_are_one_transaction() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    let before = switch.observe(&bridge()).await.unwrap();
    let applied = switch.apply(&present().exactly(ports(200)).hw_offload("true")).await.unwrap();
    assert!(applied.changed);
    assert_eq!(switch.writes(), 1);
    let seen = switch.observe(&bridge()).await.unwrap();
    assert_eq!(seen.ports().len(), 200);
    assert!(seen.ports().iter().all(vdpa_ovs::PortState::works));
    assert!(!switch.apply(&present().exactly(ports(200)).hw_offload("true")).await.unwrap().changed);
    switch.apply(&Change::restoring(bridge(), &before)).await.unwrap();
    assert_eq!(switch.writes(), 2);
    assert_eq!(switch.observe(&bridge()).await.unwrap().bridge, None);
}

/// The names of spans, in the order they began.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<&'static str>>>);

impl<S: Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let name = attributes.metadata().name();
        if name.starts_with("ovs") {
            self.0.lock().unwrap().push(name);
        }
    }
}

/// Whoever measures tells the database's time from ovs-vswitchd's by these spans.
#[tokio::test]
async fn reading_writing_and_waiting_are_spans_of_their_own() {
    let daemons = Daemons::start().await;
    let record =
        |spans: &Spans| tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    // A span that another thread meets first asks that thread's subscriber, which has none, and stays off until
    // the next subscriber comes (tracing-core, callsite.rs). So every span is met once before it counts.
    let first = record(&Spans::default());
    daemons.vswitch().apply(&present()).await.unwrap();
    drop(first);
    let spans = Spans::default();
    let _guard = record(&spans);
    daemons.vswitch().apply(&present().exactly(ports(1))).await.unwrap();
    let (read, write) = ("ovsdb.transact", "ovsdb.transact");
    let wait = ["ovsdb.wait_applied", "ovsdb.transact"];
    assert_eq!(*spans.0.lock().unwrap(), ["ovs.apply", "ovsdb.connect", read, write, wait[0], wait[1]]);
}

/// The version in the database is what the start script wrote there; the daemon's own word is on its control
/// socket.
#[tokio::test]
async fn versions_are_those_recorded() {
    let daemons = Daemons::start().await;
    let switch = daemons.vswitch();
    assert_eq!(switch.observe(&bridge()).await.unwrap().versions.ovs, None);
    daemons.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "ovs-version=3.1.0"]);
    let seen = switch.observe(&bridge()).await.unwrap();
    assert_eq!(seen.versions.ovs.as_deref(), Some("3.1.0"));
    assert!(!seen.versions.dpdk_initialized);
}
