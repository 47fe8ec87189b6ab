//! Bonds of uplinks, and the card's word that its ports are one.

use vdpa_eswitch::{DevlinkHandle, LagState, patience};
use vdpa_hw::{Bond, NetdevName, PciAddress};

use crate::error::Error;
use crate::host::Host;
use crate::step::{BondOf, Device};
use crate::view::View;

/// Makes a bond what it is to be. One of ours that is to go is removed; one of somebody else's only loses the uplinks.
pub(super) async fn set(
    host: &Host,
    view: &View<'_>,
    name: &NetdevName,
    wanted: Option<&BondOf>,
) -> Result<(), Error> {
    let bonds = view.bonds().await?;
    let there = bonds.iter().find(|bond| bond.name == *name);
    let (bond, members) = match (there, wanted) {
        (None, None) => return Ok(()),
        (Some(bond), _) => (bond.index, bond.members.clone()),
        (None, Some(wanted)) => (host.links.add_bond(name, wanted.mode).await?, [].into()),
    };
    let mut stay = std::collections::BTreeSet::new();
    for pf in wanted.iter().flat_map(|wanted| &wanted.uplinks) {
        let missing = || Error::Missing(format!("the uplink of {pf}"));
        stay.insert(view.link(Device::Uplink(*pf)).await?.ok_or_else(missing)?.index);
    }
    let links = view.links().await?;
    let is_uplink = |index| links.iter().any(|link| link.index == index && link.parent.is_some());
    let ingress = view.with_ingress_qdisc().await?;
    for leaving in members.difference(&stay).copied().filter(|index| is_uplink(*index)) {
        host.links.set_master(leaving, None).await?;
        if ingress.contains(&leaving) {
            // ovs-vswitchd puts one on each member of a bond that is its port, and leaves it.
            super::bridge::remove_ingress(host, leaving).await?;
        }
    }
    for joining in stay.difference(&members) {
        // `bond_enslave` takes no device that is up, and brings it up itself.
        host.links.set_up(*joining, false).await?;
        host.links.set_master(*joining, Some(bond)).await?;
    }
    if wanted.is_none() && there.is_some_and(|bond: &Bond| bond.ours) {
        host.links.remove_bond(bond).await?;
    }
    Ok(())
}

/// Waits until a card's ports are one in hardware. That they cease to be follows from the bond: nothing is to be done
/// for it, and it may still be there.
pub(super) async fn await_lag(host: &Host, pf: PciAddress, active: bool) -> Result<(), Error> {
    if active {
        host.eswitch.await_lag(&DevlinkHandle::from(pf), LagState::Active, patience(0)).await?;
    }
    Ok(())
}
