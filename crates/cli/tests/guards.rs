//! Guards: what they object to, that they name it, and that each is overridden by its own name only.

mod common;

use common::command::Simulated;
use common::{Bench, pf, reference};
use vdpa_cli::Error;
use vdpa_cli::engine::Failure;
use vdpa_cli::guard::{Guard, Objection};
use vdpa_hw::mock::NetdevRole;
use vdpa_hw::{Holder, ManagementUse, PciAddress, Vf};
use vdpa_vm::DomainName;

const ALL: [Guard; 5] =
    [Guard::ManagementTraffic, Guard::VfInUse, Guard::ExistingVfs, Guard::HostUnfit, Guard::Drift];

fn objections(failure: &Failure) -> &[Objection] {
    assert!(failure.restored.is_none(), "a guard speaks before anything is changed");
    match &failure.error {
        Error::Guarded(objections) => objections,
        other => panic!("no guard objected: {}", other.flat()),
    }
}

/// `setup` on a host so prepared is refused by `guard` and by nothing but it, for the reasons `why`; nothing is
/// touched; forcing every other guard does not help, and forcing this one does.
async fn only(guard: Guard, why: &[&str], prepare: impl Fn(&Bench)) -> Bench {
    let others: Vec<Guard> = ALL.into_iter().filter(|other| *other != guard).collect();
    for forced in [&[][..], &others] {
        let mut bench = Bench::new();
        prepare(&bench);
        bench.forced.extend(forced);
        let before = bench.settled_snapshot().await;
        let operations = bench.host.machine.operations();
        let failure = bench.setup(reference()).await.unwrap_err();
        let found: Vec<String> = objections(&failure).iter().map(ToString::to_string).collect();
        let expected: Vec<String> = why.iter().map(|why| format!("{guard}: {why}")).collect();
        assert_eq!(found, expected);
        assert!(
            failure.hint().is_some_and(|hint| hint.ends_with(&format!("`--force {guard}`"))),
            "{:?}",
            failure.hint()
        );
        assert!(!failure.error.is_usage());
        assert_eq!(operations, bench.host.machine.operations(), "something was done");
        assert_eq!(before, bench.settled_snapshot().await);
        assert!(!bench.has_receipt());
    }
    let bench = Bench::new().force(guard);
    prepare(&bench);
    bench
        .setup(reference())
        .await
        .unwrap_or_else(|failure| panic!("{guard} is forced: {}", failure.error.flat()));
    bench
}

fn used(bench: &Bench, device: NetdevRole, by: &ManagementUse) {
    bench.host.machine.meddle(|state| {
        let (index, _) = state.netdev_with(device).expect("the device is there");
        state.netdevs.get_mut(&index).unwrap().uses.push(by.clone());
    });
}

