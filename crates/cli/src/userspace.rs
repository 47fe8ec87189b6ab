//! Ports of Open vSwitch's userspace datapath: what a port of the eswitch is there, and what the database has to hold
//! for it.
//!
//! A VF that a VM gets is one port. In the vendor's Open vSwitch (interface type `dpdkvdpa`) that is its representor
//! and its vDPA device in one, and the card forwards. Upstream's has no such type: there the VM's virtqueues are
//! served by Open vSwitch's own threads (`dpdkvhostuserclient`), and the VF itself stays idle.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use vdpa_ovs::ovsdb::{Row, Value};
use vdpa_ovs::{Observation, PortName, PortState, Settings};

use crate::error::Error;
use crate::host::Host;
use crate::naming::representor;
use crate::step::Device;
use crate::view::View;
use vdpa_hw::VfIndex;

/// The interface type of the vendor's Open vSwitch for a VF with its vDPA device.
pub const VENDOR: &str = "dpdkvdpa";

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// The cable, or a VF that no VM gets.
    Plain,
    /// A VM's virtqueues, so many pairs of them.
    Vm(NonZeroU16),
}

/// A port as the database is to hold it.
#[derive(Debug)]
pub struct Port {
    /// Its name.
    pub name: PortName,
    /// Its interface's type and options.
    pub settings: Settings,
}

impl Port {
    /// The port that `device` is to be on a switch that looks like `seen`.
    ///
    /// # Errors
    /// Where the VF is not there, or the card cannot be looked at.
    pub async fn of(
        host: &Host,
        view: &View<'_>,
        seen: &Observation,
        device: Device,
        purpose: Use,
    ) -> Result<Self, Error> {
        let pf = device.pf();
        let (Device::Representor(vf) | Device::Vf(vf)) = device else {
            let settings = interface("dpdk", &[("dpdk-devargs", pf.to_string())]);
            return Ok(Self { name: name(device)?, settings });
        };
        let devargs = ("dpdk-devargs", format!("{pf},representor=[{}]", vf.index));
        let socket = || host.dpdk.socket(vf).display().to_string();
        let settings = match purpose {
            Use::Plain => interface("dpdk", &[devargs]),
            Use::Vm(queues) if is_vendors(seen) => {
                let address = view.vf_address(vf).await?.ok_or_else(|| Error::Missing(vf.to_string()))?;
                interface(
                    VENDOR,
                    &[
                        devargs,
                        ("vdpa-accelerator-devargs", address.to_string()),
                        ("vdpa-max-queues", queues.to_string()),
                        ("vdpa-socket-path", socket()),
                    ],
                )
            }
            Use::Vm(_) => interface("dpdkvhostuserclient", &[("vhost-server-path", socket())]),
        };
        Ok(Self { name: name(device)?, settings })
    }

    /// Whether a port that is there is this one, and works.
    pub fn is(&self, found: &PortState) -> bool {
        let same = |column| found.settings.interface.get(column) == self.settings.interface.get(column);
        found.works() && found.name == self.name && same("type") && same("options")
    }
}

/// Whether the switch has the vendor's vDPA ports. It knows its types once DPDK is up.
pub fn is_vendors(seen: &Observation) -> bool {
    seen.versions.interface_types.contains(VENDOR)
}

/// A name of its own: the kernel has one of the same sort for the representor.
fn name(device: Device) -> Result<PortName, Error> {
    let (Device::Representor(vf) | Device::Vf(vf)) = device else {
        let first = representor(device.pf(), VfIndex::new(0)).to_string();
        return Ok(told_apart(first.strip_suffix("v0").unwrap_or(&first)).parse()?);
    };
    Ok(told_apart(representor(vf.pf, vf.index).as_str()).parse()?)
}

/// `p67s0f0v3` becomes `d67s0f0v3`: as long, and different for each.
fn told_apart(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    let first = match first {
        "p" => "d",
        "P" => "D",
        _ => "u",
    };
    format!("{first}{rest}")
}

fn interface<const N: usize>(kind: &str, options: &[(&str, String); N]) -> Settings {
    let options: Value = options.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Settings { interface: Row::new().with("type", kind).with("options", options), ..Settings::default() }
}

/// EAL arguments by which a card's ports are DPDK's, added to what is there: `theirs` first, to the letter but for
/// blanks. A card that they name already is theirs to name.
pub fn extra<'a>(
    theirs: Option<&str>,
    dpdk: Option<&str>,
    cards: impl Iterator<Item = (vdpa_hw::PciAddress, usize)>,
    further: impl Iterator<Item = &'a str>,
) -> String {
    let mut words: Vec<String> = theirs.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let version = dpdk.and_then(|dpdk| dpdk.rsplit_once(' ')).map(|(_, version)| version);
    for (pf, vfs) in cards {
        if !words.iter().any(|word| word.split(',').next() == Some(pf.to_string().as_str())) {
            let last = vfs.saturating_sub(1);
            words.push(vdpa_datapath::dpdk::allow_list(version).to_owned());
            words.push(format!("{pf},representor=[0-{last}]"));
        }
    }
    for word in further {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_set_comes_first_and_stays() {
        let card = || std::iter::once(("0000:43:00.0".parse().unwrap(), 4));
        let none = std::iter::empty::<&str>;
        assert_eq!(extra(None, Some("DPDK 22.11.1"), card(), none()), "-a 0000:43:00.0,representor=[0-3]");
        assert_eq!(extra(None, Some("DPDK 20.08.0"), card(), none()), "-w 0000:43:00.0,representor=[0-3]");
        let theirs = Some("--no-huge  -a 0000:43:00.0,dv_flow_en=2");
        assert_eq!(extra(theirs, None, card(), none()), "--no-huge -a 0000:43:00.0,dv_flow_en=2");
        let again = extra(Some("-a 0000:43:00.0,representor=[0-3]"), None, card(), ["--no-huge"].into_iter());
        assert_eq!(again, "-a 0000:43:00.0,representor=[0-3] --no-huge");
        assert_eq!(extra(Some(&again), None, card(), ["--no-huge"].into_iter()), again);
    }

    #[test]
    fn a_port_is_not_named_as_the_kernels_device_is() {
        let vf = vdpa_hw::Vf::new("0000:43:00.0".parse().unwrap(), 3);
        assert_eq!(name(Device::Representor(vf)).unwrap().as_str(), "d67s0f0v3");
        assert_eq!(name(Device::Uplink(vf.pf)).unwrap().as_str(), "d67s0f0");
        let far = vdpa_hw::Vf::new("1234:ab:1f.7".parse().unwrap(), 127);
        assert!(name(Device::Representor(far)).unwrap().as_str().len() <= 15);
    }
}
