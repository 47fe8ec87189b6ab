//! `kill -9` after each kind of statement that there is, of `setup` and of `teardown`: what the receipt says is enough to
//! go on, and to go back. Any moment at all is `interruption.rs`'s; a kernel that does not stop with us, the lab's;
//! an Open vSwitch with DPDK, `killed_dpdk.rs`'s.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::sync::Mutex;

use common::command::Simulated;
use serde_json::Value;

/// Host files that between them need every kind of statement, and how `setup` is called with them.
const CASES: [(&str, &[&str]); 5] = [
    (
        r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 2
[[nic.vf]]
index = 0
datapath = "dpdk"
vm = "cx6.1"
[[nic.vf]]
index = 1
datapath = "kernel"
max_rate_mbps = 1000
vlan = 100
"#,
        &[],
    ),
    (
        r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 1
steering_mode = "smfs"
encap_mode = "none"
"#,
        &[],
    ),
    (
        r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 1
[[nic]]
pci = "0000:43:00.1"
vfs = 1
[[bond]]
name = "bond7"
mode = "802.3ad"
nics = ["0000:43:00.0", "0000:43:00.1"]
"#,
        &[],
    ),
    ("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[[nic.vf]]\nindex = 0\ndatapath = \"ovs-dpdk\"\n", &[]),
    (
        "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\nfirmware = { UCTX_EN = false, SRIOV_EN = true }\n",
        &["--firmware"],
    ),
];

/// What no setup here has to make true by itself: cards since `ConnectX-5` have one inline mode and take no other
/// (`mlx5_devlink_eswitch_inline_mode_set()` in mlx5's `eswitch_offloads.c`), and ports are one in hardware once they are
/// in a bond.
const BY_ITSELF: [&str; 2] = ["inline", "lag"];

/// The kinds of statement there are, as a receipt names them.
fn kinds() -> BTreeSet<String> {
    let source = include_str!("../src/step/mod.rs");
    let declared =
        source.split("pub enum Step {\n").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap();
    let variants = declared.lines().filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" {"));
    let kebab = |name: &str| {
        let words = name.char_indices().map(|(at, c)| match c {
            'A'..='Z' if at > 0 => format!("-{}", c.to_ascii_lowercase()),
            _ => c.to_ascii_lowercase().to_string(),
        });
        words.collect::<String>()
    };
    variants.filter(|name| name.chars().all(char::is_alphanumeric)).map(kebab).collect()
}

/// What a setup with this host file makes true: kinds, with a subject of each.
fn made_true(file: &str) -> Vec<(String, String)> {
    let host = Simulated::new();
    let path = host.host_file(file);
    let (_, plan) = host.json(&["plan", "--config", path.to_str().unwrap()]);
    let statements = plan["statements"].as_array().unwrap_or_else(|| panic!("{plan:#}"));
    let changes = statements.iter().filter(|statement| statement["holds"] == false);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    changes.map(|change| (text(&change["statement"]["about"]), text(&change["subject"]))).collect()
}

/// A command that is killed when it says that this subject is as it is to be; whether it was still running then.
fn killed(host: &Simulated, arguments: &[&str], subject: &str) -> bool {
    let mut child = host.start(arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let seen = lines.any(|line| line.contains('✓') && line.contains(subject));
    // On the way back some go with what they hang on, and nothing is said of them.
    assert!(
        seen || arguments[0] == "teardown",
        "{arguments:?} has not said that {subject} is as it is to be"
    );
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// Kills a setup or a teardown after the statement, and goes on from there both ways.
fn goes_on_and_back(case: (&str, &[&str]), command: &str, subject: &str) -> bool {
    let (file, options) = case;
    let fresh = Simulated::new().snapshot();
    let host = Simulated::new();
    let path = host.host_file(file);
    let setup = [&["setup", "--config", path.to_str().unwrap()], options].concat();
    let set_up = |host: &Simulated, case: &str| {
        let said = host.run(&setup);
        // 10: what is written to firmware waits for a reset.
        assert!(matches!(said.code, Some(0 | 10)), "{case}: {said}");
    };
    if command == "teardown" {
        set_up(&host, "at first");
    }
    let words = if command == "setup" { &setup[..] } else { &["teardown"] };
    let in_time = killed(&host, words, subject);
    let case = format!("{command} killed after `{subject}`");
    let other = host.copy();
    set_up(&host, &case);
    for host in [&host, &other] {
        if host.has_receipt() {
            let said = host.run(&["teardown"]);
            assert_eq!(said.code, Some(0), "{case}, then teardown: {said}");
        }
        common::alike(&fresh, &host.snapshot(), &case);
    }
    in_time
}

#[test]
fn killed_after_every_kind_of_statement_it_goes_on_or_goes_back() {
    let mut points = Vec::new();
    let mut seen: BTreeSet<String> = BY_ITSELF.map(str::to_owned).into();
    for case in CASES {
        for (kind, subject) in made_true(case.0) {
            if seen.insert(kind) {
                points.extend(["setup", "teardown"].map(|command| (case, command, subject.clone())));
            }
        }
    }
    let missing: Vec<_> = kinds().difference(&seen).cloned().collect();
    assert!(missing.is_empty(), "no host file here needs a statement about {missing:?}");
    let (all, points, in_time) = (points.len(), Mutex::new(points), Mutex::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((case, command, subject)) = points.lock().unwrap().pop() else { break };
                    let running = goes_on_and_back(case, command, &subject);
                    *in_time.lock().unwrap() += usize::from(running);
                }
            });
        }
    });
    let in_time = in_time.into_inner().unwrap();
    assert!(in_time > all / 3, "only {in_time} of {all} were killed before they had ended");
}
