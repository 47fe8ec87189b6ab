//! The world changes under us: what others did between two commands is found by `status`, named by `teardown`, and
//! never overwritten without a word.

mod common;

use common::command::{Said, run, vdpa};
use common::{Bench, alike, pf, reference};
use vdpa_cli::Error;
use vdpa_cli::engine::Failure;
use vdpa_cli::guard::Guard;
use vdpa_hw::mock::{NetdevRole, kernel};
use vdpa_hw::{Holder, Vf};

const UPLINK: &str = "enp67s0f0";

/// The command on the bench's host as it is now.
fn command(bench: &Bench, arguments: &[&str]) -> Said {
    bench.host.save().unwrap();
    run(vdpa(arguments).arg(format!("--simulate={}", bench.path().display())))
}

/// `status` finds that these statements do not hold, and `teardown` names them and touches nothing.
async fn is_found_and_named(bench: &Bench, subjects: &[&str]) {
    let status = command(bench, &["status"]).exits(1);
    let before = bench.settled_snapshot().await;
    let failure = bench.teardown().await.unwrap_err();
    let Error::Drifted(lines) = &failure.error else { panic!("{}", failure.error.flat()) };
    assert_eq!(lines.len(), subjects.len(), "{lines:#?}");
    for subject in subjects {
        assert!(status.out.contains(&format!("✗ {subject}")), "{subject}: {status}");
        assert!(lines.iter().any(|line| line.starts_with(&format!("{subject}: "))), "{subject}: {lines:#?}");
    }
    assert!(failure.hint().is_some_and(|hint| hint.contains("--force drift")));
    assert_eq!(before, bench.settled_snapshot().await, "teardown has touched something");
}

/// `setup` mends it, and `teardown` then goes back to where everything began.
async fn is_mended(bench: &Bench, fresh: &str) {
    assert!(bench.setup(reference()).await.unwrap_or_else(|failure| panic!("{}", flat(&failure))).changed);
    command(bench, &["status"]).exits(0);
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", flat(&failure)));
    alike(fresh, &bench.settled_snapshot().await, "after teardown");
}

fn flat(failure: &Failure) -> String {
    failure.error.flat()
}

/// Changes a network device as somebody would by hand.
fn meddle(bench: &Bench, role: NetdevRole, change: impl FnOnce(&mut vdpa_hw::mock::Netdev)) {
    bench.host.machine.meddle(|state| {
        let (index, _) = state.netdev_with(role).expect("the device is there");
        change(state.netdevs.get_mut(&index).unwrap());
    });
}

/// Pitfall 7: hw-tc-offload may not outlive a restart of ovs-vswitchd, and a package upgrade restarts it.
#[tokio::test]
async fn open_vswitch_restarted_by_a_package_upgrade_is_found_and_mended() {
    let bench = Bench::new();
    bench.profile(|profile| profile.loses_tc_offload_at_restart = true);
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    bench.host.vswitch.restart();
    bench.host.machine.meddle(kernel::ovs_restarts);
    let ports = ["uplink", "vf0/representor", "vf1/representor"];
    let lost = ports.map(|port| format!("hw-tc-offload of 0000:43:00.0/{port}"));
    is_found_and_named(&bench, &lost.each_ref().map(String::as_str)).await;
    is_mended(&bench, &fresh).await;
}

/// Pitfall 11: udev that renames a representor when it is a port of the bridge already: the port's row has a name that
/// no device has any more.
#[tokio::test]
async fn a_representor_that_udev_renames_late_is_found_and_its_port_follows() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    let representor = NetdevRole::Representor(Vf::new(pf(), 1));
    meddle(&bench, representor, |netdev| netdev.name = "late0".parse().unwrap());
    is_found_and_named(&bench, &["bridge ovs-sriov"]).await;
    assert!(bench.setup(reference()).await.unwrap().changed);
    let ports = bench.host.vswitch.snapshot().bridges["ovs-sriov"].ports.clone();
    assert!(ports.contains_key("late0") && !ports.contains_key("p67s0f0v1"), "{ports:?}");
    bench.teardown().await.unwrap();
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

