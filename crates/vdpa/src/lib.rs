//! vDPA datapaths: what stands between a VF and the virtio device that a guest sees.
//!
//! There are two, one trait each:
//!
//! - [`DpdkVdpa`]: a dpdk-vdpa process for each VF, supervised, with a vhost-user socket that QEMU
//!   connects to ([`dpdk`]);
//! - [`KernelVdpa`]: a vDPA device that the kernel makes on the VF, opened by QEMU as /dev/vhost-vdpa-N
//!   ([`kernel`]).
//!
//! Each has one implementation that touches the host ([`DpdkHost`], [`Linux`]), a simulated one and a
//! contract suite that both are held to (feature `mock`).
//!
//! Both leave alone what is not theirs: a process is ours if its directory says so, a kernel device if
//! its name does ([`DeviceName::is_ours`]).
//!
//! ```no_run
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use vdpa_datapath::kernel::{BusDriver, NewDevice};
//! use vdpa_datapath::{DeviceName, KernelVdpa, Linux};
//! use vdpa_hw::{PciAddress, Vf};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let vf: Vf = "0000:43:00.0/vf0".parse()?;
//! let function: PciAddress = "0000:43:00.2".parse()?; // where that VF sits now
//!
//! let kernel = Linux::new(Path::new("/sys"), Path::new("/dev"));
//! let mgmtdev = kernel.mgmtdev_of(function).await?;
//! let mut device = NewDevice::new(DeviceName::of_vf(vf), mgmtdev.name);
//! device.mac = Some("e4:11:22:33:55:60".parse()?);
//! kernel.add(&device).await?;
//! kernel.bind(&device.name, Some(BusDriver::VhostVdpa)).await?;
//! let node = kernel.char_device(&device.name, Duration::from_secs(10)).await?;
//! println!("{vf} is {}", node.display());
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "mock")]
pub mod contract;
pub mod dpdk;
mod error;
pub mod kernel;
#[cfg(feature = "mock")]
mod mock;

pub use dpdk::{DpdkHost, DpdkVdpa};
pub use error::{Error, Result};
pub use kernel::{DeviceName, KernelVdpa, Linux, MgmtDevName};
