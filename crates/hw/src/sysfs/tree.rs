//! Reading PCI functions from sysfs.
//!
//! Links are read and never made canonical. Source: `Documentation/ABI/testing/sysfs-bus-pci`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::links::{Links, link};
use crate::error::{Error, Result};
use crate::nouns::{DriverName, PciAddress, PciId, Vf};
use crate::pci::{Function, Role, SrIov};

/// The file trees of a host.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// `path`, as this host's processes name it, below the root.
    pub(super) fn below(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The directory of a function, which need not exist.
    pub(super) fn device(&self, address: PciAddress) -> PathBuf {
        self.below("sys/bus/pci/devices").join(address.to_string())
    }

    /// The directory of a driver, which need not exist.
    pub(super) fn driver(&self, name: &DriverName) -> PathBuf {
        self.below("sys/bus/pci/drivers").join(name.as_str())
    }

    /// Every function. Those that come or go meanwhile may be left out.
    pub(super) fn functions(&self) -> Result<Vec<Function>> {
        let addresses = addresses(&self.below("sys/bus/pci/devices"))?;
        // One walk over all `virtfnN` links instead of one for each VF.
        let vfs: BTreeMap<_, _> = addresses
            .iter()
            .flat_map(|&pf| {
                self.vfs(pf).into_iter().zip(0..).map(move |(at, index)| (at, Vf::new(pf, index)))
            })
            .collect();
        let functions = addresses.iter().map(|&address| self.read(address, |_| vfs.get(&address).copied()));
        functions.filter(|read| !matches!(read, Err(Error::NoFunction(_)))).collect()
    }

    /// The function at `address`.
    pub(super) fn function(&self, address: PciAddress) -> Result<Function> {
        self.read(address, |pf| {
            let index = self.vfs(pf).iter().position(|&vf| vf == address)?;
            Some(Vf::new(pf, u16::try_from(index).ok()?))
        })
    }

    /// The SR-IOV side of a PF.
    pub(super) fn sriov(&self, pf: PciAddress) -> Result<SrIov> {
        self.must_exist(pf)?;
        self.sriov_if_any(pf)?.ok_or(Error::NotPf(pf))
    }

    /// The VFs of `pf` that exist, by index: the targets of its `virtfnN` links.
    pub(super) fn vfs(&self, pf: PciAddress) -> Vec<PciAddress> {
        let Ok(links) = Links::of(&self.device(pf)) else { return Vec::new() };
        let vf = |n: u16| links.read::<PciAddress>(&format!("virtfn{n}")).ok().flatten();
        (0..=u16::MAX).map_while(vf).collect()
    }

    /// The drivers that are bound to functions, in their order. A driver lists what it has, from before the probe on
    /// (`driver_sysfs_add()` in drivers/base/dd.c): the functions' own links are read until each is in some list.
    pub(super) fn drivers(&self, functions: &[PciAddress]) -> Result<Vec<Option<DriverName>>> {
        let mut known = BTreeMap::<PciAddress, DriverName>::new();
        let driver = |&function: &PciAddress| {
            if !known.contains_key(&function)
                && let Some(driver) = self.bound(function)?
            {
                let listed = addresses(&self.driver(&driver))?;
                known.extend(listed.into_iter().chain([function]).map(|address| (address, driver.clone())));
            }
            Ok(known.get(&function).cloned())
        };
        functions.iter().map(driver).collect()
    }

    /// The driver that is bound to a function.
    pub(super) fn bound(&self, address: PciAddress) -> Result<Option<DriverName>> {
        let device = self.device(address);
        link(&device, "driver").map_err(|error| trouble(address, &device.join("driver"), error))
    }

    /// `driver_override`; `(null)` stands for none.
    pub(super) fn driver_override(&self, address: PciAddress) -> Result<Option<DriverName>> {
        let text = self.text(address, "driver_override")?;
        match text.as_str() {
            "" | "(null)" => Ok(None),
            name => self.parse(address, "driver_override", name).map(Some),
        }
    }

    /// An error where no function is at `address`.
    pub(super) fn must_exist(&self, address: PciAddress) -> Result<()> {
        match self.device(address).try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::NoFunction(address)),
            Err(error) => Err(Error::io(format!("look for {address}"), error)),
        }
    }

    /// Reads one function; `vf` says which VF it is of the PF that its `physfn` link names.
    fn read(&self, address: PciAddress, vf: impl FnOnce(PciAddress) -> Option<Vf>) -> Result<Function> {
        self.must_exist(address)?;
        let device = self.device(address);
        let role = if let Some(sriov) = self.sriov_if_any(address)? {
            Role::Pf(sriov)
        } else {
            match link(&device, "physfn").map_err(|error| trouble(address, &device.join("physfn"), error))? {
                // Without its PF's `virtfnN` link it is half made, or half gone.
                Some(pf) => Role::Vf(vf(pf).ok_or(Error::NoFunction(address))?),
                None => Role::Plain,
            }
        };
        let node: i32 = self.number(address, "numa_node")?;
        Ok(Function {
            address,
            id: PciId { vendor: self.hex(address, "vendor")?, device: self.hex(address, "device")? },
            driver: self.bound(address)?,
            driver_override: self.driver_override(address)?,
            numa_node: u16::try_from(node).ok(),
            iommu_group: link(&device, "iommu_group")
                .map_err(|error| trouble(address, &device.join("iommu_group"), error))?,
            role,
        })
    }

    fn sriov_if_any(&self, address: PciAddress) -> Result<Option<SrIov>> {
        if !self.device(address).join("sriov_totalvfs").exists() {
            return Ok(None);
        }
        Ok(Some(SrIov {
            total_vfs: self.number(address, "sriov_totalvfs")?,
            num_vfs: self.number(address, "sriov_numvfs")?,
            autoprobe: self.number::<u8>(address, "sriov_drivers_autoprobe")? != 0,
            vfs: self.vfs(address),
        }))
    }

    fn text(&self, address: PciAddress, attribute: &str) -> Result<String> {
        let path = self.device(address).join(attribute);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim_end().to_owned()),
            Err(error) => Err(trouble(address, &path, error)),
        }
    }

    fn parse<T: FromStr>(&self, address: PciAddress, attribute: &str, text: &str) -> Result<T> {
        let what = || self.device(address).join(attribute).display().to_string();
        text.parse().map_err(|_| Error::Malformed { what: what(), text: text.to_owned() })
    }

    fn number<T: FromStr>(&self, address: PciAddress, attribute: &str) -> Result<T> {
        let text = self.text(address, attribute)?;
        self.parse(address, attribute, &text)
    }

    fn hex(&self, address: PciAddress, attribute: &str) -> Result<u16> {
        let text = self.text(address, attribute)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u16::from_str_radix(digits, 16).map_err(|_| Error::Malformed {
            what: self.device(address).join(attribute).display().to_string(),
            text: text.clone(),
        })
    }
}

/// The functions that a directory lists; none where there is no such directory.
fn addresses(directory: &Path) -> Result<Vec<PciAddress>> {
    let list = || -> io::Result<Vec<PciAddress>> {
        let mut addresses = Vec::new();
        for entry in fs::read_dir(directory)? {
            // A domain above ffff is software's (VMD, Hyper-V) and has no PF that this could manage.
            let address = entry?.file_name().to_str().and_then(|name| name.parse::<PciAddress>().ok());
            addresses.extend(address);
        }
        addresses.sort_unstable();
        Ok(addresses)
    };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()), // a machine without PCI
        listed => listed.map_err(|error| Error::io(format!("list {}", directory.display()), error)),
    }
}

/// What a failed read of a function's file means: a function that has gone answers ENOENT, or ENODEV where the
/// file was still open.
fn trouble(address: PciAddress, path: &Path, error: io::Error) -> Error {
    let gone = error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(vdpa_netlink::Errno::ENODEV.0);
    if gone { Error::NoFunction(address) } else { Error::io(format!("read {}", path.display()), error) }
}
