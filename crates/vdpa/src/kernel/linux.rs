//! The kernel's vDPA devices on this host: the one implementation that touches it.

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};
use vdpa_hw::{DriverName, MacAddress, PciAddress};
use vdpa_netlink::{Errno, Malformed, Message, Refusal, Request, Uevents};

use super::bus::Bus;
use super::diagnosis::module_for;
use super::wire::FAMILY;
use super::{
    BusDriver, Config, DeviceName, Diagnosis, KernelVdpa, MgmtDev, MgmtDevName, NewDevice, QueueStats,
    VdpaDevice, modules, refused,
};
use crate::error::{Error, Result};

/// How long making and deleting a device may take: mlx5 sets up its whole device first.
const CHANGE_LIMIT: Duration = Duration::from_mins(1);

/// How long a module may take to make a management device of a VF that has what it is made of: `mlx5_vdpa` asks the
/// firmware for its capabilities, and other VFs may be before this one.
const PROBE_LIMIT: Duration = Duration::from_mins(1);

/// How long to wait for an announcement before looking all the same.
const LOOK_ANYWAY: Duration = Duration::from_millis(500);

/// The running kernel, asked by netlink and sysfs.
#[derive(Debug, Clone)]
pub struct Linux {
    sys: PathBuf,
    bus: Bus,
}

impl Linux {
    /// The kernel whose sysfs is mounted at `sys` and whose device nodes are below `dev`: /sys and /dev.
    pub fn new(sys: &Path, dev: &Path) -> Self {
        Self { sys: sys.to_owned(), bus: Bus::new(sys, dev) }
    }

