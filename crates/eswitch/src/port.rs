//! The ports of a switch as devlink shows them.
//!
//! Source: `devlink_nl_port_fill` in `net/devlink/port.c`, devlink-port(8).

use serde::{Deserialize, Serialize};
use vdpa_hw::{IfIndex, MacAddress, NetdevName, VfIndex};

use crate::mode::words;
use std::fmt;
use std::str::FromStr;
use vdpa_hw::ParseError;

/// A port of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its number below its devlink instance.
    pub index: u32,
    /// What it leads to; `None` where the kernel knows a kind that we do not.
    pub flavour: Option<Flavour>,
    /// The number on the card's bracket, of a physical port.
    pub number: Option<u32>,
    /// The PF it belongs to, by number.
    pub pf: Option<u16>,
    /// The VF it leads to.
    pub vf: Option<VfIndex>,
    /// The controller its function sits on: 0 is this host's own.
    pub controller: Option<u32>,
    /// Whether its function belongs to another host (a DPU's).
    pub external: bool,
    /// Its network device, once it is registered: for a VF's port, the representor.
    pub netdev: Option<(IfIndex, NetdevName)>,
    /// The function behind it, if its driver says something of it.
    pub function: Option<PortFunction>,
}

impl Port {
    /// The VF of this host that it leads to.
    pub fn local_vf(&self) -> Option<VfIndex> {
        let local =
            self.flavour == Some(Flavour::PciVf) && !self.external && self.controller.unwrap_or(0) == 0;
        self.vf.filter(|_| local)
    }
}

/// The function that a port leads to (`devlink port function`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFunction {
    /// Its MAC address; zero where nobody has set one.
    pub hw_addr: Option<MacAddress>,
    /// Whether it is active; only subfunctions have this.
    pub state: Option<FunctionState>,
}

words! {
    /// What a port leads to.
    Flavour: u16, "a devlink port flavour" {
        /// The cable.
        Physical = 0 "physical",
        /// The switch's own CPU.
        Cpu = 1 "cpu",
        /// Another switch of the same fabric.
        Dsa = 2 "dsa",
        /// A physical function.
        PciPf = 3 "pcipf",
        /// A virtual function: the port's netdev is its representor.
        PciVf = 4 "pcivf",
        /// A function seen from itself.
        Virtual = 5 "virtual",
        /// A port that cannot be used.
        Unused = 6 "unused",
        /// A subfunction.
        PciSf = 7 "pcisf",
    }
}

words! {
    /// Whether the function behind a port is active.
    FunctionState: u8, "a port function state" {
        /// It is not yet, and may be configured.
        Inactive = 0 "inactive",
        /// It is.
        Active = 1 "active",
    }
}
