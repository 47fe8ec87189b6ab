//! Who has a function open: a VM through VFIO, QEMU through vhost-vdpa.
//!
//! The device files through which a function can be held are found in sysfs, their users by the links in
//! `/proc/PID/fd`, as fuser(1) does. Processes that the caller may not inspect are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::links::link;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::nouns::{DriverName, PciAddress};
use crate::pci::Holder;

/// The processes that have any of `functions` open, by process id.
pub(super) fn of(tree: &Tree, functions: &[PciAddress]) -> Result<Vec<Holder>> {
    let mut paths = BTreeSet::new();
    for &function in functions {
        let device = tree.device(function);
        let found = device_files(&device);
        paths.extend(found.map_err(|error| Error::io(format!("read {}", device.display()), error))?);
    }
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let proc = tree.below("proc");
    users(&proc, &paths).map_err(|error| Error::io(format!("read {}", proc.display()), error))
}

/// The device files of a function, as processes name them.
fn device_files(device: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    // An IOMMU group has a VFIO file as long as a vfio driver has a function of it.
    let driver = link::<DriverName>(device, "driver")?;
    if driver.is_some_and(|driver| driver.as_str().contains("vfio"))
        && let Some(group) = link::<u32>(device, "iommu_group")?
    {
        files.push(format!("/dev/vfio/{group}").into());
        // Without an IOMMU (`vfio_noiommu_group_alloc` in `drivers/vfio/group.c`).
        files.push(format!("/dev/vfio/noiommu-{group}").into());
    }
    for child in children(device)? {
        if child.ends_with("vfio-dev") {
            files.extend(names(&child)?.map(|name| PathBuf::from(format!("/dev/vfio/devices/{name}"))));
        } else if link::<String>(&child, "subsystem")?.as_deref() == Some("vdpa") {
            let chars = names(&child)?.filter(|name| name.starts_with("vhost-vdpa-"));
            files.extend(chars.map(|name| PathBuf::from(format!("/dev/{name}"))));
        }
    }
    Ok(files)
}

/// The directories in `directory`, which may have gone. Links are not followed.
fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let names = names(directory)?.map(|name| directory.join(name));
    Ok(names.filter(|path| path.symlink_metadata().is_ok_and(|data| data.is_dir())).collect())
}

fn names(directory: &Path) -> io::Result<impl Iterator<Item = String> + use<>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read?),
    };
    Ok(entries.into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok()))
}

fn users(proc: &Path, paths: &BTreeSet<PathBuf>) -> io::Result<Vec<Holder>> {
    let mut holders = BTreeMap::new();
    for pid in names(proc)?.filter_map(|name| name.parse::<u32>().ok()) {
        let process = proc.join(pid.to_string());
        // A process that has ended, or is another user's, has no descriptors to show.
        let Ok(descriptors) = names(&process.join("fd")) else { continue };
        for target in descriptors.filter_map(|fd| fs::read_link(process.join("fd").join(fd)).ok()) {
            if paths.contains(&target) {
                let command = fs::read_to_string(process.join("comm")).unwrap_or_default();
                let command = command.trim_end().to_owned();
                holders.insert((pid, target.clone()), Holder { pid, command, path: target });
            }
        }
    }
    Ok(holders.into_values().collect())
}
