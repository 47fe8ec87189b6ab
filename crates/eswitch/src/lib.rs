//! The embedded switch of a SmartNIC: its mode, its representors, and whether they hand tc rules to
//! the hardware.
//!
//! [`Eswitch`] is what can be asked of a host's switches; [`Kernel`] asks the real ones, by devlink
//! and ethtool over generic netlink. With the feature `mock` the simulated machine
//! (`vdpa_hw::mock::Machine`) is an [`Eswitch`] too, and the module `contract` holds what is true
//! of both.
//!
//! ```no_run
//! use std::time::Duration;
//! use vdpa_eswitch::{DevlinkHandle, Eswitch, Kernel, Mode, patience};
//! use vdpa_hw::{PciAddress, VfIndex};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let kernel = Kernel::new();
//! let card = DevlinkHandle::from("0000:43:00.0".parse::<PciAddress>()?);
//! let vfs: Vec<_> = VfIndex::first(2).collect();
//!
//! kernel.set_mode(&card, Mode::Switchdev, patience(vfs.len())).await?;
//! let ports = kernel.await_representors(&card, &vfs, patience(vfs.len())).await?;
//! for (vf, representor) in &ports.vfs {
//!     kernel.set_tc_offload(representor.index, true).await?;
//!     println!("vf {vf}: {}", representor.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How a switch changes
//!
//! ```text
//!             set_mode(switchdev): VFs unbound, no offloaded rules
//!   ┌────────┐ ─────────────────────────────────────────────────► ┌───────────┐
//!   │ legacy │   the PF's netdev becomes the uplink (link down),  │ switchdev │
//!   │        │   one representor a VF appears, one by one         │           │
//!   └────────┘ ◄───────────────────────────────────────────────── └───────────┘
//!             set_mode(legacy): the representors go
//! ```
//!
//! # Parameters and reloads
//!
//! What is set of a parameter of [`ParamMode::Driverinit`] holds from the device's next [reload](Eswitch::reload) on. By
//! such parameters mlx5 makes a network device of a VF, and what vDPA is made of: [`Auxiliary`].
//!
//! A representor is known by its VF, never by its name: udev renames it after it has appeared.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod auxiliary;
mod devlink;
mod error;
mod eswitch;
mod ethtool;
mod firmware;
mod handle;
mod info;
mod kernel;
mod lag;
mod mode;
mod param;
mod port;
mod profile;
mod rate;
mod reload;
mod representor;
mod steering;
mod uapi;

#[cfg(feature = "mock")]
pub mod contract;
#[cfg(feature = "mock")]
mod mock;

pub use auxiliary::{Auxiliaries, Auxiliary};
pub use error::{Error, Result, Sighting};
pub use eswitch::{Eswitch, patience};
pub use firmware::DevlinkFirmware;
pub use handle::DevlinkHandle;
pub use info::{Info, Versions};
pub use kernel::Kernel;
pub use lag::LagState;
pub use mode::{EncapMode, InlineMode, Mode, State};
pub use param::{Param, ParamMode, ParamValue};
pub use port::{Flavour, FunctionState, Port, PortFunction};
pub use profile::{Profile, VfAttribute};
pub use rate::{PortRate, Rate};
pub use reload::{Reload, ReloadAction};
pub use representor::{PhysPortName, Representor, Representors};
pub use steering::SteeringMode;
