//! The contract of [`KernelVdpa`].

use std::time::Duration;

use vdpa_hw::{MacAddress, PciAddress};

use crate::error::Error;
use crate::kernel::{BusDriver, DeviceName, KernelVdpa, MgmtDevName, NewDevice};

/// How long a character device may take to appear.
const LIMIT: Duration = Duration::from_mins(1);

fn new_device(mgmtdev: &MgmtDevName) -> NewDevice {
    let name: DeviceName = "vdpa-contract".parse().expect("a device name");
    NewDevice {
        mac: Some(MacAddress::new([0x02, 0, 0, 0, 0, 0x42])),
        ..NewDevice::new(name, mgmtdev.clone())
    }
}

/// A management device is listed, and makes network devices.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn the_management_device_is_listed(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let all = subject.mgmtdevs().await.expect("list");
    let found = all.iter().find(|found| found.name == *mgmtdev);
    assert!(found.is_some_and(crate::kernel::MgmtDev::makes_net_devices), "{mgmtdev} in {all:?}");
}

/// Make, see, delete: each is seen by the next, and the MAC is the one asked for.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn lifecycle(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let new = new_device(mgmtdev);
    let name = &new.name;
    assert_eq!(subject.observe(name).await.expect("observe"), None, "{name} is not there at first");
    assert!(
        matches!(subject.delete(name).await, Err(Error::NoDevice { .. })),
        "what is not there cannot be deleted"
    );
    for round in 1..=2 {
        let added = subject.add(&new).await.expect("add");
        assert_eq!(added.without_max_vqp, None, "nothing was asked that could be left out");
        let seen = subject.observe(name).await.expect("observe").expect("a new device is seen");
        assert_eq!((&seen.name, &seen.mgmtdev), (name, mgmtdev), "round {round}");
        assert_eq!(seen.class, 1, "a network device");
        assert_eq!(subject.config(name).await.expect("config").mac, new.mac, "its MAC");
        subject.delete(name).await.expect("delete");
        assert_eq!(subject.observe(name).await.expect("observe"), None, "a deleted device is gone");
    }
    assert!(matches!(subject.config(name).await, Err(Error::NoDevice { .. })));
    assert!(matches!(subject.driver(name).await, Err(Error::NoDevice { .. })));
}

/// What is asked for by name is what the listings have, and another MAC is seen in both.
///
/// Pitfall 23: another MAC needs kernel 6.12 (`VDPA_CMD_DEV_ATTR_SET`), so that `setup` gives a device its own when it is
/// made and never after.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn one_is_looked_up_as_all_are_listed(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    assert!(subject.is_present().await.expect("is_present"));
    let listed = subject.mgmtdevs().await.expect("list");
    assert!(listed.contains(&subject.mgmtdev(mgmtdev).await.expect("look up")), "{mgmtdev} in {listed:?}");
    let new = new_device(mgmtdev);
    subject.create(&new).await.expect("create");
    let other = MacAddress::new([0x02, 0, 0, 0, 0, 0x43]);
    subject.set_mac(&new.name, other).await.expect("set the MAC");
    let (device, config) = (subject.device(&new.name).await, subject.config(&new.name).await);
    let (device, config) = (device.expect("look up"), config.expect("read"));
    assert_eq!((config.mac, config.class), (Some(other), device.class));
    assert!(subject.devices().await.expect("list").contains(&device), "{device:?}");
    assert!(subject.configs().await.expect("list").contains(&config), "{config:?}");
    subject.delete(&new.name).await.expect("delete");
}

