//! What a host is booted with, and how that is changed: kernel arguments, huge pages, modules, nested virtualization,
//! SELinux's policy. And the one thing of its network that outlives a `setup`: the [`bridge`] that guests are managed by.
//!
//! A [`Request`] says what is wanted. [`Host::plan`] looks at the host, below any root, and says in a [`Plan`] what would
//! change: files with their new text, the programs to run, huge pages that can be had at run time, and why a reboot is
//! due. [`Host::apply`] does it, after what is needed to go back is on disk; [`Host::restore`] goes back. Nothing here
//! reboots.
//!
//! | file | its job |
//! |---|---|
//! | `want.rs` | what is wanted of a command line, and the smallest change that brings it there |
//! | `loader.rs` | which boot loader's configuration counts on this host |
//! | `grub/` | GRUB's defaults, edited without touching what is not meant |
//! | `grubby.rs` | what `grubby` of the RHEL family shows and is told |
//! | `memory.rs` | whether there is memory for so many huge pages |
//! | `owned.rs` | the files that are ours alone |
//! | `policy.rs` | the SELinux module |
//! | `plan.rs`, `apply.rs`, `record.rs`, `restore.rs` | planning, doing, what is needed to go back, going back |
//! | `bridge/` | the bridge by which virtual machines are managed, over the host's own NIC |
//! | `tree.rs`, `programs.rs` | the only ones that touch the host |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod apply;
pub mod bridge;
mod error;
mod grub;
mod grubby;
mod loader;
mod memory;
#[cfg(feature = "mock")]
pub mod mock;
mod owned;
mod plan;
mod policy;
mod programs;
mod record;
mod restore;
mod tree;
mod want;

use std::path::PathBuf;
use std::sync::Arc;

use vdpa_hw::platform::Platform;

pub use apply::{Applied, Given};
pub use error::{Error, Result, Said};
pub use plan::{BootChange, FileChange, ModuleChange, NodePages, Pages, Plan, Request};
pub use programs::{Command, Installed, Programs};
pub use restore::Restored;
pub use want::{Count, Want};

/// A host whose boot is prepared.
#[derive(Debug, Clone)]
pub struct Host {
    tree: tree::Tree,
    platform: Platform,
    programs: Arc<dyn Programs>,
}

impl Host {
    /// The host whose files and programs are below `root`: `/` for this one.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self::with(root.clone(), Platform::new(&root), Arc::new(Installed::new(root)))
    }

    /// What it runs on.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// A host whose files are below `root`, with its own kernel and programs.
    pub fn with(root: PathBuf, platform: Platform, programs: Arc<dyn Programs>) -> Self {
        Self { tree: tree::Tree::new(root), platform, programs }
    }
}
