//! The simulated machine: its rules, its faults, and the contracts.

use std::time::Duration;

use vdpa_netlink::Errno;

use super::kernel::{Outcome, reset_firmware, set_eswitch_mode, set_vf_count, unbind};
use super::{EswitchMode, Fuse, Lasting, Machine, NetdevRole, State, When, hosts};
use crate::contract::{self, Subject};
use crate::error::Error;
use crate::firmware::{Firmware, Value};
use crate::link::{Links, VfChange};
use crate::nouns::{DriverName, MacAddress, PciAddress, VfIndex};
use crate::pci::Pci;

const LIMIT: Duration = Duration::from_mins(1);

fn pf() -> PciAddress {
    "0000:43:00.0".parse().unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: Outcome<T>) -> Errno {
    outcome.unwrap_err().errno
}

#[tokio::test]
async fn vfs_come_late_and_only_through_zero() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
    assert_eq!(machine.observe(|state| state.now_ms), 800);
    assert_eq!(machine.meddle(|state| refused(set_vf_count(state, pf(), 3))), Errno::EBUSY);
    assert_eq!(machine.meddle(|state| refused(set_vf_count(state, pf(), 9))), Errno::ERANGE);
    machine.set_vf_count(pf(), 0, LIMIT).await.unwrap();
    assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().vfs, []);
}

#[tokio::test]
async fn switchdev_makes_representors_and_another_uplink() {
    let machine = Machine::new(hosts::host_105());
    machine.set_autoprobe(pf(), false).await.unwrap();
    let before = machine.netdev_of(pf(), LIMIT).await.unwrap();
    machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev)).unwrap();
    machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
    machine.settle().await;
    let uplink = machine.netdev_of(pf(), LIMIT).await.unwrap();
    assert_eq!((before.name, before.up, uplink.up), (uplink.name, true, false));
    assert_ne!(before.index, uplink.index);
    let ports: Vec<_> = machine.links().await.unwrap().into_iter().filter_map(|l| l.phys_port_name).collect();
    assert_eq!(ports, ["p0", "pf0vf0", "pf0vf1"]);
}

#[tokio::test]
async fn switchdev_is_refused_while_a_vf_is_bound() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    let refusal = machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev));
    assert_eq!(refused(refusal), Errno::EBUSY);
    let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
    machine.set_driver(vf, None).await.unwrap();
    machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev)).unwrap();
}

#[tokio::test]
async fn an_administrative_mac_takes_effect_at_the_next_bind() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    let uplink = machine.netdev_of(pf(), LIMIT).await.unwrap().index;
    let mac: MacAddress = "e4:11:22:33:55:60".parse().unwrap();
    let change = VfChange { mac: Some(mac), ..Default::default() };
    machine.set_vf_attributes(uplink, VfIndex::new(0), change).await.unwrap();
    let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
    assert_ne!(machine.netdev_of(vf, LIMIT).await.unwrap().mac, mac);
    machine.set_driver(vf, None).await.unwrap();
    machine.set_driver(vf, "mlx5_core".parse().ok().as_ref()).await.unwrap();
    assert_eq!(machine.netdev_of(vf, LIMIT).await.unwrap().mac, mac);
}

#[tokio::test]
async fn a_fuse_strikes_before_or_after_the_effect() {
    for (when, autoprobe) in [(When::Before, true), (When::After, false)] {
        let machine = Machine::new(hosts::host_105());
        machine.set_fuse(Some(Fuse::new(1, when, Lasting::Once)));
        let error = machine.set_autoprobe(pf(), false).await.unwrap_err();
        assert!(matches!(error, crate::Error::Refused { .. }), "{error}");
        assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().autoprobe, autoprobe);
        machine.set_autoprobe(pf(), true).await.unwrap();
    }
}

#[tokio::test]
async fn a_lasting_fuse_goes_on_failing() {
    for (lasting, other_works) in [(Lasting::SameOperation, true), (Lasting::Everything, false)] {
        let machine = Machine::new(hosts::host_105());
        machine.set_fuse(Some(Fuse::new(1, When::Before, lasting)));
        for _ in 0..2 {
            assert!(machine.set_autoprobe(pf(), false).await.is_err());
        }
        assert_eq!(machine.set_vf_count(pf(), 1, LIMIT).await.is_ok(), other_works);
    }
}

