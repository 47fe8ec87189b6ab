//! What mlx5 makes of VFs for the kernel's vDPA: parameters of each VF's own, a reload where it takes one, and the way back.
//!
//! Pitfall 32: the kernel's way is, for each VF, `enable_eth` off and a reload before `vdpa dev add`; where no management
//! device comes of it, the cause is named.

mod common;

use common::{Bench, alike, has_netdev, pf};
use vdpa_cli::step::{Enabled, Step};
use vdpa_hw::mock::{Driverinit, NetdevRole, SimFunction, SimRole, SimVf, kernel};
use vdpa_hw::{PciAddress, Vf};

const KERNEL: &str = "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n\
                      [[nic.vf]]\nindex = 0\ndatapath = \"kernel\"\n";

fn vf0() -> Vf {
    Vf::new(pf(), 0)
}

fn address(bench: &Bench) -> PciAddress {
    bench.host.machine.observe(|state| state.vf_address(vf0())).unwrap()
}

fn change_vf(bench: &Bench, change: impl FnOnce(&mut SimVf)) {
    let address = address(bench);
    bench.host.machine.meddle(|state| match state.functions.get_mut(&address) {
        Some(SimFunction { role: SimRole::Vf(vf), .. }) => change(vf),
        _ => panic!("{address} is no VF"),
    });
}

fn vf(bench: &Bench) -> SimVf {
    let mut found = None;
    change_vf(bench, |vf| found = Some(*vf));
    found.unwrap()
}

fn reloads(bench: &Bench) -> usize {
    let is_reload = |line: &&String| line.starts_with("devlink_reload");
    bench.host.machine.observe(|state| state.journal.iter().filter(is_reload).count())
}

/// What `setup` says when it fails, with the host as it was.
async fn complaint(bench: &Bench, text: &str) -> String {
    let before = bench.settled_snapshot().await;
    let failure = bench.setup(text).await.unwrap_err();
    alike(&before, &bench.settled_snapshot().await, &failure.error.flat());
    format!("{}; {}", failure.error.flat(), failure.hint().unwrap_or_default())
}

#[tokio::test]
async fn a_vf_for_the_kernel_has_no_netdev_of_its_own_and_one_reload_is_enough() {
    let bench = Bench::new();
    let before = bench.settled_snapshot().await;
    let done = bench.setup(KERNEL).await.unwrap();
    let statement =
        done.statements.iter().find(|change| matches!(change.wanted, Step::Auxiliary { .. })).unwrap();
    assert_eq!(
        statement.wanted.to_string(),
        "auxiliary devices of 0000:43:00.0/vf0: enable_eth off, enable_vnet on, in force"
    );
    assert!(!has_netdev(&bench.host, NetdevRole::VfNetdev(vf0())));
    assert!(has_netdev(&bench.host, NetdevRole::VfNetdev(Vf::new(pf(), 1))));
    assert!(has_netdev(&bench.host, NetdevRole::Representor(vf0())));
    assert_eq!(reloads(&bench), 1);

    let operations = bench.host.machine.operations();
    assert!(!bench.setup(KERNEL).await.unwrap().changed);
    assert_eq!(bench.host.machine.operations(), operations);
    bench.teardown().await.unwrap();
    alike(&before, &bench.settled_snapshot().await, "after teardown");
}

/// What is set and what is in force are two things: both come back.
#[tokio::test]
async fn what_a_vf_was_before_comes_back_also_where_it_waited_for_a_reload() {
    let (waits, other) =
        (Driverinit { set: false, in_force: true }, Driverinit { set: false, in_force: false });
    for (eth, vnet) in
        [(Driverinit::ON, Driverinit::ON), (waits, Driverinit::ON), (Driverinit::ON, other), (waits, waits)]
    {
        let bench = Bench::new();
        bench.with_bound_vfs(2);
        change_vf(&bench, |vf| (vf.eth, vf.vnet) = (eth, vnet));
        let before = bench.settled_snapshot().await;
        bench.setup(KERNEL).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
        assert!(!vf(&bench).eth.in_force && vf(&bench).vnet.in_force);
        bench.teardown().await.unwrap();
        alike(&before, &bench.settled_snapshot().await, &format!("{eth:?} {vnet:?}"));
    }
}

/// Somebody has done it by hand already: nothing is reloaded.
#[tokio::test]
async fn what_is_so_already_takes_no_reload() {
    let bench = Bench::new();
    bench.setup(KERNEL).await.unwrap();
    let reloaded = reloads(&bench);
    // The device is gone, and what it is made of is there.
    bench.host.machine.meddle(|state| state.vdpa.clear());
    assert!(bench.setup(KERNEL).await.unwrap().changed);
    assert_eq!(reloads(&bench), reloaded);
}

