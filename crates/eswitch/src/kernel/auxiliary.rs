//! The auxiliary bus in sysfs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use vdpa_hw::PciAddress;

use crate::error::{Error, Result};
use crate::{Auxiliaries, Auxiliary};

/// What hangs on PCI functions, by the sysfs at `root`; nothing where the kernel has no such bus (before Linux 5.11).
/// A device that goes while it is looked at was not there.
pub(super) fn all(root: &Path) -> Result<BTreeMap<PciAddress, Auxiliaries>> {
    let path = root.join("bus/auxiliary/devices");
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::Sysfs { path, source }),
    };
    let mut found = BTreeMap::<_, Auxiliaries>::new();
    for target in entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()) {
        if let Some((function, class)) = Auxiliary::from_path(&target) {
            found.entry(function).or_default().insert(class);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn devices_are_found_by_function_and_a_kernel_without_the_bus_has_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(all(root.path()).unwrap(), BTreeMap::new());
        let bus = root.path().join("bus/auxiliary/devices");
        fs::create_dir_all(&bus).unwrap();
        for (name, function) in [
            ("mlx5_core.eth.0", "0000:43:00.0"),
            ("mlx5_core.eth.2", "0000:43:00.2"),
            ("mlx5_core.vnet.2", "0000:43:00.2"),
        ] {
            symlink(format!("../../../devices/pci0000:40/{function}/{name}"), bus.join(name)).unwrap();
        }
        let found = all(root.path()).unwrap();
        let of = |function: &str| found[&function.parse::<PciAddress>().unwrap()].clone();
        assert_eq!(of("0000:43:00.0"), [Auxiliary::Eth].into());
        assert_eq!(of("0000:43:00.2"), [Auxiliary::Eth, Auxiliary::Vnet].into());
        assert_eq!(found.len(), 2);
    }
}
