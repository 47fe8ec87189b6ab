//! The vdpa bus in sysfs, and the character devices that `vhost_vdpa` makes of its devices.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use inotify::{Inotify, WatchMask};
use tokio::time::Instant;
use vdpa_netlink::{Errno, Refusal};

use super::device::{BusDriver, DeviceName};
use crate::error::{Error, Result};

/// The vdpa bus below a sysfs, and the /dev that goes with it.
#[derive(Debug, Clone)]
pub(super) struct Bus {
    sys: PathBuf,
    dev: PathBuf,
}

impl Bus {
    pub(super) fn new(sys: &Path, dev: &Path) -> Self {
        Self { sys: sys.to_owned(), dev: dev.to_owned() }
    }

    /// The driver that has the device. A driver that is neither of ours reads as an error: it is not to
    /// be taken for "none".
    pub(super) fn driver(&self, name: &DeviceName) -> Result<Option<BusDriver>> {
        let link = self.existing(name)?.join("driver");
        let target = match fs::read_link(&link) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("read the driver of {name}"))(error)),
        };
        let driver = target.file_name().unwrap_or_default().to_string_lossy();
        [BusDriver::VhostVdpa, BusDriver::VirtioVdpa]
            .into_iter()
            .find(|ours| ours.as_str() == driver)
            .map(Some)
            .ok_or_else(|| Error::Malformed {
                what: format!("the driver of {name}"),
                why: format!("`{driver}` is neither vhost_vdpa nor virtio_vdpa"),
            })
    }

    /// Whether the driver's module is loaded.
    pub(super) fn has_driver(&self, driver: BusDriver) -> bool {
        self.driver_directory(driver).is_dir()
    }

    /// Writes to the driver's `bind` or `unbind`: `drivers/base/bus.c`.
    pub(super) fn write(&self, name: &DeviceName, driver: BusDriver, file: &str) -> Result<()> {
        let path = self.driver_directory(driver).join(file);
        fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, name.as_str().as_bytes()))
            .map_err(|error| {
                let intent = format!("{file} {name} {} {driver}", if file == "bind" { "to" } else { "from" });
                match error.raw_os_error() {
                    Some(number) if path.exists() => {
                        Error::Refused { intent, refusal: Refusal::from(Errno(number)) }
                    }
                    _ => Error::Io { intent, source: error },
                }
            })
    }

    /// /dev/vhost-vdpa-N of the device, as soon as both sysfs and /dev have it.
    ///
    /// The kernel makes both while it binds; with a udev that creates nodes itself, /dev follows later.
    pub(super) async fn char_device(&self, name: &DeviceName, limit: Duration) -> Result<PathBuf> {
        let deadline = Instant::now() + limit;
        let watch = |what: &Path| {
            let inotify = Inotify::init()?;
            inotify.watches().add(what, WatchMask::CREATE | WatchMask::MOVED_TO)?;
            inotify.into_event_stream([0; 1024])
        };
        let mut events = watch(&self.dev).map_err(Error::io(format!("watch {}", self.dev.display())))?;
        loop {
            let entry = self.char_device_name(name)?;
            let path = entry.as_ref().map(|entry| self.dev.join(entry));
            match path {
                Some(path) if path.exists() => return Ok(path),
                _ => {}
            }
            if tokio::time::timeout_at(deadline, events.next()).await.is_err() {
                let driver = self.driver(name)?;
                let driver = driver.map_or("no driver".to_owned(), |driver| format!("driver {driver}"));
                let seen = match entry {
                    Some(entry) => format!("{} is missing below {}", entry, self.dev.display()),
                    None => format!("{name} has {driver} and no character device in sysfs"),
                };
                return Err(Error::Timeout { awaited: format!("/dev/vhost-vdpa-N of {name}"), limit, seen });
            }
        }
    }

    /// `vhost-vdpa-N`: a child of the device in sysfs (`vhost_vdpa_probe` in `drivers/vhost/vdpa.c`).
    fn char_device_name(&self, name: &DeviceName) -> Result<Option<String>> {
        let directory = self.existing(name)?;
        let entries = fs::read_dir(&directory).map_err(Error::io(format!("list {}", directory.display())))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.into_iter().find(|name| name.starts_with("vhost-vdpa-")))
    }

    fn existing(&self, name: &DeviceName) -> Result<PathBuf> {
        let path = self.sys.join("bus/vdpa/devices").join(name.as_str());
        if path.is_dir() { Ok(path) } else { Err(Error::NoDevice { name: name.clone(), refusal: None }) }
    }

    fn driver_directory(&self, driver: BusDriver) -> PathBuf {
        self.sys.join("bus/vdpa/drivers").join(driver.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Tree {
        root: tempfile::TempDir,
        bus: Bus,
        name: DeviceName,
    }

    fn tree() -> Tree {
        let root = tempfile::tempdir().unwrap();
        let (sys, dev) = (root.path().join("sys"), root.path().join("dev"));
        fs::create_dir_all(sys.join("bus/vdpa/devices/vdpa0")).unwrap();
        fs::create_dir_all(sys.join("bus/vdpa/drivers/vhost_vdpa")).unwrap();
        fs::write(sys.join("bus/vdpa/drivers/vhost_vdpa/bind"), "").unwrap();
        fs::create_dir(&dev).unwrap();
        Tree { bus: Bus::new(&sys, &dev), name: "vdpa0".parse().unwrap(), root }
    }

    #[test]
    fn a_driver_is_read_and_an_unknown_one_is_not_taken_for_none() {
        let tree = tree();
        let link = tree.root.path().join("sys/bus/vdpa/devices/vdpa0/driver");
        assert_eq!(tree.bus.driver(&tree.name).unwrap(), None);
        symlink("../../drivers/vhost_vdpa", &link).unwrap();
        assert_eq!(tree.bus.driver(&tree.name).unwrap(), Some(BusDriver::VhostVdpa));
        fs::remove_file(&link).unwrap();
        symlink("../../drivers/other_vdpa", &link).unwrap();
        assert!(tree.bus.driver(&tree.name).unwrap_err().to_string().contains("other_vdpa"));
        let absent = "vdpa1".parse().unwrap();
        assert!(matches!(tree.bus.driver(&absent), Err(Error::NoDevice { name, .. }) if name == absent));
    }

    #[test]
    fn binding_writes_the_devices_name() {
        let tree = tree();
        tree.bus.write(&tree.name, BusDriver::VhostVdpa, "bind").unwrap();
        let written = tree.root.path().join("sys/bus/vdpa/drivers/vhost_vdpa/bind");
        assert_eq!(fs::read_to_string(written).unwrap(), "vdpa0");
        let error = tree.bus.write(&tree.name, BusDriver::VirtioVdpa, "unbind").unwrap_err();
        assert_eq!(error.to_string(), "cannot unbind vdpa0 from virtio_vdpa");
    }

    #[tokio::test]
    async fn a_node_that_comes_late_is_waited_for() {
        let tree = tree();
        fs::create_dir(tree.root.path().join("sys/bus/vdpa/devices/vdpa0/vhost-vdpa-3")).unwrap();
        let node = tree.root.path().join("dev/vhost-vdpa-3");
        let late = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            fs::write(&node, "").unwrap();
        };
        let (found, ()) = tokio::join!(tree.bus.char_device(&tree.name, Duration::from_mins(1)), late);
        assert_eq!(found.unwrap(), node);
    }

    #[tokio::test]
    async fn a_node_that_never_comes_is_reported_with_what_was_seen() {
        let tree = tree();
        let limit = Duration::from_millis(30);
        let error = tree.bus.char_device(&tree.name, limit).await.unwrap_err().to_string();
        assert!(error.contains("vdpa0 has no driver and no character device"), "{error}");
        fs::create_dir(tree.root.path().join("sys/bus/vdpa/devices/vdpa0/vhost-vdpa-3")).unwrap();
        let error = tree.bus.char_device(&tree.name, limit).await.unwrap_err().to_string();
        assert!(error.contains("vhost-vdpa-3 is missing below"), "{error}");
    }
}
