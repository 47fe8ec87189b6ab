//! Every operation on the host fails in turn, before and after its effect, once and for good: afterwards the
//! host is as it was, or what remains is listed.

mod common;

use common::{Bench, alike, pf, reference, snapshot};
use proptest::prelude::*;
use vdpa_cli::engine::Failure;
use vdpa_hw::mock::{Fuse, Lasting, When, kernel};

const TIMES: [When; 2] = [When::Before, When::After];
const LASTINGS: [Lasting; 3] = [Lasting::Once, Lasting::SameOperation, Lasting::Everything];

/// Sets `text` up with a fuse at each operation in turn.
async fn every_operation_fails(text: &str, setting: impl Fn(&mut Bench)) {
    let all = operations(text, &setting).await;
    assert!(all > 5, "{all} operations are too few to mean anything");
    each_of_them_fails(text, all, setting).await;
}

async fn each_of_them_fails(text: &str, all: u64, setting: impl Fn(&mut Bench)) {
    for at in 1..=all {
        for when in TIMES {
            for lasting in LASTINGS {
                let mut bench = Bench::new();
                setting(&mut bench);
                let before = bench.settled_snapshot().await;
                bench.host.machine.set_fuse(Some(Fuse::new(at, when, lasting)));
                let result = bench.setup(text).await;
                let case = format!("operation {at} of {all}, {when:?}, {lasting:?}");
                // A failure after the effect may be found to have done no harm: then everything holds.
                match result {
                    Ok(done) => assert!(done.statements.iter().all(vdpa_cli::plan::Change::holds), "{case}"),
                    Err(failure) => check(&bench, &before, &failure, &case).await,
                }
            }
        }
    }
}

async fn check(bench: &Bench, before: &str, failure: &Failure, case: &str) {
    let restored = failure.restored.as_ref();
    let complete = restored.is_none_or(vdpa_cli::engine::Restored::is_complete);
    bench.host.machine.set_fuse(None);
    let after = bench.settled_snapshot().await;
    if complete {
        let said = format!("{case}: {} is said to have left the host as it was", failure.error);
        alike(before, &after, &said);
        assert!(!bench.has_receipt(), "{case}: a receipt of nothing");
        return;
    }
    // What is said to remain is all that remains: once the fault is gone, teardown brings the host back.
    assert!(bench.has_receipt(), "{case}: the receipt of what remains is gone");
    bench
        .teardown()
        .await
        .unwrap_or_else(|failure| panic!("{case}: teardown after it: {}", failure.error.flat()));
    assert_eq!(before, bench.settled_snapshot().await, "{case}: after teardown");
}

async fn operations(text: &str, setting: &impl Fn(&mut Bench)) -> u64 {
    let mut bench = Bench::new();
    setting(&mut bench);
    let before = bench.host.machine.operations();
    bench.setup(text).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    bench.host.machine.operations() - before
}

#[tokio::test]
async fn every_operation_of_the_reference_setup_may_fail() {
    every_operation_fails(reference(), |_| ()).await;
}

#[tokio::test]
async fn every_operation_may_fail_with_a_bridge_of_the_userspace_datapath() {
    let file = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n[[nic.vf]]\nindex = 0\ndatapath = \"ovs-dpdk\"\nvm = \"cx6.1\"\n";
    every_operation_fails(file, |bench| {
        bench
            .host
            .vswitch
            .edit(|state| drop(state.other_config.insert("dpdk-extra".into(), "--no-huge".into())));
    })
    .await;
}

/// The kernel's vDPA, on VFs that somebody else made: their parameters and reloads may fail, too, and come back.
#[tokio::test]
async fn every_operation_may_fail_with_the_kernels_vdpa_on_vfs_that_were_there() {
    let file = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[[nic.vf]]\nindex = 0\ndatapath = \"kernel\"\n";
    every_operation_fails(file, |bench| bench.with_bound_vfs(1)).await;
    every_operation_fails(file, |_| ()).await;
}

