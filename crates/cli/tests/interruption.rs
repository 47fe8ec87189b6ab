//! Signals, kill -9, and two at once.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use common::command::{Said, Simulated};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vdpa_cli::lock::Lock;

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it runs");
}

/// Starts a command and returns when it has printed a line with `text`; then with the rest of its output.
fn started(
    host: &Simulated,
    arguments: &[&str],
    text: &str,
) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = host.start(arguments);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.lines().last().is_some_and(|line| line.contains(text)) {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "it ended without {text:?}:\n{said}");
    }
    (child, out, said)
}

fn ended(child: Child, mut out: BufReader<std::process::ChildStdout>, mut said: String) -> Said {
    out.read_to_string(&mut said).unwrap();
    Said { out: said, ..Said::from(child.wait_with_output().unwrap()) }
}

#[test]
fn a_signal_lets_the_stage_end_and_restores_what_was_there() {
    let before = Simulated::new().snapshot();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let host = Simulated::new();
        let (child, out, said) = started(&host, &["setup"], "✓");
        send(&child, signal);
        let said = ended(child, out, said).exits(1);
        said.is_an_error("interrupted", "the same command begins anew");
        assert!(said.err.contains("; the host is as it was"), "{said}");
        assert_eq!(before, host.snapshot(), "{signal:?}");
        assert!(!host.has_receipt());
    }
}

/// sshd closes the terminal and the kernel sends SIGHUP: nobody reads any more what is said.
#[test]
fn an_ssh_connection_that_drops_leaves_the_host_as_it_was() {
    let before = Simulated::new().snapshot();
    let host = Simulated::new();
    let (mut child, out, _) = started(&host, &["setup"], "✓");
    drop((out, child.stderr.take()));
    send(&child, Signal::HUP);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(before, host.snapshot());
    assert!(!host.has_receipt());
}

#[test]
fn further_signals_do_not_stop_the_restoring() {
    let before = Simulated::new().snapshot();
    let host = Simulated::new();
    let (child, mut out, mut said) = started(&host, &["setup"], "✓ VFs of");
    send(&child, Signal::INT);
    while !said.contains("restoring what was there") {
        assert_ne!(out.read_line(&mut said).unwrap(), 0, "{said}");
    }
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::INT] {
        send(&child, signal);
    }
    ended(child, out, said).exits(1);
    assert_eq!(before, host.snapshot());
}

#[test]
fn a_teardown_goes_on_to_its_end() {
    let before = Simulated::new().snapshot();
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let (child, out, said) = started(&host, &["teardown"], "✓");
    send(&child, Signal::INT);
    ended(child, out, said).exits(0);
    assert_eq!(before, host.snapshot());
}

/// Kills `command` at 40 times spread over as long as it takes, on hosts that `prepare` makes.
fn killed_anywhere(
    command: &str,
    prepare: impl Fn() -> Simulated + Sync,
    check: impl Fn(&Simulated, &str) + Sync,
) {
    const TIMES: u32 = 40;
    let began = Instant::now();
    prepare().run(&[command]).exits(0);
    let whole = began.elapsed();
    let killed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (prepare, check, killed) = (&prepare, &check, &killed);
            scope.spawn(move || {
                for time in (thread..TIMES).step_by(4) {
                    let delay = whole * time / TIMES;
                    let host = prepare();
                    let mut child = host.start(&[command]);
                    std::thread::sleep(delay);
                    child.kill().unwrap();
                    if child.wait().unwrap().code().is_none() {
                        killed.fetch_add(1, Ordering::Relaxed);
                    }
                    check(&host, &format!("`{command}` killed after {delay:?}"));
                }
            });
        }
    });
    let killed = killed.into_inner();
    assert!(killed > TIMES / 4, "only {killed} of {TIMES} were killed before they had ended");
}