#[test]
fn a_machine_survives_being_written_down() {
    let text = serde_json::to_string(&hosts::host_105()).unwrap();
    let again: State = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

fn mlx5_core() -> DriverName {
    "mlx5_core".parse().unwrap()
}

fn subject(vfs: u16) -> Subject {
    Subject { pf: pf(), driver: mlx5_core(), vfs, limit: LIMIT }
}

#[tokio::test]
async fn the_contract_of_the_pci_bus_holds() {
    for vfs in [2, 8] {
        contract::pci(&Machine::new(hosts::host_105()), &subject(vfs)).await;
    }
}

#[tokio::test]
async fn the_contract_of_links_holds() {
    for vfs in [2, 8] {
        let machine = Machine::new(hosts::host_105());
        contract::links(&machine, &machine, &subject(vfs)).await;
    }
}

/// A netdev that was on its way when its VF was unbound must not come back with the next bind, and the
/// old MAC with it.
#[tokio::test]
async fn a_quick_rebind_brings_the_new_mac() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    let uplink = machine.netdev_of(pf(), LIMIT).await.unwrap().index;
    let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
    let mac: MacAddress = "e4:11:22:33:55:60".parse().unwrap();
    let change = VfChange { mac: Some(mac), ..VfChange::default() };
    machine.set_vf_attributes(uplink, VfIndex::new(0), change).await.unwrap();
    machine.set_driver(vf, None).await.unwrap();
    machine.set_driver(vf, Some(&mlx5_core())).await.unwrap();
    machine.settle().await;
    assert_eq!(machine.netdev_of(vf, LIMIT).await.unwrap().mac, mac);
}

#[tokio::test]
async fn a_pf_without_its_driver_has_neither_vfs_nor_a_netdev() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
    machine.set_driver(pf(), None).await.unwrap();
    assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().num_vfs, 0);
    assert!(machine.observe(|state| state.netdev_with(NetdevRole::Uplink(pf())).is_none()));
    assert_eq!(machine.meddle(|state| refused(set_vf_count(state, pf(), 2))), Errno::ENOENT);
    machine.set_driver(pf(), Some(&mlx5_core())).await.unwrap();
    assert_eq!(machine.netdev_of(pf(), LIMIT).await.unwrap().name.as_str(), "enp67s0f0");
}

#[tokio::test]
async fn what_a_vm_holds_is_neither_unbound_nor_taken_away() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
    let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[1];
    machine.meddle(|state| state.holders.insert(vf, Vec::new()));
    for outcome in
        [machine.meddle(|state| unbind(state, vf)), machine.meddle(|state| set_vf_count(state, pf(), 0))]
    {
        assert_eq!(refused(outcome), Errno::EBUSY);
    }
}

#[tokio::test]
async fn the_contract_of_firmware_holds() {
    contract::firmware(&Machine::new(hosts::host_105()), pf()).await;
}

/// Pitfalls 26 and 27: what was set counts after a reset, which the card refuses while a port of it has VFs; and one
/// number is for both ports.
#[tokio::test]
async fn firmware_settings_come_into_force_with_a_reset_on_both_ports() {
    let machine = Machine::new(hosts::host_105());
    let second: PciAddress = "0000:43:00.1".parse().unwrap();
    machine.set(second, &[("NUM_OF_VFS".parse().unwrap(), Value::Number(16))].into()).await.unwrap();
    let total = |pf| machine.observe(|state| state.pf(pf).map(|pf| pf.total_vfs));
    assert_eq!((total(pf()), total(second)), (Some(8), Some(8)));
    machine.set_vf_count(second, 1, LIMIT).await.unwrap();
    assert_eq!(machine.meddle(|state| refused(reset_firmware(state, pf()))), Errno::EBUSY);
    machine.set_vf_count(second, 0, LIMIT).await.unwrap();
    machine.meddle(|state| reset_firmware(state, pf())).unwrap();
    assert_eq!((total(pf()), total(second)), (Some(16), Some(16)));
}

#[tokio::test]
async fn a_locked_kernel_lets_nobody_at_the_firmware() {
    let machine = Machine::new(hosts::host_105());
    machine.meddle(|state| state.nv.get_mut(&pf()).unwrap().locked_down = true);
    let error =
        machine.set(pf(), &[("UCTX_EN".parse().unwrap(), Value::truth(false))].into()).await.unwrap_err();
    assert!(matches!(error, Error::Tool { .. }), "{error}");
}
