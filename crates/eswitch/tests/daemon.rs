//! The real implementation against the running kernel: any Linux, no card. Nothing is changed: the
//! loopback device has no hw-tc-offload to change.

use std::time::Duration;

use vdpa_eswitch::{DevlinkHandle, Error, Eswitch, Kernel, Mode};
use vdpa_hw::IfIndex;

/// The loopback device has index 1 in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: IfIndex = IfIndex(1);

#[tokio::test]
async fn the_loopback_device_has_no_tc_offload() {
    assert!(!Kernel::new().tc_offload(LOOPBACK).await.unwrap());
    assert!(!Kernel::new().tc_offloads().await.unwrap().contains(&LOOPBACK));
}

/// The kernel itself says that all is well: it does for each feature that cannot be changed.
#[tokio::test]
async fn turning_on_a_feature_that_is_fixed_is_an_error() {
    let kernel = Kernel::new();
    let error = kernel.set_tc_offload(LOOPBACK, true).await.unwrap_err();
    match error {
        Error::OffloadStays { link, on: true, changeable: false } => assert_eq!(link, LOOPBACK),
        Error::Permission { intent } => {
            assert_eq!(intent, "turn hw-tc-offload of network device 1 on");
            assert!(!rustix::process::geteuid().is_root(), "root has every permission");
        }
        other => panic!("{other:?}"),
    }
    assert!(!kernel.tc_offload(LOOPBACK).await.unwrap());
}

#[tokio::test]
async fn a_network_device_that_is_not_there_is_named() {
    let nowhere = IfIndex(0x7fff_fff0);
    let error = Kernel::new().tc_offload(nowhere).await.unwrap_err();
    assert!(matches!(error, Error::NoLink(link) if link == nowhere), "{error:?}");
    assert_eq!(error.to_string(), "there is no network device with index 2147483632");
}

/// Where the kernel has devlink, the device is missing; where it has none, the family is.
#[tokio::test]
async fn a_device_that_is_not_there_is_named() {
    let device: DevlinkHandle = "pci/ffff:ff:1f.7".parse().unwrap();
    let (kernel, limit) = (Kernel::new(), Duration::from_secs(5));
    for error in [
        kernel.state(&device).await.unwrap_err(),
        kernel.ports(&device).await.unwrap_err(),
        kernel.await_representors(&device, &[], limit).await.unwrap_err(),
    ] {
        match error {
            Error::NoDevice(named) => assert_eq!(named, device),
            Error::Netlink(vdpa_netlink::Error::NoFamily { name, .. }) => assert_eq!(name, "devlink"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_switch_that_is_not_there_is_not_switched() {
    let device: DevlinkHandle = "pci/ffff:ff:1f.7".parse().unwrap();
    let error = Kernel::new().set_mode(&device, Mode::Switchdev, Duration::from_secs(5)).await.unwrap_err();
    match error {
        Error::NoDevice(_) | Error::Netlink(vdpa_netlink::Error::NoFamily { .. }) => {}
        Error::Permission { intent } => {
            assert_eq!(intent, "switch the eswitch of pci/ffff:ff:1f.7 to switchdev");
            assert!(!rustix::process::geteuid().is_root(), "root has every permission");
        }
        other => panic!("{other:?}"),
    }
}
