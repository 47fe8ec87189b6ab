//! What a user may get wrong: each mistake is answered with its place, its object and what to do, and nothing is
//! touched.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::Bench;
use common::command::{Said, Simulated, install, run, vdpa};
use vdpa_cli::Error;
use vdpa_ovs::Ovsdb;

const GOOD: &str = r#"[bridge]
name = "ovs-sriov"

[[nic]]
pci = "0000:43:00.0"
vfs = 2

[[nic.vf]]
index = 0
mac = "e4:11:22:33:55:60"
datapath = "dpdk"

[[nic.vf]]
index = 1
mac = "e4:11:22:33:55:61"
"#;

/// Runs `setup` and `plan` with `GOOD` after `from` has become `to`: both refuse with exit code 2, name the place and
/// the object and what to do, and leave the host alone.
#[track_caller]
fn is_refused(from: &str, to: &str, place: &str, object: &str, hint: &str) {
    assert!(GOOD.contains(from), "{from}");
    let host = Simulated::new();
    let file = host.host_file(&GOOD.replacen(from, to, 1));
    for command in ["plan", "setup"] {
        let said = host.run(&[command, "--config", file.to_str().unwrap()]).exits(2);
        said.is_an_error(object, hint);
        if !place.is_empty() {
            assert_eq!(said.error()[1], format!("  --> {}:{place}", file.display()), "{said}");
            let caret = said.error()[3].find('^').expect("a caret") - "  | ".len();
            let column = place.split_once(':').unwrap().1.parse::<usize>().unwrap();
            assert_eq!(caret, column + 1, "the caret stands below the mistake: {said}");
        }
        is_untouched(&host);
    }
}

#[track_caller]
fn is_untouched(host: &Simulated) {
    assert!(!host.has_receipt(), "a receipt of nothing");
    assert!(!host.path().join("host.json").exists(), "the host was changed");
}

#[test]
fn the_file_that_the_mistakes_are_made_in_is_good() {
    let host = Simulated::new();
    let file = host.host_file(GOOD);
    host.run(&["setup", "--config", file.to_str().unwrap()]).exits(0);
}

#[test]
fn an_unknown_key_is_refused_where_it_stands() {
    is_refused("vfs = 2", "vfs = 2\nspeed = 100", "7:1", "unknown field `speed`", "vdpa setup --help");
}

#[test]
fn a_wrong_type_is_refused_where_it_stands() {
    is_refused("vfs = 2", "vfs = \"two\"", "6:7", "invalid type: string \"two\"", "vdpa setup --help");
}

#[test]
fn text_that_is_no_toml_is_refused_where_it_breaks() {
    is_refused("vfs = 2", "vfs = = 2", "6:7", "", "vdpa setup --help");
}

#[test]
fn two_vfs_with_one_mac_are_refused_by_name() {
    is_refused(
        "55:61",
        "55:60",
        "15:7",
        "VF 1 of 0000:43:00.0 has the MAC of VF 0 of 0000:43:00.0",
        "its own MAC",
    );
}

#[test]
fn a_vf_past_their_number_is_refused() {
    is_refused("index = 1", "index = 2", "14:9", "VF 2 of 0000:43:00.0 is past its 2 VFs", "counted from 0");
}

#[test]
fn a_multicast_mac_is_refused() {
    is_refused("e4:11:22:33:55:61", "01:00:5e:00:00:01", "15:7", "which is a multicast MAC", "unicast");
}

#[test]
fn a_bridge_name_that_linux_cannot_have_is_refused() {
    is_refused("ovs-sriov", "a-bridge-too-far", "2:8", "a-bridge-too-far", "at most 15 characters");
}

#[test]
fn an_address_where_nothing_is_is_refused() {
    is_refused("0000:43:00.0", "0000:99:00.0", "5:7", "0000:99:00.0", "lspci");
}

#[test]
fn more_vfs_than_the_firmware_allows_are_refused() {
    is_refused(
        "vfs = 2",
        "vfs = 9",
        "6:7",
        "0000:43:00.0 is to have 9 VFs and its firmware allows 8",
        "NUM_OF_VFS",
    );
}

#[test]
fn a_domain_that_is_not_there_is_refused() {
    is_refused(
        "datapath = \"dpdk\"",
        "datapath = \"dpdk\"\nvm = \"cx6.9\"",
        "12:6",
        "cx6.9",
        "virsh list --all",
    );
}

#[test]
fn the_address_of_a_vf_is_refused_as_such() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let (state, receipt) = (host.state(), std::fs::read(host.path().join("receipt.json")).unwrap());
    let said = host.run(&["setup", "--pci", "0000:43:00.2", "--vfs", "1"]).exits(2);
    said.is_an_error("0000:43:00.2", "name the physical function");
    assert_eq!(state, host.state());
    assert_eq!(receipt, std::fs::read(host.path().join("receipt.json")).unwrap());
}

