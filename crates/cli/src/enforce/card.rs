//! A card as a whole: its switch's mode, and how many VFs it has.

use vdpa_eswitch::{DevlinkHandle, Mode, patience};
use vdpa_hw::{PciAddress, Vf, VfIndex};

use crate::arrival::await_netdevs;
use crate::error::Error;
use crate::host::Host;
use crate::view::View;

/// Switches the mode, and waits for the uplink and, where there are VFs, their representors.
pub(super) async fn set_mode(host: &Host, view: &View<'_>, pf: PciAddress, mode: Mode) -> Result<(), Error> {
    let count = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs);
    let switched = host.eswitch.set_mode(&DevlinkHandle::from(pf), mode, patience(usize::from(count))).await;
    switched.map_err(|error| match error {
        vdpa_eswitch::Error::Refused { .. } => Error::ModeRefused(error),
        error => error.into(),
    })?;
    await_netdevs(host, pf, mode, count).await
}

/// Sets the number of VFs, by way of none if there are some, and waits for them and their representors.
pub(super) async fn set_vf_count(
    host: &Host,
    view: &View<'_>,
    pf: PciAddress,
    count: u16,
) -> Result<(), Error> {
    let present = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs);
    // A process of ours does not outlive the VF that it works on.
    for index in VfIndex::first(present) {
        host.dpdk.stop(Vf { pf, index }).await?;
    }
    if present > 0 {
        host.pci.set_vf_count(pf, 0, patience(usize::from(present))).await?;
    }
    if count > 0 {
        host.pci.set_vf_count(pf, count, patience(usize::from(count))).await?;
    }
    await_netdevs(host, pf, view.eswitch(pf).await?.mode, count).await
}
