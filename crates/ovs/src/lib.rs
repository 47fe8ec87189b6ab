//! Open vSwitch over OVSDB: bridges, ports and hardware offload, applied and not only committed.
mod error;
mod names;
pub mod ovsdb;
pub use self::{error::{Error, InterfaceFailure}, names::{BridgeName, PortKey, PortName}};
