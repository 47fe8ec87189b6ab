//! The PCI function of a network device on kernels that do not tell it.
//!
//! `IFLA_PARENT_DEV_NAME` came with Linux 5.14; RHEL 8 has 4.18. There the `device` link in sysfs
//! answers, with care: a sysfs that was mounted in another network namespace shows other devices under
//! the same names.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::record::Record;
use crate::nouns::{NetdevName, PciAddress};

/// Where parents are looked up, if the kernel is old.
#[derive(Debug)]
pub(super) struct Parents {
    root: PathBuf,
    needed: OnceLock<bool>,
}

impl Parents {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, needed: OnceLock::new() }
    }

    /// Fills in the parents that the kernel could not tell.
    pub(super) fn complete(&self, records: &mut [Record]) {
        let told = records.iter().any(|record| record.link.parent.is_some());
        if told || !self.needed.get_or_init(|| self.kernel_is_old()) {
            return;
        }
        for Record { link, .. } in records {
            link.parent = self.look_up(&link.name, link.index.0);
        }
    }

    /// The network device of a function that has only one, as sysfs has it; which of several is meant, a name does not
    /// say. It may be one of another network namespace: whoever asks looks at what has that name here.
    pub(super) fn only_netdev(&self, function: PciAddress) -> Option<NetdevName> {
        let directory = self.root.join("sys/bus/pci/devices").join(function.to_string()).join("net");
        let mut names = fs::read_dir(directory).ok()?;
        let name = names.next()?.ok()?.file_name();
        if names.next().is_some() { None } else { name.to_str()?.parse().ok() }
    }

    fn look_up(&self, name: &NetdevName, index: u32) -> Option<PciAddress> {
        let device = self.root.join("sys/class/net").join(name);
        let same = fs::read_to_string(device.join("ifindex")).ok()?.trim().parse() == Ok(index);
        let target = fs::read_link(device.join("device")).ok()?;
        target.file_name()?.to_str()?.parse().ok().filter(|_| same)
    }

    fn kernel_is_old(&self) -> bool {
        let release = fs::read_to_string(self.root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
        is_before_5_14(&release)
    }
}

/// A release that cannot be read is taken for a new one, which needs nothing.
fn is_before_5_14(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < (5, 14),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Message, RTM_NEWLINK};
    use super::*;
    use crate::nouns::IfIndex;
    use vdpa_netlink::Tlvs;

    fn record(name: &str, index: u32) -> Record {
        let message = Message::about_link(RTM_NEWLINK, IfIndex(index), &Tlvs::new().string(3, name));
        Record::read(&message).unwrap().unwrap()
    }

    fn host(release: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/class/net/enp67s0f0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("ifindex"), "4\n").unwrap();
        std::os::unix::fs::symlink("../../../0000:43:00.0", device.join("device")).unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), release).unwrap();
        root
    }

    /// Pitfall 17: since Linux 5.8 representors are in the PF's `net/` directory too, and the first entry says nothing.
    #[test]
    fn a_functions_device_is_named_where_it_has_only_one() {
        let root = tempfile::tempdir().unwrap();
        let function: PciAddress = "0000:43:00.2".parse().unwrap();
        let parents = Parents::new(root.path().to_owned());
        let net = root.path().join("sys/bus/pci/devices/0000:43:00.2/net");
        assert_eq!(parents.only_netdev(function), None);
        fs::create_dir_all(net.join("enp67s0f0v0")).unwrap();
        assert_eq!(parents.only_netdev(function), Some("enp67s0f0v0".parse().unwrap()));
        fs::create_dir(net.join("eth4")).unwrap();
        assert_eq!(parents.only_netdev(function), None);
    }

    #[test]
    fn an_old_kernels_parents_come_from_sysfs() {
        let root = host("4.18.0-553.el8_10.x86_64\n");
        let mut records = [record("enp67s0f0", 4), record("br0", 5)];
        Parents::new(root.path().to_owned()).complete(&mut records);
        let parents = records.map(|record| record.link.parent.map(|parent| parent.to_string()));
        assert_eq!(parents, [Some("0000:43:00.0".to_owned()), None]);
    }

    #[test]
    fn neither_a_new_kernel_nor_another_namespaces_sysfs_is_asked() {
        for (release, index) in [("6.12.0", 4), ("5.14.0-70.el9\n", 4), ("4.18.0\n", 9)] {
            let root = host(release);
            let mut records = [record("enp67s0f0", index)];
            Parents::new(root.path().to_owned()).complete(&mut records);
            assert_eq!(records[0].link.parent, None, "{release} {index}");
        }
    }
}
