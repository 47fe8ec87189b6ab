//! PCI functions, SR-IOV and links of a Linux host, and the simulated machine that all mocks share.
//!
//! Two traits say what can be asked of a host: [`Pci`] (functions, VFs, drivers) and [`Links`] (network
//! devices, what a PF keeps for its VFs, who uses them). Each has one real implementation, which alone
//! touches the host ([`SysfsPci`], [`RtnlLinks`]), and one on the simulated machine (the module `mock`, feature
//! `mock`). The module `contract` holds what both must do. What the host runs on (command line, huge pages, modules,
//! IOMMU) is read by [`platform`].
//!
//! ```no_run
//! use std::time::Duration;
//! use vdpa_hw::{Links, Pci, RtnlLinks, SysfsPci, VfChange, VfIndex};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (pci, links) = (SysfsPci::default(), RtnlLinks::default());
//! let pf = "0000:43:00.0".parse()?;
//! let limit = Duration::from_secs(30);
//!
//! // Two VFs that no driver takes by itself.
//! pci.set_autoprobe(pf, false).await?;
//! pci.set_vf_count(pf, 2, limit).await?;
//!
//! // VF 0 gets a MAC, which it takes when a driver is bound to it.
//! let uplink = links.netdev_of(pf, limit).await?;
//! let change = VfChange { mac: Some("e4:11:22:33:55:60".parse()?), ..VfChange::default() };
//! links.set_vf_attributes(uplink.index, VfIndex::new(0), change).await?;
//! let function = pci.function(pf).await?;
//! let vf = function.sriov().and_then(|sriov| sriov.vf(VfIndex::new(0))).ok_or("no VF 0")?;
//! pci.set_driver(vf, Some(&"mlx5_core".parse()?)).await?;
//! println!("VF 0 is {}", links.netdev_of(vf, limit).await?.name);
//! # Ok(())
//! # }
//! ```
//!
//! What is absent: no function here knows of switch modes, OVS or vDPA; none runs a program; none retries what
//! the kernel has refused. Waiting is on the kernel's and udev's own announcements, with a limit that the
//! caller gives, and a [`Timeout`](Error::Timeout) says what was there when it was over.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bond;
#[cfg(feature = "mock")]
pub mod contract;
mod counters;
mod error;
pub mod firmware;
mod link;
#[cfg(feature = "mock")]
pub mod mock;
pub mod nouns;
mod pci;
pub mod platform;
mod rtnl;
mod sysfs;

pub use bond::{BOND_ALIAS, Bond, BondMode};
pub use counters::LinkCounters;
pub use error::{Error, Refusal, Result};
pub use link::{Link, Links, ManagementUse, VfAttributes, VfChange};
pub use nouns::{DriverName, IfIndex, MacAddress, NetdevName, ParseError, PciAddress, PciId, Vf, VfIndex};
pub use pci::{Function, Holder, Pci, Role, SrIov};
pub use rtnl::RtnlLinks;
pub use sysfs::SysfsPci;
