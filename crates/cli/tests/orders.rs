//! VFs first or eswitch first: what is preferred, what is tried then, and what is written down. And how many VFs.

mod common;

use common::command::Simulated;
use common::{Bench, alike, pf, reference};
use vdpa_cli::Error;
use vdpa_cli::plan::{Change, Order};
use vdpa_cli::receipt::Drawer;
use vdpa_hw::Vf;
use vdpa_hw::mock::{EswitchMode, hosts};

fn order(bench: &Bench) -> Option<Order> {
    Drawer::new(bench.path()).open().unwrap().expect("a receipt").order
}

/// The verbs of the first operations on the card.
fn journal(bench: &Bench) -> Vec<String> {
    let verb = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    bench.host.machine.observe(|state| state.journal.iter().map(verb).collect())
}

fn position(journal: &[String], verb: &str) -> usize {
    journal.iter().position(|other| other == verb).unwrap_or_else(|| panic!("no {verb} in {journal:?}"))
}

/// Pitfall 1: of the orders in use, VFs after the switch is the one that the vendor documents now.
#[tokio::test]
async fn the_eswitch_is_switched_before_there_are_vfs() {
    let bench = Bench::new();
    bench.setup(reference()).await.unwrap();
    let journal = journal(&bench);
    assert!(position(&journal, "eswitch_mode") < position(&journal, "sriov_numvfs"), "{journal:?}");
    assert_eq!(order(&bench), Some(Order::SwitchdevFirst));
    assert!(bench.told.notes().is_empty(), "{:?}", bench.told.notes());
    // A second run has no choice any more, and what was written down stays.
    assert!(!bench.setup(reference()).await.unwrap().changed);
    assert_eq!(order(&bench), Some(Order::SwitchdevFirst));
}

/// Pitfall 1: kernels before 5.7 refuse switchdev without VFs: the other order is tried, and what worked is said.
#[tokio::test]
async fn a_kernel_that_refuses_switchdev_without_vfs_gets_them_first() {
    let bench = Bench::new();
    bench.profile(|profile| profile.refuses_switchdev_without_vfs = true);
    let fresh = bench.settled_snapshot().await;
    let done = bench.setup(reference()).await.unwrap();
    assert!(done.changed && done.statements.iter().all(Change::holds));
    let journal = journal(&bench);
    assert!(position(&journal, "sriov_numvfs") < position(&journal, "eswitch_mode"), "{journal:?}");
    assert_eq!(order(&bench), Some(Order::VfsFirst));
    let [tried, worked] = &bench.told.notes()[..] else { panic!("{:?}", bench.told.notes()) };
    assert!(
        tried.contains("SRIOV legacy not enabled") && tried.ends_with("trying another order: VFs first"),
        "{tried}"
    );
    assert_eq!(worked, "what works here: VFs first");
    bench.teardown().await.unwrap();
    assert_eq!(fresh, bench.settled_snapshot().await);
}

#[tokio::test]
async fn vfs_that_are_there_are_unbound_before_the_eswitch_is_switched() {
    let bench = Bench::new();
    bench.with_bound_vfs(2);
    bench.setup(reference()).await.unwrap();
    let journal = journal(&bench);
    assert!(position(&journal, "unbind") < position(&journal, "eswitch_mode"), "{journal:?}");
    assert!(!journal.contains(&"sriov_numvfs".to_owned()), "they are as many as are wanted: {journal:?}");
    assert_eq!(order(&bench), Some(Order::VfsFirst));
}

#[tokio::test]
async fn a_datapath_is_stopped_before_its_vf_goes_for_a_while() {
    let bench = Bench::new();
    bench.setup(reference()).await.unwrap();
    let begun = journal(&bench).len();
    bench.setup(&reference().replace("vfs = 2", "vfs = 3")).await.unwrap();
    let journal = &journal(&bench)[begun..];
    assert!(position(journal, "dpdk-vdpa") < position(journal, "sriov_numvfs"), "{journal:?}");
    let (running, vf) = bench.host.machine.observe(|state| {
        let vf = Vf::new(pf(), 0);
        (state.dpdk[&vf].ready, state.vf_address(vf).unwrap() == state.dpdk[&vf].parent)
    });
    assert!(running && vf);
}