/// What both ways lead to is the same but for what cannot be: process ids.
fn same(host: &Simulated) -> String {
    host.snapshot().lines().filter(|line| !line.contains("\"pid\"")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_setup_killed_anywhere_goes_on_or_goes_back() {
    let fresh = Simulated::new().snapshot();
    let set_up = Simulated::new();
    set_up.run(&["setup"]).exits(0);
    let set_up = same(&set_up);
    killed_anywhere("setup", Simulated::new, |host, case| {
        let other = host.copy();
        let said = host.run(&["setup"]);
        assert_eq!(said.code, Some(0), "{case}, then setup: {said}");
        assert_eq!(set_up, same(host), "{case}, then setup");
        host.run(&["status"]).exits(0);
        host.run(&["teardown"]).exits(0);
        assert_eq!(fresh, host.snapshot(), "{case}, then setup, then teardown");

        let said = other.run(&["teardown"]);
        assert_eq!(said.code, Some(0), "{case}, then teardown: {said}");
        assert_eq!(fresh, other.snapshot(), "{case}, then teardown");
        assert!(!other.has_receipt());
    });
}

#[test]
fn a_teardown_killed_anywhere_goes_on_or_is_set_up_again() {
    let fresh = Simulated::new().snapshot();
    let ready = Simulated::new();
    ready.run(&["setup"]).exits(0);
    let set_up = same(&ready);
    killed_anywhere(
        "teardown",
        || ready.copy(),
        |host, case| {
            let other = host.copy();
            let said = host.run(&["teardown"]);
            assert_eq!(said.code, Some(0), "{case}, then teardown: {said}");
            assert_eq!(fresh, host.snapshot(), "{case}, then teardown");

            let said = other.run(&["setup"]);
            assert_eq!(said.code, Some(0), "{case}, then setup: {said}");
            assert_eq!(set_up, same(&other), "{case}, then setup");
            other.run(&["teardown"]).exits(0);
            assert_eq!(fresh, other.snapshot(), "{case}, then setup, then teardown");
        },
    );
}

/// A look at a simulated host's file.
type Look = fn(&Value) -> bool;

#[test]
fn what_was_done_when_a_setup_is_killed_is_done() {
    // Each is done while something else of its stage takes its time.
    let bridge = |state: &Value| state["vswitch"]["bridges"]["ovs-sriov"].is_object();
    let link = |state: &Value| {
        let netdevs = state["machine"]["netdevs"].as_object().unwrap();
        netdevs.values().any(|netdev| netdev["name"] == "enp67s0f0v1" && netdev["up"] == true)
    };
    for (line, holds) in [("✓ bridge ovs-sriov", bridge as Look), ("✓ link of 0000:43:00.0/vf1/netdev", link)]
    {
        let host = Simulated::new();
        let (mut child, _out, _) = started(&host, &["setup"], line);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(holds(&host.state()), "{line}: the host has forgotten it");
    }
}

/// Pitfall 15: a state that is noted when the work is launched says more than is true: until everything has been looked
/// at, the receipt says that it is being applied.
#[test]
fn status_says_that_a_setup_has_not_ended() {
    let host = Simulated::new();
    let (mut child, _out, _) = started(&host, &["setup"], "✓ eswitch");
    child.kill().unwrap();
    child.wait().unwrap();
    let said = host.run(&["status"]).exits(1);
    assert!(said.out.contains("a setup has not ended"), "{said}");
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["receipt"]["phase"], "applying");
}

#[test]
fn a_second_one_names_the_first_and_changes_nothing() {
    let host = Simulated::new();
    let held = Lock::take(host.path()).unwrap();
    for command in ["setup", "teardown"] {
        let said = host.run(&[command]).exits(1);
        said.is_an_error(&format!("another vdpa is at work (process {})", std::process::id()), "wait");
    }
    assert!(!host.path().join("host.json").exists());
    // Looking is free.
    host.run(&["plan"]).exits(0);
    drop(held);
    host.run(&["setup"]).exits(0);
}

#[test]
fn the_lock_is_held_from_the_first_look_to_the_end() {
    let host = Simulated::new();
    let (child, out, said) = started(&host, &["setup"], "statements are to change");
    let second = host.run(&["setup"]).exits(1);
    second.is_an_error(&format!("another vdpa is at work (process {})", child.id()), "wait");
    ended(child, out, said).exits(0);
    host.run(&["status"]).exits(0);
}

#[test]
fn one_that_is_stopped_keeps_the_lock_and_goes_on() {
    let host = Simulated::new();
    let (child, out, said) = started(&host, &["setup"], "✓");
    send(&child, Signal::STOP);
    // As long as the longest wait of a setup that is not stopped.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let second = host.run(&["teardown"]).exits(1);
    second.is_an_error(&format!("another vdpa is at work (process {})", child.id()), "wait");
    send(&child, Signal::CONT);
    ended(child, out, said).exits(0);
    host.run(&["status"]).exits(0);
}