#[test]
fn two_names_of_one_card_are_refused() {
    let host = Simulated::new();
    let file = host
        .host_file("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[[nic]]\nnetdev = \"enp67s0f0\"\nvfs = 1\n");
    let said = host.run(&["setup", "--config", file.to_str().unwrap()]).exits(2);
    said.is_an_error("0000:43:00.0 and enp67s0f0 are the same function", "keep one");
    is_untouched(&host);
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    let host = Simulated::new();
    for (flags, message) in [
        (&["setup", "--vfs", "2"][..], "--vfs 2 without a card"),
        (&["setup", "--pci", "0000:43:00.0"], "--vfs <N>"),
        (&["setup", "--pci", "43:00", "--vfs", "2"], "43:00"),
        (&["setup", "--pci", "0000:43:00.0", "--vfs", "0"], "0 is not in 1.."),
        (&["setup", "--netdev", "enp99s0", "--vfs", "2"], "no PCI function has a network device enp99s0"),
        (&["setup", "--config", "host.toml", "--vfs", "2"], "cannot be used with"),
        (
            &["setup", "--pci", "0000:43:00.0", "--vfs", "2", "--bridge", "a-bridge-too-far"],
            "a-bridge-too-far",
        ),
        (&["setup", "--force", "everything"], "management-traffic"),
        (&["teardown", "--fail-at", "0"], "0 is not in 1.."),
    ] {
        let said = host.run(flags).exits(2);
        assert!(said.err.contains(message), "{flags:?}: {said}");
        is_untouched(&host);
    }
    run(&mut vdpa(&["setup", "--fail-at", "3", "--config", "/nonexistent"])).exits(2);
}

#[test]
fn a_host_file_that_is_not_there_is_named() {
    let said = run(&mut vdpa(&["setup", "--config", "/nonexistent/host.toml"])).exits(2);
    said.is_an_error("cannot read the host file /nonexistent/host.toml: No such file", "--config FILE");
}

#[test]
fn a_file_that_holds_no_simulated_host_is_kept() {
    let host = Simulated::new();
    std::fs::write(host.path().join("host.json"), "{\"machine\":").unwrap();
    for command in ["plan", "setup", "status"] {
        host.run(&[command]).exits(1).is_an_error("host.json holds no simulated host", "--simulate=DIR");
    }
    assert_eq!(std::fs::read_to_string(host.path().join("host.json")).unwrap(), "{\"machine\":");
}

#[tokio::test]
async fn an_ovs_that_is_not_there_is_found_out_before_anything_is_changed() {
    let bench = Bench::new();
    let before = bench.settled_snapshot().await;
    let without_ovs = |host: &mut vdpa_cli::host::Host| {
        host.vswitch = Arc::new(Ovsdb::new(Path::new("/nonexistent/db.sock")));
    };
    let failure = bench.setup_on(common::reference(), without_ovs).await.unwrap_err();
    assert!(matches!(&failure.error, Error::Ovs(_)), "{failure:?}");
    assert!(failure.error.to_string().contains("/nonexistent/db.sock"), "{}", failure.error);
    assert!(failure.hint().is_some_and(|hint| hint.contains("openvswitch")), "{:?}", failure.hint());
    assert!(failure.restored.is_none() && !failure.error.is_usage(), "exit code 1, and nothing was changed");
    assert_eq!(before, bench.settled_snapshot().await);
    assert!(!bench.has_receipt());
}

/// The command as somebody who may do nothing, also where root runs the tests.
fn unprivileged(host: &Simulated, arguments: &[&str]) -> Said {
    let program = host.path().join("vdpa");
    install(env!("CARGO_BIN_EXE_vdpa").as_ref(), &program);
    std::fs::set_permissions(host.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = Command::new(&program);
    command.args(arguments).arg(format!("--simulate={}", host.path().display()));
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let said = run(&mut command);
    std::fs::set_permissions(host.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    said
}

#[test]
fn who_may_not_write_is_told_so_before_anything_is_changed() {
    let host = Simulated::new();
    let said = unprivileged(&host, &["setup"]).exits(1);
    said.is_an_error(&format!("cannot use {}/lock", host.path().display()), "run as root");
    assert!(said.error()[1].contains("Permission denied"), "{said}");
    is_untouched(&host);
    // Who may only look can.
    unprivileged(&host, &["plan"]).exits(0);
}

#[test]
fn a_card_that_this_very_host_does_not_have_is_refused_too() {
    let said =
        run(&mut vdpa(&["plan", "--pci", "ffff:ff:1f.7", "--vfs", "1", "--ovsdb", "/nonexistent"])).exits(2);
    said.is_an_error("ffff:ff:1f.7", "lspci");
    assert!(!said.err.contains("[simulated]"), "{said}");
}
