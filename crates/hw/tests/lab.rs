//! The contract suites on a real kernel, with a real udev: the pretend cards, and netdevsim for what it has.
//! `cargo xtask hw-test --tier lab` runs them, in a VM that they may change as they like.

use std::fs;
use std::process::Command;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use vdpa_hw::contract::{self, Subject};
use vdpa_hw::firmware::Tools;
use vdpa_hw::{
    Bond, BondMode, DriverName, Error, Link, Links, MacAddress, Pci, PciAddress, RtnlLinks, SysfsPci,
    VfAttributes, VfChange, VfIndex,
};
use vdpa_netlink::Errno;

/// udev under TCG takes half a second for each VF.
const LIMIT: Duration = Duration::from_mins(4);

fn run(program: &str, arguments: &[&str]) {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn driver() -> DriverName {
    "mlx5_core".parse().unwrap()
}

/// The pretend card that the lab says has this many VFs.
fn card(vfs: u16) -> Subject {
    let variable = format!("LAB_CARD_{vfs}");
    let pf =
        std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} names the card")).parse().unwrap();
    Subject { pf, driver: driver(), vfs, limit: LIMIT }
}

async fn vfs_of(pci: &SysfsPci, pf: PciAddress) -> Vec<PciAddress> {
    pci.function(pf).await.unwrap().sriov().unwrap().vfs.clone()
}

#[tokio::test]
async fn the_contract_of_the_pci_bus_holds_on_a_card_with_8_vfs() {
    contract::pci(&SysfsPci::default(), &card(8)).await;
}

#[tokio::test]
async fn the_contract_of_firmware_holds_with_the_labs_stand_in_for_mstconfig() {
    contract::firmware(&Tools::default(), card(8).pf).await;
}

#[tokio::test]
async fn the_contract_of_links_holds_on_a_card_with_8_vfs() {
    contract::links(&SysfsPci::default(), &RtnlLinks::default(), &card(8)).await;
}

#[tokio::test]
async fn sixty_four_vfs_are_bound_side_by_side_and_found_by_their_udev_names() {
    let (pci, links, Subject { pf, vfs: count, .. }) = (SysfsPci::default(), RtnlLinks::default(), card(64));
    pci.set_autoprobe(pf, false).await.unwrap();
    pci.set_vf_count(pf, count, LIMIT).await.unwrap();
    let uplink = links.netdev_of(pf, LIMIT).await.unwrap().index;
    let macs: Vec<_> = (0..64).map(|n| MacAddress::new([2, 0, 0, 0, 64, n])).collect();
    let set = VfIndex::first(count).zip(&macs).map(|(vf, &mac)| {
        links.set_vf_attributes(uplink, vf, VfChange { mac: Some(mac), ..VfChange::default() })
    });
    try_join_all(set).await.unwrap();
    let (vfs, driver) = (vfs_of(&pci, pf).await, driver());
    try_join_all(vfs.iter().map(|&vf| pci.set_driver(vf, Some(&driver)))).await.unwrap();
    let netdevs = try_join_all(vfs.iter().map(|&vf| links.netdev_of(vf, LIMIT))).await.unwrap();
    for (netdev, (&vf, &mac)) in netdevs.iter().zip(vfs.iter().zip(&macs)) {
        assert_eq!((netdev.parent, netdev.mac), (Some(vf), mac), "{netdev:?}");
        assert!(!netdev.name.as_str().starts_with("eth"), "udev has named it: {netdev:?}");
    }
    pci.set_vf_count(pf, 0, LIMIT).await.unwrap();
    pci.set_autoprobe(pf, true).await.unwrap();
}

/// A process that has a VF's vhost-vdpa device open is seen, and the VF is neither unbound nor taken away:
/// the kernel would wait for the process without limit.
#[tokio::test]
async fn a_vf_whose_vhost_vdpa_device_is_open_is_held() {
    let (pci, pf) = (SysfsPci::default(), card(8).pf);
    pci.set_autoprobe(pf, false).await.unwrap();
    pci.set_vf_count(pf, 2, LIMIT).await.unwrap();
    let vf = vfs_of(&pci, pf).await[1];
    pci.set_driver(vf, Some(&driver())).await.unwrap();
    // The second makes the VF a management device; udev would load it a moment later.
    run("modprobe", &["-a", "vhost_vdpa", "mlx5_vdpa"]);
    run("vdpa", &["dev", "add", "name", "held0", "mgmtdev", &format!("pci/{vf}")]);
    let devices = fs::read_dir("/sys/bus/vdpa/devices/held0").unwrap();
    let name = devices.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let path = format!("/dev/{}", name.into_iter().find(|name| name.starts_with("vhost-vdpa-")).unwrap());
    assert_eq!(pci.holders(vf).await.unwrap(), []);

    let open = fs::File::options().read(true).write(true).open(&path).unwrap();
    let [holder] = &pci.holders(vf).await.unwrap()[..] else { panic!("this process has {path} open") };
    assert_eq!((holder.pid, holder.path.to_str()), (std::process::id(), Some(path.as_str())));
    for result in [pci.set_driver(vf, None).await, pci.set_vf_count(pf, 0, LIMIT).await] {
        let Err(Error::Refused { refusal, .. }) = result else { panic!("{result:?}") };
        assert_eq!(refusal.errno, Errno::EBUSY);
    }
    drop(open);
    assert_eq!(pci.holders(vf).await.unwrap(), []);
    pci.set_driver(vf, None).await.unwrap();
    pci.set_vf_count(pf, 0, LIMIT).await.unwrap();
    pci.set_autoprobe(pf, true).await.unwrap();
}

