//! How a card's switch is set besides its mode, and what is set of its VFs: when its driver takes it, refused with the
//! place in the host file where it never does, and taken back.

mod common;

use common::command::Simulated;
use common::{Bench, alike, pf};
use vdpa_cli::Error;
use vdpa_cli::guard::Guard;
use vdpa_cli::plan::{Change, Order};
use vdpa_cli::receipt::Drawer;
use vdpa_hw::mock::{EswitchMode, Forwarder, NetdevRole, Packets, SimParam, hosts, kernel};
use vdpa_hw::{Vf, VfIndex};

fn host_file(nic: &str, vf: &str) -> String {
    format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n{nic}\n[[nic.vf]]\nindex = 1\n{vf}\n")
}

/// The operations on the host from `since` on, as verb and object.
fn journal(bench: &Bench, since: usize) -> Vec<String> {
    bench.host.machine.observe(|state| state.journal[since..].to_vec())
}

#[track_caller]
fn before(journal: &[String], first: &str, second: &str) {
    let at = |verb: &str| {
        let found = journal.iter().position(|line| line.starts_with(verb));
        found.unwrap_or_else(|| panic!("no {verb} in {journal:#?}"))
    };
    assert!(at(first) < at(second), "{first} comes after {second}: {journal:#?}");
}

fn steering(bench: &Bench) -> SimParam {
    bench.host.machine.observe(|state| state.pf(pf()).unwrap().params["flow_steering_mode"].clone())
}

/// Sets a host file up, finds nothing to do the second time, and comes back to the first state.
async fn comes_and_goes(bench: &Bench, text: &str) {
    let fresh = bench.settled_snapshot().await;
    let done = bench.setup(text).await.unwrap_or_else(|failure| panic!("{text}\n{}", failure.error.flat()));
    assert!(done.statements.iter().all(Change::holds));
    assert!(!bench.setup(text).await.unwrap().changed, "{text}");
    bench.teardown().await.unwrap_or_else(|failure| panic!("{text}\n{failure:#?}"));
    alike(&fresh, &bench.settled_snapshot().await, text);
}

/// Pitfall 5: `flow_steering_mode` changes in legacy mode only. Pitfall 9: steering, inline mode and encapsulation are
/// settings of their own, each with its time.
#[tokio::test]
async fn steering_and_encapsulation_are_set_before_the_switch_and_the_inline_mode_after_it() {
    let text = host_file("steering_mode = \"smfs\"\nencap_mode = \"none\"\ninline_mode = \"none\"", "");
    let bench = Bench::new();
    comes_and_goes(&bench, &text).await;
    bench.setup(&text).await.unwrap();
    assert_eq!(steering(&bench), SimParam::Runtime("smfs".into()));
    let journal = journal(&bench, 0);
    before(&journal, "devlink_param pci/0000:43:00.0 flow_steering_mode", "eswitch_mode");
    before(&journal, "eswitch_encap", "eswitch_mode");
}

/// Pitfall 5: a card that is in switchdev mode keeps its steering; nobody takes it out of that mode unasked.
#[tokio::test]
async fn steering_that_cannot_change_now_is_refused_with_the_way_out() {
    let bench = Bench::new();
    bench.setup(&host_file("", "")).await.unwrap();
    let set_up = bench.settled_snapshot().await;
    let text = host_file("steering_mode = \"smfs\"", "");
    let failure = bench.setup(&text).await.unwrap_err();
    assert!(failure.error.is_usage() && failure.restored.is_none());
    let details = failure.error.details();
    assert!(details[0].contains("host.toml:4:17"), "{details:?}");
    assert!(
        failure.error.to_string().contains("dmfs and becomes smfs in legacy mode only"),
        "{}",
        failure.error
    );
    assert!(failure.hint().unwrap().contains("`vdpa teardown` first"));
    alike(&set_up, &bench.settled_snapshot().await, "a refusal touches nothing");
    bench.teardown().await.unwrap();
    bench.setup(&text).await.unwrap();
    assert_eq!(steering(&bench), SimParam::Runtime("smfs".into()));
}

/// Pitfall 5: the vendor's own driver refuses another steering mode while there are VFs; its refusal is quoted and the
/// VFs are as they were.
#[tokio::test]
async fn steering_refused_for_the_vfs_that_are_there_leaves_them_alone() {
    let bench = Bench::new();
    bench.profile(|profile| profile.refuses_steering_with_vfs = true);
    bench.with_bound_vfs(2);
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(&host_file("steering_mode = \"smfs\"", "")).await.unwrap_err();
    assert!(failure.error.flat().contains("flow_steering_mode of pci/0000:43:00.0 to smfs"), "{failure:?}");
    alike(&fresh, &bench.settled_snapshot().await, "after the refusal");
}

