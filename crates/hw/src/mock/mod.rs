//! The simulated machine: one host that the mocks of all layers share.
//!
//! [`Machine`] is a handle to [`State`], which holds PCI functions, VFs, driver bindings, network
//! devices, vDPA devices and a clock, and to the rules in [`kernel`] by which they change. A mock asks
//! it with [`Machine::observe`], changes it with [`Machine::operate`] and waits on it with
//! [`Machine::wait`].
//!
//! ```text
//!   operate(verb, object, effect)
//!      │  count ── fuse says "before" ─────────────► refused, nothing changed
//!      ├─ effect: a rule of the kernel ── refuses ─► refused, nothing changed
//!      ├─ changed; what comes late goes on the agenda
//!      └─ fuse says "after" ───────────────────────► refused, and yet changed
//! ```
//!
//! The machine is serializable, so that a simulated host can outlive a command.

mod card;
mod firmware;
mod fuse;
pub mod hosts;
pub mod kernel;
mod links;
mod machine;
mod nv;
mod pci;
mod state;
#[cfg(test)]
mod tests;
mod traffic;

pub use card::{Driverinit, Eswitch, EswitchMode, Inline, Profile, SimParam, SimPf, SimVf, VfSettings};
pub use fuse::{Fuse, Lasting, When};
pub use machine::{Machine, Watcher};
pub use nv::{SimNv, SimSetting};
pub use state::{Coming, DpdkProcess, Netdev, NetdevRole, SimBond, SimFunction, SimRole, State, VdpaDevice};
pub use traffic::{CpuHits, Forwarder, Packets, SimFlow};
