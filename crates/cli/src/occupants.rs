//! Who holds VFs: processes that have one open, and domains that have one, its socket or its device.

use std::time::Duration;

use vdpa_datapath::kernel::DeviceName;
use vdpa_hw::{Holder, PciAddress, Vf, VfIndex};
use vdpa_vm::Resource;

use crate::error::Error;
use crate::host::Host;

/// Someone who holds a VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occupant {
    /// The VF.
    pub vf: Vf,
    /// Where it sits.
    pub address: PciAddress,
    /// Who.
    pub by: By,
}

/// Who holds a VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    /// A process that has it open through a device file.
    Process(Holder),
    /// A domain, running or not.
    Domain(vdpa_vm::Holder),
}

/// Who holds these VFs of `pf`; domains first.
///
/// # Errors
/// A layer's error where the host cannot be looked at. A host without libvirt has no domains.
pub(crate) async fn occupants(
    host: &Host,
    pf: PciAddress,
    vfs: &[(VfIndex, PciAddress)],
) -> Result<Vec<Occupant>, Error> {
    if vfs.is_empty() {
        return Ok(Vec::new());
    }
    let mut resources = Vec::new();
    for (index, address) in vfs {
        let vf = Vf { pf, index: *index };
        resources.push((vf, *address, Resource::Pci(*address)));
        resources.push((vf, *address, Resource::Socket(host.dpdk.socket(vf))));
        let device = host.kernel.char_device(&DeviceName::of_vf(vf), Duration::ZERO).await;
        resources.extend(device.ok().map(|path| (vf, *address, Resource::Device(path))));
    }
    let asked: Vec<Resource> = resources.iter().map(|(_, _, resource)| resource.clone()).collect();
    let held = match vdpa_vm::holders(&*host.domains, &asked).await {
        Err(vdpa_vm::Error::NoLibvirt { .. }) => Vec::new(),
        held => held?,
    };
    let of_domain = |holder: vdpa_vm::Holder| {
        let (vf, address, _) = resources.iter().find(|(_, _, resource)| *resource == holder.resource)?;
        Some(Occupant { vf: *vf, address: *address, by: By::Domain(holder) })
    };
    let mut found: Vec<Occupant> = held.into_iter().filter_map(of_domain).collect();
    for (index, address) in vfs {
        let processes = host.pci.holders(*address).await?;
        found.extend(processes.into_iter().map(|process| Occupant {
            vf: Vf { pf, index: *index },
            address: *address,
            by: By::Process(process),
        }));
    }
    Ok(found)
}
