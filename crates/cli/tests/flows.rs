//! `vdpa flows --from`: saved dumps as a user meets them.

mod common;

use std::io::Write as _;
use std::process::Stdio;

use common::command::{Said, run, vdpa};
use serde_json::Value;

/// A dump of Open vSwitch 3.1.0, plain and with `-m`.
const DUMP: &str = include_str!("../../ovs/tests/flows/captured.txt");

/// The filters of one representor in the lab's VM, as tc of iproute2 6.1 shows them.
const TC_JSON: &str = include_str!("captured/tc-filters.json");
const TC_TEXT: &str = include_str!("captured/tc-filters.txt");

/// Runs `vdpa flows --from -` on a text.
fn piped(text: &[u8], arguments: &[&str]) -> Said {
    let mut command = vdpa(&[&["flows", "--from", "-"], arguments].concat());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&text)));
    let said = Said::from(child.wait_with_output().unwrap());
    writer.join().unwrap();
    said
}

fn objects(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_dump_comes_back_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flows.txt");
    std::fs::write(&file, DUMP).unwrap();
    let said = run(&mut vdpa(&["flows", "--from", file.to_str().unwrap(), "--json"])).exits(0);
    assert!(said.err.is_empty(), "{said}");
    let flows = objects(&said);
    let texts: Vec<&str> = flows.iter().map(|flow| flow["text"].as_str().unwrap()).collect();
    assert_eq!(texts.join("\n"), DUMP.trim_end());
    let members =
        ["line", "ufid", "key", "actions", "packets", "bytes", "used", "flags", "offloaded", "dp", "text"];
    for flow in &flows {
        let keys: Vec<&String> = flow.as_object().unwrap().keys().collect();
        assert_eq!(keys, members);
    }
    assert_eq!(piped(DUMP.as_bytes(), &["--json"]).exits(0).out, said.out);
}

