//! What happens between two commands: somebody changes the host, the host file changes, the machine is restarted,
//! the receipt is damaged.

mod common;

use std::time::{Duration, SystemTime};

use common::command::Simulated;
use common::{Bench, alike, pf, reference, snapshot};
use vdpa_cli::Error;
use vdpa_cli::guard::Guard;
use vdpa_hw::Vf;
use vdpa_hw::mock::{Fuse, Lasting, NetdevRole, When, hosts};

/// Brings a representor down and takes a port away, as somebody might who looks for a fault.
fn meddle(bench: &Bench) {
    bench.host.machine.meddle(|state| {
        let (index, _) = state.netdev_with(NetdevRole::Representor(Vf::new(pf(), 1))).unwrap();
        state.netdevs.get_mut(&index).unwrap().up = false;
    });
    bench
        .host
        .vswitch
        .edit(|state| drop(state.bridges.get_mut("ovs-sriov").unwrap().ports.remove("p67s0f0v0")));
}

#[tokio::test]
async fn teardown_lists_what_was_changed_since_and_restores_when_told() {
    let mut bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    meddle(&bench);
    let changed = bench.settled_snapshot().await;
    let failure = bench.teardown().await.unwrap_err();
    let Error::Drifted(lines) = &failure.error else { panic!("{failure:?}") };
    let expected = [
        "link of 0000:43:00.0/vf1/representor: down → up",
        "bridge ovs-sriov: with 0000:43:00.0 uplink, 0000:43:00.0 vf 1 → with 0000:43:00.0 uplink, 0000:43:00.0 vf 0-1",
    ];
    assert!(expected.iter().all(|line| lines.contains(&(*line).to_owned())), "{lines:#?}");
    assert_eq!(failure.error.to_string(), format!("{} statements have changed since `setup`", lines.len()));
    assert!(failure.hint().is_some_and(|hint| hint.contains("--force drift")));
    assert!(failure.restored.is_none() && bench.has_receipt());
    assert_eq!(changed, bench.settled_snapshot().await);
    bench.forced.insert(Guard::VfInUse);
    assert!(bench.teardown().await.is_err(), "another guard is forced, not this one");
    bench.forced.insert(Guard::Drift);
    bench.teardown().await.unwrap();
    assert_eq!(fresh, bench.settled_snapshot().await);
}

#[tokio::test]
async fn setup_repairs_what_was_changed_and_teardown_still_knows_the_first_state() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    let set_up = bench.settled_snapshot().await;
    meddle(&bench);
    let done = bench.setup(reference()).await.unwrap();
    assert!(done.changed);
    assert_eq!(set_up, bench.settled_snapshot().await);
    bench.teardown().await.unwrap();
    assert_eq!(fresh, bench.settled_snapshot().await);
}

#[test]
fn status_names_what_was_changed() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    host.meddle(|state| state["vswitch"]["other_config"] = serde_json::json!({}));
    let said = host.run(&["status"]).exits(1);
    assert!(said.out.contains("✗ hw-offload of Open vSwitch"), "{said}");
    assert!(said.out.contains("18 of 19 statements hold"), "{said}");
    let (_, status) = host.json(&["status"]);
    let untrue: Vec<_> =
        status["statements"].as_array().unwrap().iter().filter(|s| s["holds"] == false).collect();
    assert_eq!(
        (untrue.len(), &untrue[0]["subject"]),
        (1, &"hw-offload of Open vSwitch".into()),
        "{status:#}"
    );
    let said = host.run(&["teardown"]).exits(1);
    said.is_an_error("1 statement has changed since `setup`", "`vdpa teardown --force drift`");
    host.run(&["setup"]).exits(0);
    host.run(&["teardown"]).exits(0);
}

/// A host file with two VFs as told, on a bridge as told.
fn host_file(bridge: &str, vfs: &[&str]) -> String {
    let described =
        vfs.iter().enumerate().map(|(index, text)| format!("[[nic.vf]]\nindex = {index}\n{text}\n"));
    let described: String = described.collect();
    format!(
        "[bridge]\nname = \"{bridge}\"\n[[nic]]\npci = \"0000:43:00.0\"\nvfs = {}\n{described}",
        vfs.len()
    )
}

