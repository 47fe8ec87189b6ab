//! Whether the IOMMU is really on, and not just asked for.
//!
//! Source: `drivers/iommu/iommu-sysfs.c` (`/sys/class/iommu`: a device for each unit, `dmarN` on Intel, `ivhdN` on
//! AMD, whose driver has registered), `iommu_group_show_type()` in `drivers/iommu/iommu.c`, and
//! `Documentation/ABI/testing/sysfs-kernel-iommu_groups`.

use std::path::Path;

use serde::Serialize;

use super::{Platform, found};
use crate::error::{Error, Result};
use crate::nouns::PciAddress;

/// The IOMMU as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Iommu {
    /// Its units, whether or not they translate: `dmar0`, `ivhd0`.
    pub units: Vec<String>,
    /// The groups that devices are in.
    pub groups: Vec<IommuGroup>,
}

/// Devices that the IOMMU cannot tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IommuGroup {
    /// Its number.
    pub id: u32,
    /// How its devices' DMA is translated by default: `identity` (with `iommu=pt`), `DMA`, `DMA-FQ`; `None` on
    /// kernels before 4.19, which do not say.
    pub domain: Option<String>,
    /// The PCI functions in it.
    pub functions: Vec<PciAddress>,
}

impl Iommu {
    /// Whether DMA of devices can be confined: there are groups. Units alone are not enough: with
    /// `intel_iommu=off`, or by default on many Intel kernels, firmware shows them and nothing translates.
    pub fn is_on(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The group that a function is in.
    pub fn group_of(&self, function: PciAddress) -> Option<&IommuGroup> {
        self.groups.iter().find(|group| group.functions.contains(&function))
    }
}

impl Platform {
    /// The IOMMU's units and groups. No-IOMMU groups of VFIO (`vfio.enable_unsafe_noiommu_mode`) are none.
    pub fn iommu(&self) -> Result<Iommu> {
        let groups_path = Path::new("/sys/kernel/iommu_groups");
        let mut groups = Vec::new();
        for name in self.list(groups_path)?.unwrap_or_default() {
            let Ok(id) = name.parse() else { continue };
            let group = groups_path.join(&name);
            if self.attribute(group.join("name"))?.is_some_and(|name| name == "vfio-noiommu") {
                continue;
            }
            let functions = self.list(group.join("devices"))?.unwrap_or_default();
            groups.push(IommuGroup {
                id,
                domain: self.attribute(group.join("type"))?,
                functions: functions.iter().filter_map(|name| name.parse().ok()).collect(),
            });
        }
        groups.sort_unstable_by_key(|group| group.id);
        Ok(Iommu { units: self.list("/sys/class/iommu")?.unwrap_or_default(), groups })
    }

    /// The number of the group that a function is in: for one function, without a walk over all.
    pub fn iommu_group(&self, function: PciAddress) -> Result<Option<u32>> {
        let path = Path::new("/sys/bus/pci/devices").join(function.to_string()).join("iommu_group");
        let link = found(self.files.link(&path));
        let link = link.map_err(|error| Error::io(format!("read {}", path.display()), error))?;
        Ok(link.and_then(|target| target.file_name()?.to_str()?.parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Host;

    #[test]
    fn groups_make_it_on_and_units_alone_do_not() {
        let host = Host::with(&[("/sys/class/iommu/dmar0/intel-iommu/version", "1:0\n")]);
        let iommu = host.platform().iommu().unwrap();
        assert_eq!((iommu.is_on(), iommu.units.as_slice()), (false, ["dmar0".to_owned()].as_slice()));

        host.write("/sys/kernel/iommu_groups/7/type", b"identity\n");
        host.link(
            "/sys/kernel/iommu_groups/7/devices/0000:43:00.0",
            "../../../../devices/pci0000:40/0000:43:00.0",
        );
        host.write("/sys/kernel/iommu_groups/9/name", b"vfio-noiommu\n");
        host.link("/sys/bus/pci/devices/0000:43:00.0/iommu_group", "../../../../kernel/iommu_groups/7");
        let platform = host.platform();
        let iommu = platform.iommu().unwrap();
        assert!(iommu.is_on());
        let function = "0000:43:00.0".parse().unwrap();
        let group = iommu.group_of(function).unwrap();
        assert_eq!((group.id, group.domain.as_deref()), (7, Some("identity")));
        assert_eq!(iommu.groups.len(), 1);
        assert_eq!(platform.iommu_group(function).unwrap(), Some(7));
        assert_eq!(platform.iommu_group("0000:43:00.1".parse().unwrap()).unwrap(), None);
    }
}
