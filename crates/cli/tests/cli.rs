//! The command as a user meets it: the first two minutes, `--json`, exit codes, help, pipes.

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Mutex;

use common::command::{Simulated, run, vdpa};
use serde_json::Value;

#[test]
fn a_newcomer_sets_up_looks_and_tears_down() {
    let host = Simulated::new();
    let before = host.snapshot();
    let planned = host.run(&["plan", "--detailed-exitcode"]).exits(10);
    assert!(planned.out.contains("legacy → switchdev"), "{planned}");
    let done = host.run(&["setup"]).exits(0);
    assert!(done.out.contains("✓ eswitch of 0000:43:00.0: switchdev"), "{done}");
    let again = host.run(&["setup"]).exits(0);
    assert!(again.out.contains("unchanged"), "{again}");
    let status = host.run(&["status"]).exits(0);
    assert!(status.out.contains("19 of 19 statements hold; set up"), "{status}");
    host.run(&["plan", "--detailed-exitcode"]).exits(0);
    let gone = host.run(&["teardown"]).exits(0);
    assert!(gone.out.contains("the host is as it was"), "{gone}");
    assert_eq!(before, host.snapshot());
    assert!(!host.has_receipt());
    let nothing = host.run(&["teardown"]).exits(0);
    assert!(nothing.out.contains("nothing was set up here"), "{nothing}");
}

#[test]
fn every_line_about_a_simulated_host_says_so() {
    let host = Simulated::new();
    let broken = host.host_file("[[nic]]\npci = \"0000:43:00.0\"\nvfs = \"two\"\n");
    let broken = broken.to_str().unwrap();
    let commands: [&[&str]; 9] = [
        &["plan"],
        &["setup", "--fail-at", "7"],
        &["setup", "--config", broken],
        &["setup", "-v"],
        &["setup", "-vv"],
        &["status"],
        &["plan", "--pci", "0000:99:00.0", "--vfs", "2"],
        &["teardown", "--fail-at", "2", "-v"],
        &["teardown"],
    ];
    for command in commands {
        let said = host.run(command);
        assert!(!said.out.is_empty() || !said.err.is_empty());
        for line in said.out.lines().chain(said.err.lines()) {
            assert!(line.starts_with("[simulated] "), "{command:?} says {line:?}\n{said}");
        }
    }
}

#[test]
fn a_simulated_host_lives_in_the_users_state_directory() {
    let (state, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set_up = |command: &mut std::process::Command| {
        run(command.arg("--simulate").env("HOME", home.path())).exits(0)
    };
    set_up(vdpa(&["setup"]).env("XDG_STATE_HOME", state.path()));
    assert!(state.path().join("vdpa/simulated/host.json").exists());
    // "All paths set in these environment variables must be absolute": others are to be ignored.
    assert!(!home.path().join(".local").exists());
    set_up(vdpa(&["setup"]).env("XDG_STATE_HOME", "relative"));
    assert!(home.path().join(".local/state/vdpa/simulated/host.json").exists());
}

/// Names of objects and what kind each value has, so that a change of the documented shape shows.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(list) => list.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => Value::Null,
    }
}

