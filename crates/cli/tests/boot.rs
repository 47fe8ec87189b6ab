//! A host that is set up in steps, as a boot does it, and what it finds from before the boot.

mod common;

use common::command::Simulated;
use common::{Bench, alike, reference};
use vdpa_cli::receipt::Drawer;
use vdpa_cli::until::Until;
use vdpa_hw::mock::hosts;

/// The machine after a reboot: what was in the card, in memory and in /run is gone; OVSDB and the domains stay.
fn reboot(bench: &Bench) {
    bench.host.machine.meddle(|state| *state = hosts::host_105());
    bench.host.vswitch.restart();
    std::fs::remove_file(bench.path().join("receipt.json")).unwrap();
}

async fn set_up_until(bench: &mut Bench, until: Until) {
    bench.until = until;
    bench.setup(reference()).await.unwrap_or_else(|failure| panic!("{until:?}: {failure:?}"));
}

/// Pitfall 10: one phase before network managers and Open vSwitch, one after.
#[tokio::test]
async fn a_boot_in_steps_comes_to_the_same_host_and_goes_back_to_the_same() {
    let (whole, mut steps) = (Bench::new(), Bench::new());
    let fresh = steps.settled_snapshot().await;
    whole.setup(reference()).await.unwrap();
    for until in [Until::Card, Until::Datapath, Until::Domains] {
        set_up_until(&mut steps, until).await;
    }
    assert!(!steps.setup(reference()).await.unwrap().changed);
    alike(&whole.settled_snapshot().await, &steps.settled_snapshot().await, "in steps");
    steps.teardown().await.unwrap();
    alike(&fresh, &steps.settled_snapshot().await, "after teardown");
    for until in [Until::Card, Until::Datapath] {
        set_up_until(&mut steps, until).await;
        steps.teardown().await.unwrap();
        alike(&fresh, &steps.settled_snapshot().await, "after teardown of a part");
    }
}

#[tokio::test]
async fn each_step_leaves_alone_what_has_not_been_started_at_its_time() {
    let mut bench = Bench::new();
    let (vswitch, domains) = (bench.host.vswitch.snapshot(), bench.host.domains.snapshot());
    // Nobody answers for Open vSwitch yet.
    bench.host.vswitch.edit(|state| state.stopped = true);
    set_up_until(&mut bench, Until::Card).await;
    assert_eq!(bench.host.vswitch.snapshot().bridges, vswitch.bridges);
    bench.host.vswitch.restart();
    set_up_until(&mut bench, Until::Datapath).await;
    assert!(bench.host.vswitch.snapshot().bridges.contains_key("ovs-sriov"));
    let unchanged = serde_json::to_string(&domains).unwrap();
    assert_eq!(serde_json::to_string(&bench.host.domains.snapshot()).unwrap(), unchanged);
    // Started again by hand, the first step takes back nothing of the second.
    set_up_until(&mut bench, Until::Card).await;
    assert!(bench.host.vswitch.snapshot().bridges.contains_key("ovs-sriov"));
    let receipt = Drawer::new(bench.path()).open().unwrap().unwrap();
    assert_eq!(Until::Card.reaching(Some(&receipt)), Until::Datapath);
}

/// Pitfall 44: rows of a port whose device went with the boot survive in OVSDB; they are found by their owner tag, on
/// whichever bridge, and nothing else is touched.
#[tokio::test]
async fn rows_from_before_a_reboot_go_from_every_bridge_and_others_stay() {
    for steps in [&[Until::Domains][..], &[Until::Card, Until::Datapath, Until::Domains]] {
        let mut bench = Bench::new();
        bench.with_foreign_bridge("br-other");
        let other = reference().replace("vfs = 2", "vfs = 4");
        bench.setup(&other.replace("ovs-sriov", "br-other")).await.unwrap();
        reboot(&bench);
        for until in steps {
            set_up_until(&mut bench, *until).await;
        }
        let seen = bench.host.vswitch.snapshot();
        let ports = |bridge: &str| seen.bridges[bridge].ports.keys().cloned().collect::<Vec<_>>();
        assert_eq!(ports("br-other"), ["eno2"], "{steps:?}");
        assert_eq!(ports("ovs-sriov").len(), 3, "{steps:?}");
        bench.teardown().await.unwrap();
        let left = bench.host.vswitch.snapshot();
        assert_eq!(left.bridges.keys().collect::<Vec<_>>(), ["br-other"], "{steps:?}");
        assert!(left.other_config.is_empty() && left.external_ids.is_empty(), "{left:#?}");
    }
}

