//! A step is a statement about the host, and a statement reads the same whether it is wanted, found or
//! to be brought back.
//!
//! Steps hold keys ([`Vf`], [`Device`]) and never what changes under them: a representor's name, a
//! VF's address. Three matches give a step its life: [`observe`](crate::observe) says how the
//! statement would have to read to be true now, [`enforce`](crate::enforce) makes it true, and
//! `Display` says it in one line. There is no fourth: undoing is enforcing what was observed before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use vdpa_eswitch::{EncapMode, InlineMode, Mode, Rate, SteeringMode};
use vdpa_hw::firmware::{SettingName, Value};
use vdpa_hw::{DriverName, MacAddress, NetdevName, PciAddress, Vf};
use vdpa_ovs::{BridgeName, VlanId};
use vdpa_vm::DomainName;

use crate::userspace::Use;

mod auxiliary;
mod bond;
mod datapath;
mod device;
mod words;

pub use auxiliary::Enabled;
pub use bond::BondOf;
pub use datapath::{DpdkProcess, KernelDevice, Wiring};
pub use device::Device;

/// A statement about the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
pub enum Step {
    /// A firmware setting, as it counts from the next boot on.
    Firmware {
        /// The card, by its first function.
        card: PciAddress,
        /// The setting.
        name: SettingName,
        /// Its value.
        value: Value,
    },
    /// Whether new VFs of a PF are offered to drivers.
    Autoprobe {
        /// The PF.
        pf: PciAddress,
        /// Whether they are.
        on: bool,
    },
    /// The names that representors of a PF get when they come; nobody else takes them then.
    Names {
        /// The PF.
        pf: PciAddress,
        /// What udev and `NetworkManager` are told.
        names: Option<Names>,
    },
    /// The mode of a PF's eswitch.
    EswitchMode {
        /// The PF.
        pf: PciAddress,
        /// Its mode.
        mode: Mode,
    },
    /// Who programs a card's flow tables.
    Steering {
        /// The PF.
        pf: PciAddress,
        /// Who does.
        mode: SteeringMode,
    },
    /// How much of each packet a card's VFs put into their send descriptors.
    Inline {
        /// The PF.
        pf: PciAddress,
        /// How much.
        mode: InlineMode,
    },
    /// Whether a card's eswitch can encapsulate.
    Encap {
        /// The PF.
        pf: PciAddress,
        /// Whether it can.
        mode: EncapMode,
    },
    /// A bond of uplinks.
    Bond {
        /// Its name.
        name: NetdevName,
        /// What it is; `None` where it is not there.
        bond: Option<BondOf>,
    },
    /// Whether the ports of a PF's card are one in hardware.
    Lag {
        /// The PF.
        pf: PciAddress,
        /// Whether they are.
        active: bool,
    },
    /// How many VFs a PF has; in switchdev mode, with their representors.
    Vfs {
        /// The PF.
        pf: PciAddress,
        /// Their number.
        count: u16,
    },
    /// What the PF keeps for a VF.
    VfAttributes {
        /// The VF.
        vf: Vf,
        /// Its administrative MAC.
        mac: MacAddress,
        /// Whether it is trusted; `None` where nobody asks.
        trust: Option<bool>,
        /// Whether its frames are checked for a foreign source MAC; `None` where nobody asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spoofchk: Option<bool>,
    },
    /// How fast a VF may send.
    Rate {
        /// The VF.
        vf: Vf,
        /// How fast.
        rate: Rate,
    },
    /// Whether tc rules on a port of the eswitch may go to the card.
    TcOffload {
        /// The port.
        device: Device,
        /// Whether hw-tc-offload is active.
        on: bool,
    },
    /// Whether a network device is up.
    Up {
        /// The device.
        device: Device,
        /// Whether it is.
        up: bool,
    },
    /// The bridge and which of the eswitch's ports we put on it.
    Bridge {
        /// The bridge.
        name: BridgeName,
        /// Whether it exists.
        exists: bool,
        /// Our ports on it, those that ovs-vswitchd has open under their device's present name.
        ports: BTreeSet<Device>,
    },
    /// Hardware offload of Open vSwitch.
    HwOffload {
        /// The bridge on whose ports it is seen.
        bridge: BridgeName,
        /// `other_config:hw-offload`, to the letter.
        value: Option<String>,
        /// The ports that it is about.
        ports: BTreeSet<Device>,
        /// Those on which ovs-vswitchd acts by it: they have an ingress qdisc, where tc rules can stand.
        in_force: BTreeSet<Device>,
    },
    /// A key of the `other_config` of Open vSwitch.
    Setting {
        /// The bridge from which it is looked at.
        bridge: BridgeName,
        /// The key.
        key: String,
        /// What it reads, to the letter.
        value: Option<String>,
    },
    /// A bridge of the userspace datapath, and which of the eswitch's ports are DPDK ports of ours on it.
    Userspace {
        /// The bridge.
        bridge: BridgeName,
        /// Whether it exists.
        exists: bool,
        /// Our ports on it, those that are as we would have them and that ovs-vswitchd has open.
        ports: BTreeMap<Device, Use>,
    },
    /// The VLAN that a VF's port of the bridge is an access port of.
    Vlan {
        /// The bridge.
        bridge: BridgeName,
        /// The VF.
        vf: Vf,
        /// The VLAN; `None` where the port carries all of them, or is not on the bridge.
        vlan: Option<VlanId>,
    },
    /// The driver of a VF.
    Driver {
        /// The VF.
        vf: Vf,
        /// The driver bound to it.
        driver: Option<DriverName>,
    },
    /// What a VF's driver makes of it.
    Auxiliary {
        /// The VF.
        vf: Vf,
        /// What its parameters are set to.
        set: Enabled,
        /// What is there of it.
        in_force: Enabled,
    },
    /// The kernel vDPA device of a VF.
    Kernel {
        /// The VF.
        vf: Vf,
        /// The device, bound to `vhost_vdpa`.
        device: Option<KernelDevice>,
    },
    /// The dpdk-vdpa process of a VF.
    Dpdk {
        /// The VF.
        vf: Vf,
        /// The process.
        process: Option<DpdkProcess>,
    },
    /// A VF's place in a domain.
    Wired {
        /// The domain.
        domain: DomainName,
        /// The VF.
        vf: Vf,
        /// The interface of ours in the domain's definition.
        wiring: Option<Wiring>,
    },
}

