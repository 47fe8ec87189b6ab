//! A PF in a file tree as the kernel makes it, with relative links, and someone who plays the kernel
//! when the tree is written to: `drivers/pci/iov.c`, `pci-sysfs.c` and `drivers/base/bus.c` in brief.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vdpa_netlink::Errno;

use super::SysfsPci;
use super::attribute::{Attributes, Failed};
use crate::nouns::PciAddress;

/// What makes the kernel slow at something.
pub(super) type Hook = Arc<dyn Fn(&str) + Send + Sync>;

/// A host with one `igb` PF at 0000:01:00.0 that has up to 7 VFs.
pub(super) struct Fixture {
    root: TempDir,
    writes: Arc<Mutex<Vec<String>>>,
    hook: Hook,
}

/// Plays the kernel.
struct Player {
    root: PathBuf,
    writes: Arc<Mutex<Vec<String>>>,
    hook: Hook,
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("root", &self.root).finish_non_exhaustive()
    }
}

const TOTAL: u16 = 7;

pub(super) fn pf() -> PciAddress {
    "0000:01:00.0".parse().unwrap()
}

/// Where igb's VFs are: 128 routing ids on, every second one.
fn vf(n: u16) -> PciAddress {
    pf().offset_by(128 + 2 * n).unwrap()
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::slowed(Arc::new(|_| ()))
    }

    /// One whose kernel calls `hook` with the attribute's name whenever it is written to.
    pub(super) fn slowed(hook: Hook) -> Self {
        let fixture = Self { root: tempfile::tempdir().unwrap(), writes: Arc::default(), hook };
        for driver in ["igb", "igbvf", "vfio-pci"] {
            fs::create_dir_all(fixture.path(&format!("sys/bus/pci/drivers/{driver}"))).unwrap();
        }
        fs::create_dir_all(fixture.path("sys/bus/pci/devices")).unwrap();
        let player = fixture.player();
        let device = player.add(pf(), "0x10c9");
        for (attribute, value) in
            [("sriov_totalvfs", TOTAL), ("sriov_numvfs", 0), ("sriov_drivers_autoprobe", 1)]
        {
            fs::write(device.join(attribute), format!("{value}\n")).unwrap();
        }
        player.attach(pf(), "igb");
        // A bridge, which is neither PF nor VF, and what is no address at all.
        player.add("0000:00:01.0".parse().unwrap(), "0x000c");
        symlink("../../../devices/pci10000:00", fixture.path("sys/bus/pci/devices/10000:00:00.0")).unwrap();
        fixture
    }

    pub(super) fn pci(&self) -> SysfsPci {
        SysfsPci::with_attributes(self.root.path(), Box::new(self.player()))
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// What was written since this was last asked, as `FILE TEXT`.
    pub(super) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.writes.lock().unwrap())
    }

    fn player(&self) -> Player {
        Player {
            root: self.root.path().to_owned(),
            writes: Arc::clone(&self.writes),
            hook: Arc::clone(&self.hook),
        }
    }
}

impl Player {
    fn device(&self, address: PciAddress) -> PathBuf {
        self.root.join("sys/devices/pci0000:00/0000:00:01.0").join(address.to_string())
    }

    fn add(&self, address: PciAddress, id: &str) -> PathBuf {
        let device = self.device(address);
        fs::create_dir_all(&device).unwrap();
        let node = "-1";
        for (attribute, value) in
            [("vendor", "0x8086"), ("device", id), ("numa_node", node), ("driver_override", "(null)")]
        {
            fs::write(device.join(attribute), format!("{value}\n")).unwrap();
        }
        let target = format!("../../../devices/pci0000:00/0000:00:01.0/{address}");
        symlink(target, self.root.join(format!("sys/bus/pci/devices/{address}"))).unwrap();
        symlink("../../../../kernel/iommu_groups/14", device.join("iommu_group")).unwrap();
        device
    }