    /// All answers to a listing; none where the kernel has no vDPA.
    async fn list<T>(
        &self,
        request: Request,
        read: impl Fn(&Message) -> Result<T, Malformed>,
        what: &str,
    ) -> Result<Vec<T>> {
        let messages = match FAMILY.dump(request).await {
            Ok(messages) => messages,
            Err(vdpa_netlink::Error::NoFamily { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(refused(error)),
        };
        messages.iter().map(|message| read(message).map_err(|why| unreadable(what, &why))).collect()
    }

    /// The answer about one device; ENODEV is its absence.
    async fn ask(&self, request: Request, name: &DeviceName) -> Result<Vec<Message>> {
        FAMILY.request(request).await.map_err(|error| match error {
            vdpa_netlink::Error::NoFamily { .. } => Error::NoDevice { name: name.clone(), refusal: None },
            vdpa_netlink::Error::Refused { refusal, .. } if refusal.errno == Errno::ENODEV => {
                Error::NoDevice { name: name.clone(), refusal: Some(refusal) }
            }
            error => refused(error),
        })
    }

    /// The one answer about a device, read.
    async fn ask_one<T>(
        &self,
        request: Request,
        name: &DeviceName,
        read: impl Fn(&Message) -> Result<T, Malformed>,
    ) -> Result<T> {
        let what = format!("the answer to \"{}\"", request.intent());
        let messages = self.ask(request, name).await?;
        only(&messages, &what, read)
    }

    fn pci_driver(&self, function: PciAddress) -> Result<Option<DriverName>, Diagnosis> {
        let directory = self.sys.join("bus/pci/devices").join(function.to_string());
        if !directory.exists() {
            return Err(Diagnosis::NoFunction);
        }
        let target = fs::read_link(directory.join("driver")).ok();
        let name =
            target.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Ok(name.and_then(|name| name.parse().ok()))
    }

    /// Why `function` has no management device, after everything that can be loaded has been.
    async fn diagnose(&self, function: PciAddress) -> Diagnosis {
        let driver = match self.pci_driver(function) {
            Ok(driver) => driver,
            Err(diagnosis) => return diagnosis,
        };
        let is_there = |module: &str| self.sys.join("module").join(module).exists();
        let others = self.functions_with_mgmtdev().await;
        let is_mlx5 = driver.as_ref().is_some_and(|driver| driver.as_str() == "mlx5_core");
        match Diagnosis::of(driver, self.sys.join("bus/vdpa").exists(), is_there, others) {
            // Kernels without the auxiliary bus (before 5.11) have other ways.
            Diagnosis::NotOffered { .. } if is_mlx5 && self.sys.join("bus/auxiliary").exists() => {
                self.vnet_of(function).map_or(Diagnosis::NoVnet, Diagnosis::NotTaken)
            }
            diagnosis => diagnosis,
        }
    }

    /// What a refusal to make a device means.
    ///
    /// A driver that makes one device for each management device refuses a second with ENOSPC before
    /// the kernel has compared names (`mlx5_vdpa_dev_add`).
    async fn not_made(&self, new: &NewDevice, error: vdpa_netlink::Error) -> Error {
        let exists = |refusal| Error::DeviceExists { name: new.name.clone(), refusal };
        let error = match error {
            vdpa_netlink::Error::Refused { intent, refusal, .. } => match refusal.errno {
                Errno::EEXIST => return exists(refusal),
                Errno::ENOSPC if self.observe(&new.name).await.is_ok_and(|found| found.is_some()) => {
                    return exists(refusal);
                }
                Errno::ENODEV => return self.no_mgmtdev(&new.mgmtdev, Some(refusal)).await,
                _ => return Error::Refused { intent, refusal },
            },
            error => error,
        };
        match error {
            vdpa_netlink::Error::NoFamily { .. } => self.no_mgmtdev(&new.mgmtdev, None).await,
            error => refused(error),
        }
    }

    /// Why there is no management device of this name, with the kernel's answer where it was asked.
    async fn no_mgmtdev(&self, name: &MgmtDevName, refusal: Option<Refusal>) -> Error {
        let diagnosis = match (&refusal, name.pci()) {
            (None, _) => Diagnosis::NoVdpaCore,
            (_, Some(function)) => self.diagnose(function).await,
            (_, None) => Diagnosis::NotOffered { others: self.functions_with_mgmtdev().await },
        };
        Error::NoMgmtdev { wanted: name.to_string(), diagnosis, refusal }
    }

    async fn functions_with_mgmtdev(&self) -> Vec<PciAddress> {
        let mgmtdevs = self.mgmtdevs().await.unwrap_or_default();
        mgmtdevs.iter().filter_map(|mgmtdev| mgmtdev.name.pci()).collect()
    }

    async fn find_mgmtdev(&self, name: &MgmtDevName) -> Result<Option<MgmtDev>> {
        Ok(self.mgmtdevs().await?.into_iter().find(|mgmtdev| mgmtdev.name == *name))
    }

    /// The management device, as soon as its module has taken the device that the function's driver makes for it
    /// (`driver_bound` in `drivers/base/dd.c` announces that); no later than [`PROBE_LIMIT`], and at once where there is
    /// no such device, or nobody to take it.
    async fn await_mgmtdev(
        &self,
        name: &MgmtDevName,
        function: PciAddress,
        module: Option<&str>,
    ) -> Result<Option<MgmtDev>> {
        let deadline = Instant::now() + PROBE_LIMIT;
        let _waiting = tracing::debug_span!("vdpa.await_mgmtdev", waits_for = "kernel", %function);
        let found = self.find_mgmtdev(name).await?;
        if found.is_some() {
            return Ok(found);
        }
        // Listening starts before the next look: what comes in between is not missed.
        let mut announced = Uevents::listen("auxiliary").ok();
        loop {
            let found = self.find_mgmtdev(name).await?;
            let may_come = module.is_some_and(|module| self.sys.join("module").join(module).exists())
                && self.vnet_of(function).is_some();
            if found.is_some() || !may_come || Instant::now() >= deadline {
                return Ok(found);
            }
            // Announcements do not reach a network namespace that belongs to a container.
            let anyway = deadline.min(Instant::now() + LOOK_ANYWAY);
            let heard = async {
                match &mut announced {
                    Some(announced) => announced.next().await,
                    None => pending().await,
                }
            };
            if let Ok(Err(error)) = timeout_at(anyway, heard).await {
                tracing::debug!(%error, "kernel announcements ended: looking at intervals");
                announced = None;
            }
        }
    }

    /// The auxiliary device that mlx5 makes of a VF for its vDPA: `mlx5_core.vnet.5`.
    fn vnet_of(&self, function: PciAddress) -> Option<String> {
        let directory = self.sys.join("bus/pci/devices").join(function.to_string());
        let mut names =
            fs::read_dir(directory).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.find(|name| name.contains(".vnet."))
    }

    /// Whether a module is loaded and done with its initialization (`initstate`; built-in ones have none).
    fn is_live(&self, module: &str) -> bool {
        let directory = self.sys.join("module").join(module);
        match std::fs::read_to_string(directory.join("initstate")) {
            Ok(state) => state.trim() == "live",
            Err(_) => directory.exists(),
        }
    }
}

#[async_trait]
impl KernelVdpa for Linux {
    async fn is_present(&self) -> Result<bool> {
        match FAMILY.info().await {
            Ok(_) => Ok(true),
            Err(vdpa_netlink::Error::NoFamily { .. }) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    async fn mgmtdevs(&self) -> Result<Vec<MgmtDev>> {
        self.list(MgmtDev::list(), MgmtDev::read, "the list of vDPA management devices").await
    }

    async fn mgmtdev(&self, name: &MgmtDevName) -> Result<MgmtDev> {
        match FAMILY.request(MgmtDev::request(name)).await {
            Ok(messages) => only(&messages, &format!("the answer about {name}"), MgmtDev::read),
            Err(vdpa_netlink::Error::NoFamily { .. }) => Err(self.no_mgmtdev(name, None).await),
            Err(vdpa_netlink::Error::Refused { refusal, .. }) if refusal.errno == Errno::ENODEV => {
                Err(self.no_mgmtdev(name, Some(refusal)).await)
            }
            Err(error) => Err(refused(error)),
        }
    }

    async fn mgmtdev_of(&self, function: PciAddress) -> Result<MgmtDev> {
        let name = MgmtDevName::of_pci(function);
        if let Some(found) = self.find_mgmtdev(&name).await? {
            return Ok(found);
        }
        let module = self.pci_driver(function).ok().flatten().and_then(|driver| module_for(&driver));
        // udev may be loading it at this moment; modprobe(8) then waits until that is done.
        if let Some(module) = module.filter(|module| !self.is_live(module))
            && let Err(error) = modules::load(module).await
        {
            tracing::warn!(module, error = %error.chain(), "cannot load the module");
        }
        if let Some(found) = self.await_mgmtdev(&name, function, module).await? {
            return Ok(found);
        }
        let diagnosis = self.diagnose(function).await;
        Err(Error::NoMgmtdev { wanted: function.to_string(), diagnosis, refusal: None })
    }

    async fn devices(&self) -> Result<Vec<VdpaDevice>> {
        self.list(VdpaDevice::list(), VdpaDevice::read, "the list of vDPA devices").await
    }

    async fn device(&self, name: &DeviceName) -> Result<VdpaDevice> {
        self.ask_one(VdpaDevice::look_up(name), name, VdpaDevice::read).await
    }

    async fn configs(&self) -> Result<Vec<Config>> {
        self.list(Config::list(), Config::read, "the list of configurations").await
    }

    async fn config(&self, name: &DeviceName) -> Result<Config> {
        self.ask_one(Config::request(name), name, Config::read).await
    }

    async fn create(&self, new: &NewDevice) -> Result<()> {
        match FAMILY.request(new.request().within(CHANGE_LIMIT)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.not_made(new, error).await),
        }
    }

    async fn set_mac(&self, name: &DeviceName, mac: MacAddress) -> Result<()> {
        self.ask(Config::change(name, mac).within(CHANGE_LIMIT), name).await.map(drop)
    }

    async fn delete(&self, name: &DeviceName) -> Result<()> {
        self.ask(VdpaDevice::deletion(name).within(CHANGE_LIMIT), name).await.map(drop)
    }

    async fn driver(&self, name: &DeviceName) -> Result<Option<BusDriver>> {
        self.bus.driver(name)
    }

    async fn bind(&self, name: &DeviceName, driver: Option<BusDriver>) -> Result<()> {
        let bound = self.bus.driver(name)?;
        if bound == driver {
            return Ok(());
        }
        if let Some(wanted) = driver.filter(|wanted| !self.bus.has_driver(*wanted)) {
            modules::load(wanted.as_str()).await?;
            if !self.bus.has_driver(wanted) {
                return Err(Error::NoDriver { driver: wanted.to_string() });
            }
            // A driver that has just come may have taken the device by itself.
            if bound.is_none() && self.bus.driver(name)? == driver {
                return Ok(());
            }
        }
        if let Some(bound) = bound {
            self.bus.write(name, bound, "unbind")?;
        }
        match driver {
            Some(driver) => self.bus.write(name, driver, "bind"),
            None => Ok(()),
        }
    }

    async fn char_device(&self, name: &DeviceName, limit: Duration) -> Result<PathBuf> {
        self.bus.char_device(name, limit).await
    }

    async fn queue_stats(&self, name: &DeviceName, queue: u32) -> Result<QueueStats> {
        self.ask_one(QueueStats::request(name, queue), name, QueueStats::read).await
    }
}

/// The one message of an answer.
fn only<T>(messages: &[Message], what: &str, read: impl Fn(&Message) -> Result<T, Malformed>) -> Result<T> {
    let empty = || Error::Malformed { what: what.to_owned(), why: "the kernel's answer is empty".into() };
    read(messages.first().ok_or_else(empty)?).map_err(|why| unreadable(what, &why))
}

fn unreadable(what: &str, why: &Malformed) -> Error {
    Error::Malformed { what: what.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn a_missing_management_device_is_diagnosed() {
        let root = tempfile::tempdir().unwrap();
        let linux = Linux::new(root.path(), root.path());
        let function: PciAddress = "0000:43:00.2".parse().unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NoFunction);
        let device = root.path().join("bus/pci/devices/0000:43:00.2");
        fs::create_dir_all(&device).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NoDriver);
        symlink("../../drivers/vfio-pci", device.join("driver")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::WrongDriver("vfio-pci".parse().unwrap()));
        fs::remove_file(device.join("driver")).unwrap();
        symlink("../../drivers/mlx5_core", device.join("driver")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NoVdpaCore);
        fs::create_dir_all(root.path().join("bus/vdpa")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NoModule("mlx5_vdpa"));
        fs::create_dir_all(root.path().join("module/mlx5_vdpa")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NotOffered { others: Vec::new() });
        fs::create_dir_all(root.path().join("bus/auxiliary")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NoVnet);
        fs::create_dir_all(device.join("mlx5_core.vnet.3")).unwrap();
        assert_eq!(linux.diagnose(function).await, Diagnosis::NotTaken("mlx5_core.vnet.3".into()));
        fs::remove_dir(root.path().join("module/mlx5_vdpa")).unwrap();
        let error = Error::NoMgmtdev {
            wanted: function.to_string(),
            diagnosis: linux.diagnose(function).await,
            refusal: None,
        };
        assert_eq!(
            error.to_string(),
            "no vDPA management device for 0000:43:00.2: the kernel module `mlx5_vdpa` is not loaded and cannot be"
        );
    }
}
