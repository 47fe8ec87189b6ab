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
