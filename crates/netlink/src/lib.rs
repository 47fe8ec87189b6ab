//! What two or three layers need of netlink and no crate has: attributes written and read without
//! trust in their bytes ([`Tlvs`], [`Attributes`]), the kernel's own words when it refuses
//! ([`Refusal`]), and clients for generic-netlink families ([`Family`]) and for single requests of rtnetlink
//! ([`RouteMessage`]); besides, what the kernel announces of devices ([`Uevents`]).
//!
//! Nothing here knows devlink, vDPA or ethtool: a layer keeps the numbers of its family at home and
//! gives them to this crate.
//!
//! ```no_run
//! use vdpa_netlink::{Family, Request, Tlvs};
//!
//! # async fn example() -> Result<(), vdpa_netlink::Error> {
//! let devlink = Family::new("devlink");
//! let request = Request::new(29, "read the eswitch mode of pci/0000:43:00.0")
//!     .with(Tlvs::new().string(1, "pci").string(2, "0000:43:00.0"));
//! for message in devlink.request(request).await? {
//!     for attribute in message.attributes() {
//!         println!("{attribute:?}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How a request travels
//!
//! The kernel serves a netlink request inside the sender's `sendmsg`: switching an eswitch with 127
//! VFs keeps that thread in the kernel for more than a minute, non-blocking socket or not. Each
//! request therefore has a thread and a socket to itself. The caller's runtime never stalls, a time
//! limit is a time limit, answers need no demultiplexing, and a request that was given up on cannot
//! leave its answer to the next one.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod attributes;
mod conversation;
mod error;
mod family;
mod links;
mod notifications;
mod refusal;
mod route;
mod socket;
mod threads;
mod tlvs;
mod uevents;
mod wire;

pub use attributes::{Attribute, Attributes, AttributesIter, Malformed};
pub use conversation::DEFAULT_LIMIT;
pub use error::Error;
pub use family::{Family, FamilyInfo, Message, Request};
pub use links::LinkEvents;
pub use notifications::Notifications;
pub use refusal::{Culprit, Errno, Refusal};
pub use route::RouteMessage;
pub use socket::want_extended_acks;
pub use tlvs::Tlvs;
pub use uevents::Uevents;
