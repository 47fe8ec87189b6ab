//! Each reason, made to hold.

use std::collections::{BTreeMap, BTreeSet};

use vdpa_hw::IfIndex;
use vdpa_ovs::Observation;
use vdpa_tc::{
    Action, ActionKind, Classifier, Control, Counters, Direction, Filter, Flower, Key, Match, Place, Stats,
};

use super::*;
use crate::offload::{KINDS, Port};

const UFID: &str = "ca5bbede-9afb-466a-890c-09aa6ad9b22c";

/// A bridge with two representors of one card, its own port, a tap and a port of another card, where everything is as
/// it should be.
fn offloading() -> Survey {
    let card = |index, switch: &str| Port {
        index: Some(IfIndex(index)),
        on_bridge: true,
        parent: "0000:43:00.0".parse().ok(),
        switch: Some(switch.to_owned()),
        hooked: true,
        tc_offload: Some(true),
        ..Port::default()
    };
    let ports = [
        ("rep0", card(11, "0c42a1")),
        ("rep1", card(12, "0c42a1")),
        ("other", card(13, "0c42a2")),
        ("tap0", Port { index: Some(IfIndex(14)), on_bridge: true, hooked: true, ..Port::default() }),
        ("br", Port { index: Some(IfIndex(15)), on_bridge: true, internal: true, ..Port::default() }),
    ];
    Survey {
        ports: ports.map(|(name, port)| (name.to_owned(), port)).into(),
        observation: Observation { hw_offload: Some("true".to_owned()), ..Observation::default() },
        modes: BTreeMap::from([("0000:43:00.0".parse().unwrap(), Mode::Switchdev)]),
        ..Survey::default()
    }
}

fn flow(from: &str, more: &str, by: &str, actions: &str) -> Flow {
    let text = format!(
        "ufid:{UFID}, recirc_id(0),in_port({from}),eth(src=e4:11:22:33:55:60,dst=e4:11:22:33:55:61),eth_type(0x0800){more}, \
         packets:10, bytes:840, used:0.100s, {by}, actions:{actions}"
    );
    text.parse().unwrap()
}

fn filter(flags: Flags) -> (String, Filter) {
    let redirect = Action {
        cookie: vdpa_tc::Cookie::of_ufid(UFID),
        stats: Some(Stats::default()),
        ..Action::new(ActionKind::Mirred { to: IfIndex(12), mirror: false, ingress: false }, Control::Stolen)
    };
    let rule = Flower { flags, actions: vec![redirect], ..Flower::default() };
    let filter = Filter {
        place: Place::Link(IfIndex(11), Direction::Ingress),
        chain: 0,
        priority: 2,
        protocol: 0x0800,
        handle: 1,
        classifier: Classifier::Flower(Box::new(rule)),
    };
    ("rep0".to_owned(), filter)
}

fn in_datapath(actions: &str) -> Flow {
    flow("rep0", "", "dp:ovs", actions)
}

fn in_tc(from: &str, actions: &str) -> Flow {
    flow(from, "", "dp:tc", actions)
}

fn with_port(survey: &Survey, name: &str, change: impl FnOnce(&mut Port)) -> Survey {
    let mut survey = survey.clone();
    change(survey.ports.get_mut(name).unwrap());
    survey
}

fn with_policy(policy: &str) -> Survey {
    let mut survey = offloading();
    survey.observation.other_config.insert("tc-policy".to_owned(), policy.to_owned());
    survey
}

/// Every reason that one look can tell, with a host on which it is the first that holds.
fn hosts() -> Vec<(&'static str, Survey, Flow)> {
    let well = offloading();
    let mut legacy = well.clone();
    legacy.modes.insert("0000:43:00.0".parse().unwrap(), Mode::Legacy);
    let mut off = well.clone();
    off.observation.hw_offload = None;
    let mut unhooked = well.clone();
    unhooked.ports.values_mut().for_each(|port| port.hooked = false);
    let mut logged = well.clone();
    logged.complaints =
        vec!["…|dpif_netlink(handler1)|ERR|failed to offload flow: Invalid argument: rep0".into()];
    let mut unshared = well.clone();
    unshared.complaints =
        vec!["…|netdev_offload_tc(handler1)|ERR|flow_put: recirc_id sharing not supported".into()];
    let refused = Survey { filters: vec![filter(Flags::NOT_IN_HW)], ..well.clone() };
    let skipped = Survey { filters: vec![filter(Flags::SKIP_HW | Flags::NOT_IN_HW)], ..well.clone() };
    let marked = ",skb_mark(0x1/0xff)";
    vec![
        ("eswitch-legacy", legacy, in_datapath("rep1")),
        ("hw-offload-off", off, in_datapath("rep1")),
        ("hw-offload-not-in-force", unhooked, in_datapath("rep1")),
        ("internal-source", well.clone(), flow("br", "", "dp:ovs", "rep1")),
        ("not-on-card", well.clone(), in_tc("tap0", "rep1")),
        ("no-ingress-qdisc", with_port(&well, "rep0", |port| port.hooked = false), in_datapath("rep1")),
        (
            "hw-tc-offload-off",
            with_port(&well, "rep0", |port| port.tc_offload = Some(false)),
            in_tc("rep0", "rep1"),
        ),
        ("internal-destination", well.clone(), in_tc("rep0", "rep1,br")),
        ("other-switch", well.clone(), in_tc("rep0", "other")),
        ("skip-hw", skipped, in_tc("rep0", "rep1")),
        ("skip-hw", with_policy("skip_hw"), in_tc("rep0", "rep1")),
        ("skip-sw-conntrack", with_policy("skip_sw"), in_datapath("ct(commit),rep1")),
        ("unsupported-key", well.clone(), flow("rep0", marked, "dp:ovs", "rep1")),
        ("unsupported-key", well.clone(), flow("rep0", ",ipv6(label=0x5,frag=no)", "dp:ovs", "rep1")),
        ("unsupported-action", well.clone(), in_datapath("sample(sample=1.5%,actions(drop)),rep1")),
        ("unsupported-action", well.clone(), in_datapath("set(skb_priority(0x10001)),rep1")),
        (
            "chain-not-in-tc",
            well.clone(),
            in_datapath("rep1").to_string().replace("recirc_id(0)", "recirc_id(0x7)").parse().unwrap(),
        ),
        ("recirculation-not-shared", unshared, in_datapath("ct(zone=3),recirc(0x7)")),
        ("driver-refused", refused, in_tc("rep0", "rep1")),
        ("driver-refused", with_policy("skip_sw"), in_datapath("rep1")),
        ("ovs-refused", logged, in_datapath("rep1")),
        ("unknown", well.clone(), flow("rep0", ",skb_mark(0)", "dp:ovs", "rep1")),
        ("unknown", well, in_datapath("set(eth(dst=e4:11:22:33:55:62)),rep1")),
    ]
}

