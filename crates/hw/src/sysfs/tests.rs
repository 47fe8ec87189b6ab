//! The real implementation on a file tree, with the kernel played.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use vdpa_netlink::Errno;

use super::SysfsPci;
use super::fixture::{Fixture, pf};
use crate::contract::{self, Subject};
use crate::error::Error;
use crate::nouns::{DriverName, PciAddress};
use crate::pci::{Pci, Role};

const LIMIT: Duration = Duration::from_mins(1);

fn igbvf() -> DriverName {
    "igbvf".parse().unwrap()
}

async fn one_vf(fixture: &Fixture, autoprobe: bool) -> (SysfsPci, PciAddress) {
    let pci = fixture.pci();
    pci.set_autoprobe(pf(), autoprobe).await.unwrap();
    pci.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    let vf = pci.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
    fixture.writes();
    (pci, vf)
}

fn errno(error: &Error) -> Errno {
    match error {
        Error::Refused { refusal, .. } => refusal.errno,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_contract_holds() {
    let fixture = Fixture::new();
    let subject = Subject { pf: pf(), driver: igbvf(), vfs: 4, limit: LIMIT };
    contract::pci(&fixture.pci(), &subject).await;
}

#[tokio::test]
async fn a_function_is_read_as_the_kernel_shows_it() {
    let fixture = Fixture::new();
    let pci = fixture.pci();
    let all = pci.functions().await.unwrap();
    assert_eq!(all.len(), 2, "what has a 32-bit domain is left out: {all:?}");
    assert!(matches!(all[0].role, Role::Plain));
    let function = &all[1];
    assert_eq!(function.id.to_string(), "8086:10c9");
    assert_eq!(function.driver.as_ref().map(DriverName::as_str), Some("igb"));
    assert_eq!((function.numa_node, function.iommu_group), (None, Some(14)));
    fs::write(fixture.path("sys/bus/pci/devices/0000:01:00.0/numa_node"), "1\n").unwrap();
    assert_eq!(pci.function(pf()).await.unwrap().numa_node, Some(1));
    fs::write(fixture.path("sys/bus/pci/devices/0000:01:00.0/sriov_totalvfs"), "seven\n").unwrap();
    let error = pci.function(pf()).await.unwrap_err();
    assert!(matches!(&error, Error::Malformed { text, .. } if text == "seven"), "{error:?}");
}

/// One link is read for all functions of a driver; those in nobody's list have none.
#[tokio::test]
async fn a_driver_says_itself_which_functions_it_has() {
    let fixture = Fixture::new();
    let pci = fixture.pci();
    pci.set_autoprobe(pf(), true).await.unwrap();
    pci.set_vf_count(pf(), 4, LIMIT).await.unwrap();
    let vfs = pci.function(pf()).await.unwrap().sriov().unwrap().vfs.clone();
    pci.set_driver(vfs[3], None).await.unwrap();
    for vf in &vfs[1..3] {
        fs::remove_file(fixture.path(&format!("sys/bus/pci/devices/{vf}/driver"))).unwrap();
    }
    let gone = "0000:7f:00.0".parse().unwrap();
    let drivers = pci.drivers(&[&vfs[..], &[gone, pf()]].concat()).await.unwrap();
    let igb = Some("igb".parse().unwrap());
    assert_eq!(drivers, [Some(igbvf()), Some(igbvf()), Some(igbvf()), None, None, igb]);
}

/// A file that cannot be read is named, and what rests on it is not done.
#[tokio::test]
async fn what_cannot_be_read_is_named_and_nothing_is_written() {
    let fixture = Fixture::new();
    let attribute = fixture.path("sys/bus/pci/devices/0000:01:00.0/sriov_numvfs");
    fs::remove_file(&attribute).unwrap();
    fs::create_dir(&attribute).unwrap();
    let pci = fixture.pci();
    for error in [pci.function(pf()).await.unwrap_err(), pci.set_vf_count(pf(), 2, LIMIT).await.unwrap_err()]
    {
        assert_eq!(error.to_string(), format!("cannot read {}", attribute.display()));
    }
    assert_eq!(fixture.writes(), [""; 0]);
}

#[tokio::test]
async fn what_is_so_already_is_not_written() {
    let fixture = Fixture::new();
    let (pci, vf) = one_vf(&fixture, true).await;
    pci.set_autoprobe(pf(), true).await.unwrap();
    pci.set_vf_count(pf(), 1, LIMIT).await.unwrap();
    pci.set_driver(vf, Some(&igbvf())).await.unwrap();
    assert_eq!(fixture.writes(), [""; 0]);
}

#[tokio::test]
async fn a_bind_names_the_driver_and_takes_the_name_back() {
    let fixture = Fixture::new();
    let (pci, vf) = one_vf(&fixture, false).await;
    pci.set_driver(vf, Some(&igbvf())).await.unwrap();
    let expected =
        [format!("{vf}/driver_override igbvf"), format!("igbvf/bind {vf}"), format!("{vf}/driver_override ")];
    assert_eq!(fixture.writes(), expected);
    pci.set_driver(vf, None).await.unwrap();
    assert_eq!(fixture.writes(), [format!("igbvf/unbind {vf}")]);
}

#[tokio::test]
async fn a_failed_probe_is_told_and_the_override_of_another_is_kept() {
    let fixture = Fixture::new();
    let (pci, vf) = one_vf(&fixture, false).await;
    let device = fixture.path("sys/bus/pci/devices").join(vf.to_string());
    fs::write(device.join("driver_override"), "vfio-pci\n").unwrap();
    fs::write(device.join("probe_fails"), "").unwrap();
    let error = pci.set_driver(vf, Some(&igbvf())).await.unwrap_err();
    assert_eq!(errno(&error), Errno::EIO);
    assert_eq!(error.to_string(), format!("cannot bind {vf} to igbvf"));
    let function = pci.function(vf).await.unwrap();
    assert_eq!((function.driver, function.driver_override), (None, "vfio-pci".parse().ok()));
}

/// Two of the ways in which a VM holds a VF: by its IOMMU group's file, and by a vhost-vdpa device.
#[tokio::test]
async fn a_vf_that_is_held_is_neither_unbound_nor_taken_away() {
    for (driver, file) in [("vfio-pci", "/dev/vfio/14"), ("igbvf", "/dev/vhost-vdpa-3")] {
        let fixture = Fixture::new();
        let (pci, vf) = one_vf(&fixture, false).await;
        pci.set_driver(vf, driver.parse().ok().as_ref()).await.unwrap();
        let vdpa = fixture.path("sys/bus/pci/devices").join(vf.to_string()).join("vdpa0");
        fs::create_dir_all(vdpa.join("vhost-vdpa-3")).unwrap();
        symlink("../../../../../bus/vdpa", vdpa.join("subsystem")).unwrap();
        let process = fixture.path("proc/4711");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), "qemu-kvm\n").unwrap();
        assert_eq!(pci.holders(vf).await.unwrap(), []);

        symlink("/dev/null", process.join("fd/0")).unwrap();
        symlink(file, process.join("fd/31")).unwrap();
        let [holder] = &pci.holders(vf).await.unwrap()[..] else { panic!("{file} is held by one") };
        assert_eq!(holder.to_string(), "qemu-kvm (pid 4711)");
        assert_eq!(holder.path.to_str(), Some(file));
        fixture.writes();
        for result in [pci.set_driver(vf, None).await, pci.set_vf_count(pf(), 0, LIMIT).await] {
            let error = result.unwrap_err();
            assert_eq!(errno(&error), Errno::EBUSY);
            assert!(error.to_string().contains("qemu-kvm (pid 4711)"), "{error}");
        }
        assert_eq!(fixture.writes(), [""; 0], "the kernel was not asked");
    }
}

