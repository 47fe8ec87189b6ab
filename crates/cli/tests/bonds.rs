//! A bond of a card's two uplinks, in software and in hardware (VF LAG): in which order it is made, what it may take
//! over, and that it goes without a trace.

mod common;

use common::{Bench, alike, pf};
use vdpa_cli::Error;
use vdpa_cli::plan::Change;
use vdpa_hw::mock::{NetdevRole, SimBond, kernel};
use vdpa_hw::{BondMode, IfIndex, Links, ManagementUse, NetdevName, PciAddress};

const BONDED: &str = r#"
[[nic]]
pci = "0000:43:00.0"
vfs = 2
[[nic]]
netdev = "enp67s0f1"
vfs = 1
[[bond]]
name = "bond7"
mode = "802.3ad"
nics = ["0000:43:00.0", "enp67s0f1"]
"#;

fn second() -> PciAddress {
    "0000:43:00.1".parse().unwrap()
}

fn journal(bench: &Bench) -> Vec<String> {
    bench.host.machine.observe(|state| state.journal.clone())
}

/// Makes a bond behind the program's back, with the uplinks of the PFs given.
fn foreign_bond(bench: &Bench, mode: BondMode, uplinks: &[PciAddress]) -> IfIndex {
    bench.host.machine.meddle(|state| {
        let bond = kernel::add_bond(state, &"bond7".parse().unwrap(), mode).unwrap();
        state.netdevs.get_mut(&bond).unwrap().bond = Some(SimBond { mode, ours: false });
        for pf in uplinks {
            let (uplink, _) = state.netdev_with(NetdevRole::Uplink(*pf)).unwrap();
            kernel::set_up(state, uplink, false).unwrap();
            kernel::set_master(state, uplink, Some(bond)).unwrap();
        }
        bond
    })
}

