//! `vdpa` on a real card: `cargo xtask hw-test --pci ADDRESS`, as root, on a PF that may be changed.
//!
//! No guard is overridden: on a card that carries this host's traffic, or whose VFs are in use, these fail and
//! nothing is touched. The card is left as it was found. (They have run on the lab's pretend card only.)

use std::process::{Command, Output};

/// As many VFs as every card with SR-IOV on allows.
const VFS: &str = "2";

/// A bridge that nobody has.
const BRIDGE: &str = "vdpa-card-test";

fn pf() -> String {
    std::env::var("VDPA_TEST_PCI").expect("VDPA_TEST_PCI names the PF")
}

fn vdpa(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vdpa")).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let output = vdpa(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_card_is_set_up_proven_unchanged_and_brought_back() {
    let pf = pf();
    let wanted = ["--pci", &pf, "--vfs", VFS, "--bridge", BRIDGE];
    let before = json(&[&["plan", "--json"], &wanted[..]].concat());

    let done = json(&[&["setup", "--json"], &wanted[..]].concat());
    assert_eq!(done["outcome"], "done", "{done:#}");
    let again = json(&[&["setup", "--json"], &wanted[..]].concat());
    let status = json(&["status", "--json"]);
    let restored = json(&["teardown", "--json"]);

    assert_eq!(again["outcome"], "unchanged", "{again:#}");
    assert_eq!(status["outcome"], "holds", "{status:#}");
    assert_eq!(restored["outcome"], "done", "{restored:#}");
    let after = json(&[&["plan", "--json"], &wanted[..]].concat());
    assert_eq!(after["statements"], before["statements"], "the card is not as it was found");
}
