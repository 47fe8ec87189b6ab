//! Bad luck: a card that is pulled out, a write that never returns, a name that somebody else has.

mod common;

use common::{Bench, alike, pf, reference};
use vdpa_cli::Error;
use vdpa_cli::engine::Restored;
use vdpa_cli::guard::Guard;
use vdpa_cli::plan::Change;
use vdpa_hw::mock::{hosts, kernel};

/// The host without the card.
async fn without_the_card() -> String {
    let bench = Bench::new();
    bench.host.machine.meddle(|state| kernel::pull_out(state, pf()));
    bench.settled_snapshot().await
}

/// The card is pulled out just before each operation in turn. Whatever `setup` made of the rest of the host is taken
/// back, and what went with the card is not said to remain.
#[tokio::test]
async fn a_card_that_is_pulled_out_in_the_middle_leaves_the_rest_of_the_host_as_it_was() {
    let expected = without_the_card().await;
    let all = {
        let bench = Bench::new();
        bench.setup(reference()).await.unwrap();
        bench.host.machine.operations()
    };
    for at in 1..=all {
        let bench = Bench::new();
        bench.host.machine.meddle(|state| state.removal = Some((at, pf())));
        let failure = bench.setup(reference()).await.unwrap_err();
        let case = format!("pulled out at {at} of {all}: {}", failure.error.flat());
        let restored = failure.restored.as_ref();
        assert!(restored.is_none_or(Restored::is_complete), "{case}: {:#?}", restored.map(|r| &r.remains));
        alike(&expected, &bench.settled_snapshot().await, &case);
        assert!(!bench.has_receipt(), "{case}");
    }
}

/// Pulled out after `setup`: `teardown` says what has changed and, when told, takes back what is left.
#[tokio::test]
async fn a_card_that_is_pulled_out_later_is_drift_and_no_obstacle() {
    let mut bench = Bench::new();
    bench.setup(reference()).await.unwrap();
    bench.host.machine.meddle(|state| kernel::pull_out(state, pf()));
    let failure = bench.teardown().await.unwrap_err();
    let Error::Drifted(lines) = &failure.error else { panic!("{}", failure.error.flat()) };
    assert!(lines.contains(&"eswitch of 0000:43:00.0: not there → switchdev".to_owned()), "{lines:#?}");
    bench.forced.insert(Guard::Drift);
    let restored = bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(restored.is_complete() && !bench.has_receipt());
    alike(&without_the_card().await, &bench.settled_snapshot().await, "after teardown");
}

/// A write to `sriov_numvfs` that sleeps in the driver can be waited for and not be called back. `setup` ends when its
/// time is up, once, and says what it could not look at; when the kernel has returned, `teardown` goes on.
#[tokio::test]
async fn a_write_that_never_returns_is_given_up_once_and_named() {
    let bench = Bench::new();
    bench.profile(|profile| profile.hangs_at_vf_count = true);
    let fresh = bench.settled_snapshot().await;
    let began = bench.host.machine.observe(|state| state.now_ms);
    let failure = bench.setup(reference()).await.unwrap_err();
    let took = bench.host.machine.observe(|state| state.now_ms) - began;
    assert!(took < 2 * 22_000, "it is waited for once and not by each statement: {took} ms");
    assert!(failure.error.to_string().starts_with("the kernel does not return from work on 0000:43:00.0"));
    let restored = failure.restored.as_ref().expect("something was changed");
    assert!(!restored.is_complete());
    for remains in &restored.remains {
        let why = remains.why.as_deref().unwrap_or_default();
        assert!(why.contains("does not return from work on 0000:43:00.0"), "{}", remains.described());
    }
    assert!(bench.has_receipt());
    bench.host.machine.meddle(|state| state.pf_mut(pf()).unwrap().stuck = false);
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    alike(&fresh, &bench.settled_snapshot().await, "when the kernel has returned");
}

/// sysfs that cannot be read, from the beginning or from some operation on. What cannot be looked at is named, is not
/// said to be as it was, and is brought back by `teardown` once it can be.
#[tokio::test]
async fn what_cannot_be_read_is_named_and_brought_back_when_it_can_be() {
    let (all, fresh) = {
        let bench = Bench::new();
        let fresh = bench.settled_snapshot().await;
        bench.setup(reference()).await.unwrap();
        (bench.host.machine.operations(), fresh)
    };
    let expected =
        "cannot read /sys/bus/pci/devices/0000:43:00.0/sriov_numvfs: Input/output error (os error 5)";
    for at in 0..=all {
        let bench = Bench::new();
        bench.host.machine.meddle(|state| state.unreadable = Some((at, pf())));
        let failure = bench.setup(reference()).await.unwrap_err();
        let case = format!("unreadable after {at} of {all}");
        assert_eq!(failure.error.flat(), expected, "{case}");
        let complete = failure.restored.as_ref().is_none_or(Restored::is_complete);
        assert_eq!(bench.has_receipt(), !complete, "{case}");
        for remains in failure.restored.iter().flat_map(|restored| &restored.remains) {
            assert!(remains.why.is_some(), "{case}: {}", remains.described());
        }
        bench.host.machine.meddle(|state| state.unreadable = None);
        if !complete {
            bench.teardown().await.unwrap_or_else(|failure| panic!("{case}: {}", failure.error.flat()));
        }
        alike(&fresh, &bench.settled_snapshot().await, &case);
    }
}

/// Pitfalls 13 and 19: the name that a representor is to have may be somebody's already, and udev then leaves the
/// kernel's `ethN`. Ports are found by their VF, and are on the bridge under the name they have. A PF's own name, however
/// long, is no part of it.
#[tokio::test]
async fn a_name_that_somebody_has_is_nobodys_concern() {
    let names = |bench: &Bench| {
        let ports = bench.host.vswitch.snapshot().bridges["ovs-sriov"].ports.clone();
        ports.into_keys().collect::<Vec<_>>()
    };
    let bench = Bench::new();
    bench.host.machine.meddle(|state| {
        state.netdev_named("eno1").unwrap().name = "p67s0f0v0".parse().unwrap();
    });
    let fresh = bench.settled_snapshot().await;
    let done = bench.setup(reference()).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(done.statements.iter().all(Change::holds));
    let ports = names(&bench);
    assert!(ports.iter().any(|name| name.starts_with("eth")), "{ports:?}");
    assert!(ports.contains(&"p67s0f0v1".to_owned()) && !ports.contains(&"p67s0f0v0".to_owned()), "{ports:?}");
    bench.teardown().await.unwrap();
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");

    let long = "enp67s0f0np0abc".parse().unwrap();
    let bench = Bench::with_machine(hosts::one_card(pf(), long, 8));
    bench.setup("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n").await.unwrap();
    assert_eq!(names(&bench), ["enp67s0f0np0abc", "p67s0f0v0", "p67s0f0v1"]);
}
