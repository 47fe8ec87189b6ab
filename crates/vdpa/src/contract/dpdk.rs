//! The contract of [`DpdkVdpa`].

use crate::dpdk::{Condition, DpdkVdpa, Mode, Queues, Spec};
use crate::error::Error;

/// Start, observe, stop, and start again: each is seen by the next.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn lifecycle(subject: &dyn DpdkVdpa, spec: &Spec) {
    let vf = spec.vf;
    subject.stop(vf).await.expect("stopping what does not run is no error");
    assert_eq!(subject.observe(vf).await.expect("observe"), None, "nothing serves {vf} at first");
    for round in 1..=2 {
        let started = subject.start(spec).await.expect("start");
        assert!(started.is_ready(), "start returns once the process is ready: {started:?}");
        assert_eq!(started.spec, *spec, "a process is what it was started as");
        assert_eq!(started.socket, subject.socket(vf), "the socket is where it was announced");
        let seen = subject.observe(vf).await.expect("observe").expect("a started process is seen");
        assert_eq!(seen, started, "what start returns is what observe sees, round {round}");
        let all = subject.instances().await.expect("list");
        assert!(all.contains(&started), "the list has it: {all:?}");
        subject.stop(vf).await.expect("stop");
        assert_eq!(
            subject.observe(vf).await.expect("observe"),
            None,
            "a stopped process is gone, round {round}"
        );
    }
}

/// A program says which DPDK it is built of: year, month and perhaps a patch level.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn a_program_knows_its_version(subject: &dyn DpdkVdpa, spec: &Spec) {
    let version = subject.version(&spec.program).await.expect("a version");
    let parts: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    assert!(parts.len() >= 2 && parts.iter().all(Result::is_ok), "{version}");
}

/// Without a guest a process knows the counters of a virtqueue that is named, and no others; one that does not run
/// knows none.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn counters_are_of_the_guests_queues(subject: &dyn DpdkVdpa, spec: &Spec) {
    let vf = spec.vf;
    let absent = subject.counters(vf, Queues::All).await;
    assert!(matches!(absent, Err(Error::NotServed { vf: of }) if of == vf), "{absent:?}");
    subject.start(spec).await.expect("start");
    let all = subject.counters(vf, Queues::All).await;
    assert!(matches!(all, Err(Error::NoGuest { vf: of }) if of == vf), "{all:?}");
    let one = subject.counters(vf, Queues::One(3)).await.expect("the counters of virtqueue 3");
    assert_eq!(one.iter().map(|queue| queue.queue).collect::<Vec<_>>(), [3]);
    assert!(one[0].counters.iter().any(|(name, _)| name == "received_descriptors"), "{one:?}");
    subject.stop(vf).await.expect("stop");
}

/// A VF is served once; the process that serves it is not disturbed by the attempt, whatever it asks for.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn a_second_start_is_refused(subject: &dyn DpdkVdpa, spec: &Spec) {
    let first = subject.start(spec).await.expect("start");
    let other = Spec { mode: Mode::Client, ..spec.clone() };
    for again in [spec, &other] {
        match subject.start(again).await {
            Err(Error::AlreadyServed { vf }) => assert_eq!(vf, spec.vf),
            outcome => panic!("a second start of {}: {outcome:?}", spec.vf),
        }
    }
    let seen = subject.observe(spec.vf).await.expect("observe").expect("it still runs");
    assert_eq!(seen, first, "the first process goes on");
    subject.stop(spec.vf).await.expect("stop");
}

/// Each VF has its own process and socket; stopping one leaves the other alone.
///
/// # Panics
/// When the subject breaks the contract, and when both specs are for one VF.
pub async fn two_vfs_do_not_meet(subject: &dyn DpdkVdpa, one: &Spec, other: &Spec) {
    assert_ne!(one.vf, other.vf, "two VFs are needed");
    let first = subject.start(one).await.expect("start the first");
    let second = subject.start(other).await.expect("start the second");
    assert_ne!(first.socket, second.socket);
    assert_ne!(first.pid(), second.pid());
    subject.stop(one.vf).await.expect("stop the first");
    let left = subject.instances().await.expect("list");
    assert_eq!(left, [second], "only the second is left");
    subject.stop(other.vf).await.expect("stop the second");
}

/// A process for a device that DPDK does not know never becomes ready, and leaves nothing behind.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn an_unknown_device_leaves_nothing(subject: &dyn DpdkVdpa, spec: &Spec) {
    let error = subject.start(spec).await.expect_err("no datapath without a device");
    assert!(matches!(error, Error::NotStarted { .. }), "{error:?}");
    assert!(error.to_string().contains(&spec.device.to_string()), "the device is named: {error}");
    match subject.observe(spec.vf).await.expect("observe") {
        None => {}
        Some(left) => {
            assert!(!matches!(left.condition, Condition::Ready { .. }));
            panic!("a failed start left {left:?}");
        }
    }
}