const DPDK: &str = "datapath = \"dpdk\"";
const KERNEL: &str = "datapath = \"kernel\"";
const IN_VM: &str = "datapath = \"dpdk\"\nqueues = 2\nvm = \"cx6.1\"";
const NONE: &str = "";

/// Whatever one host file makes of a host on which another was set up before is what it makes of a fresh one; and
/// teardown goes back to the very first state.
#[tokio::test]
async fn a_changed_host_file_is_followed_to_the_end_and_back() {
    let files = [
        host_file("ovs-sriov", &[IN_VM, NONE]),
        host_file("ovs-sriov", &[DPDK, NONE]),
        host_file("ovs-sriov", &[KERNEL, DPDK]),
        host_file("ovs-sriov", &[NONE, KERNEL]),
        host_file("br-other", &[IN_VM, NONE]),
        host_file("ovs-sriov", &[IN_VM]),
        host_file("ovs-sriov", &[DPDK, NONE, KERNEL]),
        host_file("ovs-sriov", &["mac = \"e4:11:22:33:55:99\"", NONE]),
        host_file("ovs-sriov", &[NONE]) + "[[nic]]\nnetdev = \"enp67s0f1\"\nvfs = 2\n",
    ];
    let prepare = |vfs: u16| {
        if vfs == 0 {
            return Bench::new();
        }
        let bench = Bench::new().force(Guard::ExistingVfs);
        bench.with_bound_vfs(vfs);
        bench
    };
    for vfs in [0, 2] {
        let first = prepare(vfs).settled_snapshot().await;
        for (from, first_file) in files.iter().enumerate() {
            for (to, second_file) in files.iter().enumerate() {
                let case = format!("{vfs} VFs at first, file {from}, then {to}");
                let (bench, fresh) = (prepare(vfs), prepare(vfs));
                bench.setup(first_file).await.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                let done =
                    bench.setup(second_file).await.unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
                assert_eq!(done.changed, from != to, "{case}");
                fresh.setup(second_file).await.unwrap();
                alike(&same(&fresh).await, &same(&bench).await, &case);
                assert!(!bench.setup(second_file).await.unwrap().changed, "{case}: again");
                bench.teardown().await.unwrap_or_else(|failure| panic!("{case}: teardown: {failure:?}"));
                alike(&first, &bench.settled_snapshot().await, &format!("{case}: after teardown"));
            }
        }
    }
}

/// What has to be the same by whichever way it was reached. Process ids may differ, and so may the link of a VF once
/// a datapath has it, of which nothing is said.
async fn same(bench: &Bench) -> String {
    let text = bench.settled_snapshot().await;
    let lines = text.lines().filter(|line| !line.contains("\"pid\""));
    let link = |line: &str| {
        if line.contains("vf_netdev") { line.replace("up\\\":true", "up\\\":false") } else { line.to_owned() }
    };
    lines.map(link).collect::<Vec<_>>().join("\n")
}

#[test]
fn plan_shows_what_a_changed_host_file_would_take_back() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let without_vm = reference().replace("vm = \"cx6.1\"", "");
    let file = host.host_file(&without_vm);
    let file = file.to_str().unwrap();
    let said = host.run(&["plan", "--config", file, "--detailed-exitcode"]).exits(10);
    assert!(said.out.contains("interface of cx6.1 for 0000:43:00.0/vf0"), "{said}");
    host.run(&["setup", "--config", file]).exits(0);
    host.run(&["plan", "--config", file, "--detailed-exitcode"]).exits(0);
    let status = host.run(&["status"]).exits(0);
    assert!(!status.out.contains("cx6.1"), "what nobody wants is nobody's concern any more: {status}");
}

