use std::time::Duration;

use vdpa_hw::mock::{Fuse, Lasting, Machine, When, hosts};
use vdpa_hw::{Pci, VfIndex};

use super::*;
use crate::contract::{self, Subject};
use crate::patience;

const LIMIT: Duration = Duration::from_mins(2);

fn pf() -> PciAddress {
    "0000:43:00.0".parse().unwrap()
}

/// Host 105 with `count` VFs that no driver holds.
async fn with_vfs(count: u16) -> Machine {
    let machine = Machine::new(hosts::host_105());
    machine.set_autoprobe(pf(), false).await.unwrap();
    machine.set_vf_count(pf(), count, LIMIT).await.unwrap();
    machine
}

fn subject(machine: &Machine, count: u16) -> Subject<'_> {
    Subject {
        eswitch: machine,
        device: pf().into(),
        driver: "mlx5_core",
        vfs: VfIndex::first(count).collect(),
        inline: contract::Inline::None,
        encap: true,
        function_mac: true,
        param: Some((
            "flow_steering_mode",
            ParamMode::Runtime,
            ["smfs", "dmfs"].map(|t| ParamValue::Text(t.into())),
        )),
        limit: patience(usize::from(count)),
    }
}

#[tokio::test]
async fn the_machine_keeps_the_contract() {
    for count in [1, 2, 8] {
        let machine = with_vfs(count).await;
        contract::all(&subject(&machine, count)).await;
    }
}

#[tokio::test]
async fn each_change_is_one_operation_that_a_fuse_can_strike() {
    let device = DevlinkHandle::from(pf());
    for (when, mode) in [(When::Before, Mode::Legacy), (When::After, Mode::Switchdev)] {
        let machine = with_vfs(2).await;
        machine.set_fuse(Some(Fuse::new(1, when, Lasting::Once)));
        let error = machine.set_mode(&device, Mode::Switchdev, LIMIT).await.unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EIO), "{error}");
        assert_eq!(machine.state(&device).await.unwrap().mode, mode, "{when:?}");
    }
}

#[tokio::test]
async fn software_steering_is_chosen_before_switchdev() {
    let (machine, device) = (with_vfs(1).await, DevlinkHandle::from(pf()));
    machine.set_mode(&device, Mode::Switchdev, LIMIT).await.unwrap();
    let smfs = ParamValue::Text("smfs".into());
    let error =
        machine.set_param(&device, "flow_steering_mode", ParamMode::Runtime, &smfs).await.unwrap_err();
    let Error::Refused { refusal, .. } = error else { panic!("{error}") };
    assert_eq!(
        refusal.message.as_deref(),
        Some("mlx5_core: Software managed steering is not supported when eswitch offloads enabled.")
    );
}

#[tokio::test]
async fn a_card_that_ignores_tc_offload_is_caught() {
    let (machine, device) = (with_vfs(1).await, DevlinkHandle::from(pf()));
    machine.meddle(|state| {
        if let Some(pf) = state.pf_mut(pf()) {
            pf.profile.ignores_tc_offload = true;
        }
    });
    let uplink = machine.await_uplink(&device, LIMIT).await.unwrap();
    let error = machine.set_tc_offload(uplink.index, true).await.unwrap_err();
    assert!(matches!(error, Error::OffloadStays { on: true, changeable: true, .. }), "{error}");
    assert!(error.to_string().ends_with("stays off: the kernel said yes and did nothing"), "{error}");
}

#[tokio::test]
async fn a_vf_has_devlink_and_no_switch() {
    let machine = Machine::new(hosts::host_105());
    machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    let vf = DevlinkHandle::from(machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0]);
    assert!(machine.devices().await.unwrap().contains(&vf));
    assert_eq!(machine.state(&vf).await.unwrap_err().errno(), Some(Errno::EOPNOTSUPP));
}

/// A host with one VF that mlx5 has, in switchdev mode, and the VF's address.
async fn with_driven_vf() -> (Machine, PciAddress) {
    let machine = with_vfs(1).await;
    machine.set_mode(&DevlinkHandle::from(pf()), Mode::Switchdev, LIMIT).await.unwrap();
    let address = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
    machine.set_driver(address, "mlx5_core".parse().ok().as_ref()).await.unwrap();
    (machine, address)
}

fn netdev(machine: &Machine, role: NetdevRole) -> Option<IfIndex> {
    machine.elapse(Duration::from_secs(5));
    machine.observe(|state| state.netdev_with(role).map(|(index, _)| index))
}

#[tokio::test]
async fn a_vf_keeps_the_contract_of_reloads_and_its_representor_stays() {
    let (machine, address) = with_driven_vf().await;
    let vf = Vf::new(pf(), 0);
    let representor = netdev(&machine, NetdevRole::Representor(vf)).unwrap();
    let in_force = || {
        let made = machine.observe(|state| auxiliary::all(state, address));
        made.contains(&crate::Auxiliary::Eth)
    };
    let subject = contract::reload::Subject {
        eswitch: &machine,
        device: address.into(),
        param: "enable_eth",
        in_force: &in_force,
        makes_netdev: true,
        netdev: &|| netdev(&machine, NetdevRole::VfNetdev(vf)),
        limit: patience(1),
    };
    contract::reload::all(&subject).await;
    assert_eq!(netdev(&machine, NetdevRole::Representor(vf)), Some(representor));
}

#[tokio::test]
async fn a_pf_is_reloaded_into_legacy_mode_and_not_while_it_is_bonded_in_hardware() {
    let machine = with_vfs(2).await;
    let device = DevlinkHandle::from(pf());
    machine.set_mode(&device, Mode::Switchdev, LIMIT).await.unwrap();
    let before = netdev(&machine, NetdevRole::Uplink(pf())).unwrap();
    machine.reload(&device, Reload::DRIVER, LIMIT).await.unwrap();
    assert_eq!(machine.state(&device).await.unwrap().mode, Mode::Legacy);
    assert_ne!(netdev(&machine, NetdevRole::Uplink(pf())), Some(before));
    assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().vfs.len(), 2);
}

#[tokio::test]
async fn a_reload_that_is_refused_or_fails_is_quoted_and_the_next_one_mends_it() {
    let (machine, address) = with_driven_vf().await;
    let (device, vf) = (DevlinkHandle::from(address), NetdevRole::VfNetdev(Vf::new(pf(), 0)));
    let there = netdev(&machine, vf).unwrap();
    let profile = |change: fn(&mut vdpa_hw::mock::Profile)| {
        machine.meddle(|state| change(&mut state.pf_mut(pf()).unwrap().profile));
    };
    profile(|profile| profile.refuses_reload = Some("mlx5_core: Can't reload during firmware reset".into()));
    let error = machine.reload(&device, Reload::DRIVER, LIMIT).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot reload {device}, action driver_reinit"));
    let Error::Refused { refusal, .. } = error else { panic!("{error}") };
    assert_eq!(refusal.message.as_deref(), Some("mlx5_core: Can't reload during firmware reset"));
    assert_eq!(netdev(&machine, vf), Some(there));

    profile(|profile| (profile.refuses_reload, profile.fails_reload) = (None, true));
    machine.reload(&device, Reload::DRIVER, LIMIT).await.unwrap_err();
    assert!(machine.reload_failed(&device).await.unwrap());
    assert_eq!((netdev(&machine, vf), machine.auxiliaries().await.unwrap()[&address].len()), (None, 0));
    profile(|profile| profile.fails_reload = false);
    machine.reload(&device, Reload::DRIVER, LIMIT).await.unwrap();
    assert!(!machine.reload_failed(&device).await.unwrap() && netdev(&machine, vf).is_some());
}