#[test]
fn the_first_reason_that_holds_is_told() {
    for (wanted, survey, flow) in hosts() {
        let survey = Survey { flows: vec![flow], ..survey };
        let reason = why(&survey, &survey.joined()[0], None);
        let name = reason.as_ref().map(|reason| reason.kind().name);
        assert_eq!(name, Some(wanted), "{}", survey.flows[0]);
        // Programs read the same name.
        assert_eq!(serde_json::to_value(&reason).unwrap()["reason"], wanted);
    }
}

/// No reason without a host on which it is told; three of them need packets.
#[test]
fn every_reason_is_made_to_hold() {
    let made: BTreeSet<&str> = hosts().iter().map(|(name, ..)| *name).collect();
    let measured = ["icmp-under-conntrack", "conntrack-in-software", "software-all-the-same"];
    for kind in KINDS {
        assert!(made.contains(kind.name) != measured.contains(&kind.name), "{}", kind.name);
    }
}

/// Pitfall 40: ICMP under conntrack is not offloaded, whatever tc says of the rule.
#[test]
fn a_rule_in_hardware_says_why_packets_pass_in_software_all_the_same() {
    let passed = |hardware, software| {
        let counters = |packets| Counters { packets, bytes: packets * 84 };
        Some(Split { hardware: counters(hardware), software: counters(software) })
    };
    let survey = Survey { filters: vec![filter(Flags::IN_HW)], ..offloading() };
    for (more, actions, wanted) in [
        (",ipv4(proto=1,frag=no)", "ct(zone=3),recirc(0x1)", "icmp-under-conntrack"),
        (",ipv4(proto=6,frag=no)", "ct(zone=3),recirc(0x1)", "conntrack-in-software"),
        (",ipv4(frag=no)", "rep1", "software-all-the-same"),
    ] {
        let survey =
            Survey { flows: vec![flow("rep0", more, "offloaded:yes, dp:tc", actions)], ..survey.clone() };
        let joined = survey.joined()[0];
        assert_eq!(joined.forwarder(), Forwarder::Hardware);
        let reason = why(&survey, &joined, passed(5, 45)).map(|reason| reason.kind().name);
        assert_eq!(reason, Some(wanted));
        assert_eq!(why(&survey, &joined, passed(50, 0)), None, "all of them in hardware");
        assert_eq!(why(&survey, &joined, None), None, "nobody measured");
    }
}

#[test]
fn a_flow_and_its_filter_meet_by_ufid_or_by_match() {
    let survey =
        Survey { flows: vec![in_tc("rep0", "rep1")], filters: vec![filter(Flags::IN_HW)], ..offloading() };
    assert!(survey.joined()[0].filter.is_some(), "by the cookie");

    // A filter of somebody who writes no cookies, with the flow's match.
    let (port, mut cookieless) = filter(Flags::IN_HW);
    let Classifier::Flower(rule) = &mut cookieless.classifier else { unreachable!() };
    rule.actions[0].cookie = None;
    rule.matches = [(Key::SrcMac, "e4:11:22:33:55:60"), (Key::DstMac, "e4:11:22:33:55:61")]
        .map(|(key, text)| Match::parse(key, text).unwrap())
        .into();
    let by_match = Survey { filters: vec![(port.clone(), cookieless.clone())], ..survey.clone() };
    assert!(by_match.joined()[0].filter.is_some(), "by match");

    let Classifier::Flower(rule) = &mut cookieless.classifier else { unreachable!() };
    rule.matches.pop();
    let other = Survey { filters: vec![(port, cookieless)], ..survey };
    assert!(other.joined()[0].filter.is_none(), "the filter of another flow");
}
