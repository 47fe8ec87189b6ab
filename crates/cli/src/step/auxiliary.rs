//! What a VF's driver makes of it, as statements have it.

use std::fmt;

use serde::{Deserialize, Serialize};
use vdpa_eswitch::Auxiliary;

/// What a VF's driver is to make of it: by what its devlink parameters are set to, or by what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enabled {
    /// A network device (`enable_eth`).
    pub eth: bool,
    /// What vDPA devices are made of (`enable_vnet`).
    pub vnet: bool,
}

impl Enabled {
    /// As the driver has it from its first load on.
    pub const BY_DEFAULT: Self = Self { eth: true, vnet: true };
    /// As the kernel's vDPA wants it: nobody else takes the VF's packets.
    pub const FOR_VDPA: Self = Self { eth: false, vnet: true };
    /// Those that it is about.
    pub const CLASSES: [Auxiliary; 2] = [Auxiliary::Eth, Auxiliary::Vnet];

    /// Whether it has this one.
    pub fn has(self, class: Auxiliary) -> bool {
        match class {
            Auxiliary::Eth => self.eth,
            Auxiliary::Vnet => self.vnet,
            Auxiliary::Rdma => false,
        }
    }

    /// As `has` says of each.
    pub fn by(mut has: impl FnMut(Auxiliary) -> bool) -> Self {
        Self { eth: has(Auxiliary::Eth), vnet: has(Auxiliary::Vnet) }
    }
}

impl fmt::Display for Enabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on| if on { "on" } else { "off" };
        write!(f, "enable_eth {}, enable_vnet {}", word(self.eth), word(self.vnet))
    }
}
