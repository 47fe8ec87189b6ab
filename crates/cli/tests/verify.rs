//! `vdpa verify` and `vdpa flows` on a simulated host, as a user meets them.

mod common;

use common::command::Simulated;
use serde_json::Value;

/// A reason, and what is done to a host for it to hold.
type Meddling<'a> = (&'a str, Box<dyn FnOnce(&mut Value) + 'a>);

/// A host that was set up.
fn set_up() -> Simulated {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    host
}

/// Changes the simulated host behind everybody's back.
fn meddle(host: &Simulated, change: impl FnOnce(&mut Value)) {
    let path = host.path().join("host.json");
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(&path, state.to_string()).unwrap();
}

fn each_netdev(state: &mut Value, change: impl Fn(&mut Value)) {
    state["machine"]["netdevs"].as_object_mut().unwrap().values_mut().for_each(change);
}

fn reasons(document: &Value) -> Vec<&str> {
    let directions = document["directions"].as_array().unwrap();
    directions.iter().map(|direction| direction["why"]["reason"].as_str().unwrap_or("offloaded")).collect()
}

#[test]
fn a_host_that_was_set_up_offloads_both_directions() {
    let host = set_up();
    let (said, document) = host.json(&["verify"]);
    assert_eq!((said.code, document["outcome"].as_str()), (Some(0), Some("offloaded")), "{document:#}");
    let directions = document["directions"].as_array().unwrap();
    assert_eq!(directions.len(), 2, "{document:#}");
    for direction in directions {
        assert_eq!(direction["in_hw"], true);
        assert_eq!(direction["hardware"]["packets"], 100, "20 a second for 5 s: {direction:#}");
        assert_eq!(direction["software"]["packets"], 0);
        assert_eq!(direction["slow_path"]["first"], 1, "the first packet alone: {direction:#}");
        assert_eq!(direction["slow_path"]["measured"], 0);
    }
    assert_eq!(document["traffic"]["sent"], document["traffic"]["received"]);
}

#[test]
fn people_read_the_verdict_with_its_numbers() {
    let host = set_up();
    let said = host.run(&["verify"]).exits(0);
    for expected in [
        "in_hw, 100 packets in hardware, 0 in software",
        "slow path: 1 packet at first, 0 while measured",
        "offloaded: 2 directions",
    ] {
        assert!(said.out.contains(expected), "`{expected}` is not in {said}");
    }
    assert!(said.out.lines().all(|line| line.starts_with("[simulated] ")), "{said}");
}

#[test]
fn flows_are_shown_with_what_the_card_counted() {
    let host = set_up();
    host.run(&["verify"]).exits(0);
    let table = host.run(&["flows"]).exits(0);
    assert!(table.out.contains("2 flows: 2 offloaded (278 packets), 0 not"), "{table}");
    let said = host.run(&["flows", "--json"]).exits(0);
    let flows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(flows.len(), 2, "{said}");
    for flow in flows {
        assert_eq!(flow["hardware"]["packets"], 139, "{flow:#}");
        assert_eq!((&flow["in_hw"], &flow["why"]), (&Value::Bool(true), &Value::Null), "{flow:#}");
    }
}

#[test]
fn a_host_that_was_not_set_up_proves_nothing() {
    let host = Simulated::new();
    host.keep();
    let (said, document) = host.json(&["verify"]);
    assert_eq!((said.code, document["outcome"].as_str()), (Some(1), Some("no-packets")), "{document:#}");
}

#[test]
fn nobody_else_sends_on_a_simulated_host() {
    let host = set_up();
    let (said, document) = host.json(&["verify", "--watch", "3"]);
    assert_eq!(document["directions"].as_array().map(Vec::len), Some(2), "its VM does: {said}");
}

#[test]
fn what_stands_in_the_way_is_named_with_what_to_do() {
    let card = |state: &mut Value, knob: &str| {
        for function in state["machine"]["functions"].as_object_mut().unwrap().values_mut() {
            if let Some(pf) = function["role"].get_mut("pf") {
                pf["profile"][knob] = Value::Bool(true);
            }
        }
    };
    let cases: Vec<Meddling<'_>> = vec![
        ("driver-refused", Box::new(|state| card(state, "refuses_flower"))),
        (
            "hw-tc-offload-off",
            Box::new(|state| {
                each_netdev(state, |netdev| {
                    if netdev["tc_offload"] == true {
                        netdev["tc_offload"] = false.into();
                    }
                });
            }),
        ),
        (
            "hw-offload-not-in-force",
            Box::new(|state| each_netdev(state, |netdev| netdev["ingress_qdisc"] = false.into())),
        ),
        (
            "hw-offload-off",
            Box::new(|state| {
                each_netdev(state, |netdev| netdev["ingress_qdisc"] = false.into());
                state["vswitch"]["other_config"].as_object_mut().unwrap().remove("hw-offload");
            }),
        ),
    ];
    for (reason, change) in cases {
        let host = set_up();
        meddle(&host, change);
        let (said, document) = host.json(&["verify"]);
        assert_eq!(
            (said.code, document["outcome"].as_str()),
            (Some(1), Some("not-offloaded")),
            "{reason}: {document:#}"
        );
        assert_eq!(reasons(&document), [reason, reason], "{document:#}");
        let slow = &document["directions"][0]["slow_path"]["measured"];
        assert_eq!(slow, 100, "every packet met the CPU: {document:#}");
        let table = host.run(&["flows"]).exits(0);
        assert!(table.out.contains("why: ") && table.out.contains("to do: "), "{reason}: {table}");
    }
}

#[test]
fn flags_that_cannot_be_are_refused() {
    let host = Simulated::new();
    for (arguments, expected) in [
        (&["verify", "--from", "vm0"][..], "--to"),
        (&["verify", "--to", "10.0.0.1"], "--from"),
        (&["verify", "--from", "vm0", "--to", "10.0.0"], "10.0.0"),
        (&["verify", "--from", "a/b", "--to", "10.0.0.1"], "names no end"),
        (&["verify", "--seconds", "1"], "3..=3600"),
        (&["verify", "--watch", "5", "--from", "vm0", "--to", "10.0.0.1"], "cannot be used with"),
    ] {
        let said = host.run(arguments).exits(2);
        assert!(said.err.contains(expected), "{arguments:?}: {said}");
    }
}
