//! What `vdpa` leaves on a host is nobody else's to write, hold or lead elsewhere, and a disk that takes no more bytes
//! costs nothing but an error.

mod common;

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::command::{Said, Simulated, run};

/// Runs the command by a shell that first does `before`, on a simulated host.
fn after(before: &str, host: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{before}; exec \"$@\"")).arg("sh").arg(env!("CARGO_BIN_EXE_vdpa"));
    run(command.args(arguments).arg(format!("--simulate={}", host.display())))
}

/// Every file and directory below, with its mode.
fn modes(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(directory.to_owned(), directory.metadata().unwrap().mode() & 0o7777)];
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            found.push((path.clone(), path.metadata().unwrap().mode() & 0o7777));
        }
    }
    found
}

#[test]
fn nothing_of_ours_may_be_written_by_others_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let host = parent.path().join("made/host");
    after("umask 0", &host, &["setup"]).exits(0);
    let modes = modes(&host);
    let mode = |name: &str| modes.iter().find(|(path, _)| path.ends_with(name)).map(|(_, mode)| *mode);
    assert_eq!(mode("receipt.json"), Some(0o644), "{modes:?}");
    assert_eq!(mode("lock"), Some(0o600), "who may open it may hold it: {modes:?}");
    for (path, mode) in &modes {
        assert_eq!(mode & 0o022, 0, "{} has mode {mode:o}", path.display());
    }
    // And with a narrow one everybody may still ask for the status.
    let host = parent.path().join("narrow");
    after("umask 077", &host, &["setup"]).exits(0);
    let receipt = host.join("receipt.json");
    assert_eq!(receipt.metadata().unwrap().mode() & 0o7777, 0o644);
}

#[test]
fn a_link_where_the_receipt_is_made_is_not_followed() {
    let host = Simulated::new();
    let precious = host.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    symlink(&precious, host.path().join("receipt.json.new")).unwrap();
    host.run(&["setup"]).exits(0);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert!(host.has_receipt());
}

#[test]
fn a_link_where_the_lock_lies_is_refused_by_name() {
    let host = Simulated::new();
    let precious = host.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    symlink(&precious, host.path().join("lock")).unwrap();
    let said = host.run(&["setup"]).exits(1);
    said.is_an_error(&format!("cannot use {}/lock", host.path().display()), "");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert!(!host.has_receipt());
}

#[test]
fn a_receipt_that_can_be_written_only_in_part_stops_setup_before_anything_is_changed() {
    let host = Simulated::new();
    host.keep();
    let before = host.snapshot();
    // A file may have 1024 bytes, of which the receipt needs more: write(2) fails halfway, as on a full disk.
    let said = after("trap '' XFSZ; ulimit -f 2", host.path(), &["setup"]).exits(1);
    said.is_an_error("cannot write the receipt", "look for a full disk");
    assert_eq!(before, host.snapshot());
    assert!(!host.has_receipt());
    assert!(!host.path().join("receipt.json.new").exists(), "half a receipt is left");
    host.run(&["setup"]).exits(0);
}

#[test]
fn a_link_where_a_bundle_is_made_is_not_followed() {
    let host = Simulated::new();
    let bundle = host.path().join("case.tar.gz");
    let precious = host.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    symlink(&precious, host.path().join("case.tar.gz.new")).unwrap();
    let said = host.run(&["doctor", "--bundle", bundle.to_str().unwrap()]);
    assert!(matches!(said.code, Some(0 | 1)), "{said}");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
    assert_eq!(bundle.metadata().unwrap().mode() & 0o7777, 0o600);
}
