//! Representors: the host's network devices that stand for the ports of a card's switch.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::{IfIndex, NetdevName, ParseError, VfIndex};

/// A network device that stands for a port of the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Representor {
    /// The kernel's number of it, which stays.
    pub index: IfIndex,
    /// Its name at the moment: udev may be about to change it.
    pub name: NetdevName,
}

/// The representors of one switch, by what they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Representors {
    /// The cable's; in legacy mode, the PF's own network device.
    pub uplink: Option<Representor>,
    /// The VFs'.
    pub vfs: BTreeMap<VfIndex, Representor>,
}

/// What the kernel calls the port of a network device (`phys_port_name`).
///
/// Source: `__devlink_port_phys_port_name_get` in `net/devlink/port.c`; before Linux 5.3 mlx5 gave the
/// bare number of the VF (`mlx5e_rep_get_phys_port_name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhysPortName {
    /// `p0`: the cable.
    Uplink(u32),
    /// `pf0`: a PF, as a DPU sees its host's.
    Pf {
        /// The controller of another host; `None` is this one.
        controller: Option<u32>,
        /// The PF's number.
        pf: u16,
    },
    /// `pf0vf3`, `c1pf0vf3`: a VF.
    Vf {
        /// The controller of another host; `None` is this one.
        controller: Option<u32>,
        /// The PF's number.
        pf: u16,
        /// The VF's index.
        vf: VfIndex,
    },
    /// `pf0sf5`: a subfunction.
    Sf {
        /// The controller of another host; `None` is this one.
        controller: Option<u32>,
        /// The PF's number.
        pf: u16,
        /// The subfunction's number.
        sf: u32,
    },
    /// `3`: a VF on an old kernel, which did not name the PF.
    Number(VfIndex),
}

impl fmt::Display for PhysPortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |f: &mut fmt::Formatter<'_>, controller: &Option<u32>, pf: &u16| {
            if let Some(controller) = controller {
                write!(f, "c{controller}")?;
            }
            write!(f, "pf{pf}")
        };
        match self {
            Self::Uplink(port) => write!(f, "p{port}"),
            Self::Pf { controller, pf } => prefix(f, controller, pf),
            Self::Vf { controller, pf, vf } => {
                prefix(f, controller, pf)?;
                write!(f, "vf{vf}")
            }
            Self::Sf { controller, pf, sf } => {
                prefix(f, controller, pf)?;
                write!(f, "sf{sf}")
            }
            Self::Number(vf) => vf.fmt(f),
        }
    }
}

impl FromStr for PhysPortName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError {
            noun: "a physical port name",
            text: text.to_owned(),
            why: "the kernel writes p0, pf0, pf0vf3, c1pf0vf3, pf0sf5 or a bare number",
        })
    }
}

fn parse(text: &str) -> Option<PhysPortName> {
    if let Some((number, "")) = number(text) {
        return Some(PhysPortName::Number(VfIndex::new(number)));
    }
    let (controller, rest) = match text.strip_prefix('c') {
        Some(rest) => number(rest).map(|(controller, rest)| (Some(controller), rest))?,
        None => (None, text),
    };
    if let Some(rest) = rest.strip_prefix("pf") {
        let (pf, rest) = number(rest)?;
        if rest.is_empty() {
            return Some(PhysPortName::Pf { controller, pf });
        }
        if let Some((vf, "")) = rest.strip_prefix("vf").and_then(number) {
            return Some(PhysPortName::Vf { controller, pf, vf: VfIndex::new(vf) });
        }
        let (sf, rest) = rest.strip_prefix("sf").and_then(number)?;
        return rest.is_empty().then_some(PhysPortName::Sf { controller, pf, sf });
    }
    let (port, rest) = rest.strip_prefix('p').and_then(number)?;
    (rest.is_empty() && controller.is_none()).then_some(PhysPortName::Uplink(port))
}

/// The number at the start of `text`, as the kernel writes it, and what follows it.
fn number<N: FromStr>(text: &str) -> Option<(N, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let padded = number.len() > 1 && number.starts_with('0');
    if padded { None } else { Some((number.parse().ok()?, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pitfall 18: `p0`, `pf0vf3`, `c1pf0vf3`, `pf0sf5`, and a bare number on old kernels.
    #[test]
    fn each_form_of_the_kernels_is_read() {
        let vf = VfIndex::new(3);
        for (text, name) in [
            ("p0", PhysPortName::Uplink(0)),
            ("pf1", PhysPortName::Pf { controller: None, pf: 1 }),
            ("pf0vf3", PhysPortName::Vf { controller: None, pf: 0, vf }),
            ("c1pf0vf3", PhysPortName::Vf { controller: Some(1), pf: 0, vf }),
            ("pf0sf5", PhysPortName::Sf { controller: None, pf: 0, sf: 5 }),
            ("3", PhysPortName::Number(vf)),
        ] {
            assert_eq!(text.parse(), Ok(name), "{text}");
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn what_the_kernel_does_not_write_is_no_port_name() {
        for bad in
            ["", "p", "pf", "pf0vf", "c1p0", "c1", "p0s1", "pf0vf3 ", "vf3", "pf00", "99999", "pf0vf3x"]
        {
            assert!(bad.parse::<PhysPortName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(controller: Option<u32>, pf: u16, vf: u16, sf: u32) {
            for name in [
                PhysPortName::Uplink(sf),
                PhysPortName::Pf { controller, pf },
                PhysPortName::Vf { controller, pf, vf: VfIndex::new(vf) },
                PhysPortName::Sf { controller, pf, sf },
                PhysPortName::Number(VfIndex::new(vf)),
            ] {
                prop_assert_eq!(name.to_string().parse::<PhysPortName>(), Ok(name));
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}|[cpfvs0-9]{0,12}") {
            let _ = text.parse::<PhysPortName>();
        }
    }
}