#[test]
fn what_the_driver_does_not_have_is_refused_where_it_stands() {
    for (nic, vf, place, what) in [
        ("", "trust = true", "6:9", "mlx5_core refuses trust of a VF in switchdev mode: 0000:43:00.0/vf1"),
        ("", "spoofchk = false", "6:12", "mlx5_core refuses spoofchk of a VF in switchdev mode"),
        ("", "link_state = \"auto\"", "6:14", "VF 1 of 0000:43:00.0 is to have the link state `auto`"),
        ("", "min_rate_mbps = 200\nmax_rate_mbps = 100", "6:17", "at least 200 Mbit/s and at most 100"),
        ("steering_mode = \"fast\"", "", "4:17", "unknown variant `fast`"),
    ] {
        let host = Simulated::new();
        let text = host_file(nic, vf).replace("vfs = 2\n\n", "vfs = 2\n");
        let file = host.host_file(&text);
        for command in ["plan", "setup"] {
            let said = host.run(&[command, "--config", file.to_str().unwrap()]).exits(2);
            assert!(said.error()[0].contains(what), "{said}");
            assert_eq!(said.error()[1], format!("  --> {}:{place}", file.display()), "{said}");
            assert!(!host.has_receipt());
        }
    }
}

/// A card of another driver: its VFs have a driver of their own, its mode changes only without VFs, trust is refused
/// and spoof checking is not, and there is no choice of steering.
fn with_ice() -> Bench {
    let bench = Bench::new();
    bench.host.machine.meddle(|state| hosts::drive(state, pf(), "ice", "iavf", hosts::ice()));
    bench
}

/// Pitfall 1: Intel's ice changes its mode only without VFs: to 0 only if the mode differs, then the mode, then VFs.
#[tokio::test]
async fn a_driver_that_switches_only_without_vfs_has_them_taken_away_first() {
    let text = host_file("", "spoofchk = true");
    let bench = with_ice();
    comes_and_goes(&bench, &text).await;

    let bench = with_ice();
    bench.with_bound_vfs(2);
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(&text).await.unwrap_err();
    let Error::Guarded(objections) = &failure.error else { panic!("{}", failure.error.flat()) };
    assert_eq!(
        objections[0].to_string(),
        "existing-vfs: 0000:43:00.0 has 2 VFs, which go before its eswitch is switched"
    );
    alike(&fresh, &bench.settled_snapshot().await, "a guard touches nothing");
    let bench = with_ice().force(Guard::ExistingVfs);
    bench.with_bound_vfs(2);
    comes_and_goes(&bench, &text).await;
    bench.setup(&text).await.unwrap();
    assert_eq!(Drawer::new(bench.path()).open().unwrap().unwrap().order, Some(Order::SwitchdevFirst));
    let since = journal(&bench, 0).len();
    // The mode is right already: another number of VFs costs no switch.
    bench.setup(&text.replace("vfs = 2", "vfs = 3")).await.unwrap();
    assert!(!journal(&bench, since).iter().any(|line| line.starts_with("eswitch_mode")));
    let driver = bench.host.machine.observe(|state| {
        let address = state.vf_address(Vf::new(pf(), 1)).unwrap();
        state.functions[&address].driver.clone()
    });
    assert_eq!(driver.unwrap().as_str(), "iavf");
    for (nic, vf, what) in [
        ("steering_mode = \"smfs\"", "", "0000:43:00.0 has no steering_mode"),
        ("", "trust = true", "ice refuses trust of a VF in switchdev mode"),
    ] {
        let failure = bench.setup(&host_file(nic, vf)).await.unwrap_err();
        assert!(failure.error.to_string().contains(what), "{}", failure.error);
    }
}

/// Pitfall 1: where a card refuses with its VFs there, they can go first, if the guard lets them.
#[tokio::test]
async fn vfs_in_the_way_of_the_switch_go_only_if_they_may() {
    let prepare = |bench: &Bench| {
        bench.profile(|profile| profile.refuses_mode_with_vfs = true);
        bench.with_bound_vfs(2);
    };
    let bench = Bench::new();
    prepare(&bench);
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(&host_file("", "")).await.unwrap_err();
    assert!(matches!(failure.error, Error::ModeRefused(_)), "{}", failure.error.flat());
    let notes = bench.told.notes();
    assert!(
        notes.iter().any(|note| note.starts_with("switchdev first is not tried: existing-vfs")),
        "{notes:?}"
    );
    alike(&fresh, &bench.settled_snapshot().await, "not forced");

    let bench = Bench::new().force(Guard::ExistingVfs);
    prepare(&bench);
    comes_and_goes(&bench, &host_file("", "")).await;
}

