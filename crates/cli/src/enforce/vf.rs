//! One VF: what its PF keeps for it, and its driver.

use vdpa_eswitch::{Mode, Profile, VfAttribute};
use vdpa_hw::{DriverName, MacAddress, PciAddress, Vf, VfChange};

use crate::arrival::{makes_netdev, naming_limit};
use crate::error::Error;
use crate::host::Host;
use crate::step::Device;
use crate::view::View;

/// Sets what the PF keeps for a VF, as far as it is otherwise. A driver takes a VF's MAC when it is bound and never
/// after: one that is bound is unbound for it, and bound again whatever becomes of it.
pub(super) async fn set_attributes(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    asked: VfChange,
) -> Result<(), Error> {
    let missing = || Error::Missing(format!("the PF's network device of {vf}"));
    let uplink = view.link(Device::Uplink(vf.pf)).await?.ok_or_else(missing)?.index;
    let address = view.vf_address(vf).await?.ok_or_else(|| Error::Missing(vf.to_string()))?;
    let kept = view.vf_attributes(vf.pf).await?.get(&vf.index).copied();
    if kept.map(|kept| kept.mac) != asked.mac {
        let change = VfChange { mac: asked.mac, ..VfChange::default() };
        let driver = view.vf_driver(vf).await?.flatten();
        if driver.is_some() {
            host.pci.set_driver(address, None).await?;
        }
        let set = host.links.set_vf_attributes(uplink, vf.index, change).await;
        if driver.is_some() {
            let wanted = asked.mac.filter(|_| set.is_ok());
            set_driver(host, view, vf, address, driver.as_ref(), wanted).await?;
        }
        set?;
    }
    let legacy = view.eswitch(vf.pf).await?.mode == Mode::Legacy;
    let pf = view.function(vf.pf).await?;
    let profile = Profile::of(pf.driver.as_ref().map_or("", DriverName::as_str));
    // What cannot be set in this mode can be brought back once the eswitch is.
    let settable = |attribute| legacy || !profile.refuses(attribute);
    let change = VfChange {
        mac: None,
        trust: asked
            .trust
            .filter(|_| settable(VfAttribute::Trust) && kept.and_then(|kept| kept.trust) != asked.trust),
        spoofchk: asked.spoofchk.filter(|_| {
            settable(VfAttribute::Spoofchk) && kept.and_then(|kept| kept.spoofchk) != asked.spoofchk
        }),
    };
    if change != VfChange::default() {
        host.links.set_vf_attributes(uplink, vf.index, change).await?;
    }
    Ok(())
}

/// Binds a VF's driver, or none. Where it makes a network device, waits for that and its name, and sees that it has
/// taken the MAC that the PF keeps, `kept`.
pub(super) async fn set_driver(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    address: PciAddress,
    driver: Option<&DriverName>,
    kept: Option<MacAddress>,
) -> Result<(), Error> {
    host.pci.set_driver(address, driver).await?;
    let pf = view.function(vf.pf).await?;
    if !makes_netdev(&pf, driver) {
        return Ok(());
    }
    let beside = pf.sriov().map_or(0, |sriov| sriov.vfs.len());
    let link = host.links.netdev_of(address, naming_limit(beside)).await?;
    match kept.filter(|kept| *kept != MacAddress::ZERO && *kept != link.mac) {
        Some(wanted) => Err(Error::MacNotTaken { vf, netdev: link.name, wanted, found: link.mac }),
        None => Ok(()),
    }
}
