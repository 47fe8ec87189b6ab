//! The kernel datapath: vDPA devices that the kernel makes on a VF, and that QEMU opens as
//! /dev/vhost-vdpa-N.
//!
//! ```text
//!  VF with its driver ── mlx5_vdpa ──► management device  pci/0000:43:00.2
//!                                            │ add(name, mac, …)                 delete(name)
//!                                            ▼
//!                                      vDPA device `name` on the vdpa bus ─────────► (gone)
//!                                            │ bind(vhost_vdpa)      ▲ bind(None)
//!                                            ▼                       │
//!                                      /dev/vhost-vdpa-N ────────────┘
//! ```
//!
//! Devices are made and read by generic netlink (family `vdpa`, `include/uapi/linux/vdpa.h`), bound
//! through /sys/bus/vdpa, and their character device is found there too.
//!
//! Absent on purpose: turning a VF's management device on (`enable_vnet`, devlink) and off-loading its
//! Ethernet device (`enable_eth`) are devlink parameters and belong to the eswitch layer.

mod bus;
#[cfg(test)]
mod captured;
mod config;
mod counters;
mod device;
mod diagnosis;
mod linux;
mod mgmtdev;
mod modules;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::PciAddress;

pub use config::Config;
pub use counters::VendorCounter;
pub use device::{Added, BusDriver, DeviceName, NewDevice, VdpaDevice};
pub use diagnosis::Diagnosis;
pub use linux::Linux;
pub use mgmtdev::{MgmtDev, MgmtDevName};

use crate::error::{Error, Result};

/// The kernel's vDPA devices: what there is, and the way to make, bind and delete one.
#[async_trait]
pub trait KernelVdpa: std::fmt::Debug + Send + Sync {
    /// All management devices. None where the kernel's vDPA core is not loaded.
    async fn mgmtdevs(&self) -> Result<Vec<MgmtDev>>;

    /// The management device of a PCI function, loading the kernel modules it takes where they are
    /// missing (root). [`Error::NoMgmtdev`] says why there is none.
    async fn mgmtdev_of(&self, function: PciAddress) -> Result<MgmtDev>;

    /// All vDPA devices. None where the kernel's vDPA core is not loaded.
    async fn devices(&self) -> Result<Vec<VdpaDevice>>;

    /// What a device shows its guest. [`Error::NoDevice`] if there is none of that name.
    async fn config(&self, name: &DeviceName) -> Result<Config>;

    /// Makes a device (`CAP_NET_ADMIN`). A queue pair limit that the management device does not take is left out,
    /// and the report says so. [`Error::DeviceExists`] if the name is taken.
    async fn add(&self, new: &NewDevice) -> Result<Added>;

    /// Deletes a device (`CAP_NET_ADMIN`). [`Error::NoDevice`] if there is none of that name.
    async fn delete(&self, name: &DeviceName) -> Result<()>;

    /// The driver of the vdpa bus that has the device.
    async fn driver(&self, name: &DeviceName) -> Result<Option<BusDriver>>;

    /// Gives the device to a driver, taking it from another, or to none (root). Loads the driver's
    /// module where it is missing.
    async fn bind(&self, name: &DeviceName, driver: Option<BusDriver>) -> Result<()>;

    /// The character device of a device that `vhost_vdpa` has, once it is there, no later than `limit`.
    async fn char_device(&self, name: &DeviceName, limit: Duration) -> Result<PathBuf>;

    /// What the driver counts for one virtqueue. Drivers without counters refuse (EOPNOTSUPP).
    async fn vendor_counters(&self, name: &DeviceName, queue: u32) -> Result<Vec<VendorCounter>>;

    /// The device of this name, if it exists.
    async fn observe(&self, name: &DeviceName) -> Result<Option<VdpaDevice>> {
        Ok(self.devices().await?.into_iter().find(|device| device.name == *name))
    }

    /// The devices that were made on this PCI function.
    async fn devices_of(&self, function: PciAddress) -> Result<Vec<VdpaDevice>> {
        let mut devices = self.devices().await?;
        devices.retain(|device| device.mgmtdev.pci() == Some(function));
        Ok(devices)
    }
}

/// Turns a netlink error into this crate's, keeping the kernel's words.
pub(crate) fn refused(error: vdpa_netlink::Error) -> Error {
    match error {
        vdpa_netlink::Error::Refused { intent, refusal, .. } => Error::Refused { intent, refusal },
        other => Error::Netlink(other),
    }
}