/// Pitfall 8: VF LAG wants both eswitches switched, then the bond, then the card's word that it is active, and only
/// then drivers for the VFs.
#[tokio::test]
async fn switchdev_then_the_bond_then_the_cards_word_then_the_vfs() {
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    let done = bench.setup(BONDED).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(done.statements.iter().all(Change::holds));
    let lines: Vec<String> = done.statements.iter().map(|change| change.wanted.to_string()).collect();
    for expected in [
        "bond bond7: 802.3ad of 0000:43:00.0 and 0000:43:00.1",
        "bond of 0000:43:00.1 in hardware: active",
        "bridge ovs-sriov: with 0000:43:00.0 bond, 0000:43:00.0 vf 0-1, 0000:43:00.1 vf 0",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
    let journal = journal(&bench);
    let first = |verb: &str| journal.iter().position(|line| line.starts_with(verb)).unwrap();
    let last = |verb: &str| journal.iter().rposition(|line| line.starts_with(verb)).unwrap();
    assert!(last("eswitch_mode") < first("bond"), "{journal:#?}");
    assert!(last("master") < first("bind"), "{journal:#?}");
    let ports = bench.host.vswitch.snapshot().bridges["ovs-sriov"].ports.keys().cloned().collect::<Vec<_>>();
    assert!(ports.contains(&"bond7".to_owned()) && !ports.contains(&"enp67s0f0".to_owned()), "{ports:?}");

    assert!(!bench.setup(BONDED).await.unwrap().changed);
    bench.teardown().await.unwrap();
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

/// Pitfall 8: a bond that the card does not make its own is waited for, named, and taken back; no VF was bound.
#[tokio::test]
async fn a_bond_that_does_not_become_active_in_hardware_is_named_and_taken_back() {
    let bench = Bench::new();
    bench.profile(|profile| profile.holds_lag = true);
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(BONDED).await.unwrap_err();
    assert_eq!(failure.error.to_string(), "the ports of pci/0000:43:00.0 are not one in hardware after 20s");
    assert!(failure.hint().is_some_and(|hint| hint.contains("active-backup, balance-xor or 802.3ad")));
    assert!(failure.restored.is_some_and(|restored| restored.is_complete()));
    alike(&fresh, &bench.settled_snapshot().await, "after the rollback");
}

/// A bond that somebody else made, with the uplinks in it, is used and given back with them.
#[tokio::test]
async fn a_bond_of_somebody_elses_is_used_and_given_back() {
    let bench = Bench::new();
    foreign_bond(&bench, BondMode::Lacp, &[pf(), second()]);
    let fresh = bench.settled_snapshot().await;
    bench.setup(BONDED).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    let bonds = bench.host.machine.bonds().await.unwrap();
    assert_eq!((bonds.len(), bonds[0].members.len(), bonds[0].ours), (1, 2, false));
    bench.teardown().await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

#[tokio::test]
async fn a_bond_that_carries_the_host_is_left_alone() {
    let bench = Bench::new();
    let bond = foreign_bond(&bench, BondMode::Lacp, &[pf(), second()]);
    bench.host.machine.meddle(|state| {
        let uses = &mut state.netdevs.get_mut(&bond).unwrap().uses;
        uses.push(ManagementUse::Address("10.0.0.9".parse().unwrap()));
        for pf in [pf(), second()] {
            let (uplink, _) = state.netdev_with(NetdevRole::Uplink(pf)).unwrap();
            let member = ManagementUse::MemberOf("bond7".parse().unwrap());
            state.netdevs.get_mut(&uplink).unwrap().uses.push(member);
        }
    });
    let fresh = bench.settled_snapshot().await;
    let failure = bench.setup(BONDED).await.unwrap_err();
    let Error::Guarded(objections) = &failure.error else { panic!("{}", failure.error.flat()) };
    let objections: Vec<String> = objections.iter().map(ToString::to_string).collect();
    // To be in the bond of the host file is what they are for; what the bond carries is not.
    let carries = |pf| format!("management-traffic: bond7 ({pf}/bond) has address 10.0.0.9");
    assert_eq!(objections, [carries(pf()), carries(second())]);
    alike(&fresh, &bench.settled_snapshot().await, "a guard touches nothing");
}

#[tokio::test]
async fn a_name_that_is_taken_and_a_mode_that_is_another_are_refused_where_they_stand() {
    for (mode, what) in [
        (None, "there is a network device bond7 that is no bond"),
        (Some(BondMode::BalanceRr), "the bond bond7 is of mode balance-rr and not 802.3ad"),
    ] {
        let bench = Bench::new();
        if let Some(mode) = mode {
            foreign_bond(&bench, mode, &[]);
        } else {
            bench.host.machine.meddle(|state| {
                let index = kernel::add_bond(state, &"bond7".parse().unwrap(), BondMode::Lacp).unwrap();
                state.netdevs.get_mut(&index).unwrap().bond = None;
            });
        }
        let failure = bench.setup(BONDED).await.unwrap_err();
        assert!(failure.error.is_usage());
        assert_eq!(failure.error.to_string(), what);
        assert!(failure.error.details()[0].ends_with("host.toml:9:8"), "{:?}", failure.error.details());
    }
}

/// Cards that are switched already, with VFs that are bound: these are set free until the bond is there.
#[tokio::test]
async fn vfs_that_are_bound_are_set_free_for_a_bond_that_comes_later() {
    let single = &BONDED[..BONDED.find("[[bond]]").unwrap()];
    let bench = Bench::new();
    let fresh = bench.settled_snapshot().await;
    bench.setup(single).await.unwrap();
    let since = journal(&bench).len();
    bench.setup(BONDED).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    let journal = journal(&bench)[since..].to_vec();
    let at = |verb: &str| journal.iter().position(|line| line.starts_with(verb)).unwrap();
    assert!(at("unbind") < at("bond") && at("master") < at("bind"), "{journal:#?}");
    // Without the bond again: the uplinks are ports of their own.
    bench.setup(single).await.unwrap_or_else(|failure| panic!("{}", failure.error.flat()));
    assert!(bench.host.machine.bonds().await.unwrap().is_empty());
    bench.teardown().await.unwrap();
    alike(&fresh, &bench.settled_snapshot().await, "after teardown");
}

#[tokio::test]
async fn the_simulated_machine_bonds_as_the_kernel_does() {
    let bench = Bench::new();
    let machine = &bench.host.machine;
    let name: NetdevName = "bond7".parse().unwrap();
    let bond = machine.add_bond(&name, BondMode::ActiveBackup).await.unwrap();
    assert!(machine.add_bond(&name, BondMode::ActiveBackup).await.is_err(), "the name is taken");
    let uplink = machine.observe(|state| state.netdev_with(NetdevRole::Uplink(pf())).unwrap().0);
    assert!(machine.set_master(uplink, Some(bond)).await.is_err(), "it is up");
    machine.set_up(uplink, false).await.unwrap();
    machine.set_master(uplink, Some(bond)).await.unwrap();
    assert_eq!(machine.bonds().await.unwrap()[0].members, [uplink].into());
    machine.remove_bond(bond).await.unwrap();
    let link = machine.links().await.unwrap().into_iter().find(|link| link.index == uplink).unwrap();
    assert_eq!((link.up, link.master), (false, None));
}
