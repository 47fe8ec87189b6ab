//! The contract suite on a real kernel's devlink: the pretend cards, and netdevsim, which is another driver
//! with other rules. `cargo xtask hw-test --tier lab` runs them, in a VM that they may change as they like.

use std::fs;
use std::time::Duration;

use vdpa_eswitch::contract::{self, Inline, Subject};
use vdpa_eswitch::{DevlinkHandle, Eswitch as _, Kernel, Mode, ParamMode, ParamValue, patience};
use vdpa_hw::VfIndex;

fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{text} to {path}: {error}"));
}

/// The PF of the pretend card that allows this many VFs, with all of them, none bound to a driver.
fn card(vfs: u16) -> DevlinkHandle {
    let variable = format!("LAB_CARD_{vfs}");
    let pf = std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} names the card"));
    let device = format!("/sys/bus/pci/devices/{pf}");
    write(&format!("{device}/sriov_drivers_autoprobe"), "0");
    write(&format!("{device}/sriov_numvfs"), &vfs.to_string());
    format!("pci/{pf}").parse().unwrap()
}

fn subject(eswitch: &Kernel, device: DevlinkHandle, vfs: u16) -> Subject<'_> {
    Subject {
        eswitch,
        device,
        driver: "mlx5_core",
        vfs: VfIndex::first(vfs).collect(),
        inline: Inline::None,
        encap: true,
        function_mac: true,
        param: Some((
            "flow_steering_mode",
            ParamMode::Runtime,
            ["smfs", "dmfs"].map(|mode| ParamValue::Text(mode.into())),
        )),
        limit: patience(usize::from(vfs)),
    }
}

#[tokio::test]
async fn a_pretend_card_with_8_vfs_keeps_the_contract() {
    contract::all(&subject(&Kernel::new(), card(8), 8)).await;
}

#[tokio::test]
async fn a_pretend_card_with_64_vfs_keeps_the_contract() {
    contract::all(&subject(&Kernel::new(), card(64), 64)).await;
}

#[tokio::test]
async fn netdevsim_keeps_the_contract_with_its_own_rules() {
    let modprobe = std::process::Command::new("modprobe").arg("netdevsim").status().unwrap();
    assert!(modprobe.success());
    write("/sys/bus/netdevsim/new_device", "1 1");
    write("/sys/bus/netdevsim/devices/netdevsim1/sriov_numvfs", "4");
    let max_macs = ("max_macs", ParamMode::Driverinit, [ParamValue::U32(16), ParamValue::U32(32)]);
    let kernel = Kernel::new();
    let netdevsim = Subject {
        driver: "netdevsim",
        inline: Inline::Absent,
        encap: false,
        function_mac: false,
        param: Some(max_macs),
        ..subject(&kernel, "netdevsim/netdevsim1".parse().unwrap(), 4)
    };
    contract::all(&netdevsim).await;
    write("/sys/bus/netdevsim/del_device", "1");
}

/// 128 VFs, and representors that come while they are waited for. Pitfall 24: a VF may be missing from sysfs, as all of
/// netdevsim's are: devlink's ports tell of it.
#[tokio::test]
async fn netdevsim_has_128_representors_in_time() {
    let modprobe = std::process::Command::new("modprobe").arg("netdevsim").status().unwrap();
    assert!(modprobe.success());
    write("/sys/bus/netdevsim/new_device", "2 1");
    write("/sys/kernel/debug/netdevsim/netdevsim2/max_vfs", "128");
    let kernel = Kernel::new();
    let device: DevlinkHandle = "netdevsim/netdevsim2".parse().unwrap();
    let vfs: Vec<_> = VfIndex::first(128).collect();
    kernel.set_mode(&device, Mode::Switchdev, patience(0)).await.unwrap();
    let began = std::time::Instant::now();
    let (found, ()) = tokio::join!(kernel.await_representors(&device, &vfs, patience(vfs.len())), async {
        let write = || write("/sys/bus/netdevsim/devices/netdevsim2/sriov_numvfs", "128");
        tokio::task::spawn_blocking(write).await.unwrap();
        println!("the kernel's part: {:?}", began.elapsed());
    });
    println!("with the wait for representors: {:?}", began.elapsed());
    assert_eq!(found.unwrap().vfs.len(), 128);
    assert_eq!(kernel.rates(&device).await.unwrap().len(), 128);
    write("/sys/bus/netdevsim/del_device", "2");
}

#[tokio::test]
async fn the_pretend_cards_refusal_is_quoted() {
    let (kernel, device) = (Kernel::new(), card(8));
    write("/sys/module/labcx/parameters/fail_switchdev", "16");
    let error = kernel.set_mode(&device, Mode::Switchdev, Duration::from_secs(20)).await.unwrap_err();
    write("/sys/module/labcx/parameters/fail_switchdev", "0");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "kernel: labcx: Failed setting eswitch to offloads (EBUSY)");
    assert_eq!(kernel.state(&device).await.unwrap().mode, Mode::Legacy);
}
