//! Who forwarded what iperf3 says arrived.

use vdpa_hw::IfIndex;
use vdpa_ovs::Observation;

use super::*;
use crate::config::default_bridge;
use crate::offload::Port;

/// A bridge with two representors, and flows from one to the other and back that have forwarded so many bytes.
fn look(flows: &[(&str, &str, &str, u64)]) -> Survey {
    let port = |index| Port {
        index: Some(IfIndex(index)),
        on_bridge: true,
        parent: "0000:43:00.0".parse().ok(),
        switch: Some("0c42a1".to_owned()),
        hooked: true,
        tc_offload: Some(true),
        ..Port::default()
    };
    let flow = |(nth, (from, to, by, bytes)): (usize, &(&str, &str, &str, u64))| {
        let text = format!(
            "ufid:ca5bbede-9afb-466a-890c-09aa6ad9b2{nth:02x}, recirc_id(0),in_port({from}),\
             eth(src=e4:11:22:33:55:60,dst=e4:11:22:33:55:61),eth_type(0x0800), packets:{}, bytes:{bytes}, \
             used:0.100s, {by}, actions:{to}",
            bytes / 1000
        );
        text.parse().unwrap()
    };
    Survey {
        ports: [("rep0", port(11)), ("rep1", port(12))].map(|(name, port)| (name.to_owned(), port)).into(),
        observation: Observation { hw_offload: Some("true".to_owned()), ..Observation::default() },
        flows: flows.iter().enumerate().map(flow).collect(),
        ..Survey::default()
    }
}

const CARD: &str = "offloaded:yes, dp:tc";
const CPU: &str = "dp:ovs";
const MB: u64 = 1_000_000;

fn judged(flows: &[(&str, &str, &str, u64)], carried: &Carried) -> Path {
    let none: Vec<_> = flows.iter().map(|&(from, to, by, _)| (from, to, by, 0)).collect();
    let looks = Looks { before: look(&none), begin: look(&none), end: look(flows) };
    Path::of(&looks, &default_bridge(), carried)
}

fn tcp(ways: &[u64], streams: usize) -> Carried {
    Carried::Bytes { ways: ways.to_vec(), streams, answered: true }
}

#[test]
fn what_the_card_forwarded_there_and_back_is_through_hardware() {
    let flows = [("rep0", "rep1", CARD, 1000 * MB), ("rep1", "rep0", CARD, 2 * MB)];
    let path = judged(&flows, &tcp(&[1000 * MB], 1));
    assert_eq!((path.through, path.why.as_deref()), (Through::Hardware, None), "{path:?}");
    assert_eq!(path.legs.len(), 2);
    assert_eq!((path.legs[0].from.as_str(), path.legs[0].hardware_bytes), ("rep0", 1000 * MB));
    // Counters of flows in hardware are seconds old.
    let late = [("rep0", "rep1", CARD, 300 * MB), ("rep1", "rep0", CARD, 2 * MB)];
    assert_eq!(judged(&late, &tcp(&[1000 * MB], 1)).through, Through::Hardware);
}

#[test]
fn one_stream_of_many_in_software_is_enough() {
    let mut flows = vec![("rep0", "rep1", CARD, 700 * MB), ("rep1", "rep0", CARD, 2 * MB)];
    // Slower for it, by far, and still no stranger.
    flows.push(("rep0", "rep1", CPU, MB));
    let path = judged(&flows, &tcp(&[700 * MB], 8));
    assert_eq!(path.through, Through::Software, "{path:?}");
    let leg = path.legs.iter().find(|leg| !leg.offloaded).unwrap();
    assert!(leg.why.is_some() && leg.remedy.is_some(), "{leg:?}");
    // Acknowledgements in software are software too.
    let back = [("rep0", "rep1", CARD, 1000 * MB), ("rep1", "rep0", CPU, 2 * MB)];
    assert_eq!(judged(&back, &tcp(&[1000 * MB], 1)).through, Through::Software);
}

#[test]
fn what_strangers_send_meanwhile_does_not_count() {
    let flows =
        [("rep0", "rep1", CARD, 1000 * MB), ("rep1", "rep0", CARD, 2 * MB), ("rep0", "rep1", CPU, MB / 10)];
    assert_eq!(judged(&flows, &tcp(&[1000 * MB], 1)).through, Through::Hardware);
}

#[test]
fn what_the_bridge_did_not_forward_is_not_proven() {
    // Somebody else's flows, offloaded as they may be.
    let flows = [("rep0", "rep1", CARD, 100 * MB), ("rep1", "rep0", CARD, 100 * MB)];
    let path = judged(&flows, &tcp(&[1000 * MB], 1));
    assert_eq!(path.through, Through::NotProven, "{path:?}");
    assert!(path.legs.is_empty() && path.why.is_some_and(|why| why.contains("another way")));
    assert_eq!(judged(&[], &tcp(&[MB], 1)).through, Through::NotProven);
    // One way of two that were measured at once.
    let half = [("rep0", "rep1", CARD, 1000 * MB), ("rep1", "rep0", CARD, 2 * MB)];
    assert_eq!(judged(&half, &tcp(&[1000 * MB, 900 * MB], 1)).through, Through::NotProven);
    // Answers that were seen nowhere.
    let path = judged(&half[..1], &tcp(&[1000 * MB], 1));
    assert!(path.why.is_some_and(|why| why.contains("one port")), "answered by whom?");
}

#[test]
fn datagrams_need_no_answer_and_requests_are_counted_by_their_number() {
    let there = [("rep0", "rep1", CARD, 1000 * MB)];
    let udp = Carried::Bytes { ways: vec![1000 * MB], streams: 1, answered: false };
    assert_eq!(judged(&there, &udp).through, Through::Hardware);
    let both = [("rep0", "rep1", CARD, MB / 20), ("rep1", "rep0", CARD, MB / 20)];
    assert_eq!(judged(&both, &Carried::Requests(50)).through, Through::Hardware);
    assert_eq!(judged(&both, &Carried::Requests(500)).through, Through::NotProven);
}
