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
//! Absent on purpose: having a VF's driver make what a management device is made of (`enable_vnet`), and no network device
//! beside it (`enable_eth`), is a matter of devlink parameters and a reload, and so of the eswitch layer
//! (`vdpa_eswitch::Auxiliary`).

mod bus;
#[cfg(test)]
mod captured;
mod config;
mod device;
mod diagnosis;
mod features;
mod linux;
mod mgmtdev;
mod modules;
mod stats;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::{MacAddress, PciAddress};
use vdpa_netlink::Errno;

pub use config::Config;
pub use device::{Added, BusDriver, DeviceName, NewDevice, VdpaDevice};
pub use diagnosis::Diagnosis;
pub use features::Features;
pub use linux::Linux;
pub use mgmtdev::{MgmtDev, MgmtDevName};
pub use stats::{QueueStats, VendorCounter};

use crate::error::{Error, Result};

/// The kernel's vDPA devices: what there is, and the way to make, bind and delete one.
#[async_trait]
pub trait KernelVdpa: std::fmt::Debug + Send + Sync {
    /// Whether the kernel's vDPA core is loaded. Where it is not, there are no devices of any kind.
    async fn is_present(&self) -> Result<bool>;

    /// All management devices. None where the kernel's vDPA core is not loaded.
    async fn mgmtdevs(&self) -> Result<Vec<MgmtDev>>;

    /// The management device of this name. [`Error::NoMgmtdev`] if there is none.
    async fn mgmtdev(&self, name: &MgmtDevName) -> Result<MgmtDev>;

    /// The management device of a PCI function, loading the kernel modules it takes where they are
    /// missing (root); one that is about to come is waited for. [`Error::NoMgmtdev`] says why there is none.
    async fn mgmtdev_of(&self, function: PciAddress) -> Result<MgmtDev>;

    /// All vDPA devices. None where the kernel's vDPA core is not loaded.
    async fn devices(&self) -> Result<Vec<VdpaDevice>>;

    /// The device of this name. [`Error::NoDevice`] if there is none.
    async fn device(&self, name: &DeviceName) -> Result<VdpaDevice>;

    /// What each device shows its guest. None where the kernel's vDPA core is not loaded.
    async fn configs(&self) -> Result<Vec<Config>>;

    /// What a device shows its guest. [`Error::NoDevice`] if there is none of that name.
    async fn config(&self, name: &DeviceName) -> Result<Config>;

    /// Makes a device just as it is described (`CAP_NET_ADMIN`). [`Error::DeviceExists`] if the name is taken,
    /// [`Error::NoMgmtdev`] if there is nobody to make it.
    async fn create(&self, new: &NewDevice) -> Result<()>;

    /// Gives a network device another MAC (`CAP_NET_ADMIN`, kernel 6.12). Drivers without it refuse (EOPNOTSUPP).
    async fn set_mac(&self, name: &DeviceName, mac: MacAddress) -> Result<()>;

    /// Deletes a device (`CAP_NET_ADMIN`). [`Error::NoDevice`] if there is none of that name.
    async fn delete(&self, name: &DeviceName) -> Result<()>;

    /// The driver of the vdpa bus that has the device.
    async fn driver(&self, name: &DeviceName) -> Result<Option<BusDriver>>;

    /// Gives the device to a driver, taking it from another, or to none (root). Loads the driver's
    /// module where it is missing.
    async fn bind(&self, name: &DeviceName, driver: Option<BusDriver>) -> Result<()>;

    /// The character device of a device that `vhost_vdpa` has, once it is there, no later than `limit`.
    async fn char_device(&self, name: &DeviceName, limit: Duration) -> Result<PathBuf>;

    /// What the driver counts for one virtqueue. Drivers without counters refuse (EOPNOTSUPP), and all do before the
    /// guest's driver is there (EAGAIN).
    async fn queue_stats(&self, name: &DeviceName, queue: u32) -> Result<QueueStats>;

    /// [Makes a device](Self::create), without a queue pair limit where its management device takes none; the report
    /// says so.
    async fn add(&self, new: &NewDevice) -> Result<Added> {
        let refusal = match self.create(new).await {
            // The kernel names the attributes that a management device does not take by their mask ("Some provided
            // attributes are not supported: 0x1000"), older ones not at all.
            Err(Error::Refused { refusal, .. })
                if new.max_vqp.is_some() && matches!(refusal.errno, Errno::EOPNOTSUPP | Errno::ENOTSUPP) =>
            {
                refusal
            }
            outcome => return outcome.map(|()| Added { without_max_vqp: None }),
        };
        tracing::warn!(name = %new.name, kernel = %refusal, "max_vqp is not supported, the driver chooses");
        self.create(&NewDevice { max_vqp: None, ..new.clone() }).await?;
        Ok(Added { without_max_vqp: Some(refusal) })
    }

    /// The device of this name, if it exists.
    async fn observe(&self, name: &DeviceName) -> Result<Option<VdpaDevice>> {
        match self.device(name).await {
            Ok(device) => Ok(Some(device)),
            Err(Error::NoDevice { .. }) => Ok(None),
            Err(error) => Err(error),
        }
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
