//! Open vSwitch over OVSDB: bridges, ports and hardware offload, applied and not only committed.
//!
//! ```no_run
//! use vdpa_ovs::{Change, Ovsdb, Vswitch};
//!
//! # async fn run() -> Result<(), vdpa_ovs::Error> {
//! let switch = Ovsdb::new(vdpa_ovs::DEFAULT_SOCKET);
//! let bridge = "ovs-sriov".parse()?;
//! let before = switch.observe(&bridge).await?;
//!
//! let ports = [
//!     ("0000:43:00.0/uplink".parse()?, "enp67s0f0np0".parse()?),
//!     ("0000:43:00.0/vf0".parse()?, "eth4".parse()?),
//! ];
//! let change = Change::to(bridge.clone()).present().exactly(ports).hw_offload("true");
//! assert!(switch.apply(&change).await?.changed);
//! assert!(!switch.apply(&change).await?.changed); // already so: not one write is sent
//!
//! switch.apply(&Change::restoring(bridge, &before)).await?; // as it was
//! # Ok(()) }
//! ```
//!
//! # What can be relied on
//!
//! - **One transaction.** A [`Change`] is written at once or not at all, however many ports it has, and only if
//!   nobody changed the rows it rests on since they were read.
//! - **Applied.** [`Vswitch::apply`] comes back when ovs-vswitchd has taken the change up and every port asked
//!   for works. A daemon that does not take it up is [`Error::NotApplied`]; a port that it cannot open is
//!   [`Error::InterfaceFailed`] with the daemon's text.
//! - **Ownership.** Bridges and ports that we make carry a tag ([`OWNER_TAG`]) and ports a key of the caller's
//!   ([`PORT_TAG`], [`PortKey`]) in `external_ids`. Nothing without the tag is changed or deleted, save that a
//!   foreign bridge gains and loses our ports, and that `hw-offload` and other keys of `other_config` are the whole
//!   switch's: what each read before we set it is kept beside it ([`HW_OFFLOAD_TAG`]).
//! - **Restoring.** [`Change::restoring`] an [`Observation`] brings back the bridge's existence, our ports and
//!   the `hw-offload` key to the letter. Absent is not `false`.
//!
//! # What is absent
//!
//! No process is started and no file is read or written (the feature `testing` aside): restarting the service
//! is the caller's business, and so is looking at the card to see whether offload is in force. A port of ours
//! keeps what others set in its rows (a policer) when its netdev changes and when it is restored; a bridge of
//! ours that is deleted and restored does not.
//!
//! # Modules and features
//!
//! [`ovsdb`] is the protocol, usable for any OVSDB database. [`Unixctl`] is what `ovs-appctl` speaks, and [`flow`]
//! reads what it prints of datapath flows. The crate
//! depends on nothing of its workspace. `mock`: an in-memory switch and the contract that it and the real one
//! keep; `testing`: private daemons for tests.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod change;
#[cfg(feature = "mock")]
pub mod contract;
mod datapath;
mod error;
pub mod flow;
#[cfg(feature = "mock")]
pub mod mock;
mod names;
pub mod ovsdb;
mod owned;
mod server;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod unixctl;
mod vlan;
mod vswitch;

pub use self::{
    change::{Change, Ports, Presence, Setting},
    datapath::{DEFAULT_LOG, Datapath, DatapathPort, Vswitchd},
    error::{Error, InterfaceFailure},
    names::{BridgeName, PortKey, PortName},
    owned::{HW_OFFLOAD_BEFORE_TAG, HW_OFFLOAD_TAG},
    server::{DEFAULT_SOCKET, Limits, OWNER, OWNER_TAG, Ovsdb, PORT_TAG},
    state::{BridgeState, Elsewhere, Observation, Owner, PortState, Settings, Versions},
    unixctl::{DEFAULT_RUNDIR, Unixctl},
    vlan::VlanId,
    vswitch::{Applied, Vswitch},
};