/// A restart: VFs, mode, processes and the receipt are gone; OVSDB and the domain definitions stay.
#[tokio::test]
async fn after_a_reboot_setup_works_again_and_teardown_removes_what_was_left() {
    let bench = Bench::new();
    bench.with_foreign_bridge("br-other");
    bench.setup(reference()).await.unwrap();
    let set_up = same(&bench).await;
    bench.host.machine.meddle(|state| *state = hosts::host_105());
    bench.host.vswitch.restart();
    std::fs::remove_file(bench.path().join("receipt.json")).unwrap();
    assert!(snapshot(&bench.host).contains("p67s0f0v1"), "a port of a representor that is gone");

    bench.setup(reference()).await.unwrap();
    assert_eq!(set_up, same(&bench).await);
    bench.teardown().await.unwrap();
    let after = bench.host.vswitch.snapshot();
    assert_eq!(after.bridges.keys().collect::<Vec<_>>(), ["br-other"], "{after:#?}");
    assert!(after.other_config.is_empty() && after.external_ids.is_empty(), "{after:#?}");
    let domains = serde_json::to_string(&bench.host.domains.snapshot()).unwrap();
    assert!(!domains.contains("vhostuser"), "{domains}");
}

#[tokio::test]
async fn after_a_reboot_any_operation_may_fail_and_the_next_setup_goes_on() {
    let fewer = host_file("ovs-sriov", &[IN_VM]);
    let mut at = 1;
    loop {
        let bench = Bench::new();
        bench.setup(reference()).await.unwrap();
        bench.host.machine.meddle(|state| *state = hosts::host_105());
        bench.host.vswitch.restart();
        std::fs::remove_file(bench.path().join("receipt.json")).unwrap();
        bench.host.machine.set_fuse(Some(Fuse::new(at, When::Before, Lasting::Once)));
        let first = bench.setup(&fewer).await;
        if let Err(failure) = &first {
            assert!(
                failure.restored.as_ref().is_none_or(vdpa_cli::engine::Restored::is_complete),
                "{at}: {failure:?}"
            );
            assert!(!bench.has_receipt());
        }
        let blown = bench.host.machine.observe(|state| state.fuse.as_ref().is_some_and(Fuse::has_blown));
        bench.host.machine.set_fuse(None);
        bench.setup(&fewer).await.unwrap_or_else(|failure| panic!("{at}: {failure:?}"));
        assert!(!bench.setup(&fewer).await.unwrap().changed);
        let rows = bench.host.vswitch.snapshot();
        assert_eq!(rows.bridges["ovs-sriov"].ports.len(), 2, "{at}: a row is left over: {rows:#?}");
        bench.teardown().await.unwrap_or_else(|failure| panic!("{at}: {failure:?}"));
        assert!(bench.host.vswitch.snapshot().bridges.is_empty());
        if !blown {
            assert!(at > 8, "{at} operations");
            return;
        }
        at += 1;
    }
}

#[test]
fn a_receipt_cut_short_or_of_a_newer_version_is_kept_and_stops_everything() {
    let host = Simulated::new();
    host.run(&["setup"]).exits(0);
    let path = host.path().join("receipt.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    let state = host.state();
    for (text, why) in [
        (whole[..40].to_owned(), "cut short"),
        (whole.replacen("\"version\":1", "\"version\":2", 1), "version 2"),
    ] {
        std::fs::write(&path, &text).unwrap();
        for command in ["setup", "status", "teardown", "plan"] {
            let said = host.run(&[command]).exits(1);
            said.is_an_error("receipt.json", "receipt.json");
            assert!(said.err.contains(why), "{said}");
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap());
        assert_eq!(state, host.state());
    }
    std::fs::write(&path, whole).unwrap();
    host.run(&["teardown"]).exits(0);
}

/// A clock that was wrong when `setup` ran, or is now: what lies there from a time to come, or from long ago, is read
/// like anything else.
#[test]
fn a_receipt_of_another_time_is_a_receipt() {
    let year = Duration::from_hours(365 * 24);
    for time in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + 200 * year] {
        let host = Simulated::new();
        host.keep();
        let fresh = host.snapshot();
        host.run(&["setup"]).exits(0);
        for name in ["host.json", "receipt.json", "lock"] {
            let file = std::fs::File::options().write(true).open(host.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        host.run(&["status"]).exits(0);
        let (_, again) = host.json(&["setup"]);
        assert_eq!(again["outcome"], "unchanged", "{again:#}");
        host.run(&["teardown"]).exits(0);
        assert_eq!(fresh, host.snapshot());
        assert!(!host.has_receipt());
    }
}
