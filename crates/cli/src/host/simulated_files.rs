//! The files of a simulated host: what the reference document shows of host 105, and what the machine makes of it.
//!
//! Read only. Whatever is asked for and is not here is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use vdpa_hw::mock::{Machine, NetdevRole, SimRole};
use vdpa_hw::platform::Files;

/// Paths and what they hold.
const REFERENCE: &str = include_str!("reference/files.toml");

/// The files of the host whose machine this is.
#[derive(Debug)]
pub(super) struct SimulatedFiles {
    machine: Machine,
    fixed: BTreeMap<PathBuf, String>,
}

impl SimulatedFiles {
    pub(super) fn of(machine: &Machine) -> Self {
        let fixed = toml::from_str(REFERENCE).unwrap_or_else(|error| unreachable!("files.toml: {error}"));
        Self { machine: machine.clone(), fixed }
    }

    /// All files, with those that change with the machine.
    fn all(&self) -> BTreeMap<PathBuf, String> {
        let mut files = self.fixed.clone();
        self.machine.observe(|state| {
            for (address, function) in &state.functions {
                if matches!(function.role, SimRole::Pf(_)) {
                    // A ConnectX-6 Dx on a host of PCI Express 4.0.
                    for (attribute, value) in [("speed", "16.0 GT/s PCIe"), ("width", "16")] {
                        for which in ["current", "max"] {
                            let path = format!("/sys/bus/pci/devices/{address}/{which}_link_{attribute}");
                            files.insert(path.into(), format!("{value}\n"));
                        }
                    }
                }
                if let Some(group) = function.iommu_group {
                    let group = format!("/sys/kernel/iommu_groups/{group}");
                    files.insert(format!("{group}/type").into(), "identity\n".to_owned());
                    files.insert(format!("{group}/devices/{address}").into(), String::new());
                }
            }
            for netdev in state.netdevs.values().filter(|netdev| matches!(netdev.role, NetdevRole::Uplink(_)))
            {
                let carrier = if netdev.up { ["1", "up", "100000"] } else { ["0", "down", "-1"] };
                for (attribute, value) in ["carrier", "operstate", "speed"].into_iter().zip(carrier) {
                    let path = format!("/sys/class/net/{}/{attribute}", netdev.name);
                    files.insert(path.into(), format!("{value}\n"));
                }
            }
        });
        files
    }
}

impl Files for SimulatedFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.all().remove(path).map(String::into_bytes).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names: BTreeSet<String> = self
            .all()
            .keys()
            .filter_map(|file| file.strip_prefix(path).ok()?.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names.into_iter().collect()) }
    }

    fn link(&self, _: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _: &Path, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