#[tokio::test]
async fn a_pf_with_an_address_of_the_host_is_left_alone() {
    let why = "enp67s0f0 (0000:43:00.0/uplink) has address 10.0.0.5";
    only(Guard::ManagementTraffic, &[why], |bench| {
        used(bench, NetdevRole::Uplink(pf()), &ManagementUse::Address("10.0.0.5".parse().unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_pf_with_the_default_route_is_left_alone() {
    let why = "enp67s0f0 (0000:43:00.0/uplink) carries a default route";
    only(Guard::ManagementTraffic, &[why], |bench| {
        used(bench, NetdevRole::Uplink(pf()), &ManagementUse::DefaultRoute);
    })
    .await;
}

#[tokio::test]
async fn a_pf_that_is_part_of_a_bond_is_left_alone() {
    let whys = [
        "enp67s0f0 (0000:43:00.0/uplink) is a member of bond0",
        "enp67s0f0 (0000:43:00.0/uplink) carries vlan7",
    ];
    only(Guard::ManagementTraffic, &whys, |bench| {
        used(bench, NetdevRole::Uplink(pf()), &ManagementUse::MemberOf("bond0".parse().unwrap()));
        used(bench, NetdevRole::Uplink(pf()), &ManagementUse::CarriedBy("vlan7".parse().unwrap()));
    })
    .await;
}

#[tokio::test]
async fn a_vf_with_an_address_of_the_host_is_left_alone() {
    let why = "enp67s0f0v1 (0000:43:00.0/vf1/netdev) has address 10.0.0.6";
    only(Guard::ManagementTraffic, &[why], |bench| {
        bench.with_bound_vfs(2);
        used(
            bench,
            NetdevRole::VfNetdev(Vf::new(pf(), 1)),
            &ManagementUse::Address("10.0.0.6".parse().unwrap()),
        );
    })
    .await;
}

#[tokio::test]
async fn what_another_port_of_the_card_carries_is_nobodys_concern() {
    let bench = Bench::new();
    let other: PciAddress = "0000:43:00.1".parse().unwrap();
    used(&bench, NetdevRole::Uplink(other), &ManagementUse::DefaultRoute);
    bench.setup(reference()).await.unwrap();
}

/// A VM that has VF 1 through VFIO. Its process holds on to it, whatever is forced: the kernel would wait for it.
fn hold(bench: &Bench, vfs: u16) {
    bench.with_bound_vfs(vfs);
    let holder = Holder { pid: 4711, command: "qemu-kvm".into(), path: "/dev/vfio/141".into() };
    bench.host.machine.meddle(|state| {
        let vf = state.vf_address(Vf::new(pf(), 1)).unwrap();
        state.holders.insert(vf, vec![holder]);
    });
}

#[tokio::test]
async fn a_vf_that_a_process_has_open_is_left_alone_and_the_process_is_named() {
    let mut bench = Bench::new();
    hold(&bench, 2);
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(reference()).await.unwrap_err();
    let [objection] = objections(&failure) else { panic!("{failure:?}") };
    assert_eq!(
        objection.to_string(),
        "vf-in-use: process 4711 (qemu-kvm) has VF 0000:43:00.3 open through /dev/vfio/141"
    );
    // Forced, it is tried, and what the kernel does not let go is an error like any other.
    bench.forced.insert(Guard::VfInUse);
    let failure = bench.setup(reference()).await.unwrap_err();
    assert!(failure.restored.as_ref().is_some_and(vdpa_cli::engine::Restored::is_complete), "{failure:?}");
    assert!(failure.error.flat().contains("0000:43:00.3"), "{}", failure.error.flat());
    assert_eq!(before, bench.settled_snapshot().await);
}

#[tokio::test]
async fn a_vf_in_a_running_domain_is_left_alone_and_the_domain_is_named() {
    const XML: &str = "<domain type='kvm'><name>old</name><devices><hostdev mode='subsystem' type='pci'><source>\
        <address domain='0x0000' bus='0x43' slot='0x00' function='0x2'/></source></hostdev></devices></domain>";
    let name: DomainName = "old".parse().unwrap();
    only(Guard::VfInUse, &["domain old runs on 0000:43:00.2"], |bench| {
        bench.with_bound_vfs(2);
        bench.host.domains.add(XML).unwrap();
        assert!(bench.host.domains.start(&name));
    })
    .await;
}

#[tokio::test]
async fn a_domain_that_is_shut_off_is_in_nobodys_way() {
    let bench = Bench::new();
    bench.with_bound_vfs(2);
    bench.setup(reference()).await.unwrap();
    bench.teardown().await.unwrap();
}

#[tokio::test]
async fn vfs_of_somebody_else_are_left_alone_and_come_back_whole() {
    let prepare = |bench: &Bench| {
        bench.with_bound_vfs(3);
        bench.host.machine.meddle(|state| {
            let third = state.pf_mut(pf()).unwrap().vfs.get_mut(&vdpa_hw::VfIndex::new(2)).unwrap();
            (third.mac, third.trust) = ("02:00:00:00:00:33".parse().unwrap(), true);
            // A driver takes its MAC when it is bound.
            let address = state.vf_address(Vf::new(pf(), 2)).unwrap();
            let bound = state.functions[&address].driver.clone().unwrap();
            vdpa_hw::mock::kernel::unbind(state, address).unwrap();
            vdpa_hw::mock::kernel::bind(state, address, &bound).unwrap();
        });
        bench.host.machine.elapse(std::time::Duration::from_mins(1));
        for index in [0, 2] {
            bench.host.machine.meddle(|state| {
                let (netdev, _) = state.netdev_with(NetdevRole::VfNetdev(Vf::new(pf(), index))).unwrap();
                state.netdevs.get_mut(&netdev).unwrap().up = true;
            });
        }
    };
    let as_found = Bench::new();
    prepare(&as_found);
    let why = "0000:43:00.0 has 3 VFs, which go before 2 are made";
    let bench = only(Guard::ExistingVfs, &[why], prepare).await;
    bench.teardown().await.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(as_found.settled_snapshot().await, bench.settled_snapshot().await);
}

#[tokio::test]
async fn as_many_vfs_as_are_wanted_are_taken_over() {
    let bench = Bench::new();
    bench.with_bound_vfs(2);
    let before = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    bench.teardown().await.unwrap();
    assert_eq!(before, bench.settled_snapshot().await);
}

#[tokio::test]
async fn all_that_stands_in_the_way_is_named_at_once() {
    let bench = Bench::new();
    hold(&bench, 3);
    used(&bench, NetdevRole::Uplink(pf()), &ManagementUse::DefaultRoute);
    let failure = bench.setup(reference()).await.unwrap_err();
    let guards: Vec<Guard> = objections(&failure).iter().map(|objection| objection.guard).collect();
    assert_eq!(guards, [Guard::ManagementTraffic, Guard::VfInUse, Guard::ExistingVfs]);
    let hint = failure.hint().unwrap();
    for guard in guards {
        assert!(hint.contains(&format!("`--force {guard}`")), "{hint}");
    }
    assert_eq!(failure.error.to_string(), "3 guards object before anything was changed");
}

#[tokio::test]
async fn teardown_leaves_a_domain_that_runs_on_our_socket_its_datapath() {
    let mut bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(reference()).await.unwrap();
    let name: DomainName = "cx6.1".parse().unwrap();
    assert!(bench.host.domains.start(&name));
    let running = bench.settled_snapshot().await;
    let failure = bench.teardown().await.unwrap_err();
    let [objection] = objections(&failure) else { panic!("{failure:?}") };
    assert_eq!(objection.guard, Guard::VfInUse);
    assert!(objection.why.contains("domain cx6.1 runs on /run/vdpa/"), "{objection}");
    assert_eq!(running, bench.settled_snapshot().await);
    bench.forced.insert(Guard::Drift);
    assert!(bench.teardown().await.is_err(), "another guard is forced, not this one");
    // Setup goes on saying that all is well: it has nothing to disturb.
    assert!(!bench.setup(reference()).await.unwrap().changed);

    bench.forced.insert(Guard::VfInUse);
    bench.teardown().await.unwrap();
    bench.host.domains.stop(&name);
    assert_eq!(fresh, bench.settled_snapshot().await);
}

#[tokio::test]
async fn a_vf_that_is_repaired_does_not_concern_who_runs_on_another() {
    let bench = Bench::new();
    bench.setup(reference()).await.unwrap();
    bench.host.domains.start(&"cx6.1".parse().unwrap());
    let mac = |bench: &Bench, index: u16, mac: &str| {
        bench.host.machine.meddle(|state| {
            state.pf_mut(pf()).unwrap().vfs.get_mut(&vdpa_hw::VfIndex::new(index)).unwrap().mac =
                mac.parse().unwrap();
        });
    };
    mac(&bench, 1, "02:00:00:00:00:01");
    assert!(bench.setup(reference()).await.unwrap().changed);
    // The VF of the domain itself is another matter.
    mac(&bench, 0, "02:00:00:00:00:02");
    let failure = bench.setup(reference()).await.unwrap_err();
    assert_eq!(objections(&failure)[0].guard, Guard::VfInUse);
}

#[test]
fn a_guard_reads_like_any_error() {
    let host = common::command::Simulated::new();
    host.run(&["setup"]).exits(0);
    host.meddle(|state| {
        let netdevs = state["machine"]["netdevs"].as_object_mut().unwrap();
        let uplink = netdevs.values_mut().find(|netdev| netdev["name"] == "enp67s0f0").unwrap();
        uplink["uses"] = serde_json::json!(["default_route"]);
    });
    let state = host.state();
    let said = host.run(&["teardown"]).exits(1);
    said.is_an_error("1 guard objects before anything was changed", "`--force management-traffic`");
    assert_eq!(
        said.error()[1],
        "  management-traffic: enp67s0f0 (0000:43:00.0/uplink) carries a default route"
    );
    assert_eq!(state, host.state());
    let (said, document) = host.json(&["teardown"]);
    assert_eq!((said.code, &document["exit_code"]), (Some(1), &1.into()));
    assert_eq!(
        document["error"]["details"][0],
        "management-traffic: enp67s0f0 (0000:43:00.0/uplink) carries a default route"
    );
    host.run(&["teardown", "--force", "vf-in-use"]).exits(1);
    host.run(&["teardown", "--force", "management-traffic"]).exits(0);
}

const DOMAIN: &str = include_str!("../../vm/fixtures/cx6.1.xml");

/// A VM's definition, with something of it changed.
fn redefine(bench: &Bench, from: &str, to: &str) {
    assert!(DOMAIN.contains(from), "{from}");
    bench.host.domains.add(&DOMAIN.replacen(from, to, 1)).unwrap();
}

/// Pitfall 34: a VM on huge pages that the host does not have cannot start: said before its VF is made for it.
#[tokio::test]
async fn a_vm_without_huge_pages_left_for_it_is_named_before_anything_is_changed() {
    let why = "0000:43:00.0/vf0 in cx6.1: the domain's memory takes 80 huge pages of 1G, and 24 are free: it will not start; \
               `vdpa host prepare --hugepages 1G=80` shows what to change, `--apply` does it";
    only(Guard::HostUnfit, &[why], |bench| {
        redefine(bench, "<memory unit='KiB'>8388608<", "<memory unit='KiB'>83886080<");
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_another_vm_has_is_named_before_anything_is_changed() {
    let why = "0000:43:00.0/vf0 in cx6.1: /run/vdpa/0000-43-00.0-vf0/vhost/net.sock is in use by the running domain `other`; \
               shut other down and detach it there first: `vdpa vm detach other MAC`";
    let other: DomainName = "other".parse().unwrap();
    only(Guard::HostUnfit, &[why], |bench| {
        let socket = bench.host.host().dpdk.socket(Vf::new(pf(), 0));
        let nic = format!(
            "<interface type='vhostuser'><mac address='52:54:00:00:00:99'/><source type='unix' path='{}' mode='client'/><model type='virtio'/></interface></devices>",
            socket.display()
        );
        let text = DOMAIN.replacen("</devices>", &nic, 1).replacen("cx6.1", "other", 1);
        let text: String = text.lines().filter(|line| !line.contains("<uuid>")).collect();
        bench.host.domains.add(&text).unwrap();
        assert!(bench.host.domains.start(&other));
    })
    .await;
}

/// What the definition itself forbids nobody can force: it says what to change in it.
#[tokio::test]
async fn a_definition_that_cannot_take_the_vf_ends_setup_before_anything_is_changed() {
    let bench = Bench::new().force(Guard::HostUnfit);
    redefine(
        &bench,
        "</devices>",
        "<interface type='network'><mac address='e4:11:22:33:55:60'/></interface></devices>",
    );
    let before = bench.settled_snapshot().await;
    let operations = bench.host.machine.operations();
    let failure = bench.setup(reference()).await.unwrap_err();
    assert!(
        failure.restored.is_none() && failure.error.to_string().contains("e4:11:22:33:55:60"),
        "{}",
        failure.error.flat()
    );
    assert!(failure.hint().unwrap().contains("virsh edit"), "{:?}", failure.hint());
    assert_eq!((operations, before), (bench.host.machine.operations(), bench.settled_snapshot().await));
    assert!(!bench.has_receipt());
}

/// What works less well than it could is said, and keeps nobody.
#[tokio::test]
async fn a_vm_with_fewer_vcpus_than_queues_is_told_of_and_gets_them() {
    let bench = Bench::new();
    let text = reference().replacen("queues = 2", "queues = 4", 1);
    bench.setup(&text).await.unwrap();
    let notes = bench.told.notes();
    assert!(notes.iter().any(|note| note.contains("4 queue pairs for 2 vCPUs")), "{notes:?}");
}

#[test]
fn plan_says_what_setup_would_say() {
    let host = Simulated::new();
    let file = host.host_file(&reference().replacen("queues = 2", "queues = 4", 1)).display().to_string();
    let (said, plan) = host.json(&["plan", "--config", &file]);
    said.exits(0);
    let finding = "0000:43:00.0/vf0 in cx6.1: 4 queue pairs for 2 vCPUs";
    assert!(plan["notes"].to_string().contains(finding), "{plan:#}");
    let said = host.run(&["plan", "--config", &file]).exits(0);
    assert!(said.err.contains(&format!("warning: {finding}")), "{said}");
}