    fn attach(&self, address: PciAddress, driver: &str) {
        let device = self.device(address);
        symlink(&device, self.root.join(format!("sys/bus/pci/drivers/{driver}/{address}"))).unwrap();
        symlink(format!("../../../../bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
    }

    fn read(&self, address: PciAddress, attribute: &str) -> String {
        fs::read_to_string(self.device(address).join(attribute)).unwrap().trim().to_owned()
    }

    fn set_vf_count(&self, count: u16) -> Result<(), Errno> {
        let now: u16 = self.read(pf(), "sriov_numvfs").parse().unwrap();
        match (count, now) {
            (TOTAL.., _) if count > TOTAL => return Err(Errno::ERANGE),
            (1.., 1..) if count != now => return Err(Errno::EBUSY),
            _ => fs::write(self.device(pf()).join("sriov_numvfs"), format!("{count}\n")).unwrap(),
        }
        for n in count..now {
            fs::remove_file(self.device(pf()).join(format!("virtfn{n}"))).unwrap();
            fs::remove_file(self.root.join(format!("sys/bus/pci/devices/{}", vf(n)))).unwrap();
            let _ = self.unbind(vf(n));
            fs::remove_dir_all(self.device(vf(n))).unwrap();
        }
        for n in now..count {
            let device = self.add(vf(n), "0x10ca");
            symlink(format!("../{}", pf()), device.join("physfn")).unwrap();
            symlink(format!("../{}", vf(n)), self.device(pf()).join(format!("virtfn{n}"))).unwrap();
            if self.read(pf(), "sriov_drivers_autoprobe") == "1" {
                self.attach(vf(n), "igbvf");
            }
        }
        Ok(())
    }

    /// `bind_store`: the driver must match (by its ids or `driver_override`) and may probe
    /// (`pci_device_can_probe`).
    fn bind(&self, address: PciAddress, driver: &str) -> Result<(), Errno> {
        let device = self.device(address);
        let named = self.read(address, "driver_override");
        let matches = if named == "(null)" { driver == "igbvf" } else { named == driver };
        let may = named != "(null)" || self.read(pf(), "sriov_drivers_autoprobe") == "1";
        if !device.exists() || !matches || !may {
            return Err(Errno::ENODEV);
        }
        if device.join("driver").is_symlink() {
            return Err(Errno::EBUSY);
        }
        if device.join("probe_fails").exists() {
            return Err(Errno::EIO);
        }
        self.attach(address, driver);
        Ok(())
    }

    fn unbind(&self, address: PciAddress) -> Result<(), Errno> {
        let link = self.device(address).join("driver");
        let driver = fs::read_link(&link).map_err(|_| Errno::ENODEV)?;
        let driver = self.root.join("sys/bus/pci/drivers").join(driver.file_name().unwrap());
        fs::remove_file(driver.join(address.to_string())).unwrap();
        fs::remove_file(link).unwrap();
        Ok(())
    }
}

impl Attributes for Player {
    fn write(&self, attribute: &Path, text: &str) -> Result<(), Failed> {
        let name = attribute.file_name().unwrap().to_str().unwrap();
        let owner = attribute.parent().unwrap();
        if !owner.exists() {
            return Err(Failed::Open(io::ErrorKind::NotFound.into()));
        }
        let owner = owner.file_name().unwrap().to_str().unwrap();
        self.writes.lock().unwrap().push(format!("{owner}/{name} {}", text.trim_end()));
        (self.hook)(name);
        let done = match name {
            "sriov_numvfs" => self.set_vf_count(text.parse().unwrap()),
            "bind" => self.bind(text.parse().unwrap(), owner),
            "unbind" => self.unbind(text.parse().unwrap()),
            "driver_override" => {
                let text = if text == "\n" { "(null)\n" } else { text };
                fs::write(attribute, text).unwrap();
                Ok(())
            }
            _ => {
                fs::write(attribute, text).unwrap();
                Ok(())
            }
        };
        done.map_err(|errno| Failed::Write(io::Error::from_raw_os_error(errno.0)))
    }
}