/// `hw-offload` is nobody's row: what it read before us is known all the same, also where it read something.
#[tokio::test]
async fn hw_offload_from_before_a_reboot_is_known_to_be_ours() {
    for found in [None, Some("false"), Some("true")] {
        let bench = Bench::new();
        bench.host.vswitch.edit(|state| {
            state.other_config.extend(found.map(|value| ("hw-offload".to_owned(), value.to_owned())));
        });
        let first = bench.host.vswitch.snapshot();
        bench.setup(reference()).await.unwrap();
        reboot(&bench);
        bench.setup(reference()).await.unwrap();
        bench.teardown().await.unwrap();
        let last = bench.host.vswitch.snapshot();
        assert_eq!(
            (last.other_config, last.external_ids),
            (first.other_config, first.external_ids),
            "{found:?}"
        );
    }
}

/// A card that has been taken out while the host was off leaves rows too.
#[tokio::test]
async fn rows_of_a_card_that_is_not_there_any_more_go_as_well() {
    for bridge in ["ovs-sriov", "ovs-old"] {
        let bench = Bench::new();
        let both = format!("{}\n[[nic]]\nnetdev = \"enp67s0f1\"\nvfs = 2\n", reference());
        bench.setup(&both.replace("ovs-sriov", bridge)).await.unwrap();
        reboot(&bench);
        bench.host.machine.meddle(|state| {
            state.functions.remove(&"0000:43:00.1".parse().unwrap());
            state.netdevs.retain(|_, netdev| netdev.name.as_str() != "enp67s0f1");
        });
        bench.setup(reference()).await.unwrap_or_else(|failure| panic!("{bridge}: {failure:?}"));
        let seen = bench.host.vswitch.snapshot();
        assert_eq!(seen.bridges.keys().collect::<Vec<_>>(), ["ovs-sriov"], "{bridge}");
        assert_eq!(seen.bridges["ovs-sriov"].ports.len(), 3, "{bridge}");
        bench.teardown().await.unwrap();
    }
}

#[test]
fn teardown_after_a_reboot_takes_away_what_is_left() {
    let host = Simulated::new();
    host.keep();
    let fresh = host.state();
    host.run(&["setup"]).exits(0);
    // The boot: of all that there was, OVSDB's rows and the domains stay.
    host.meddle(|state| state["machine"] = fresh["machine"].clone());
    std::fs::remove_file(host.path().join("receipt.json")).unwrap();
    let said = host.run(&["teardown"]).exits(0);
    assert!(
        said.out.contains("from before a reboot") && said.out.contains("the host is as it was"),
        "{said}"
    );
    let after = host.state();
    assert_eq!(after["vswitch"]["bridges"], serde_json::json!({}));
    assert_eq!(after["vswitch"]["other_config"], serde_json::json!({}));
    assert_eq!(after["vswitch"]["external_ids"], serde_json::json!({}));
    let again = host.run(&["teardown"]).exits(0);
    assert!(again.out.contains("nothing was set up here"), "{again}");
}

#[tokio::test]
async fn plan_shows_what_is_left_from_before_a_reboot() {
    let bench = Bench::new();
    bench.setup(&reference().replace("ovs-sriov", "ovs-old")).await.unwrap();
    reboot(&bench);
    let path = bench.path().join("host.toml");
    std::fs::write(&path, reference()).unwrap();
    let file = vdpa_cli::config::read(&path).unwrap();
    let changes = vdpa_cli::setup::plan(&bench.host.host(), &file, None).await.unwrap();
    let old =
        changes.iter().find(|change| change.wanted.subject() == "bridge ovs-old").expect("the old bridge");
    assert!(!old.holds() && old.wanted.value() == "absent", "{old:?}");
}

#[test]
fn the_service_of_a_simulated_host_is_written_below_its_directory() {
    let host = Simulated::new();
    let shown = host.run(&["service", "install", "--dry-run"]).exits(0);
    assert!(shown.out.contains("ExecStart=/usr/local/bin/vdpa setup --until card"), "{shown}");
    assert!(!host.path().join("root").exists(), "a dry run wrote something");
    for (command, outcome) in
        [("install", "done"), ("install", "unchanged"), ("remove", "done"), ("remove", "unchanged")]
    {
        let (_, said) = host.json(&["service", command]);
        assert_eq!(said["outcome"], outcome, "{said:#}");
        assert_eq!(said["files"].as_array().map(Vec::len), Some(6), "{said:#}");
        assert_eq!(said["simulated"], true);
    }
    assert!(!host.path().join("root/etc/systemd/system").exists());

    let units = host.path().join("root/etc/systemd/system");
    std::fs::create_dir_all(&units).unwrap();
    std::fs::write(units.join("vdpa-card.service"), "[Unit]\n").unwrap();
    let said = host.run(&["service", "install"]).exits(1);
    said.is_an_error("vdpa-card.service is in the way", "vdpa-card.service.away");
    let file = host.host_file("[[nic]]\npci = \"nowhere\"\nvfs = 2\n");
    host.run(&["service", "install", "--config", file.to_str().unwrap()]).exits(2);
}