#[tokio::test]
async fn every_operation_may_fail_with_vfs_and_offload_there_before() {
    every_operation_fails(reference(), |bench| {
        bench.with_bound_vfs(2);
        bench.host.vswitch.edit(|state| {
            state.other_config.insert("hw-offload".into(), "false".into());
            state.other_config.insert("max-idle".into(), "30000".into());
        });
    })
    .await;
}

#[tokio::test]
async fn every_operation_may_fail_where_switchdev_needs_vfs() {
    every_operation_fails(reference(), |bench| {
        bench.profile(|profile| profile.refuses_switchdev_without_vfs = true);
    })
    .await;
}

/// Every setting of a card and of a VF, and a bond: each of them may fail.
#[tokio::test]
async fn every_operation_may_fail_with_everything_that_a_host_file_can_set() {
    let text = r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 1
steering_mode = "smfs"
encap_mode = "none"
inline_mode = "none"
[[nic.vf]]
index = 0
max_rate_mbps = 1000
link_state = "down"
vlan = 100
[[nic]]
netdev = "enp67s0f1"
vfs = 1
[[bond]]
name = "bond7"
mode = "active-backup"
nics = ["0000:43:00.0", "enp67s0f1"]
"#;
    every_operation_fails(text, |_| ()).await;
}

/// Ten VFs on a card whose firmware allows eight, and another setting.
const FIRMWARE: &str =
    "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 10\nfirmware = { NUM_OF_VFS = 16, UCTX_EN = false }\n";

/// The kernel writes one of the settings and the tool the other: each may fail, and the firmware is as it was.
#[tokio::test]
async fn every_operation_that_writes_firmware_may_fail() {
    let setting = |bench: &mut Bench| {
        bench.firmware = true;
        for port in [pf(), "0000:43:00.1".parse().unwrap()] {
            bench
                .host
                .machine
                .meddle(|state| state.pf_mut(port).unwrap().profile.has_permanent_params = true);
        }
    };
    let all = operations(FIRMWARE, &setting).await;
    assert_eq!(all, 2, "a devlink parameter and a run of the tool");
    each_of_them_fails(FIRMWARE, all, setting).await;
}

/// What was written before a reset is in force by then, and not this run's to take back: where a `setup` fails after
/// it, the host is as that `setup` found it, firmware included; `teardown` and another reset bring back what was first.
#[tokio::test]
async fn every_operation_may_fail_after_firmware_was_written_and_reset() {
    let written = async || {
        let mut bench = Bench::new();
        bench.firmware = true;
        let fresh = bench.settled_snapshot().await;
        assert!(!bench.setup(FIRMWARE).await.unwrap().waits_for.is_empty());
        reset_firmware(&bench);
        (fresh, bench)
    };
    let (_, bench) = written().await;
    let before = bench.host.machine.operations();
    assert!(bench.setup(FIRMWARE).await.unwrap().waits_for.is_empty());
    let all = bench.host.machine.operations() - before;
    assert!(all > 5, "{all} operations are too few to mean anything");
    for at in 1..=all {
        for when in TIMES {
            for lasting in LASTINGS {
                let (fresh, bench) = written().await;
                bench.host.machine.set_fuse(Some(Fuse::new(at, when, lasting)));
                let case = format!("operation {at} of {all}, {when:?}, {lasting:?}");
                written_comes_and_goes(&bench, &fresh, FIRMWARE, &case).await;
            }
        }
    }
}