/// A VM starts with the VF after `plan` has said that all is well.
#[tokio::test]
async fn a_vf_taken_by_a_vm_between_plan_and_setup_is_left_alone_and_named() {
    let bench = Bench::new();
    bench.with_bound_vfs(2);
    command(&bench, &["plan", "--detailed-exitcode"]).exits(10);
    let holder = Holder { pid: 4711, command: "qemu-kvm".into(), path: "/dev/vfio/141".into() };
    bench.host.machine.meddle(|state| {
        let vf = state.vf_address(Vf::new(pf(), 1)).unwrap();
        state.holders.insert(vf, vec![holder]);
    });
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(reference()).await.unwrap_err();
    let Error::Guarded(objections) = &failure.error else { panic!("{}", flat(&failure)) };
    assert_eq!(objections[0].guard, Guard::VfInUse);
    assert!(objections[0].why.contains("process 4711 (qemu-kvm) has VF 0000:43:00.3 open"), "{objections:?}");
    assert_eq!(before, bench.settled_snapshot().await);
    assert!(!bench.has_receipt());
}

/// Pitfall 25: a network manager that does not know what a representor is takes it down.
#[tokio::test]
async fn a_representor_that_networkmanager_takes_down_is_found_and_brought_up() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    meddle(&bench, NetdevRole::Representor(Vf::new(pf(), 0)), |netdev| netdev.up = false);
    is_found_and_named(&bench, &["link of 0000:43:00.0/vf0/representor"]).await;
    is_mended(&bench, &fresh).await;
}

/// Somebody moves the uplink to a bridge of theirs. It is theirs from then on: `setup` says whose it is, `teardown`
/// takes back everything but that.
#[tokio::test]
async fn another_bridge_that_claims_the_uplink_is_named_and_keeps_it() {
    let mut bench = Bench::new();
    bench.with_foreign_bridge("br-other");
    bench.setup(reference()).await.unwrap();
    bench.host.vswitch.edit(|state| {
        state.bridges.get_mut("ovs-sriov").unwrap().ports.remove(UPLINK);
        state.bridges.get_mut("br-other").unwrap().ports.entry(UPLINK.to_owned()).or_default();
    });
    let theirs = |bench: &Bench| {
        let bridge = bench.host.vswitch.snapshot().bridges["br-other"].clone();
        (
            bridge.external_ids,
            bridge.ports.into_iter().map(|(name, port)| (name, port.external_ids)).collect::<Vec<_>>(),
        )
    };
    let claimed = theirs(&bench);
    is_found_and_named(&bench, &["bridge ovs-sriov"]).await;
    let failure = bench.setup(reference()).await.unwrap_err();
    assert!(flat(&failure).contains("br-other"), "{}", flat(&failure));
    assert_eq!(theirs(&bench), claimed, "setup has taken the uplink");
    bench.forced.insert(Guard::Drift);
    if bench.has_receipt() {
        bench.teardown().await.unwrap_or_else(|failure| panic!("{}", flat(&failure)));
    }
    assert_eq!(theirs(&bench), claimed, "teardown has taken the uplink");
    assert!(!bench.host.vswitch.snapshot().bridges.contains_key("ovs-sriov"));
}

/// The same before there is anything of ours: nothing is changed.
#[tokio::test]
async fn an_uplink_that_is_on_another_bridge_already_is_refused_by_name() {
    let bench = Bench::new();
    bench.with_foreign_bridge("br-other");
    bench.host.vswitch.edit(|state| {
        state.bridges.get_mut("br-other").unwrap().ports.entry(UPLINK.to_owned()).or_default();
    });
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(reference()).await.unwrap_err();
    assert!(flat(&failure).contains("br-other"), "{}", flat(&failure));
    assert_eq!(before, bench.settled_snapshot().await);
    assert!(!bench.has_receipt());
}
