//! The real [`Pci`]: files below `/sys`, `/proc` and nothing else.
//!
//! | file | its job |
//! |---|---|
//! | `tree.rs` | reads a function, by links and small attributes |
//! | `links.rs` | reads links |
//! | `attribute.rs` | the one place that writes |
//! | `at_work.rs` | gives up on what the kernel does not return from |
//! | `sriov.rs` | switches VFs on and off and waits for them |
//! | `bind.rs` | binds and unbinds drivers |
//! | `holders.rs` | finds who has a function open |
//!
//! Every access runs on a thread of tokio's blocking pool, reads too: `sriov_numvfs` cannot be read
//! while it is being written (both take the device's lock), a bind lasts as long as the driver's probe
//! (a second and more for a VF of a `ConnectX` card), and many functions are bound side by side.
//!
//! # Why not the `sysfs-class` crate
//! Its types know neither SR-IOV nor `driver_override`, IOMMU group or NUMA node, and fix the root at
//! `/sys`. Its `SysClass` trait could carry types of our own, but asks for an `unsafe fn` where nothing
//! is unsafe (this workspace denies `unsafe_code`), lists devices below a root that is fixed in a static
//! method, and returns paths made canonical, which a tree of test fixtures must not be. What would be
//! left of it is `fs::read_to_string`.

mod at_work;
mod attribute;
mod bind;
#[cfg(test)]
mod fixture;
mod holders;
mod links;
mod sriov;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::at_work::AtWork;
use self::attribute::{Attributes, Sysfs};
use self::tree::Tree;
use crate::error::{Error, Result};
use crate::nouns::{DriverName, PciAddress};
use crate::pci::{Function, Holder, Pci};

/// How long a look at a function may take: it waits behind whoever changes the function.
const LOOK_LIMIT: Duration = Duration::from_mins(1);

/// How long a probe may take: up to some seconds, and 128 side by side share the machine.
const PROBE_LIMIT: Duration = Duration::from_mins(3);

/// The PCI bus of the host that this process runs on.
///
/// Clones share the path, and the knowledge of what the kernel does not return from.
#[derive(Debug, Clone)]
pub struct SysfsPci {
    host: Arc<Host>,
    at_work: Arc<AtWork>,
}

/// What the blocking halves of the operations work on.
#[derive(Debug)]
struct Host {
    tree: Tree,
    attributes: Box<dyn Attributes>,
}

impl SysfsPci {
    /// The bus whose files are below `root`: `/` for this host, `/host` in a container that sees it there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_attributes(root, Box::new(Sysfs))
    }

    fn with_attributes(root: impl Into<PathBuf>, attributes: Box<dyn Attributes>) -> Self {
        let host = Arc::new(Host { tree: Tree::new(root.into()), attributes });
        Self { host, at_work: Arc::default() }
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let host = Arc::clone(&self.host);
        match tokio::task::spawn_blocking(move || work(&host)).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => {
                    Err(Error::Io { intent: "use sysfs".to_owned(), source: std::io::Error::other(error) })
                }
            },
        }
    }
}

impl Default for SysfsPci {
    fn default() -> Self {
        Self::new("/")
    }
}

#[async_trait]
impl Pci for SysfsPci {
    async fn functions(&self) -> Result<Vec<Function>> {
        self.blocking(|host| host.tree.functions()).await
    }

    async fn function(&self, address: PciAddress) -> Result<Function> {
        self.within(
            address,
            LOOK_LIMIT,
            || "a look at it".to_owned(),
            move |host| host.tree.function(address),
        )
        .await
    }

    async fn drivers(&self, functions: &[PciAddress]) -> Result<Vec<Option<DriverName>>> {
        let functions = functions.to_vec();
        self.blocking(move |host| host.tree.drivers(&functions)).await
    }

    async fn set_autoprobe(&self, pf: PciAddress, on: bool) -> Result<()> {
        self.within(pf, LOOK_LIMIT, || "autoprobe".to_owned(), move |host| host.set_autoprobe(pf, on)).await
    }

    async fn set_vf_count(&self, pf: PciAddress, count: u16, limit: Duration) -> Result<()> {
        self.switch_vfs(pf, count, limit).await
    }

    async fn set_driver(&self, function: PciAddress, driver: Option<&DriverName>) -> Result<()> {
        let driver = driver.cloned();
        let on = driver.as_ref().map_or("its unbind".to_owned(), |driver| format!("its bind to {driver}"));
        self.within(function, PROBE_LIMIT, || on, move |host| host.set_driver(function, driver.as_ref()))
            .await
    }

    async fn holders(&self, function: PciAddress) -> Result<Vec<Holder>> {
        self.blocking(move |host| {
            host.tree.must_exist(function)?;
            holders::of(&host.tree, &[function])
        })
        .await
    }
}