#[tokio::test]
async fn a_card_that_never_switches_is_as_it_was() {
    let bench = Bench::new();
    bench.profile(|profile| profile.refuses_switchdev = Some("Firmware says no".into()));
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(reference()).await.unwrap_err();
    assert!(matches!(&failure.error, Error::ModeRefused(_)), "{failure:?}");
    assert_eq!(failure.error.details(), ["kernel: Firmware says no (EOPNOTSUPP)"]);
    assert!(failure.restored.as_ref().is_some_and(vdpa_cli::engine::Restored::is_complete), "{failure:?}");
    assert_eq!(before, bench.settled_snapshot().await);
    assert!(!bench.has_receipt());
    // Both orders were tried.
    assert_eq!(bench.told.notes().len(), 1, "{:?}", bench.told.notes());
}

#[test]
fn a_refusal_is_quoted_to_the_user_and_the_order_is_shown_to_programs() {
    let host = Simulated::new();
    host.keep();
    let fresh = host.snapshot();
    let knob = |name: &'static str, value: serde_json::Value| {
        host.meddle(|state| {
            state["machine"]["functions"]["0000:43:00.0"]["role"]["pf"]["profile"][name] = value;
        });
    };
    knob("refuses_switchdev", "Firmware says no".into());
    let said = host.run(&["setup"]).exits(1);
    let expected = [
        "error: cannot switch the eswitch of pci/0000:43:00.0 to switchdev",
        "  kernel: Firmware says no (EOPNOTSUPP)",
        "rolled back 3 of 3 statements; the host is as it was",
    ];
    assert_eq!(said.error()[..3], expected, "{said}");
    assert!(said.error()[3].starts_with("hint: "), "{said}");
    assert!(!host.has_receipt());
    knob("refuses_switchdev", serde_json::Value::Null);
    assert_eq!(fresh, host.snapshot());

    knob("refuses_switchdev_without_vfs", true.into());
    let (_, done) = host.json(&["setup"]);
    assert_eq!(done["receipt"]["order"], "vfs-first", "{done:#}");
    assert_eq!(done["notes"].as_array().map(Vec::len), Some(2), "{done:#}");
    let (_, status) = host.json(&["status"]);
    assert_eq!(status["receipt"], serde_json::json!({ "phase": "applied", "order": "vfs-first" }));
}

/// Pitfall 2: `sriov_numvfs` returns before the VFs exist, and they take their time each. Pitfall 14: a time limit
/// that is 0 for some numbers of VFs (17 to 63 in nmstate 2.2.38) skips verification: every number is verified.
#[tokio::test]
async fn any_number_of_vfs_comes_and_goes_within_its_time() {
    for count in [1u16, 16, 17, 63, 64, 127] {
        let bench = Bench::with_machine(hosts::one_card(pf(), "enp67s0f0".parse().unwrap(), 127));
        let fresh = bench.settled_snapshot().await;
        let text = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = {count}\n");
        let began = bench.host.machine.observe(|state| state.now_ms);
        let done =
            bench.setup(&text).await.unwrap_or_else(|failure| panic!("{count}: {}", failure.error.flat()));
        assert!(done.statements.iter().all(Change::holds), "{count}");
        let took = bench.host.machine.observe(|state| state.now_ms) - began;
        // The card takes 400 ms for each.
        assert!(
            (u64::from(count) * 400..5000 + u64::from(count) * 800).contains(&took),
            "{count} VFs took {took} ms"
        );
        assert!(!bench.setup(&text).await.unwrap().changed, "{count}");
        bench.teardown().await.unwrap_or_else(|failure| panic!("{count}: {}", failure.error.flat()));
        assert_eq!(fresh, bench.settled_snapshot().await, "{count}");
    }
}

