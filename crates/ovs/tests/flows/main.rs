//! Flow text: what Open vSwitch prints is understood to the last field, and prints as it was.

mod grammar;

use proptest::prelude::*;
use vdpa_ovs::flow::{Action, Actions, Attribute, Flow, FlowLine, Key};

/// Dumps of Open vSwitch 3.1.0 in the lab's VM: two VFs and the wire of a pretend card, pinged in all directions.
const CAPTURED: &str = include_str!("captured.txt");

/// The attributes and actions that are only kept as text.
fn not_understood(flow: &Flow) -> Vec<String> {
    let keys = flow.key.all().into_iter().filter(|attribute| matches!(attribute, Attribute::Other(_)));
    let actions = flow.actions.all();
    let set = actions.iter().filter(|action| match action {
        Action::Set(attribute) => matches!(**attribute, Attribute::Other(_)),
        action => matches!(action, Action::Other(_)),
    });
    keys.map(ToString::to_string).chain(set.map(ToString::to_string)).collect()
}

#[test]
fn captured_dumps_are_understood_and_print_as_they_were() {
    let mut flows = 0;
    for text in CAPTURED.lines() {
        let flow: Flow = text.parse().unwrap_or_else(|bad| panic!("{bad}: {text}"));
        assert_eq!(flow.to_string(), text);
        assert_eq!(not_understood(&flow), [""; 0], "{text}");
        flows += 1;
    }
    assert!(flows >= 20, "{flows}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_the_grammar_makes_is_understood_and_prints_as_it_was(text in grammar::flow()) {
        let flow: Flow = text.parse().unwrap();
        prop_assert_eq!(flow.to_string(), &*text);
        prop_assert_eq!(not_understood(&flow), [""; 0]);
        let line = FlowLine::scan(&text).unwrap();
        prop_assert_eq!(line.parse(), flow);
    }

    #[test]
    fn no_text_is_lost_whatever_it_is(text in "[a-z0-9(),=/:{}+|. -]{0,80}|\\PC{0,40}") {
        prop_assert_eq!(Key::of(&text).to_string(), &*text);
        prop_assert_eq!(Actions::of(&text).to_string(), &*text);
        if let Ok(flow) = text.parse::<Flow>() {
            prop_assert_eq!(flow.to_string(), text);
        }
    }

    #[test]
    fn a_flow_that_someone_has_tampered_with_is_bad_or_prints_as_it_is(text in grammar::flow(), at: prop::sample::Index,
                                                                       with in "[(),:=/ 0-9a-z]{0,3}") {
        let (at, mut broken) = (at.index(text.len()), text);
        broken.replace_range(at..=at, &with);
        if let Ok(flow) = broken.parse::<Flow>() {
            prop_assert_eq!(flow.to_string(), broken);
        }
    }
}

#[test]
fn what_is_not_known_is_kept_and_the_rest_is_understood() {
    let text = "in_port(2),hue(deep,blue),eth(src=0:0:0:0:0:1),encap(taste(sour),eth_type(0x800)), packets:0, bytes:0, \
                used:never, offloaded:mostly, dp:pipes, actions:paint(red,clone(2)),action29(00 11),3";
    let flow: Flow = text.parse().unwrap();
    assert_eq!(flow.to_string(), text);
    assert_eq!(
        not_understood(&flow),
        [
            "hue(deep,blue)",
            "eth(src=0:0:0:0:0:1)",
            "taste(sour)",
            "eth_type(0x800)",
            "paint(red,clone(2))",
            "action29(00 11)"
        ]
    );
    assert_eq!(flow.actions.outputs().iter().map(ToString::to_string).collect::<Vec<_>>(), ["3"]);
}

#[test]
fn broken_attributes_as_the_daemon_prints_them_are_kept() {
    for text in [
        "ipv4(frag=error: partial mask not supported for frag (0x3))",
        "key29(bad key length 4, expected 2)(00 11)",
        "ct_state()",
        "mpls(label=1,tc=0)",
        "tunnel(tun_id=0x1,geneve(opt len 2 less than minimum 4),flags(+key))",
        "eth_type(0x88cc),<empty>",
    ] {
        assert_eq!(Key::of(text).to_string(), text);
    }
    for text in
        ["userspace(error)", "ct(error)", "bad length 4, expected 8 for: action5(00 11)", "nat(range error)"]
    {
        assert_eq!(Actions::of(text).to_string(), text);
    }
}

#[test]
fn nesting_without_end_ends_as_text() {
    for (open, close) in [("clone(", ")"), ("sample(sample=1.0%,actions(", "))"), ("dec_ttl(le_1(", "))")] {
        let text = open.repeat(10_000) + "1" + &close.repeat(10_000);
        let actions = Actions::of(&text);
        assert_eq!(actions.to_string(), text);
        assert_eq!(actions.all().len(), 33, "32 are taken apart, the next is text");
    }
    let text = "encap(".repeat(10_000) + &")".repeat(10_000);
    assert_eq!(Key::of(&text).to_string(), text);
}