/// Pitfall 3: from N VFs to M is EBUSY unless it goes through 0, and VFs of somebody else's go only if they may.
#[tokio::test]
async fn another_number_of_vfs_goes_through_none() {
    let bench = Bench::new();
    bench.setup(&host_file("", "")).await.unwrap();
    let since = journal(&bench, 0).len();
    bench.setup(&host_file("", "").replace("vfs = 2", "vfs = 5")).await.unwrap();
    let writes = journal(&bench, since).iter().filter(|line| line.starts_with("sriov_numvfs")).count();
    assert_eq!(writes, 2, "to 0 and to 5");
    let bench = Bench::new();
    bench.with_bound_vfs(3);
    let failure = bench.setup(&host_file("", "")).await.unwrap_err();
    assert!(failure.error.details()[0].contains("has 3 VFs, which go before 2 are made"), "{failure:?}");
}

/// Pitfall 4: offloaded rules can keep a card from leaving switchdev mode: its ports leave the bridge first.
#[tokio::test]
async fn the_bridge_lets_go_before_the_card_leaves_switchdev() {
    let bench = Bench::new();
    bench.profile(|profile| profile.refuses_legacy_when_bridged = true);
    let fresh = bench.settled_snapshot().await;
    bench.setup(&host_file("", "")).await.unwrap();
    let refused =
        bench.host.machine.meddle(|state| kernel::set_eswitch_mode(state, pf(), EswitchMode::Legacy));
    assert!(refused.is_err(), "with rules on it, the card stays");
    bench.teardown().await.unwrap();
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

/// Pitfall 7: hw-tc-offload is set after the switch, and again after a restart of Open vSwitch that takes it away; what
/// drifts later is seen by `status` and mended by the next `setup`.
#[tokio::test]
async fn tc_offload_is_on_after_the_switch_after_a_restart_and_after_drift() {
    let bench = Bench::new();
    bench.profile(|profile| profile.loses_tc_offload_at_restart = true);
    bench.host.vswitch.edit(|state| state.hw_offload_needs_restart = true);
    let done = bench.setup(&host_file("", "")).await.unwrap();
    assert!(done.statements.iter().all(Change::holds));
    let journal = journal(&bench, 0);
    before(&journal, "eswitch_mode", "tc_offload");
    before(&journal, "tc_offload", "restart");
    let after = journal.iter().rposition(|line| line.starts_with("tc_offload")).unwrap();
    assert!(journal.iter().position(|line| line.starts_with("restart")).unwrap() < after, "{journal:#?}");
    bench.host.machine.meddle(kernel::ovs_restarts);
    let mended = bench.setup(&host_file("", "")).await.unwrap();
    assert!(mended.changed && mended.statements.iter().all(Change::holds));
}

/// Pitfall 7: hw-tc-offload of a card that has rules cannot be turned off (`set_feature_hw_tc` in mlx5's `en_main.c`):
/// going back, the bridge lets go of its ports, and their rules, before it is.
#[tokio::test]
async fn a_card_with_rules_keeps_its_offload_until_the_bridge_has_let_go() {
    let bench = Bench::new();
    bench.setup(&host_file("", "")).await.unwrap();
    let ports = bench.host.machine.meddle(|state| {
        let role = |index| NetdevRole::Representor(Vf { pf: pf(), index: VfIndex::new(index) });
        let [from, to] = [0, 1].map(|index| state.netdev_with(role(index)).unwrap().0);
        let (source, destination) = (state.netdevs[&from].mac, state.netdevs[&to].mac);
        let packets = Packets { from, to, source, destination, eth_type: 0x0800, count: 50, length: 84 };
        kernel::forward(state, &packets).unwrap();
        assert_eq!(state.flows[0].forwarder, Forwarder::Card, "{:?}", state.flows);
        let uplink = state.netdev_with(NetdevRole::Uplink(pf())).unwrap().0;
        [from, to, uplink]
    });
    for port in ports {
        assert!(
            bench.host.machine.meddle(|state| kernel::set_tc_offload(state, port, false)).is_err(),
            "{port}"
        );
    }
    let since = bench.host.machine.observe(|state| state.journal.len());
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    let journal = journal(&bench, since);
    before(&journal, "ovs.apply", "tc_offload");
    before(&journal, "tc_offload", "eswitch_mode");
}

/// In switchdev mode rates are the port's, and go with it; one that nobody asks for any more is taken off again.
#[tokio::test]
async fn rates_are_set_on_the_port_and_taken_off_when_nobody_asks() {
    let rates = |bench: &Bench| {
        bench
            .host
            .machine
            .observe(|state| state.pf(pf()).unwrap().vfs.values().map(|vf| vf.rate_mbps).collect::<Vec<_>>())
    };
    let text = host_file("", "min_rate_mbps = 100\nmax_rate_mbps = 2500");
    let bench = Bench::new();
    comes_and_goes(&bench, &text).await;
    bench.setup(&text).await.unwrap();
    assert_eq!(rates(&bench), [(0, 0), (100, 2500)]);
    bench.setup(&text.replace("2500", "5000")).await.unwrap();
    assert_eq!(rates(&bench), [(0, 0), (100, 5000)]);
    for changed in [true, false] {
        assert_eq!(bench.setup(&host_file("", "")).await.unwrap().changed, changed);
        assert_eq!(rates(&bench), [(0, 0), (0, 0)]);
    }
    let failure = bench.setup(&host_file("", "max_rate_mbps = 400000")).await.unwrap_err();
    assert!(
        failure.error.flat().contains("TX rate value exceed link maximum speed"),
        "{}",
        failure.error.flat()
    );
    assert_eq!(rates(&bench), [(0, 0), (0, 0)]);
}

/// A VF's link is its representor's.
#[tokio::test]
async fn a_vf_whose_link_is_to_be_down_has_its_representor_down() {
    let bench = Bench::new();
    comes_and_goes(&bench, &host_file("", "link_state = \"down\"")).await;
    bench.setup(&host_file("", "link_state = \"down\"")).await.unwrap();
    let up = |index: u16| {
        bench
            .host
            .machine
            .observe(|state| state.netdev_with(NetdevRole::Representor(Vf::new(pf(), index))).unwrap().1.up)
    };
    assert_eq!((up(0), up(1)), (true, false));
    bench.setup(&host_file("", "")).await.unwrap();
    assert_eq!((up(0), up(1)), (true, true));
}

/// Pitfall 21: an administrative MAC takes effect only when a driver is bound to the VF: it is set before, a VF that is
/// bound is bound anew, and what the VF has then is looked at.
#[tokio::test]
async fn a_vf_that_does_not_take_its_mac_is_found_out() {
    let bench = Bench::new();
    bench.profile(|profile| profile.ignores_mac = true);
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(&host_file("", "mac = \"e4:11:22:33:55:61\"")).await.unwrap_err();
    let text = failure.error.to_string();
    assert!(matches!(failure.error, Error::MacNotTaken { vf, .. } if vf.index == VfIndex::new(0)), "{text}");
    assert!(text.contains("has the MAC 02:5e:00:00:00:00"), "{text}");
    alike(&fresh, &bench.settled_snapshot().await, "after the rollback");
    // VFs that are there, bound, with another MAC: each is bound anew, once.
    let bench = Bench::new();
    bench.setup(&host_file("", "mac = \"e4:11:22:33:55:61\"")).await.unwrap();
    let since = journal(&bench, 0).len();
    bench.setup(&host_file("", "mac = \"e4:11:22:33:55:62\"")).await.unwrap();
    let binds = journal(&bench, since).iter().filter(|line| line.starts_with("bind")).count();
    assert_eq!(binds, 1);
}

/// Pitfall 12: with `sriov_drivers_autoprobe` off no new VF has a driver that would have to be taken from it.
#[tokio::test]
async fn new_vfs_are_bound_once_and_never_unbound() {
    let bench = Bench::new();
    bench.setup(&host_file("", "")).await.unwrap();
    let journal = journal(&bench, 0);
    before(&journal, "sriov_drivers_autoprobe", "sriov_numvfs");
    assert!(!journal.iter().any(|line| line.starts_with("unbind")), "{journal:#?}");
    assert_eq!(journal.iter().filter(|line| line.starts_with("bind")).count(), 2);
}

/// Pitfall 6: the switch takes the PF's network device away for a while, and it comes back down under another index:
/// it is awaited, and brought up last. Pitfall 13: it is found by the PF's address each time, whatever its name.
#[tokio::test]
async fn the_uplink_is_awaited_after_the_switch_and_brought_up() {
    let uplink = |bench: &Bench| {
        bench.host.machine.observe(|state| {
            let (index, netdev) = state.netdev_with(NetdevRole::Uplink(pf())).unwrap();
            (index, netdev.name.to_string(), netdev.up)
        })
    };
    let bench = Bench::new();
    // udev has another name for it after the switch.
    bench.host.machine.meddle(|state| {
        let (index, _) = state.netdev_with(NetdevRole::Uplink(pf())).unwrap();
        state.netdevs.get_mut(&index).unwrap().name = "enp67s0f0np0".parse().unwrap();
    });
    let (index, ..) = uplink(&bench);
    bench.setup(&host_file("", "")).await.unwrap();
    let (now, name, up) = uplink(&bench);
    assert!(now != index && up, "{name}");
    assert!(bench.host.vswitch.snapshot().bridges["ovs-sriov"].ports.contains_key(&name));
}