/// What udev and `NetworkManager` are told of representors, as a statement has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// Of how many VFs.
    pub vfs: u16,
    /// Whether it is what we would tell them.
    pub current: bool,
}

impl Step {
    /// The VF that has to be there for the statement to mean anything: what hangs on a VF goes with it.
    pub fn hangs_on(&self) -> Option<Vf> {
        match self {
            Self::VfAttributes { vf, .. }
            | Self::Driver { vf, .. }
            | Self::Auxiliary { vf, .. }
            | Self::Rate { vf, .. }
            | Self::Vlan { vf, .. } => Some(*vf),
            Self::TcOffload { device, .. } | Self::Up { device, .. } => match device {
                Device::Representor(vf) | Device::Vf(vf) => Some(*vf),
                Device::Uplink(_) | Device::Bond(_) => None,
            },
            _ => None,
        }
    }

    /// The card without which the statement means nothing, if there is one.
    pub fn card(&self) -> Option<PciAddress> {
        match self {
            Self::Autoprobe { pf, .. }
            | Self::EswitchMode { pf, .. }
            | Self::Steering { pf, .. }
            | Self::Inline { pf, .. }
            | Self::Encap { pf, .. }
            | Self::Lag { pf, .. }
            | Self::Vfs { pf, .. } => Some(*pf),
            Self::TcOffload { device, .. } | Self::Up { device, .. } => Some(device.pf()),
            Self::Kernel { vf, .. } => Some(vf.pf),
            _ => self.hangs_on().map(|vf| vf.pf),
        }
    }

    /// That a VF's driver makes this of it.
    pub fn auxiliary(vf: Vf, enabled: Enabled) -> Self {
        Self::Auxiliary { vf, set: enabled, in_force: enabled }
    }

    /// What the statement becomes when nobody asks for it any more and its subject stays, having come up without it;
    /// `None` where it is left as it is.
    pub fn let_go(&self) -> Option<Self> {
        match self {
            Self::Rate { vf, .. } => Some(Self::Rate { vf: *vf, rate: Rate::UNLIMITED }),
            Self::Auxiliary { vf, .. } => Some(Self::auxiliary(*vf, Enabled::BY_DEFAULT)),
            Self::Vlan { bridge, vf, .. } => Some(Self::Vlan { bridge: bridge.clone(), vf: *vf, vlan: None }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pf() -> PciAddress {
        "0000:43:00.0".parse().unwrap()
    }

    #[test]
    fn a_statement_reads_as_one_line() {
        let ports =
            (0..4).map(|i| Device::Representor(Vf::new(pf(), i))).chain([Device::Uplink(pf())]).collect();
        let step = Step::Bridge { name: "ovs-sriov".parse().unwrap(), exists: true, ports };
        assert_eq!(step.to_string(), "bridge ovs-sriov: with 0000:43:00.0 uplink, 0000:43:00.0 vf 0-3");
        assert_eq!(Step::Vfs { pf: pf(), count: 2 }.to_string(), "VFs of 0000:43:00.0: 2");
    }

    #[test]
    fn a_statement_survives_being_written_down() {
        let step = Step::Up { device: Device::Uplink(pf()), up: true };
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(text, r#"{"about":"up","device":"0000:43:00.0/uplink","up":true}"#);
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
    }
}
