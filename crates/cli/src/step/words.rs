//! A statement in words: what it is about, and what it says of that.

use std::fmt;

use vdpa_hw::VfIndex;

use super::device::listed;
use super::{Names, Step};
use crate::naming::representor;

impl Step {
    /// What the statement is about. Two statements with one subject are about the same thing.
    pub fn subject(&self) -> String {
        // They are written by the thousand, and few are longer.
        let mut text = String::with_capacity(64);
        // Nothing can go wrong in memory.
        let _ = self.write_subject(&mut text);
        text
    }

    fn write_subject(&self, to: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Firmware { card, name, .. } => write!(to, "{name} of {card} at the next boot"),
            Self::Autoprobe { pf, .. } => write!(to, "driver probing of {pf}'s VFs"),
            Self::Names { pf, .. } => write!(to, "representor names of {pf}"),
            Self::EswitchMode { pf, .. } => write!(to, "eswitch of {pf}"),
            Self::Steering { pf, .. } => write!(to, "flow steering of {pf}"),
            Self::Inline { pf, .. } => write!(to, "inline mode of {pf}"),
            Self::Encap { pf, .. } => write!(to, "encapsulation of {pf}"),
            Self::Bond { name, .. } => write!(to, "bond {name}"),
            Self::Lag { pf, .. } => write!(to, "bond of {pf} in hardware"),
            Self::Rate { vf, .. } => write!(to, "rate of {vf}"),
            Self::Vlan { vf, .. } => write!(to, "VLAN of {vf}"),
            Self::Vfs { pf, .. } => write!(to, "VFs of {pf}"),
            Self::VfAttributes { vf, .. } => write!(to, "MAC of {vf}"),
            Self::TcOffload { device, .. } => write!(to, "hw-tc-offload of {device}"),
            Self::Up { device, .. } => write!(to, "link of {device}"),
            Self::Bridge { name, .. } => write!(to, "bridge {name}"),
            Self::HwOffload { .. } => to.write_str("hw-offload of Open vSwitch"),
            Self::Setting { key, .. } => write!(to, "{key} of Open vSwitch"),
            Self::Userspace { bridge, .. } => write!(to, "userspace bridge {bridge}"),
            Self::Driver { vf, .. } => write!(to, "driver of {vf}"),
            Self::Auxiliary { vf, .. } => write!(to, "auxiliary devices of {vf}"),
            Self::Kernel { vf, .. } => write!(to, "kernel vDPA device of {vf}"),
            Self::Dpdk { vf, .. } => write!(to, "dpdk-vdpa process of {vf}"),
            Self::Wired { domain, vf, .. } => write!(to, "interface of {domain} for {vf}"),
        }
    }

    /// What the statement says of its subject.
    pub fn value(&self) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        let on = |on: bool| if on { "on" } else { "off" }.to_owned();
        match self {
            Self::Firmware { value, .. } => value.to_string(),
            Self::Autoprobe { on: state, .. } | Self::TcOffload { on: state, .. } => on(*state),
            Self::Names { names: None | Some(Names { vfs: 0, .. }), .. } => "the system's".to_owned(),
            Self::Names { pf, names: Some(Names { vfs, current }) } => {
                let [first, last] = [0, vfs - 1].map(|index| representor(*pf, VfIndex::new(index)));
                let names = if first == last { first.to_string() } else { format!("{first} to {last}") };
                if *current { names } else { format!("{names}, changed by hand") }
            }
            Self::EswitchMode { mode, .. } => mode.to_string(),
            Self::Vfs { count, .. } => count.to_string(),
            Self::Steering { mode, .. } => mode.to_string(),
            Self::Inline { mode, .. } => mode.to_string(),
            Self::Encap { mode, .. } => mode.to_string(),
            Self::Bond { bond, .. } => or_none(bond.as_ref().map(ToString::to_string)),
            Self::Lag { active, .. } => if *active { "active" } else { "disabled" }.to_owned(),
            Self::Rate { rate, .. } => rate.to_string(),
            Self::Vlan { vlan, .. } => or_none(vlan.map(|vlan| vlan.to_string())),
            Self::VfAttributes { mac, trust, spoofchk, .. } => {
                let asked = |what, asked: &Option<bool>| {
                    asked.map(|state| format!(", {what} {}", on(state))).unwrap_or_default()
                };
                format!("{mac}{}{}", asked("trust", trust), asked("spoofchk", spoofchk))
            }
            Self::Up { up, .. } => if *up { "up" } else { "down" }.to_owned(),
            Self::Bridge { exists: false, .. } | Self::Userspace { exists: false, .. } => "absent".to_owned(),
            Self::Bridge { ports, .. } if ports.is_empty() => "without our ports".to_owned(),
            Self::Bridge { ports, .. } => format!("with {}", listed(ports)),
            Self::HwOffload { value, ports, in_force, .. } => {
                let value = or_none(value.clone());
                match in_force.len() {
                    0 => format!("{value}, not in force"),
                    all if all == ports.len() => format!("{value}, in force"),
                    _ => format!("{value}, in force on {}", listed(in_force)),
                }
            }
            Self::Setting { value, .. } => or_none(value.clone()),
            Self::Userspace { ports, .. } if ports.is_empty() => "without our ports".to_owned(),
            Self::Userspace { ports, .. } => format!("with {}", listed(&ports.keys().copied().collect())),
            Self::Driver { driver, .. } => or_none(driver.as_ref().map(ToString::to_string)),
            Self::Auxiliary { set, in_force, .. } if set == in_force => format!("{set}, in force"),
            Self::Auxiliary { set, in_force, .. } => format!("{set}; in force: {in_force}"),
            Self::Kernel { device, .. } => or_none(device.as_ref().map(|device| {
                let served = if device.served { "served by vhost_vdpa" } else { "not served" };
                let mac = device.mac.map_or_else(|| "no MAC".to_owned(), |mac| mac.to_string());
                format!("{mac}, {} queue pairs, {served}", device.queues)
            })),
            Self::Dpdk { process, .. } => or_none(process.as_ref().map(ToString::to_string)),
            Self::Wired { wiring, .. } => or_none(wiring.as_ref().map(ToString::to_string)),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_subject(f)?;
        write!(f, ": {}", self.value())
    }
}
