//! The settings that a card's firmware keeps over power cycles: `NUM_OF_VFS`, `SRIOV_EN`, `UCTX_EN`.
//!
//! A setting has three values: the one it was made with (default), the one in force (current), and the one that counts
//! from the next reset or boot on (next). Whoever sets it changes the last, and nothing else changes until then:
//!
//! ```text
//!             set, reset                      firmware reset, reboot or power cycle
//!   default ─────────────► next ────────────────────────────────────────────────────► current
//! ```
//!
//! [`Firmware`] is what can be asked. [`Tools`] asks `mstconfig` or `mlxconfig`; [`Layered`] puts the kernel, where it
//! has a parameter for a setting, before them. [`read`] takes apart what the tools print, whichever of them and of
//! whichever version, in text or JSON; nothing else here knows how they print.
//!
//! A dual-port card keeps one set of settings. What differs by port has a name for each (`LINK_TYPE_P1`,
//! `LINK_TYPE_P2`); `NUM_OF_VFS` is one number, which each of the ports gets.
//!
//! What is absent: nothing here resets or reboots anything. What is needed is said ([`Activation`]), for whoever may
//! decide on it.

mod activation;
mod card;
mod complaint;
mod json;
mod layered;
#[cfg(test)]
mod layouts;
mod print;
mod read;
mod setting;
mod text;
mod tools;
mod value;

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::nouns::PciAddress;

pub use activation::{Activation, Need, ResetLevel, reset_levels};
pub use card::{functions_of_card, vfs_with_headroom};
pub use complaint::{Complaint, Objection};
pub use layered::Layered;
pub use read::{NotRead, Unreadable, read};
pub use setting::{Card, Keeper, Setting, SettingName, Settings};
pub use tools::{Limits, Tools};
pub use value::Value;

/// How many VFs each port of the card can have.
pub const NUM_OF_VFS: &str = "NUM_OF_VFS";
/// Whether each PF has a number of VFs of its own (`PF_NUM_OF_VF`): then [`NUM_OF_VFS`] does not count.
pub const PF_NUM_OF_VF_VALID: &str = "PF_NUM_OF_VF_VALID";
/// Whether the card has VFs at all.
pub const SRIOV_EN: &str = "SRIOV_EN";
/// Whose a `BlueField`'s eswitch is: that of the card's own CPUs (`EMBEDDED_CPU(1)`), or of each its own
/// (`SEPARATED_HOST(0)`). No other card has it.
pub const INTERNAL_CPU_MODEL: &str = "INTERNAL_CPU_MODEL";
/// Whether a `BlueField`'s own CPUs have a part in its traffic (`ENABLED(0)`, `DISABLED(1)`): without one, the eswitch is
/// the host's whatever [`INTERNAL_CPU_MODEL`] says.
pub const INTERNAL_CPU_OFFLOAD_ENGINE: &str = "INTERNAL_CPU_OFFLOAD_ENGINE";
/// Whether programs may make firmware objects (`DevX`), which DPDK's vDPA driver does.
pub const UCTX_EN: &str = "UCTX_EN";

/// What a card's firmware keeps.
///
/// Any PF of a card stands for all of it. Everything needs root: the tools open the card's configuration space.
#[async_trait]
pub trait Firmware: Send + Sync {
    /// The card's settings: those of `names` that it has, or all of them where there are no names.
    async fn settings(&self, pf: PciAddress, names: &[SettingName]) -> Result<Settings>;

    /// Sets what counts from the next boot on, and reads it back.
    ///
    /// A name that the card does not have is an error ([`NoSetting`](crate::Error::NoSetting)), before anything is set.
    async fn set(&self, pf: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need>;

    /// Gives settings their defaults, from the next boot on; all of them where there are no names.
    async fn reset(&self, pf: PciAddress, names: &[SettingName]) -> Result<Need>;

    /// What it takes for the next values to become the current ones.
    async fn activation(&self, pf: PciAddress) -> Result<Activation>;
}
