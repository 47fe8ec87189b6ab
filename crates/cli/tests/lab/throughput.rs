//! `vdpa bench` where a card forwards: the pretend one.

use serde_json::Value;

use super::guest::Guest;
use super::verify::Bench;

/// Runs, all of one way: who forwarded them.
fn through(document: &Value) -> Vec<&str> {
    let runs = document["record"]["runs"].as_array().unwrap_or_else(|| panic!("{document:#}"));
    runs.iter().filter_map(|run| run["path"]["through"].as_str()).collect()
}

#[test]
fn bench_tells_what_went_through_hardware_from_what_did_not() {
    let guest = Guest::new();
    let bench = Bench::new(&guest);
    let ends = ["bench", "--json", "--from", bench.first.namespace(), "--to", bench.second.address()];
    let iperf = ["--sink", bench.second.namespace(), "--streams", "2", "--seconds", "3"];

    let both = [&ends[..], &iperf, &["--direction", "both", "--record", "/tmp/bench.json"]].concat();
    let hardware = guest.vdpa(&both).json();
    assert_eq!(through(&hardware), ["hardware"], "{hardware:#}");
    let run = &hardware["record"]["runs"][0];
    for way in ["forward", "reverse"] {
        let measured = &run["result"]["throughput"][way];
        assert!(measured["bits_per_second"].as_f64() > Some(1e5), "{run:#}");
    }
    let facts = &hardware["record"]["facts"];
    assert!(facts["kernel"].is_string() && facts["ovs"].is_string(), "{facts:#}");
    assert!(facts["cards"].as_array().is_some_and(|cards| !cards.is_empty()), "{facts:#}");
    let udp = guest.vdpa(&[&ends[..], &iperf, &["--direction", "reverse", "--udp", "2M"]].concat()).json();
    assert_eq!(through(&udp), ["hardware"], "{udp:#}");
    let ping = guest.vdpa(&[&ends[..], &["--ping", "--seconds", "3", "--require-hardware"]].concat()).json();
    assert_eq!((through(&ping), &ping["exit_code"]), (vec!["hardware"], &0.into()), "{ping:#}");

    let knob = guest.knob("reject_tc", "1");
    bench.forget_flows();
    let compared = [&ends[..], &iperf, &["--direction", "both", "--compare", "/tmp/bench.json"]].concat();
    let software =
        guest.vdpa(&[&compared[..], &["--threshold", "100", "--require-hardware"]].concat()).json();
    drop(knob);
    assert_eq!(through(&software), ["software"], "{software:#}");
    assert_eq!((&software["outcome"], &software["exit_code"]), (&"not-offloaded".into(), &1.into()));
    let legs = software["record"]["runs"][0]["path"]["legs"].to_string();
    assert!(legs.contains("did not take the rule"), "why not: {legs}");
    let differences = software["comparison"]["differences"].to_string();
    assert!(differences.contains("NOT through hardware"), "{differences}");
    let notes = software["notes"].to_string();
    assert!(notes.contains("traffic did not go through hardware: 1 of 1"), "{notes}");
    bench.end();
}
