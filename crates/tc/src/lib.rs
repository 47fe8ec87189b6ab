//! tc filters as the kernel has them, and what of them a card has taken into its hardware.
//!
//! [`Tc`] is what can be asked of a host; [`Kernel`] asks the real one, by rtnetlink. A [`Filter`] holds the keys of a
//! flower rule with their masks ([`Match`]), its flags (`in_hw`, `not_in_hw`, `skip_sw`, `skip_hw`), and its
//! [`Action`]s with their counters: what the hardware counted, what the kernel did, and a cookie, in which Open vSwitch
//! writes the UFID of its flow ([`Cookie::ufid`]). With the feature `mock` the simulated machine is a [`Tc`] too, and
//! the module `contract` holds what is true of both.
//!
//! ```no_run
//! use vdpa_tc::{Direction, Kernel, Tc};
//! # async fn example() -> Result<(), vdpa_tc::Error> {
//! for hook in Kernel.hooks().await? {
//!     for filter in Kernel.filters(hook.link, Direction::Ingress).await? {
//!         let counters = filter.counters();
//!         println!("{filter}\n{} packets in hardware, {} in software", counters.hardware.packets, counters.software.packets);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What tc(8) printed on another machine is read into the same type by [`saved`].
//!
//! # What is absent
//!
//! Nothing is written: the filters of a host belong to whoever put them there, Open vSwitch for the most part. A key,
//! an action or an option that is not known here is shown by its number and never dropped in silence.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod action;
mod counters;
mod error;
mod filter;
mod flower;
mod hook;
mod kernel;
mod key;
mod question;
pub mod saved;
mod show;
mod tc;

#[cfg(feature = "mock")]
pub mod contract;
#[cfg(feature = "mock")]
mod mock;

pub use action::{Action, ActionKind, Control, Cookie};
pub use counters::{Counters, HwStats, Split, Stats};
pub use error::{Error, Result};
pub use filter::{Classifier, Filter, Place};
pub use flower::{Flags, Flower, Unread};
pub use hook::{Chain, Direction, Hook, QdiscKind};
pub use kernel::Kernel;
pub use key::{Key, Match};
pub use show::Shown;
pub use tc::{SlowPath, Tc};