/// Sets `text` up, whose firmware is in force by now, perhaps in vain; then takes everything back.
async fn written_comes_and_goes(bench: &Bench, fresh: &str, text: &str, case: &str) {
    let before = bench.settled_snapshot().await;
    let result = bench.setup(text).await;
    bench.host.machine.set_fuse(None);
    let restored = result.as_ref().err().map(|failure| failure.restored.as_ref());
    if restored.is_some_and(|restored| restored.is_none_or(vdpa_cli::engine::Restored::is_complete)) {
        alike(&before, &bench.settled_snapshot().await, &format!("{case}: as that setup found it"));
    }
    assert!(bench.has_receipt(), "{case}: the receipt of what was written is gone");
    bench.teardown().await.unwrap_or_else(|failure| panic!("{case}: {}", failure.error.flat()));
    reset_firmware(bench);
    alike(fresh, &bench.settled_snapshot().await, &format!("{case}: after teardown and another reset"));
    assert!(!bench.has_receipt() && !bench.path().join("firmware.json").exists(), "{case}");
}

fn reset_firmware(bench: &Bench) {
    bench.host.machine.meddle(|state| kernel::reset_firmware(state, pf())).unwrap();
}

#[tokio::test]
async fn every_operation_of_a_teardown_may_fail_and_the_next_one_goes_on() {
    let bench = Bench::new();
    bench.setup(reference()).await.unwrap();
    let before = bench.host.machine.operations();
    bench.teardown().await.unwrap();
    let all = bench.host.machine.operations() - before;
    assert!(all > 5, "{all} operations");
    for at in 1..=all {
        for when in TIMES {
            let bench = Bench::new();
            let fresh = bench.settled_snapshot().await;
            bench.setup(reference()).await.unwrap();
            bench.host.machine.set_fuse(Some(Fuse::new(at, when, Lasting::SameOperation)));
            let first = bench.teardown().await;
            bench.host.machine.set_fuse(None);
            if first.is_err() {
                bench
                    .teardown()
                    .await
                    .unwrap_or_else(|failure| panic!("{at} {when:?}: {}", failure.error.flat()));
            }
            assert_eq!(fresh, bench.settled_snapshot().await, "operation {at} of {all}, {when:?}");
            assert!(!bench.has_receipt());
        }
    }
}

#[tokio::test]
async fn what_remains_is_listed_statement_by_statement() {
    let bench = Bench::new();
    // The MAC of VF 1 fails, and from then on nothing works any more.
    let all = operations(reference(), &|_: &mut Bench| ()).await;
    let before = snapshot(&bench.host);
    bench.host.machine.set_fuse(Some(Fuse::new(all - 2, When::Before, Lasting::Everything)));
    let failure = bench.setup(reference()).await.unwrap_err();
    let restored = failure.restored.expect("something was changed");
    let remains: Vec<String> = restored.remains.iter().map(|remains| remains.before.to_string()).collect();
    for expected in ["VFs of 0000:43:00.0: 0", "eswitch of 0000:43:00.0: legacy", "bridge ovs-sriov: absent"]
    {
        assert!(remains.contains(&expected.to_owned()), "{expected} is not in {remains:#?}");
    }
    assert!(restored.remains.iter().any(|remains| remains.why.is_some()), "{remains:#?}");
    assert_ne!(before, snapshot(&bench.host));
}

/// Settings of a card, one line each, of which a host file has some.
const SETTINGS: [&str; 3] = ["steering_mode = \"smfs\"", "inline_mode = \"none\"", "encap_mode = \"none\""];

