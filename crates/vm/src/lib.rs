//! Wiring of a vDPA datapath into a libvirt domain, lossless for the rest of its XML.
//!
//! - The nouns: [`DomainName`], and [`Interface`]: what a domain gets for one VF. An interface of ours is
//!   found again by its user [`Alias`] (`ua-vdpa-0000-43-00-0-vf0`), never by position.
//! - [`xml`]: pure functions over a domain's XML. [`xml::attach`], [`xml::detach`] and [`xml::find`]
//!   change and read what is ours; every other byte stays as it was.
//! - [`Domains`]: the domains of one libvirt, by [`Virsh`] or, with the feature `mock`, in memory.
//! - [`observe`] and [`enforce`]: the statement "this VF has this interface in this domain".
//! - [`Placement`]: how a domain is to take an interface: in which libvirt's words, where in the guest, on which
//!   CPUs and pages.
//! - [`check`]: what would not work, or would work badly, before anything is touched, each a [`Finding`].
//! - [`Surroundings`]: whether the host has what the domain needs of it, by facts that are given; [`Endpoint`] and
//!   [`User`] read some of them, [`propose`] chooses CPUs near the card.
//! - [`Profile`]: what a domain asks of its host: memory, huge pages, NUMA nodes, vCPUs.
//! - [`Blueprint`]: a new domain, and [`seed()`]: a disk with what its first start looks for.
//! - [`holders`]: which domains use a PCI function, a socket or a character device.
//!
//! ```
//! use vdpa_vm::{Interface, Role, Source, xml};
//!
//! let domain = "<domain type='kvm'>
//!   <name>cx6.1</name>
//!   <memory unit='GiB'>8</memory>
//!   <vcpu>2</vcpu>
//!   <devices>
//!     <emulator>/usr/libexec/qemu-kvm</emulator>
//!   </devices>
//! </domain>
//! ";
//! let vf: vdpa_hw::Vf = "0000:43:00.0/vf0".parse()?;
//! let socket = "/run/vdpa/0000:43:00.0-vf0.sock".into();
//! let wanted = Interface::new(
//!     "e4:11:22:33:55:60".parse()?,
//!     Source::VhostUser { socket, role: Role::Client { reconnect: Some(1) } },
//! );
//!
//! let wired = xml::attach(domain, vf, &wanted)?;
//! assert!(wired.contains("<alias name='ua-vdpa-0000-43-00-0-vf0'/>"));
//! assert!(wired.contains("<access mode='shared'/>"), "vhost-user needs the guest's memory shared");
//! assert_eq!(xml::find(&wired, vf)?, Some(wanted));
//! assert_eq!(xml::detach(&wired, vf)?, domain);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is absent: nothing stops or plugs into a running domain; an edit is to the definition
//! and [`Effect`] says from when it counts. No C library is linked.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blueprint;
mod check;
#[cfg(feature = "mock")]
pub mod contract;
mod disk;
mod domains;
mod endpoint;
mod error;
mod finding;
mod holders;
mod memlock;
#[cfg(feature = "mock")]
pub mod mock;
mod nouns;
mod pinning;
mod placement;
mod profile;
mod seed;
mod surroundings;
mod user;
mod virsh;
mod wiring;
pub mod xml;

pub use blueprint::{Blueprint, Network};
pub use check::check;
pub use disk::Disk;
pub use domains::{Domains, Status, Versions, View};
pub use endpoint::{Endpoint, Kind, Place};
pub use error::{Error, Result};
pub use finding::{Finding, Severity};
pub use holders::{Holder, Resource, holders};
pub use memlock::locked_kib;
pub use nouns::{Alias, DomainName, Interface, Role, Source, Version};
pub use pinning::propose;
pub use placement::{Pin, Placement};
pub use profile::{Pages, Profile};
pub use seed::seed;
pub use surroundings::Surroundings;
pub use user::User;
pub use virsh::Virsh;
pub use wiring::{Effect, enforce, enforce_as, observe, with_mac};