#[test]
fn json_is_one_document_of_the_documented_shape_whatever_happens() {
    let host = Simulated::new();
    let broken = host.host_file("[[nic]]\npci = \"0000:43:00.0\"\nvfs = \"two\"\n");
    let commands: [(&[&str], &str, &str, i64); 14] = [
        (&["plan", "--detailed-exitcode"], "plan", "changes", 10),
        (&["status"], "status", "drift", 1),
        (&["teardown"], "teardown", "unchanged", 0),
        (&["setup", "--fail-at", "4"], "setup", "failed", 1),
        (&["setup"], "setup", "done", 0),
        (&["setup"], "setup", "unchanged", 0),
        (&["status"], "status", "holds", 0),
        (&["plan"], "plan", "unchanged", 0),
        (&["setup", "--config", broken.to_str().unwrap()], "setup", "failed", 2),
        (&["setup", "--config", "/nonexistent"], "setup", "failed", 2),
        (&["plan", "--pci", "0000:99:00.0", "--vfs", "1"], "plan", "failed", 2),
        (&["setup", "--pci", "nonsense", "--vfs", "1"], "vdpa", "failed", 2),
        (&["sing"], "vdpa", "failed", 2),
        (&["teardown"], "teardown", "done", 0),
    ];
    for (arguments, command, outcome, code) in commands {
        let (said, document) = host.json(arguments);
        assert_eq!(
            (&document["command"], &document["outcome"]),
            (&command.into(), &outcome.into()),
            "{arguments:?}\n{said}"
        );
        assert_eq!(document["exit_code"], code, "{arguments:?}");
        assert_eq!(
            said.code.map(i64::from),
            Some(code),
            "{arguments:?}: the process disagrees with its document"
        );
        assert_eq!(document["simulated"], command != "vdpa");
        assert_eq!(document["error"].is_null(), outcome != "failed", "{said}");
        assert!(said.err.is_empty(), "{arguments:?} says something besides: {said}");
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        let expected = [
            "command",
            "simulated",
            "outcome",
            "exit_code",
            "elapsed_ms",
            "statements",
            "receipt",
            "notes",
            "error",
            "restored",
        ];
        assert_eq!(keys, expected, "{arguments:?}");
    }
}

#[test]
fn the_parts_of_a_document_keep_their_shape() {
    let host = Simulated::new();
    let (_, failed) = host.json(&["setup", "--fail-at", "6"]);
    assert_eq!(
        shape(&failed["error"]),
        serde_json::json!({ "message": "text", "details": ["text"], "hint": "text" })
    );
    assert_eq!(failed["restored"], serde_json::json!({ "of": 6, "remains": [] }));
    let (_, done) = host.json(&["setup"]);
    let statement = serde_json::json!({
        "subject": "text", "wanted": "text", "now": "text", "holds": "bool",
        "statement": { "about": "text", "pf": "text", "on": "bool" },
    });
    assert_eq!(shape(&done["statements"][0]), statement);
    assert_eq!(done["receipt"], serde_json::json!({ "phase": "applied", "order": "switchdev-first" }));
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["receipt"], done["receipt"]);
}

#[test]
fn whichever_operation_fails_the_host_is_as_it_was() {
    let before = Simulated::new().snapshot();
    let successes = Mutex::new(Vec::new());
    // Each waits on the simulated clock most of its time.
    std::thread::scope(|scope| {
        for at in 1..=24 {
            let (before, successes) = (&before, &successes);
            scope.spawn(move || {
                let host = Simulated::new();
                let said = host.run(&["setup", "--fail-at", &at.to_string()]);
                if said.code == Some(0) {
                    successes.lock().unwrap().push(at);
                    return;
                }
                let said = said.exits(1);
                assert!(said.error()[0].starts_with("error: "), "{at}: {said}");
                assert!(said.err.contains("fault injected"), "{at}: {said}");
                // The first operation of all changed nothing, so that there is nothing to say.
                let back = said
                    .error()
                    .iter()
                    .any(|line| line.starts_with("rolled back ") && line.ends_with("the host is as it was"));
                assert!(back, "{at}: {said}");
                assert!(said.error().last().unwrap().starts_with("hint: "), "{at}: {said}");
                assert_eq!(*before, host.snapshot(), "{at}");
                assert!(!host.has_receipt());
            });
        }
    });
    let successes = successes.into_inner().unwrap();
    // A card that refuses switchdev once, which is operation 3, is set up in the other order.
    let all = successes.iter().filter(|at| **at != 3).min().copied().unwrap_or(0);
    assert!(
        successes.contains(&3) && all > 15 && (all..=24).all(|at| successes.contains(&at)),
        "{successes:?}"
    );
}

