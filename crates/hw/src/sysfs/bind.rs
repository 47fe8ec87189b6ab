//! Binding a driver to a function, whatever autoprobe says.
//!
//! ```text
//! driver_override ◄─ NAME        only NAME may bind, and it may with autoprobe off
//! drivers/NAME/bind ◄─ ADDRESS   returns when the probe is over, with its error if it failed
//! driver_override ◄─ as it was   whether or not that worked
//! ```
//!
//! `pci_device_can_probe` in `drivers/pci/pci-driver.c` lets a VF probe if its PF's
//! `sriov_drivers_autoprobe` is on or if `driver_override` is set. `drivers_probe` would do as well, but
//! swallows the error of a failed probe; `bind_store` in `drivers/base/bus.c` returns it.

use vdpa_netlink::{Errno, Refusal};

use super::{Host, holders};
use crate::error::{Error, Result};
use crate::nouns::{DriverName, PciAddress};

impl Host {
    pub(super) fn set_driver(&self, function: PciAddress, wanted: Option<&DriverName>) -> Result<()> {
        self.tree.must_exist(function)?;
        let bound = self.tree.bound(function)?;
        if bound.as_ref() == wanted {
            return Ok(());
        }
        if let Some(driver) = wanted
            && !self.tree.driver(driver).exists()
        {
            // Before the unbind: a function that is in use is not taken from its driver for nothing.
            return Err(Error::NoDriver(driver.clone()));
        }
        if let Some(bound) = bound {
            self.unbind(function, &bound)?;
        }
        wanted.map_or(Ok(()), |driver| self.bind(function, driver))
    }

    fn unbind(&self, function: PciAddress, bound: &DriverName) -> Result<()> {
        let intent = format!("unbind {function} from {bound}");
        // The kernel would wait for the holder without limit (`vfio_unregister_group_dev`,
        // `vhost_vdpa_remove`), and so would this thread.
        if let Some(holder) = holders::of(&self.tree, &[function])?.first() {
            let intent = format!("{intent}: {holder} has it open");
            return Err(Error::refused(intent, Refusal::from(Errno::EBUSY)));
        }
        let attribute = self.tree.driver(bound).join("unbind");
        match self.attributes.write(&attribute, &function.to_string()) {
            // Someone else was faster; there is nothing left to unbind.
            Err(failed)
                if failed.refused() == Some(Errno::ENODEV) && self.tree.bound(function)?.is_none() =>
            {
                Ok(())
            }
            written => written.map_err(|failed| failed.while_trying_to(intent)),
        }
    }

    fn bind(&self, function: PciAddress, driver: &DriverName) -> Result<()> {
        let before = self.tree.driver_override(function)?;
        if before.as_ref() == Some(driver) {
            return self.bind_now(function, driver);
        }
        self.set_override(function, Some(driver))?;
        let bound = self.bind_now(function, driver);
        let restored = self.set_override(function, before.as_ref());
        bound.and(restored)
    }

    fn bind_now(&self, function: PciAddress, driver: &DriverName) -> Result<()> {
        let attribute = self.tree.driver(driver).join("bind");
        match self.attributes.write(&attribute, &function.to_string()) {
            Err(failed) if failed.is_absent() => Err(Error::NoDriver(driver.clone())),
            // A probe that someone else started, or udev's module load, was faster.
            Err(failed)
                if failed.refused() == Some(Errno::EBUSY)
                    && self.tree.bound(function)?.as_ref() == Some(driver) =>
            {
                Ok(())
            }
            written => {
                written.map_err(|failed| failed.while_trying_to(format!("bind {function} to {driver}")))
            }
        }
    }

    /// A newline clears it (`driver_set_override` in `drivers/base/driver.c`).
    fn set_override(&self, function: PciAddress, driver: Option<&DriverName>) -> Result<()> {
        let attribute = self.tree.device(function).join("driver_override");
        let text = driver.map_or("", DriverName::as_str);
        self.attributes.write(&attribute, &format!("{text}\n")).map_err(|failed| {
            failed.while_trying_to(format!("set driver_override of {function} to `{text}`"))
        })
    }
}