/// Pitfall 2: VFs that never exist are waited for no longer than their number explains.
#[tokio::test]
async fn vfs_that_do_not_come_are_given_up_after_a_time_that_grows_with_their_number() {
    for count in [1u16, 16, 64, 127] {
        let bench = Bench::with_machine(hosts::one_card(pf(), "enp67s0f0".parse().unwrap(), 127));
        bench.profile(|profile| profile.vf_ms = 3_600_000);
        let fresh = bench.settled_snapshot().await;
        let began = bench.host.machine.observe(|state| state.now_ms);
        let failure =
            bench.setup(&format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = {count}\n")).await.unwrap_err();
        let took = bench.host.machine.observe(|state| state.now_ms) - began;
        let limit = 1000 * (20 + u64::from(count));
        assert!((limit..limit + 2000).contains(&took), "{count}: {took} ms");
        assert!(
            failure.error.flat().contains(&format!("{count} VFs of 0000:43:00.0")),
            "{}",
            failure.error.flat()
        );
        assert!(failure.error.flat().contains("0 VFs"), "what was seen: {}", failure.error.flat());
        assert_eq!(fresh, bench.settled_snapshot().await, "{count}");
    }
}

#[tokio::test]
async fn two_cards_are_set_up_side_by_side() {
    let mut text =
        "[[nic]]\nnetdev = \"enp67s0f0\"\nvfs = 8\n[[nic]]\nnetdev = \"enp67s0f1\"\nvfs = 7\n".to_owned();
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(&text).await.unwrap();
    let took = bench.host.machine.observe(|state| state.now_ms);
    assert!(took < 8 * 400 * 2, "one after the other: {took} ms");
    // The second port leaves, what it had goes with it, and the first stays as it is.
    text.truncate(text.rfind("[[nic]]").unwrap());
    assert!(bench.setup(&text).await.unwrap().changed);
    let modes = bench.host.machine.observe(|state| {
        ["0000:43:00.0", "0000:43:00.1"].map(|pf| state.pf(pf.parse().unwrap()).unwrap().eswitch.mode)
    });
    assert_eq!(modes, [EswitchMode::Switchdev, EswitchMode::Legacy]);
    bench.teardown().await.unwrap();
    assert_eq!(fresh, bench.settled_snapshot().await);
}

/// Both are in one definition, which is read, edited and written as a whole.
#[tokio::test]
async fn two_vfs_of_one_vm_do_not_undo_each_others_edits() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    let vf = |index| format!("[[nic.vf]]\nindex = {index}\ndatapath = \"dpdk\"\nvm = \"cx6.1\"\n");
    let file = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n{}{}", vf(0), vf(1));
    bench.setup(&file).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

#[tokio::test]
async fn a_mac_that_is_not_given_is_the_same_at_every_boot() {
    let text =
        "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 3\n[[nic.vf]]\nindex = 1\nmac = \"e4:11:22:33:55:61\"\n";
    let macs = async || {
        let bench = Bench::new();
        bench.setup(text).await.unwrap();
        let first = bench.host.machine.observe(|state| state.pf(pf()).unwrap().vfs.clone());
        // What the administrator set is what the VF has.
        for (index, settings) in &first {
            let vf = Vf { pf: pf(), index: *index };
            let netdev = bench
                .host
                .machine
                .observe(|state| state.netdev_with(vdpa_hw::mock::NetdevRole::VfNetdev(vf)).unwrap().1.mac);
            assert_eq!(netdev, settings.mac);
        }
        first.into_values().map(|settings| settings.mac.to_string()).collect::<Vec<_>>()
    };
    let first = macs().await;
    assert_eq!(first, macs().await);
    // Spelled out: a VM's lease depends on it.
    assert_eq!(first, ["7a:76:2f:d3:5a:bb", "e4:11:22:33:55:61", first[2].as_str()]);
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn open_vswitch_is_restarted_only_where_offload_does_not_come_into_force_without() {
    for needs_restart in [false, true] {
        let bench = Bench::new();
        bench.host.vswitch.edit(|state| state.hw_offload_needs_restart = needs_restart);
        let fresh = bench.settled_snapshot().await;
        let done = bench.setup(reference()).await.unwrap();
        assert!(done.statements.iter().all(Change::holds));
        let restarts = journal(&bench).iter().filter(|verb| *verb == "restart").count();
        assert_eq!(restarts, usize::from(needs_restart));
        let told = bench.told.notes();
        assert_eq!(told.iter().any(|note| note.contains("needs a restart")), needs_restart, "{told:?}");
        assert!(!bench.setup(reference()).await.unwrap().changed);
        bench.teardown().await.unwrap();
        assert_eq!(fresh, bench.settled_snapshot().await);
        let restarts = journal(&bench).iter().filter(|verb| *verb == "restart").count();
        assert_eq!(restarts, usize::from(needs_restart), "teardown restarts nothing");
    }
}
