//! The contract suite on a real kernel's devlink: the pretend cards, and netdevsim, which is another driver
//! with other rules. `cargo xtask hw-test --tier lab` runs them, in a VM that they may change as they like.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vdpa_eswitch::contract::{self, Inline, Subject};
use vdpa_eswitch::{
    Auxiliary, DevlinkHandle, Eswitch as _, Kernel, Mode, ParamMode, ParamValue, Reload, patience,
};
use vdpa_hw::{IfIndex, PciAddress, VfIndex};

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

/// The network device below a device in sysfs.
fn netdev(device: &Path) -> Option<IfIndex> {
    let mut netdevs = fs::read_dir(device.join("net")).ok()?;
    let index = fs::read_to_string(netdevs.next()?.ok()?.path().join("ifindex")).ok()?;
    index.trim().parse().ok().map(IfIndex)
}

/// A driver that nobody here wrote, whose debugfs shows what it acts by: `test1`, which it reads when it is loaded.
#[tokio::test]
async fn netdevsim_keeps_the_contract_of_reloads_and_its_refusals_are_quoted() {
    assert!(std::process::Command::new("modprobe").arg("netdevsim").status().unwrap().success());
    write("/sys/bus/netdevsim/new_device", "3 1");
    let debugfs = Path::new("/sys/kernel/debug/netdevsim/netdevsim3");
    let device: DevlinkHandle = "netdevsim/netdevsim3".parse().unwrap();
    let (kernel, limit) = (Kernel::new(), patience(0));
    let on = |file: &str| fs::read_to_string(debugfs.join(file)).unwrap().trim() == "Y";
    let set = |file: &str, value: &str| write(debugfs.join(file).to_str().unwrap(), value);
    let subject = contract::reload::Subject {
        eswitch: &kernel,
        device: device.clone(),
        param: "test1",
        in_force: &|| on("test1"),
        makes_netdev: false,
        netdev: &|| netdev(Path::new("/sys/bus/netdevsim/devices/netdevsim3")),
        limit,
    };
    contract::reload::all(&subject).await;

    let refusal = async || {
        let error = kernel.reload(&device, Reload::DRIVER, limit).await.unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let there = (subject.netdev)().unwrap();
    set("dont_allow_reload", "Y");
    assert_eq!(
        refusal().await,
        "kernel: netdevsim: User forbid the reload for testing purposes (EOPNOTSUPP)"
    );
    assert!(!kernel.reload_failed(&device).await.unwrap());
    assert_eq!((subject.netdev)(), Some(there));
    set("dont_allow_reload", "N");
    set("fail_reload", "Y");
    assert_eq!(
        refusal().await,
        "kernel: netdevsim: User setup the reload to fail for testing purposes (EINVAL)"
    );
    assert!(kernel.reload_failed(&device).await.unwrap());
    assert_eq!((subject.netdev)(), None);
    // What failed once is mended by the next.
    set("fail_reload", "N");
    kernel.reload(&device, Reload::DRIVER, limit).await.unwrap();
    assert!(!kernel.reload_failed(&device).await.unwrap() && (subject.netdev)().is_some());
    write("/sys/bus/netdevsim/del_device", "3");
}

/// A VF's own devlink device: its netdev goes with `enable_eth` and comes again; its representor, the PF's, stays.
#[tokio::test]
async fn a_pretend_cards_vf_keeps_the_contract_of_reloads() {
    let (kernel, pf) = (Kernel::new(), card(8));
    kernel.set_mode(&pf, Mode::Switchdev, patience(8)).await.unwrap();
    let function = fs::read_link(format!("/sys/bus/pci/devices/{}/virtfn0", pf.name())).unwrap();
    let address: PciAddress = function.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let sysfs = Path::new("/sys/bus/pci/devices").join(address.to_string());
    write(sysfs.join("driver_override").to_str().unwrap(), "mlx5_core");
    write("/sys/bus/pci/drivers_probe", &address.to_string());
    let representors = kernel.representors(&pf).await.unwrap();
    let has = |class: &str| {
        let entries = fs::read_dir(&sysfs).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).any(|name| name.contains(class))
    };
    for (class, param, name) in
        [(Auxiliary::Eth, "enable_eth", ".eth."), (Auxiliary::Vnet, "enable_vnet", ".vnet.")]
    {
        let subject = contract::reload::Subject {
            eswitch: &kernel,
            device: address.into(),
            param,
            in_force: &|| has(name),
            makes_netdev: class == Auxiliary::Eth,
            netdev: &|| netdev(&sysfs),
            limit: patience(8),
        };
        contract::reload::all(&subject).await;
        assert!(kernel.auxiliaries().await.unwrap()[&address].contains(&class));
    }
    assert_eq!(
        kernel.representors(&pf).await.unwrap().vfs[&VfIndex::new(0)].index,
        representors.vfs[&VfIndex::new(0)].index
    );
    write(sysfs.join("driver/unbind").to_str().unwrap(), &address.to_string());
    assert!(!kernel.auxiliaries().await.unwrap().contains_key(&address));
    kernel.set_mode(&pf, Mode::Legacy, patience(8)).await.unwrap();
}
