//! `kill -9` in the middle: what the receipt says is enough to go on, and to go back.
//!
//! Each kill comes when a statement has become true, while others of its stage are on their way. Every point on a
//! simulated host is `tests/interruption.rs`'s; these are a kernel, systemd and Open vSwitch that do not stop with us.

use super::guest::Guest;
use super::host_file;
use super::state::State;

/// After which statements a command is killed, and what is run next.
type Points = [(&'static str, &'static str); 4];

/// One in each stage: switch mode; VFs; MACs and hw-tc-offload; bridge, hw-offload and drivers; links and datapaths.
const IN_SETUP: Points = [
    ("eswitch of", "teardown"),
    ("VFs of", "setup"),
    ("hw-tc-offload of", "teardown"),
    ("driver of", "setup"),
];
/// The way back begins where the way there ends.
const IN_TEARDOWN: Points = [
    ("dpdk-vdpa process of", "setup"),
    ("kernel vDPA device of", "teardown"),
    ("bridge ovs-sriov", "setup"),
    ("VFs of", "teardown"),
];

#[test]
fn kill_minus_nine_in_a_setup_and_it_goes_on_or_goes_back() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let before = State::of(&guest);
    for (stop_at, next) in IN_SETUP {
        guest.kill_after("setup", stop_at);
        goes_on(&guest, &before, &format!("a setup killed after `{stop_at}`"), next);
        if next == "setup" {
            guest.vdpa(&["teardown"]).succeeds();
        }
    }
    State::of(&guest).is(&before);
}

#[test]
fn kill_minus_nine_in_a_teardown_and_it_goes_on_or_is_set_up_again() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let before = State::of(&guest);
    for (stop_at, next) in IN_TEARDOWN {
        guest.vdpa(&["setup"]).succeeds();
        guest.kill_after("teardown", stop_at);
        goes_on(&guest, &before, &format!("a teardown killed after `{stop_at}`"), next);
    }
}

/// Runs `next` on a host on which a command was killed: after a `setup` what is wanted holds, after a `teardown` the
/// host is as it was.
fn goes_on(guest: &Guest, before: &State, case: &str, next: &str) {
    println!("{case}, then {next}");
    guest.vdpa(&[next]).succeeds();
    if next == "setup" {
        guest.vdpa(&["status"]).succeeds();
    } else {
        State::of(guest).is(before);
        assert!(!std::path::Path::new("/run/vdpa/receipt.json").exists(), "{case}: the receipt is left");
    }
}