#[test]
fn an_error_names_the_object_quotes_the_kernel_and_ends_in_a_hint() {
    let host = Simulated::new();
    let said = host.run(&["setup", "--fail-at", "4"]).exits(1);
    let expected = [
        "error: cannot set the number of VFs of 0000:43:00.0 from 0 to 2",
        "  kernel: fault injected at sriov_numvfs 0000:43:00.0 (EIO)",
        "rolled back 4 of 4 statements; the host is as it was",
        "hint: `dmesg` may say more, `vdpa status` shows what holds",
    ];
    assert_eq!(said.error(), expected);
}

#[test]
fn every_command_has_examples() {
    let text = run(&mut vdpa(&["--help"])).exits(0).out;
    assert!(text.contains("Exit codes:") && text.contains("Examples:"));
    for command in ["setup", "plan", "status", "teardown", "service", "flows", "topology"] {
        assert!(text.contains(&format!("  {command} ")), "{text}");
        let help = run(&mut vdpa(&[command, "--help"])).exits(0).out;
        let (_, examples) =
            help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command} has none:\n{help}"));
        assert!(examples.contains(&format!("vdpa {command}")), "{help}");
    }
    assert!(!text.contains("supervise"), "that is for `setup` alone");
}

#[test]
fn there_are_no_colours_but_on_a_terminal() {
    let host = Simulated::new();
    for arguments in [["setup", "-v"], ["status", "-vv"], ["teardown", "-v"]] {
        let said = host.run(&arguments);
        assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said}");
    }
    let said =
        run(host.command(&["setup", "--fail-at", "4"]).env("NO_COLOR", "1").env("TERM", "xterm-256color"));
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "{said}");
    // What would be stripped is there: whoever insists gets it.
    let forced = run(host.command(&["status"]).env("CLICOLOR_FORCE", "1"));
    assert!(forced.out.contains('\x1b'), "{forced}");
}

#[test]
fn a_reader_that_goes_away_stops_nothing() {
    let host = Simulated::new();
    let mut child = host.start(&["setup"]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("[simulated] "), "{first}");
    let said = common::command::Said::from(child.wait_with_output().unwrap());
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    host.run(&["status"]).exits(0);
    for arguments in [&["status", "--json"][..], &["--help"], &["plan"]] {
        let mut child =
            host.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let said = common::command::Said::from(child.wait_with_output().unwrap());
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn what_could_not_be_restored_is_listed_and_the_next_teardown_goes_on() {
    let host = Simulated::new();
    host.keep();
    let fresh = host.snapshot();
    // From the eighth operation on, the machine takes no more orders.
    let stuck = |host: &Simulated| {
        host.meddle(|state| {
            state["machine"]["fuse"] =
                serde_json::json!({ "at": 8, "when": "before", "lasting": "everything" });
        });
    };
    let other = host.copy();
    stuck(&host);
    let said = host.run(&["setup"]).exits(3);
    let lines = said.error();
    assert!(lines[0].starts_with("error: ") && lines[1].contains("fault injected"), "{said}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("rolled back 0 of ")
                && line.ends_with("; NOT everything was restored:")),
        "{said}"
    );
    for remains in [
        "eswitch of 0000:43:00.0: switchdev, was legacy (",
        "VFs of 0000:43:00.0: 2, was 0 (",
        "driver probing of 0000:43:00.0's VFs: off, was on (",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(&format!("  REMAINS {remains}"))),
            "{remains}: {said}"
        );
    }
    assert_eq!(
        lines.last(),
        Some(&"hint: remove what stands in the way, then `vdpa teardown` goes on"),
        "{said}"
    );
    assert!(host.has_receipt());
    host.run(&["teardown"]).exits(0);
    assert_eq!(fresh, host.snapshot());

    stuck(&other);
    let (said, document) = other.json(&["setup"]);
    assert_eq!((said.code, &document["outcome"]), (Some(3), &"incomplete".into()), "{said}");
    let remains = &document["restored"]["remains"];
    assert!(remains.as_array().is_some_and(|list| list.len() > 3), "{said}");
    let keys: Vec<&String> = remains[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["before", "now", "why"]);
    // Setup goes on as well, and what was there at first is still known.
    other.run(&["setup"]).exits(0);
    other.run(&["teardown"]).exits(0);
    assert_eq!(fresh, other.snapshot());
}
