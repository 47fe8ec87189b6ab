//! The trait: the domains of one libvirt.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{DomainName, Result};

/// The domains of one libvirt.
///
/// ```text
///            define                       (start)
///   absent ─────────► defined, shut off ◄─────────► defined, running ──► with a saved state
///                          ▲  │ define                  ▲  │ define          (managedsave)
///                          └──┘ counts at once          └──┘ counts at the next start
/// ```
///
/// Stopping is the user's, and so is starting, save for a domain that was made a moment ago.
#[async_trait]
pub trait Domains: Send + Sync {
    /// The names of all domains, running or not, sorted.
    async fn list(&self) -> Result<Vec<DomainName>>;

    /// How a domain stands.
    async fn status(&self, domain: &DomainName) -> Result<Status>;

    /// A domain's XML, with its secrets (a VNC password), so that it can be defined again without loss.
    async fn xml(&self, domain: &DomainName, view: View) -> Result<String>;

    /// Defines the domain that `xml` describes, or puts `xml` in place of its definition.
    ///
    /// libvirt knows it by its `<uuid>`; it refuses a name that another UUID has and a UUID that
    /// another name has. A running domain goes on as it is.
    async fn define(&self, xml: &str) -> Result<()>;

    /// Starts a domain as it is defined.
    ///
    /// A start that has not come to its end after `limit` is ended, and the domain is shut off then: QEMU waits without
    /// end for somebody at a socket where it listens, or connects again.
    ///
    /// # Errors
    /// [`Error::StartHangs`](crate::Error::StartHangs) after `limit`.
    async fn start(&self, domain: &DomainName, limit: Duration) -> Result<()>;

    /// What runs: libvirt's daemon, and the hypervisor it would start.
    async fn versions(&self) -> Result<Versions>;
}

/// What runs, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// libvirt's daemon, `9.0.0`.
    pub libvirt: String,
    /// The hypervisor, by name and version, `QEMU 7.2.22`.
    pub hypervisor: String,
}

/// Which of a domain's descriptions is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The definition: what the domain is started from next.
    Definition,
    /// What runs now; the definition where nothing runs.
    Current,
}

/// How a domain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether a guest is there, running or paused.
    pub active: bool,
    /// Whether it has a definition that outlives it.
    pub persistent: bool,
    /// Whether a saved state waits to be resumed at the next start, with the interfaces it was saved with.
    pub managed_save: bool,
}