/// What is not there is refused with the kernel's own words.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn what_is_missing_is_named_in_the_kernels_words(subject: &dyn KernelVdpa) {
    let absent: DeviceName = "vdpa-absent".parse().expect("a device name");
    let nowhere: MgmtDevName = "vdpa-absent".parse().expect("a management device's name");
    let new = NewDevice::new(absent.clone(), nowhere.clone());
    let outcomes = [
        (subject.device(&absent).await.map(drop), "vdpa: device not found"),
        (subject.config(&absent).await.map(drop), "vdpa: device not found"),
        (subject.queue_stats(&absent, 0).await.map(drop), "vdpa: device not found"),
        (subject.delete(&absent).await, "vdpa: device not found"),
        (subject.set_mac(&absent, MacAddress::new([2; 6])).await, "vdpa: device not found"),
        (subject.mgmtdev(&nowhere).await.map(drop), "vdpa: Fail to find the specified mgmt device"),
        (subject.create(&new).await, "vdpa: Fail to find the specified management device"),
    ];
    for (outcome, words) in outcomes {
        let error = outcome.expect_err("it is not there");
        let said = error.refusal().and_then(|refusal| refusal.message.as_deref());
        assert_eq!(said, Some(words), "{error:?}");
    }
}

/// A name is given once.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn a_name_is_taken_once(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let new = new_device(mgmtdev);
    subject.add(&new).await.expect("add");
    match subject.add(&new).await {
        Err(Error::DeviceExists { name, .. }) => assert_eq!(name, new.name),
        outcome => panic!("a second {}: {outcome:?}", new.name),
    }
    subject.delete(&new.name).await.expect("delete");
}

/// Bound to `vhost_vdpa` a device has a character device, otherwise not; binding twice changes nothing.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn vhost_gives_a_character_device(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let new = new_device(mgmtdev);
    let name = &new.name;
    subject.add(&new).await.expect("add");
    for _ in 0..2 {
        subject.bind(name, Some(BusDriver::VhostVdpa)).await.expect("bind");
        assert_eq!(subject.driver(name).await.expect("driver"), Some(BusDriver::VhostVdpa));
        let node = subject.char_device(name, LIMIT).await.expect("a character device");
        let node = node.to_str().expect("a path");
        assert!(node.contains("/vhost-vdpa-"), "{node}");
    }
    for _ in 0..2 {
        subject.bind(name, None).await.expect("unbind");
        assert_eq!(subject.driver(name).await.expect("driver"), None);
    }
    let error = subject.char_device(name, Duration::from_millis(100)).await.expect_err("unbound");
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    subject.delete(name).await.expect("delete");
}

/// A device can be deleted while a driver has it.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn a_bound_device_can_be_deleted(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let new = new_device(mgmtdev);
    subject.add(&new).await.expect("add");
    subject.bind(&new.name, Some(BusDriver::VhostVdpa)).await.expect("bind");
    subject.delete(&new.name).await.expect("delete");
    assert_eq!(subject.observe(&new.name).await.expect("observe"), None);
}

/// What is asked of a management device that does not exist is answered with a diagnosis.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn an_absent_management_device_is_diagnosed(subject: &dyn KernelVdpa, absent: PciAddress) {
    match subject.mgmtdev_of(absent).await {
        Err(Error::NoMgmtdev { wanted, .. }) => assert_eq!(wanted, absent.to_string()),
        outcome => panic!("a management device of {absent}: {outcome:?}"),
    }
    let new = new_device(&MgmtDevName::of_pci(absent));
    let outcome = subject.add(&new).await;
    assert!(matches!(outcome, Err(Error::NoMgmtdev { .. })), "a device on {absent}: {outcome:?}");
}

/// A management device that takes no queue pair limit makes the device all the same, and the report says so.
///
/// # Panics
/// When the subject breaks the contract.
pub async fn an_unsupported_queue_limit_is_left_out(subject: &dyn KernelVdpa, mgmtdev: &MgmtDevName) {
    let new = NewDevice { max_vqp: Some(2), ..new_device(mgmtdev) };
    let added = subject.add(&new).await.expect("add");
    assert!(added.without_max_vqp.is_some(), "{mgmtdev} takes max_vqp: not the one to test this on");
    assert!(subject.observe(&new.name).await.expect("observe").is_some());
    subject.delete(&new.name).await.expect("delete");
}
