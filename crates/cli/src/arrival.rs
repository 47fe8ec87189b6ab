//! What comes late: VFs, network devices, and their names.

use std::collections::BTreeSet;
use std::time::Duration;

use vdpa_eswitch::{DevlinkHandle, Mode, Profile, patience};
use vdpa_hw::{DriverName, Function, PciAddress, Vf, VfIndex};

use crate::config::{HostFile, NicName};
use crate::error::Error;
use crate::host::Host;
use crate::step::{Device, Step};
use crate::view::View;

/// How long it may take until so many network devices are there, named by udev: a driver's probe takes up to some
/// seconds, and udev takes one device after the other, however many are bound side by side.
pub(crate) fn naming_limit(devices: usize) -> Duration {
    Duration::from_mins(2) + patience(devices)
}

/// Waits until the uplink, and in switchdev mode each VF's representor, is there. Their final names come later: who
/// needs a name waits for it, and meanwhile udev is at work on all of them.
pub(crate) async fn await_netdevs(host: &Host, pf: PciAddress, mode: Mode, count: u16) -> Result<(), Error> {
    let limit = patience(usize::from(count));
    host.links.netdev_of(pf, limit).await?;
    if mode == Mode::Switchdev && count > 0 {
        let vfs: Vec<VfIndex> = VfIndex::first(count).collect();
        host.eswitch.await_representors(&DevlinkHandle::from(pf), &vfs, limit).await?;
    }
    Ok(())
}

/// Waits for the VFs and network devices of the cards that `steps` speak of, where a step before brought them up
/// and failed all the same, or was cut off. What does not come is found out when it is looked at.
pub(crate) async fn await_devices(host: &Host, steps: &[Step]) {
    let (mut pfs, mut vfs) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        match step {
            Step::TcOffload { device, .. } | Step::Up { device, .. } => {
                pfs.insert(device.pf());
                vfs.extend(if let Device::Vf(vf) = device { Some(*vf) } else { None });
            }
            Step::VfAttributes { vf, .. } | Step::Driver { vf, .. } | Step::Auxiliary { vf, .. } => {
                pfs.insert(vf.pf);
            }
            Step::Vfs { pf, .. } => drop(pfs.insert(*pf)),
            _ => {}
        }
    }
    for pf in pfs {
        if let Err(error) = await_card(host, pf, &vfs).await {
            tracing::debug!(%pf, %error, "devices that do not come");
        }
    }
}

/// How long a boot waits for a card's driver: mlx5 gives its firmware two minutes to come up (`fw_pre_init_timeout` in
/// its `main.c`), and who has a card missing should not wait that long for the network.
const CARD_LIMIT: Duration = Duration::from_mins(1);

/// Waits until the cards of a host file have their network devices. What does not come is found out when it is
/// looked at.
pub(crate) async fn await_cards(host: &Host, file: &HostFile) {
    let each = file.nics.iter().map(async |nic| {
        let awaited = match &nic.pf {
            NicName::Pci(pf) => host.links.netdev_of(*pf, CARD_LIMIT).await,
            NicName::Netdev(name) => host.links.named(name, CARD_LIMIT).await,
        };
        if let Err(error) = awaited {
            tracing::info!(nic = %nic.pf, %error, "a card that does not come");
        }
    });
    futures::future::join_all(each).await;
}

/// Whether a VF of `pf` with this driver has a network device on this host, soon if not yet.
pub(crate) fn makes_netdev(pf: &Function, driver: Option<&DriverName>) -> bool {
    let Some(own) = &pf.driver else { return false };
    let expected = Profile::of(own.as_str()).vf_driver.unwrap_or(own.as_str());
    driver.is_some_and(|driver| driver.as_str() == expected)
}

/// Waits for the VFs of a card, its representors, and the network devices of those of `vfs` that its driver has.
async fn await_card(host: &Host, pf: PciAddress, vfs: &BTreeSet<Vf>) -> Result<(), Error> {
    let view = View::new(host);
    let Some(sriov) = view.function(pf).await?.sriov().cloned() else { return Ok(()) };
    if sriov.vfs.len() < usize::from(sriov.num_vfs) {
        // What is asked for already changes nothing, and is waited for.
        host.pci.set_vf_count(pf, sriov.num_vfs, patience(usize::from(sriov.num_vfs))).await?;
    }
    await_netdevs(host, pf, view.eswitch(pf).await?.mode, sriov.num_vfs).await?;
    let view = View::new(host);
    for vf in vfs.iter().filter(|vf| vf.pf == pf) {
        if let Some(address) = view.vf_address(*vf).await?
            && makes_netdev(&*view.function(pf).await?, view.vf_driver(*vf).await?.flatten().as_ref())
            && !view.lacks_eth(address).await?
        {
            host.links.netdev_of(address, naming_limit(sriov.vfs.len())).await?;
        }
    }
    Ok(())
}
