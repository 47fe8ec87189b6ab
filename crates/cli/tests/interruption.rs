//! Signals, kill -9, and two at once.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::time::Duration;

use common::command::{Said, Simulated};
use rustix::process::{Pid, Signal, kill_process};
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
        assert!(
            said.error()[0] == "error: interrupted" && said.err.contains("; the host is as it was"),
            "{said}"
        );
        assert_eq!(before, host.snapshot(), "{signal:?}");
        assert!(!host.has_receipt());
    }
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

/// Kills `command` after one delay after the other until it ends before it is killed, on hosts that `prepare` makes.
fn killed_anywhere(
    command: &str,
    prepare: impl Fn() -> Simulated + Sync,
    check: impl Fn(&Simulated, &str) + Sync,
) {
    let (from, step) = (Duration::from_millis(4), Duration::from_millis(17));
    let points: Vec<Duration> = (0..40).map(|n| from + step * n).collect();
    let killed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for some in points.chunks(10) {
            let (prepare, check, killed) = (&prepare, &check, &killed);
            scope.spawn(move || {
                for delay in some {
                    let host = prepare();
                    let mut child = host.start(&[command]);
                    std::thread::sleep(*delay);
                    child.kill().unwrap();
                    let status = child.wait().unwrap();
                    if status.code().is_none() {
                        killed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    check(&host, &format!("`{command}` killed after {delay:?}"));
                }
            });
        }
    });
    let killed = killed.into_inner();
    assert!(killed >= 10, "only {killed} were killed in time");
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
