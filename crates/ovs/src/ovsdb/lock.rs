//! Locks: names of which one client at a time is the owner (RFC 7047, sections 4.1.8 to 4.1.10).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::watch;

use super::{
    client::Client,
    core::Attachment,
    rpc::{Rpc, Sink, Topic},
};
use crate::Error;

/// A lock that this client owns or waits for; dropping it gives it up.
///
/// It belongs to the connection: with that it is lost, and asked for again on the next. What must not happen
/// without the lock says so in its transaction, by an [`Assert`](super::Operation::Assert).
pub struct Lock {
    core: Arc<LockCore>,
    client: Client,
}

pub(super) struct LockCore {
    name: String,
    /// Whether it is still to be taken from whoever owns it. Only once: what another steals stays stolen.
    steal: AtomicBool,
    limit: Duration,
    owned: watch::Sender<bool>,
}

#[derive(Deserialize)]
struct Reply {
    locked: bool,
}

impl Lock {
    pub(super) fn new(core: Arc<LockCore>, client: Client) -> Self {
        Self { core, client }
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Whether this client owns it, as far as it has been told.
    pub fn is_owned(&self) -> bool {
        *self.core.owned.borrow()
    }

    /// Waits until this client owns it.
    pub async fn owned(&self) {
        self.becomes(true).await;
    }

    /// Waits until this client does not own it: another stole it, or the connection was lost.
    pub async fn lost(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, owned: bool) {
        // The sender is in what is held here, so it cannot go away.
        let _ = self.core.owned.subscribe().wait_for(|now| *now == owned).await;
    }
}

impl LockCore {
    pub(super) fn new(name: &str, steal: bool, limit: Duration) -> Self {
        Self { name: name.to_owned(), steal: steal.into(), limit, owned: watch::Sender::new(false) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.client.detach(&*self.core);
        if let Some(rpc) = self.client.current() {
            // Nobody waits for the answer, and a connection that is lost owns no lock.
            let _ = rpc.send("unlock", &[&self.core.name]);
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("name", &self.core.name)
            .field("owned", &self.is_owned())
            .finish_non_exhaustive()
    }
}

impl Sink for LockCore {
    fn notify(&self, method: &str, _: &[u8]) -> Result<(), String> {
        self.owned.send_replace(method == "locked");
        Ok(())
    }

    fn ended(&self, _: &str) {
        self.owned.send_replace(false);
    }
}

#[async_trait]
impl Attachment for LockCore {
    async fn attach(self: Arc<Self>, rpc: &Rpc) -> Result<(), Error> {
        rpc.subscribe(self.topic(), self.clone());
        let core = self.clone();
        let then = move |reply: bytes::Bytes| {
            let Reply { locked } = serde_json::from_slice(&reply).map_err(|error| error.to_string())?;
            core.owned.send_replace(locked);
            Ok(())
        };
        let method = if self.steal.swap(false, Ordering::Relaxed) { "steal" } else { "lock" };
        rpc.call_then(method, &[&self.name], self.limit, then).await
    }

    fn topic(&self) -> Topic {
        Topic::Lock(self.name.clone())
    }
}
