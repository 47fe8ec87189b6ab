//! PCI functions, SR-IOV and links of a Linux host, and the simulated machine that all mocks share.

#[cfg(feature = "mock")]
pub mod contract;
mod error;
mod link;
#[cfg(feature = "mock")]
pub mod mock;
pub mod nouns;
mod pci;
mod rtnl;
mod sysfs;

pub use error::{Error, Refusal, Result};
pub use link::{Link, Links, ManagementUse, VfAttributes, VfChange};
pub use nouns::{DriverName, IfIndex, MacAddress, NetdevName, ParseError, PciAddress, PciId, Vf, VfIndex};
pub use pci::{Function, Holder, Pci, Role, SrIov};
pub use rtnl::RtnlLinks;
pub use sysfs::SysfsPci;