#[tokio::test]
async fn vfs_that_do_not_come_are_a_timeout_that_says_how_many_did() {
    let fixture = Fixture::new();
    let (pci, _) = one_vf(&fixture, false).await;
    fs::write(fixture.path("sys/bus/pci/devices/0000:01:00.0/sriov_numvfs"), "3\n").unwrap();
    let error = pci.set_vf_count(pf(), 3, Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.to_string(), "3 VFs of 0000:01:00.0 did not come within 50ms: saw 1 VFs");
}

/// A write to sysfs sleeps in the driver until the card answers, and nobody can call it back. Who waits is told when
/// the time is up, who comes later at once, and when the kernel has returned all is as ever.
#[tokio::test]
async fn a_write_that_does_not_return_is_named_and_keeps_nobody_waiting_twice() {
    let held = Arc::new(AtomicBool::new(true));
    let holds = Arc::clone(&held);
    let fixture = Fixture::slowed(Arc::new(move |attribute: &str| {
        while attribute == "sriov_numvfs" && holds.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }));
    let pci = fixture.pci();
    let limit = Duration::from_millis(30);
    let error = pci.set_vf_count(pf(), 2, limit).await.unwrap_err();
    let expected = "the kernel does not return from work on 0000:01:00.0: a write of 2 to sriov_numvfs takes more than 30ms";
    assert_eq!(error.to_string(), expected);
    let began = std::time::Instant::now();
    for error in [pci.function(pf()).await.unwrap_err(), pci.set_vf_count(pf(), 0, LIMIT).await.unwrap_err()]
    {
        assert_eq!(error.to_string(), expected);
    }
    assert!(began.elapsed() < LIMIT, "each would have waited for its own limit");
    held.store(false, Ordering::Relaxed);
    while pci.function(pf()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pci.set_vf_count(pf(), 2, LIMIT).await.unwrap();
}

/// Each bind waits in the kernel until all four are there: one after another, they would for ever.
#[tokio::test]
async fn vfs_are_bound_side_by_side() {
    let all = Arc::new(Barrier::new(4));
    let meet = Arc::new(move |attribute: &str| {
        if attribute == "bind" {
            all.wait();
        }
    });
    let fixture = Fixture::slowed(meet);
    let pci = fixture.pci();
    pci.set_autoprobe(pf(), false).await.unwrap();
    pci.set_vf_count(pf(), 4, LIMIT).await.unwrap();
    let vfs = pci.function(pf()).await.unwrap().sriov().unwrap().vfs.clone();
    let driver = igbvf();
    let binds = vfs.iter().map(|&vf| pci.set_driver(vf, Some(&driver)));
    tokio::time::timeout(LIMIT, futures::future::try_join_all(binds)).await.expect("side by side").unwrap();
}

#[tokio::test]
async fn a_machine_without_pci_has_no_functions() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(SysfsPci::new(root.path()).functions().await.unwrap(), []);
}
