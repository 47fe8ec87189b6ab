//! PCI functions, SR-IOV and links of a Linux host, and the simulated machine that all mocks share.

pub mod nouns;

pub use nouns::{DriverName, IfIndex, MacAddress, NetdevName, ParseError, PciAddress, PciId, Vf, VfIndex};