#[test]
fn bad_lines_are_named_and_the_rest_is_shown() {
    let mut lines: Vec<&str> = DUMP.lines().collect();
    lines.insert(3, "recirc_id(0),in_port(2),eth(src=6e:05");
    lines.insert(5, "");
    lines.insert(9, "flow-dump from the main thread:");
    lines.push("ovs-vswitchd: no such command");
    let last = lines.len();
    for arguments in [&["--json"][..], &[]] {
        let said = piped(lines.join("\n").as_bytes(), arguments).exits(1);
        let expected = [
            "error: standard input line 4, column 28: this parenthesis is not closed".to_owned(),
            format!("error: standard input line {last}, column 23: an attribute or `, packets:` is missing"),
            format!("error: 2 of {last} lines of standard input could not be read"),
            "hint: `ovs-appctl dpctl/dump-flows -m > FILE` saves a dump".to_owned(),
        ];
        assert_eq!(said.error(), expected, "{said}");
        let flows = said.out.lines().filter(|line| line.contains("in_port")).count();
        assert_eq!(flows, DUMP.lines().count(), "{said}");
    }
    let numbers: Vec<u64> = objects(&piped(lines.join("\n").as_bytes(), &["--json"]))
        .iter()
        .map(|flow| flow["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers[..5], [1, 2, 3, 5, 7]);
}

#[test]
fn bytes_that_are_no_text_are_a_bad_line() {
    let text = [DUMP.lines().next().unwrap().as_bytes(), b"\n\xff\xfe\n\0\n"].concat();
    let said = piped(&text, &[]).exits(1);
    assert!(said.error()[0].ends_with("line 2, column 1: this is no UTF-8"), "{said}");
    assert!(said.error()[2].starts_with("error: 2 of 3 lines "), "{said}");
}

#[test]
fn the_table_sums_up() {
    let said = piped(DUMP.as_bytes(), &[]).exits(0);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(lines[0].starts_with("OFFLOADED  DP "), "{said}");
    let row = lines.iter().find(|line| line.contains("in_port(eth1)")).unwrap();
    assert!(row.starts_with("yes        tc ") && row.ends_with(" → eth2"), "{row}");
    assert!(!row.contains("0/0"), "wildcards are of no interest: {row}");
    let expected = "20 flows: 10 offloaded (26 packets), 0 not (0 packets), 10 of which the dump does not say, as with `-m` (26 packets)";
    assert_eq!(lines.last(), Some(&expected));
    assert_eq!(piped(b"", &[]).exits(0).out, "0 flows\n");
}

#[test]
fn a_file_that_is_not_there_is_the_users_mistake() {
    let said = run(&mut vdpa(&["flows", "--from", "/nonexistent/flows"])).exits(2);
    said.is_an_error("cannot read /nonexistent/flows", "`-` is standard input");
    let document = run(&mut vdpa(&["flows", "--from", "/nonexistent/flows", "--json"])).exits(2).document();
    assert_eq!((&document["command"], &document["outcome"]), (&"flows".into(), &"failed".into()));
    run(&mut vdpa(&["flows", "--from", "/"])).exits(2).is_an_error("cannot read /", "`-` is standard input");
    let simulated = run(&mut vdpa(&["flows", "--from", "-", "--simulate"])).exits(2);
    assert!(simulated.error()[0].contains("a saved dump is not of a simulated host"), "{simulated}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let many = DUMP.repeat(200);
    let mut child = vdpa(&["flows", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // Nobody reads any more, and so it need not be read to its end.
    drop(child.stdin.take().unwrap().write_all(many.as_bytes()));
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn filters_of_tc_are_flows_too() {
    let json = objects(&piped(TC_JSON.as_bytes(), &["--json"]).exits(0));
    let whole: Vec<Value> = serde_json::from_str(TC_JSON).unwrap();
    let rules: Vec<&Value> = whole.iter().filter(|filter| !filter["options"].is_null()).collect();
    assert_eq!(json.len(), rules.len());
    for (flow, rule) in json.iter().zip(&rules) {
        assert_eq!(&serde_json::from_str::<Value>(flow["text"].as_str().unwrap()).unwrap(), *rule);
        let keys =
            |of: &Value| of.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!((&flow["dp"], keys(&flow["key"])), (&"tc".into(), keys(&rule["options"]["keys"])));
    }
    let first = &json[0];
    // Open vSwitch's UFID, which the cookie has in the machine's order of bytes.
    assert_eq!(first["ufid"], "5a750729-a411-4f40-893e-3b4595250b3b");
    assert_eq!(first["actions"][0], "mirred mirred_action=redirect direction=egress to_dev=eth2");
    assert_eq!((&first["packets"], &first["bytes"], &first["used"]), (&9.into(), &756.into(), &3.into()));
    assert_eq!((&first["offloaded"], &first["line"]), (&"yes".into(), &1.into()));

    let text = objects(&piped(TC_TEXT.as_bytes(), &["--json"]).exits(0));
    assert_eq!(text[0]["actions"][0], "mirred (Egress Redirect to device eth2) stolen");
    assert_eq!(
        text[0]["key"],
        serde_json::json!({
            "dst_mac": "e4:11:22:33:44:51", "src_mac": "e4:11:22:33:44:50", "eth_type": "ipv4", "ip_flags": "nofrag"
        })
    );
    for (one, other) in text.iter().zip(&json) {
        for member in ["ufid", "key", "packets", "bytes", "used", "offloaded", "dp"] {
            assert_eq!(one[member], other[member], "{member}: {one}");
        }
        assert_eq!(one["actions"].as_array().unwrap().len(), other["actions"].as_array().unwrap().len());
        assert!(TC_TEXT.contains(one["text"].as_str().unwrap()), "{one}");
    }
    let table = piped(TC_TEXT.as_bytes(), &[]).exits(0).out;
    assert!(
        table.contains(
            "yes        tc               9             756     3.000s  dst_mac e4:11:22:33:44:51, "
        ),
        "{table}"
    );
}

#[test]
fn broken_filters_are_named_and_the_rest_is_shown() {
    let (first, rest) = TC_JSON.split_once("},{").unwrap();
    let broken =
        format!("{first}}},\n{{\"kind\":7}},\n{{\"kind\" \"}}\"}}\noops\n,{{{rest}[{{\"kind\":\"flower\"");
    let said = piped(broken.as_bytes(), &["--json"]).exits(1);
    let errors = said.error();
    for (nth, expected) in [
        "line 2, invalid type: integer `7`, expected a string",
        "line 3, expected `:`",
        "line 4, this is no array of filters",
        "line 6, the file ends within a filter",
        "4 of ",
    ]
    .iter()
    .enumerate()
    {
        assert!(errors[nth].contains(expected), "{expected}: {said}");
    }
    assert_eq!(objects(&said).len(), objects(&piped(TC_JSON.as_bytes(), &["--json"])).len());
    let text = format!("{TC_TEXT}Error: oops\n{TC_TEXT}");
    let said = piped(text.as_bytes(), &["--json"]).exits(1);
    assert!(said.error()[0].ends_with("line 53, this is no filter of `tc -s filter show`"), "{said}");
    assert_eq!(objects(&said).len(), 2 * objects(&piped(TC_TEXT.as_bytes(), &["--json"])).len());
}
