//! Representors by what sysfs says of network devices, where devlink has no ports for VFs.
//!
//! Since Linux 5.8 representors are children of their PF's PCI function, next to its own netdev: they
//! are told apart by `phys_port_name`. Before, they had no parent and shared only `phys_switch_id`.

use std::fs;
use std::io;
use std::path::Path;

use vdpa_hw::{IfIndex, NetdevName, PciAddress};

use crate::error::{Error, Result};
use crate::representor::{PhysPortName, Representor, Representors};

/// A network device that is a port of a switch.
struct SwitchPort {
    representor: Representor,
    parent: Option<PciAddress>,
    switch: Option<String>,
    name: Option<PhysPortName>,
}

/// The representors of the switch of `pf` below the sysfs at `root`.
pub(super) fn representors(root: &Path, pf: PciAddress) -> Result<Representors> {
    let net = root.join("class/net");
    let entries = fs::read_dir(&net).map_err(|source| Error::Sysfs { path: net.clone(), source })?;
    let ports: Vec<_> = entries.flatten().filter_map(|entry| switch_port(&entry.path(), pf)).collect();
    let uplink = ports
        .iter()
        .find(|port| port.parent == Some(pf) && matches!(port.name, Some(PhysPortName::Uplink(_)) | None));
    let Some(uplink) = uplink else { return Ok(Representors::default()) };
    let Some(PhysPortName::Uplink(number)) = uplink.name else {
        // Legacy mode: the PF's own netdev, which is no port of a switch.
        return Ok(Representors { uplink: Some(uplink.representor.clone()), ..Representors::default() });
    };
    let ours = |port: &&SwitchPort| port.switch.is_some() && port.switch == uplink.switch;
    let vfs = ports.iter().filter(ours).filter_map(|port| match port.name? {
        // Bonded ports share one switch id: the PF's number tells them apart.
        PhysPortName::Vf { controller: None, pf, vf } if u32::from(pf) == number => Some((vf, port)),
        PhysPortName::Number(vf) => Some((vf, port)),
        _ => None,
    });
    let vfs = vfs.map(|(vf, port)| (vf, port.representor.clone())).collect();
    Ok(Representors { uplink: Some(uplink.representor.clone()), vfs })
}

/// What sysfs says of a network device, unless it is known to be another function's. A device that goes
/// while it is looked at was not there.
fn switch_port(path: &Path, pf: PciAddress) -> Option<SwitchPort> {
    let parent = fs::read_link(path.join("device")).ok();
    let parent = parent.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()?.parse().ok());
    if parent.is_some_and(|parent| parent != pf) {
        return None;
    }
    let name: NetdevName = path.file_name()?.to_str()?.parse().ok()?;
    let index = IfIndex(read(&path.join("ifindex")).ok()?.parse().ok()?);
    // Devices that are no ports answer EOPNOTSUPP (`phys_port_name_show` in net/core/net-sysfs.c).
    let attribute = |name: &str| read(&path.join(name)).ok().filter(|text| !text.is_empty());
    Some(SwitchPort {
        representor: Representor { index, name },
        parent,
        switch: attribute("phys_switch_id"),
        name: attribute("phys_port_name").and_then(|text| text.parse().ok()),
    })
}

fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;
    use vdpa_hw::VfIndex;

    const PF: &str = "0000:43:00.0";

    /// A tree with `class/net/NAME/…` as sysfs has it.
    struct Tree(tempfile::TempDir, u32);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), 1)
        }

        fn netdev(
            mut self,
            name: &str,
            device: Option<&str>,
            port: Option<&str>,
            switch: Option<&str>,
        ) -> Self {
            let path = self.0.path().join("class/net").join(name);
            fs::create_dir_all(&path).unwrap();
            self.1 += 1;
            fs::write(path.join("ifindex"), format!("{}\n", self.1)).unwrap();
            if let Some(device) = device {
                symlink(format!("../../devices/pci0000:40/{device}"), path.join("device")).unwrap();
            }
            for (file, text) in [("phys_port_name", port), ("phys_switch_id", switch)] {
                if let Some(text) = text {
                    fs::write(path.join(file), format!("{text}\n")).unwrap();
                }
            }
            self
        }

        fn names(&self) -> (Option<String>, BTreeMap<u16, String>) {
            let Representors { uplink, vfs } = representors(self.0.path(), PF.parse().unwrap()).unwrap();
            let vfs = vfs.into_iter().map(|(vf, r): (VfIndex, _)| (vf.get(), r.name.to_string()));
            (uplink.map(|r| r.name.to_string()), vfs.collect())
        }
    }

    fn uplink_and(vfs: [(u16, &str); 2]) -> (Option<String>, BTreeMap<u16, String>) {
        (Some("enp67s0f0".into()), vfs.map(|(vf, name)| (vf, name.into())).into())
    }

    #[test]
    fn a_dual_port_card_since_linux_5_8() {
        let tree = Tree::new()
            .netdev("enp67s0f1", Some("0000:43:00.1"), Some("p1"), Some("bb"))
            .netdev("eth3", Some(PF), Some("pf0vf0"), Some("aa"))
            .netdev("enp67s0f0", Some(PF), Some("p0"), Some("aa"))
            .netdev("eth4", Some(PF), Some("pf0vf1"), Some("aa"))
            .netdev("eth5", Some("0000:43:00.1"), Some("pf1vf0"), Some("bb"))
            .netdev("eno1", Some("0000:01:00.0"), None, None)
            .netdev("lo", None, None, None);
        assert_eq!(tree.names(), uplink_and([(0, "eth3"), (1, "eth4")]));
    }

    #[test]
    fn bonded_ports_share_a_switch_id() {
        let tree = Tree::new()
            .netdev("enp67s0f0", Some(PF), Some("p0"), Some("aa"))
            .netdev("eth3", None, Some("pf0vf0"), Some("aa"))
            .netdev("eth4", None, Some("pf0vf1"), Some("aa"))
            .netdev("eth5", None, Some("pf1vf0"), Some("aa"))
            .netdev("eth6", None, Some("c1pf0vf0"), Some("aa"));
        assert_eq!(tree.names(), uplink_and([(0, "eth3"), (1, "eth4")]));
    }

    #[test]
    fn an_old_kernel_numbers_representors_without_parents() {
        let tree = Tree::new()
            .netdev("enp67s0f0", Some(PF), Some("p0"), Some("aa"))
            .netdev("eth3", None, Some("0"), Some("aa"))
            .netdev("eth4", None, Some("1"), Some("aa"))
            .netdev("other", None, Some("0"), Some("cc"));
        assert_eq!(tree.names(), uplink_and([(0, "eth3"), (1, "eth4")]));
    }

    #[test]
    fn in_legacy_mode_the_pf_has_its_own_netdev_only() {
        let tree = Tree::new().netdev("enp67s0f0", Some(PF), None, None).netdev("tap0", None, None, None);
        assert_eq!(tree.names(), (Some("enp67s0f0".into()), BTreeMap::new()));
        assert_eq!(Tree::new().netdev("lo", None, None, None).names(), (None, BTreeMap::new()));
    }

    #[test]
    fn a_sysfs_that_is_not_there_is_named() {
        let error = representors(Path::new("/nonexistent"), PF.parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/class/net");
    }
}
