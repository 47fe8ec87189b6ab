//! Names for representors, and nobody who takes them for network devices of this host.
//!
//! Left alone, udev names representors after the PF and the port, if that fits into the 15 characters of a network
//! device's name: `enp1s0npf0vf0` does, `enp67s0f0npf0vf12` does not, and is `eth7` for good or until the next boot.
//! And a network manager that is not told otherwise asks for an address on each of them.
//!
//! So both are told beforehand, in files of /run: they go with a boot, as representors do, and are there again before
//! the first representor is. udev's has one assignment a VF and starts nothing.

mod system;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use vdpa_hw::{NetdevName, PciAddress, VfIndex};

use crate::error::Error;
use crate::owned::Owned;
pub(crate) use system::System;

/// What udev and `NetworkManager` are told of a PF's representors.
#[async_trait]
pub trait Naming: Send + Sync {
    /// What they are told now; `None` where nothing of ours.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where a file of somebody else's has the name of ours.
    async fn told(&self, pf: PciAddress) -> Result<Option<Told>, Error>;

    /// Tells them about the representors of so many VFs, or nothing any more, and returns when they know.
    ///
    /// # Errors
    /// [`Error::NotOurs`] and [`Error::File`] for the files, [`Error::Untold`] where one of them does not read them.
    async fn tell(&self, pf: PciAddress, vfs: Option<u16>) -> Result<(), Error>;
}

/// What udev and `NetworkManager` are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Of how many VFs.
    pub vfs: u16,
    /// Whether it is what we would tell them.
    pub current: bool,
}

/// The name of a VF's representor.
///
/// The place of the PF as systemd writes it in `enp67s0f0`, and the VF: `p67s0f0v3`. Where that could be too long (a PCI
/// domain of many digits) it is packed: `r1234abffv3` has domain, bus, and device with function, in hexadecimal. Two
/// PFs never have one name between them, nor has a device named by anybody's usual scheme.
pub fn representor(pf: PciAddress, index: VfIndex) -> NetdevName {
    let text = format!("{}v{index}", place(pf));
    text.parse().unwrap_or_else(|error| unreachable!("{text} has at most 15 characters: {error}"))
}

/// What the names of all representors of a PF begin with, without the `v`.
fn place(pf: PciAddress) -> String {
    /// With `v65535` behind it, 15 characters.
    const ROOM: usize = 9;
    let domain = if pf.domain() == 0 { String::new() } else { format!("P{}", pf.domain()) };
    let place = format!("{domain}p{}s{}f{}", pf.bus(), pf.device(), pf.function());
    if place.len() <= ROOM {
        return place;
    }
    format!("r{:x}{:02x}{:02x}", pf.domain(), pf.bus(), pf.device() << 3 | pf.function())
}

/// The two files about a PF's representors, below `root`.
fn files(root: &Path, pf: PciAddress, vfs: u16) -> [Owned; 2] {
    let by = "`vdpa setup`, removed by `vdpa teardown` or a reboot";
    let [rules, manager] = paths(root, pf);
    [Owned::text(rules, by, &udev_rules(pf, vfs)), Owned::text(manager, by, &manager_conf(pf))]
}

fn paths(root: &Path, pf: PciAddress) -> [PathBuf; 2] {
    let name = file_name(pf);
    // Before 80-net-setup-link.rules, which names what has no name yet.
    let rules = root.join("run/udev/rules.d").join(format!("70-vdpa-{name}.rules"));
    let manager = root.join("run/NetworkManager/conf.d").join(format!("90-vdpa-{name}.conf"));
    [rules, manager]
}

fn file_name(pf: PciAddress) -> String {
    pf.to_string().replace(':', "-")
}

/// udev(7). The parent is the PF since kernel 5.8; on older ones nothing matches, and names are as the system has them.
fn udev_rules(pf: PciAddress, vfs: u16) -> String {
    let mut text = format!(
        "ACTION!=\"add\", GOTO=\"vdpa_end\"\nSUBSYSTEM!=\"net\", GOTO=\"vdpa_end\"\nKERNELS==\"{pf}\", GOTO=\"vdpa_representor\"\n\
         GOTO=\"vdpa_end\"\nLABEL=\"vdpa_representor\"\n"
    );
    for index in VfIndex::first(vfs) {
        let name = representor(pf, index);
        let _ = writeln!(text, "ATTR{{phys_port_name}}==\"pf[0-9]*vf{index}\", NAME=\"{name}\"");
    }
    text.push_str("LABEL=\"vdpa_end\"\n");
    text
}

/// NetworkManager.conf(5): a section of our own, since `unmanaged-devices` is one list that the last file wins.
fn manager_conf(pf: PciAddress) -> String {
    format!("[device-vdpa-{}]\nmatch-device=interface-name:{}v*\nmanaged=0\n", file_name(pf), place(pf))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pf(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    #[test]
    fn names_say_where_the_card_is() {
        let named = |address, index| representor(pf(address), VfIndex::new(index)).to_string();
        assert_eq!(named("0000:43:00.0", 3), "p67s0f0v3");
        assert_eq!(named("0000:43:00.1", 127), "p67s0f1v127");
        assert_eq!(named("0000:ff:1f.7", u16::MAX), "p255s31f7v65535");
        assert_eq!(named("0001:02:00.0", 0), "P1p2s0f0v0");
        assert_eq!(named("1234:ab:1f.7", 3), "r1234abffv3");
    }

    fn address() -> impl Strategy<Value = PciAddress> {
        // Small numbers, where names are near each other, and any.
        let number = || prop_oneof![0u8..4, any::<u8>()];
        let domain = prop_oneof![Just(0u16), 0u16..40, any::<u16>()];
        (domain, number(), 0u8..32, 0u8..8)
            .prop_filter_map("an address", |(domain, bus, device, function)| {
                PciAddress::new(domain, bus, device, function)
            })
    }

    proptest! {
        /// Pitfall 19: port names collide across cards, and a name of more than 15 characters is none.
        #[test]
        fn no_two_representors_of_a_host_have_one_name(vfs in prop::collection::btree_set((address(), 0u16..300), 2..200)) {
            let mut names = BTreeMap::new();
            for (pf, index) in vfs {
                let name = representor(pf, VfIndex::new(index)).to_string();
                assert!(name.len() <= 15, "{name}");
                assert!(!name.starts_with("en") && !name.starts_with("eth"), "{name}: the system's own");
                if let Some(other) = names.insert(name.clone(), (pf, index)) {
                    panic!("{name} is VF {index} of {pf} and {other:?}");
                }
            }
        }
    }

    /// Pitfall 20: programs that udev runs for each device race where there are many: a rule of ours compares and assigns.
    #[test]
    fn rules_start_no_program() {
        let rules = udev_rules(pf("0000:43:00.0"), 128);
        assert_eq!(rules.matches(" NAME=").count(), 128);
        for word in ["RUN", "PROGRAM", "IMPORT"] {
            assert!(!rules.contains(word), "{rules}");
        }
    }

    #[test]
    fn a_manager_is_told_of_no_other_device() {
        let conf = manager_conf(pf("0000:43:00.0"));
        assert!(conf.contains("interface-name:p67s0f0v*\n"), "{conf}");
        assert_eq!(conf.matches("match-device").count(), 1);
    }
}