/// A host file for host 105, with what is there before.
fn host_files() -> impl Strategy<Value = (String, u16)> {
    let rate = prop::option::of(1u32..100_000);
    let vf =
        (prop::sample::select(vec!["none", "kernel", "dpdk"]), 1u16..5, any::<bool>(), rate, any::<bool>());
    let settings = prop::sample::subsequence(SETTINGS.to_vec(), 0..=SETTINGS.len());
    let second = prop::option::of((1u16..=3, any::<bool>()));
    // Fewer VFs than the firmware allows already, or more; and a setting that differs, or does not.
    let firmware = prop::option::of((prop::sample::select(vec![4, 16, 127]), any::<bool>()));
    (prop::collection::vec(vf, 1..=8), settings, second, any::<bool>(), any::<bool>(), firmware).prop_map(
        |(vfs, settings, second, foreign_name, vm, firmware)| {
            use std::fmt::Write as _;
            let mut text =
                format!("[bridge]\nname = \"{}\"\n", if foreign_name { "br-other" } else { "ovs-sriov" });
            let _ = writeln!(text, "[[nic]]\npci = \"0000:43:00.0\"\nvfs = {}\n{}", vfs.len(), settings.join("\n"));
            if let Some((number, devx)) = firmware {
                let _ = writeln!(text, "firmware = {{ NUM_OF_VFS = {number}, UCTX_EN = {devx} }}");
            }
            let mut vm = vm.then_some("vm = \"cx6.1\"");
            for (index, (datapath, queues, mac, rate, up)) in vfs.iter().enumerate() {
                let _ = writeln!(
                    text,
                    "[[nic.vf]]\nindex = {index}\ndatapath = \"{datapath}\"\nqueues = {queues}"
                );
                if let Some(rate) = rate {
                    let _ = writeln!(text, "max_rate_mbps = {rate}\nmin_rate_mbps = {}", rate / 2);
                }
                if *queues == 3 {
                    let _ = writeln!(text, "vlan = {}", 100 + index);
                }
                let _ = writeln!(text, "link_state = \"{}\"", if *up { "up" } else { "down" });
                if *mac {
                    let _ = writeln!(text, "mac = \"e4:11:22:33:55:{index:02x}\"");
                }
                if *datapath != "none"
                    && *queues <= 2
                    && let Some(vm) = vm.take()
                {
                    let _ = writeln!(text, "{vm}");
                }
            }
            if let Some((vfs, bonded)) = second {
                let _ = writeln!(text, "[[nic]]\nnetdev = \"enp67s0f1\"\nvfs = {vfs}");
                if bonded {
                    let _ = writeln!(
                        text,
                        "[[bond]]\nname = \"bond7\"\nmode = \"802.3ad\"\nnics = [\"0000:43:00.0\", \"enp67s0f1\"]"
                    );
                }
            }
            (text, u16::try_from(vfs.len()).unwrap())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any host file: set up, unchanged by a second run, gone after teardown; and with a fault anywhere, the
    /// host is as it was or the next teardown makes it so. What it writes to firmware counts after a reset.
    #[test]
    fn any_host_file_comes_and_goes((text, _) in host_files(), at in 1u64..60, after: bool, lasting in 0usize..3) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new();
            bench.firmware = true;
            bench.with_foreign_bridge("br-other");
            let before = bench.settled_snapshot().await;
            let first = bench.setup(&text).await.unwrap_or_else(|failure| panic!("{text}\n{}", failure.error.flat()));
            let waited = !first.waits_for.is_empty();
            if waited {
                reset_firmware(&bench);
                let next = bench.setup(&text).await.unwrap_or_else(|failure| panic!("{text}\n{}", failure.error.flat()));
                assert_eq!(next.waits_for, [""; 0], "{text}");
            }
            let operations = bench.host.machine.operations();
            let again = bench.setup(&text).await.unwrap_or_else(|failure| panic!("{text}\n{}", failure.error.flat()));
            assert!(!again.changed, "{text}");
            assert_eq!(operations, bench.host.machine.operations(), "the second run did something:\n{text}");
            bench.teardown().await.unwrap_or_else(|failure| panic!("{text}\n{}", failure.error.flat()));
            reset_firmware(&bench);
            alike(&before, &bench.settled_snapshot().await, &text);

            let when = if after { When::After } else { When::Before };
            bench.host.machine.set_fuse(Some(Fuse::new(at, when, LASTINGS[lasting])));
            match bench.setup(&text).await {
                Err(failure) => check(&bench, &before, &failure, &text).await,
                Ok(done) if !done.waits_for.is_empty() => {
                    reset_firmware(&bench);
                    written_comes_and_goes(&bench, &before, &text, &text).await;
                }
                Ok(_) => {}
            }
        });
    }
}
