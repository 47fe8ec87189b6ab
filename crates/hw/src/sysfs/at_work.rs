//! What the kernel was asked for and has not returned from.
//!
//! A write to sysfs cannot be called back: it sleeps in the driver until the card answers, and holds the device's
//! lock meanwhile, so that even `sriov_numvfs` cannot be read (`sriov_numvfs_show` in `drivers/pci/pci-sysfs.c`).
//! Whoever waits has a limit; whoever comes later is told at once, and not after a limit of their own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Host, SysfsPci};
use crate::error::{Error, Result};
use crate::nouns::PciAddress;

/// Work that has outlasted its limit, by function.
#[derive(Debug, Default)]
pub(super) struct AtWork(Mutex<BTreeMap<PciAddress, Overdue>>);

#[derive(Debug)]
struct Overdue {
    on: String,
    done: Arc<AtomicBool>,
}

/// Set when the thread that does the work leaves it, however it leaves.
struct Leaves(Arc<AtomicBool>);

impl Drop for Leaves {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl AtWork {
    /// What the kernel is still at work on, if it is.
    fn on(&self, function: PciAddress) -> Option<String> {
        let mut overdue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        overdue.retain(|_, work| !work.done.load(Ordering::Acquire));
        overdue.get(&function).map(|work| work.on.clone())
    }

    fn note(&self, function: PciAddress, on: String, done: Arc<AtomicBool>) {
        let mut overdue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        overdue.insert(function, Overdue { on, done });
    }
}

impl SysfsPci {
    /// Runs `work` on a function where it may block, no longer than `limit`; `on` says what it is.
    pub(super) async fn within<T: Send + 'static>(
        &self,
        function: PciAddress,
        limit: Duration,
        on: impl FnOnce() -> String,
        work: impl FnOnce(&Host) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(on) = self.at_work.on(function) {
            return Err(Error::AtWork { function, on });
        }
        let done = Arc::new(AtomicBool::new(false));
        let leaves = Leaves(Arc::clone(&done));
        let running = self.blocking(move |host| {
            let _leaves = leaves;
            work(host)
        });
        if let Ok(result) = tokio::time::timeout(limit, running).await {
            return result;
        }
        let on = format!("{} takes more than {limit:?}", on());
        self.at_work.note(function, on.clone(), done);
        Err(Error::AtWork { function, on })
    }
}
