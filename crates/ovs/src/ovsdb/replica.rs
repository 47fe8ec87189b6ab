//! A part of a database in memory, kept as it is on the server.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, RwLockReadGuard},
    time::Duration,
};

use serde_json::json;

use super::{
    client::Client,
    core::{Core, Freshness},
    declare::Database,
    diff::Feed,
    op::{Condition, Name},
    uuid::Uuid,
};
use crate::Error;

/// A database in memory; dropping it ends the monitor.
///
/// What one reads is always what some transaction left, never half of one, and after
/// [`Client::transact`] it has what was written: the server tells of a change before it replies. When the connection
/// is lost it stays readable as it was ([`Freshness::Stale`]); the client connects again, and all that has changed
/// meanwhile arrives as one [`Diff`](super::Diff).
pub struct Replica<D: Database> {
    core: Arc<Core<D>>,
    client: Client,
}

/// The database while it is looked at. It cannot be held across an `await`; updates wait for it.
pub struct View<'a, D>(RwLockReadGuard<'a, D>);

impl<D: Database> Replica<D> {
    pub(super) fn new(core: Arc<Core<D>>, client: Client) -> Self {
        Self { core, client }
    }

    /// The database as it is now.
    pub fn read(&self) -> View<'_, D> {
        View(self.core.read())
    }

    /// What changes from here on. The first diff is everything that is there.
    pub fn changes(&self) -> Feed {
        self.core.changes()
    }

    /// Whether the connection stands.
    pub fn freshness(&self) -> Freshness {
        self.core.freshness().borrow().clone()
    }

    /// Waits until the connection stands; [`Error::Stale`] if it does not in time.
    pub async fn live(&self, limit: Duration) -> Result<(), Error> {
        let mut freshness = self.core.freshness();
        let live = freshness.wait_for(|freshness| *freshness == Freshness::Live);
        let result = tokio::time::timeout(limit, live).await;
        match (result, self.freshness()) {
            (Ok(_), _) | (_, Freshness::Live) => Ok(()),
            (Err(_), Freshness::Stale(reason)) => {
                Err(Error::Stale { database: self.core.name().to_owned(), reason })
            }
        }
    }

    /// Waits until something is so, and gives what was found; [`Error::Timeout`] if it does not become so in time.
    pub async fn until<T>(&self, limit: Duration, mut find: impl FnMut(&D) -> Option<T>) -> Result<T, Error> {
        let mut revision = self.core.revision();
        let found = async {
            loop {
                revision.mark_unchanged();
                if let Some(found) = find(&self.core.read()) {
                    return found;
                }
                // The sender is in what is held here, so it cannot go away.
                let _ = revision.changed().await;
            }
        };
        let timeout = tokio::time::timeout(limit, found).await;
        timeout.map_err(|_| Error::Timeout {
            remote: self.client.remote(),
            during: format!("waiting for a change of {}", self.core.name()),
            limit,
        })
    }

    /// Has only those rows of some tables that meet any condition, and all of the tables not named
    /// (`monitor_cond_change`). Rows that come and go by it arrive as one diff, before this returns.
    pub async fn set_conditions(
        &self,
        conditions: impl IntoIterator<Item = (Name, Vec<Condition>)>,
    ) -> Result<(), Error> {
        let conditions: BTreeMap<_, _> = conditions.into_iter().collect();
        self.core.set_conditions(conditions, self.client.current().as_deref()).await
    }

    /// The last transaction that is in it, where the server tells: a member of a cluster, since OVS 2.12.
    pub fn last_transaction(&self) -> Option<Uuid> {
        self.core.last().filter(|last| *last != Uuid::default())
    }
}

impl<D: Database> Drop for Replica<D> {
    fn drop(&mut self) {
        let super::rpc::Topic::Monitor(id) = self.client.detach(&*self.core) else { return };
        if let Some(rpc) = self.client.current() {
            // Nobody waits for the answer, and a connection that is lost has no monitor.
            let _ = rpc.send("monitor_cancel", &json!([id]));
        }
    }
}

impl<D: Database> fmt::Debug for Replica<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("database", &self.core.name())
            .field("freshness", &self.freshness())
            .finish_non_exhaustive()
    }
}

impl<D> Deref for View<'_, D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.0
    }
}