/// A device whose VFs nobody here made up: `nsim_set_vf_mac` and its like in `drivers/net/netdevsim/netdev.c`.
#[tokio::test]
async fn netdevsim_keeps_vf_attributes_and_refuses_what_is_wrong_with_them() {
    run("modprobe", &["netdevsim"]);
    let links = RtnlLinks::default();
    let before = links.links().await.unwrap();
    fs::write("/sys/bus/netdevsim/new_device", "7 1").unwrap();
    fs::write("/sys/bus/netdevsim/devices/netdevsim7/sriov_numvfs", "3").unwrap();
    // By its number: udev may be renaming it.
    let is_new = |link: &Link| before.iter().all(|old| old.index != link.index);
    let index = links.links().await.unwrap().into_iter().find(is_new).unwrap().index;
    let port = &links.settled(&[index], LIMIT).await.unwrap()[0];
    assert_eq!((port.parent, port.is_representor()), (None, false), "{port:?}");

    let mac: MacAddress = "e4:11:22:33:55:60".parse().unwrap();
    let change = VfChange { mac: Some(mac), trust: Some(true), spoofchk: Some(true) };
    links.set_vf_attributes(index, VfIndex::new(1), change).await.unwrap();
    let changed = VfAttributes { mac, trust: Some(true), spoofchk: Some(true) };
    let fresh = VfAttributes { mac: MacAddress::ZERO, trust: Some(false), spoofchk: Some(false) };
    let kept = links.vf_attributes(index).await.unwrap();
    assert_eq!(kept.into_values().collect::<Vec<_>>(), [fresh, changed, fresh]);

    let multicast = VfChange { mac: Some(MacAddress::new([1, 0, 0, 0, 0, 0])), ..VfChange::default() };
    let trust = VfChange { trust: Some(true), ..VfChange::default() };
    let wrong = [(0, multicast), (3, trust)]
        .map(|(vf, change)| links.set_vf_attributes(index, VfIndex::new(vf), change));
    for result in join_all(wrong).await {
        let Err(Error::Refused { refusal, .. }) = result else { panic!("{result:?}") };
        assert_eq!(refusal.errno, Errno::EINVAL);
    }
    fs::write("/sys/bus/netdevsim/del_device", "7").unwrap();
    let error = links.settled(&[index], LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::NoLink(gone) if gone == index), "{error:?}");
}

/// Bonds of the kernel's own, of two devices that cost nothing.
#[tokio::test]
async fn bonds_are_made_marked_filled_and_removed() {
    run("modprobe", &["bonding", "max_bonds=0"]);
    let links = RtnlLinks::default();
    let mut members = Vec::new();
    for name in ["member0", "member1"] {
        run("ip", &["link", "add", name, "type", "dummy"]);
        run("ip", &["link", "set", name, "up"]);
        let found = links.links().await.unwrap().into_iter().find(|link| link.name.as_str() == name).unwrap();
        members.push(found.index);
    }
    let name = "bond9".parse().unwrap();
    let bond = links.add_bond(&name, BondMode::BalanceXor).await.unwrap();
    assert!(links.add_bond(&name, BondMode::BalanceXor).await.is_err(), "the name is taken");
    let error = links.set_master(members[0], Some(bond)).await.unwrap_err();
    assert!(error.to_string().contains("member0"), "it is up: {error}");
    for member in &members {
        links.set_up(*member, false).await.unwrap();
        links.set_master(*member, Some(bond)).await.unwrap();
    }
    let found = links.bonds().await.unwrap();
    let made = Bond {
        index: bond,
        name: name.clone(),
        mode: Some(BondMode::BalanceXor),
        ours: true,
        members: members.iter().copied().collect(),
    };
    assert_eq!(found, [made]);
    let up = |link: &Link| members.contains(&link.index) && link.up && link.master == Some(bond);
    assert_eq!(links.links().await.unwrap().iter().filter(|link| up(link)).count(), 2);
    links.set_master(members[0], None).await.unwrap();
    links.remove_bond(bond).await.unwrap();
    assert_eq!(links.bonds().await.unwrap(), []);
    for name in ["member0", "member1"] {
        run("ip", &["link", "delete", name]);
    }
}