#[tokio::test]
async fn a_vf_that_is_for_another_datapath_from_now_on_gets_its_netdev_back_first() {
    for other in ["none", "dpdk"] {
        let bench = Bench::new();
        let before = bench.settled_snapshot().await;
        bench.setup(KERNEL).await.unwrap();
        let other = KERNEL.replace("kernel", other);
        bench.setup(&other).await.unwrap_or_else(|failure| panic!("{other}: {}", failure.error.flat()));
        assert_eq!(vf(&bench).eth, Driverinit::ON);
        assert!(has_netdev(&bench.host, NetdevRole::VfNetdev(vf0())), "{other}");
        let journal = bench.host.machine.observe(|state| state.journal.join("\n"));
        let (reload, served) = (journal.rfind("devlink_reload"), journal.rfind("start"));
        assert!(other.contains("none") || reload < served, "{journal}");
        assert!(!bench.setup(&other).await.unwrap().changed, "{other}");
        bench.teardown().await.unwrap();
        alike(&before, &bench.settled_snapshot().await, &other);
    }
}

#[tokio::test]
async fn a_kernel_without_these_parameters_is_taken_as_it_is() {
    let bench = Bench::new();
    bench.profile(|profile| profile.lacks_enable_params = true);
    bench.setup(KERNEL).await.unwrap();
    assert_eq!(reloads(&bench), 0);
    assert!(!bench.setup(KERNEL).await.unwrap().changed);
}

#[tokio::test]
async fn where_no_management_device_comes_the_cause_is_named() {
    let bench = Bench::new();
    bench.profile(|profile| profile.lacks_vdpa_module = true);
    let said = complaint(&bench, KERNEL).await;
    assert!(
        said.contains("`mlx5_vdpa` is not loaded and cannot be") && said.contains("CONFIG_MLX5_VDPA_NET"),
        "{said}"
    );

    let bench = Bench::new();
    bench.profile(|profile| profile.has_vdpa = false);
    let said = complaint(&bench, KERNEL).await;
    assert!(said.contains("no parameter enable_vnet") && said.contains("newer firmware"), "{said}");

    let bench = Bench::new();
    bench.profile(|profile| {
        profile.refuses_reload = Some("mlx5_core: Can't reload during firmware reset".into());
    });
    let said = complaint(&bench, KERNEL).await;
    let expected = "cannot reload pci/0000:43:00.2, action driver_reinit: \
                    kernel: mlx5_core: Can't reload during firmware reset (EOPNOTSUPP)";
    assert!(said.contains(expected), "{said}");
}

/// A reload that takes the VF down and fails: the VF goes with what it is, and one that was there before is brought up.
#[tokio::test]
async fn a_reload_that_fails_half_way_is_taken_back() {
    let bench = Bench::new();
    bench.profile(|profile| profile.fails_reload = true);
    complaint(&bench, KERNEL).await;
}

/// A guest would keep the kernel waiting for ever: the guard looks first.
#[tokio::test]
async fn a_vf_that_somebody_uses_is_not_reloaded() {
    let bench = Bench::new();
    bench.setup(KERNEL).await.unwrap();
    let address = address(&bench);
    let holder =
        vdpa_hw::Holder { pid: 4711, command: "qemu-system-x86".into(), path: "/dev/vhost-vdpa-0".into() };
    bench.host.machine.meddle(|state| drop(state.holders.insert(address, vec![holder])));
    change_vf(&bench, |vf| vf.eth = Driverinit::ON);
    let failure = bench.setup(KERNEL).await.unwrap_err();
    assert!(
        failure.error.flat().contains("vf-in-use: process 4711 (qemu-system-x86)"),
        "{}",
        failure.error.flat()
    );
    assert_eq!(reloads(&bench), 1);
}

#[tokio::test]
async fn a_statement_survives_being_written_down_and_reads_in_full() {
    let off = Enabled { eth: false, vnet: false };
    let step = Step::Auxiliary { vf: vf0(), set: Enabled::FOR_VDPA, in_force: off };
    let text = serde_json::to_string(&step).unwrap();
    assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    assert_eq!(step.value(), "enable_eth off, enable_vnet on; in force: enable_eth off, enable_vnet off");
    assert!(kernel::reload(&mut vdpa_hw::mock::State::default(), pf()).is_err());
}
