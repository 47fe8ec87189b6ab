//! The inside of a [`Replica`](super::Replica): the rows, how fresh they are, and who is told of changes.
//!
//! ```text
//!            attach: snapshot, or what is new             connection ends
//!   Stale ─────────────────────────────────────► Live ────────────────────► Stale …
//!     readable, as it was                         ▲ │
//!                                                 └─┘ update, update2, update3
//! ```
//!
//! An update is applied whole or not at all. A text that cannot be applied ends the connection: the next one
//! begins with what the server has.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::watch;

use super::{
    declare::{Database, Wanted},
    diff::{Audience, Diff, Feed},
    json::{Cursor, JsonError},
    monitor::{self, Conditions, Method, Requests},
    op::Name,
    result::ErrorKind,
    rpc::{Rpc, Sink, Topic},
    schema::DatabaseSchema,
    table::{Changes, Unrecorded},
    uuid::Uuid,
};
use crate::Error;

/// How what is in memory stands to what is in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It follows every transaction.
    Live,
    /// It is as it was when the connection ended, for this reason.
    Stale(String),
}

/// Something that is set up again on every new connection.
#[async_trait]
pub(super) trait Attachment: Send + Sync {
    async fn attach(self: Arc<Self>, rpc: &Rpc) -> Result<(), Error>;

    /// What the server tells it of.
    fn topic(&self) -> Topic;
}

/// A second look at the database after each update; an error ends the connection.
pub(super) type Guard<D> = Box<dyn Fn(&D) -> Result<(), String> + Send + Sync>;

pub(super) struct Core<D> {
    id: String,
    name: Name,
    wanted: Vec<Wanted>,
    limit: Duration,
    guard: Option<Guard<D>>,
    database: RwLock<D>,
    asked: Mutex<Asked>,
    freshness: watch::Sender<Freshness>,
    revision: watch::Sender<u64>,
    audience: Audience,
}

/// What the server was asked for, and how far it has got.
#[derive(Default)]
struct Asked {
    conditions: Conditions,
    /// Whether the server has the conditions, so that what it sends from here on is by them.
    agreed: bool,
    last: Option<Uuid>,
}

impl<D: Database> Core<D> {
    pub(super) fn new(
        id: String,
        empty: D,
        conditions: Conditions,
        limit: Duration,
        guard: Option<Guard<D>>,
    ) -> Self {
        Self {
            id,
            name: empty.name(),
            wanted: empty.wanted(),
            limit,
            guard,
            database: RwLock::new(empty),
            asked: Mutex::new(Asked { conditions, ..Asked::default() }),
            freshness: watch::Sender::new(Freshness::Stale("not yet connected".to_owned())),
            revision: watch::Sender::new(0),
            audience: Audience::default(),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, D> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn freshness(&self) -> watch::Receiver<Freshness> {
        self.freshness.subscribe()
    }

    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub(super) fn last(&self) -> Option<Uuid> {
        self.asked().last
    }

    /// Diffs from here on, of which the first is everything there is.
    pub(super) fn changes(&self) -> Feed {
        // Nobody writes meanwhile, so no diff falls between.
        let database = self.read();
        self.audience.join(between(&database.emptied(), &*database))
    }

    /// Asks the server to go by other conditions from now on; without a connection, from the next one on.
    pub(super) async fn set_conditions(
        &self,
        conditions: Conditions,
        rpc: Option<&Rpc>,
    ) -> Result<(), Error> {
        let changed: serde_json::Map<_, _> = {
            let mut asked = self.asked();
            asked.agreed = false;
            asked.conditions = conditions;
            let whole = || json!([{ "where": [true] }]);
            let clauses = |table| asked.conditions.get(table).map(|clauses| json!([{ "where": clauses }]));
            let tables = self.wanted.iter().map(|wanted| &wanted.table);
            tables.map(|table| (table.to_string(), clauses(table).unwrap_or_else(whole))).collect()
        };
        let Some(rpc) = rpc else { return Ok(()) };
        rpc.call("monitor_cond_change", &(&self.id, &self.id, changed), self.limit).await?;
        self.asked().agreed = true;
        Ok(())
    }

    /// Holds the tables against the server's schema, before any later reply is looked at.
    async fn check(&self, rpc: &Rpc, fits: &Arc<AtomicBool>) -> Result<(), Error> {
        let (wanted, fits) = (self.wanted.clone(), fits.clone());
        let then = move |reply: bytes::Bytes| {
            let checked = DatabaseSchema::read(&reply).and_then(|schema| {
                wanted.iter().try_for_each(|wanted| {
                    let columns: Vec<_> =
                        wanted.columns.iter().map(|(name, shape)| (&**name, *shape)).collect();
                    schema.check_table(&wanted.table, &columns)
                })
            });
            fits.store(checked.is_ok(), Ordering::Relaxed);
            Ok(checked)
        };
        rpc.call_then("get_schema", &[&self.name], self.limit, then).await?
    }

    /// Begins a monitor of the newest kind that the server knows, and takes its rows if the schema is known to fit;
    /// gives whether it did.
    async fn monitor(self: &Arc<Self>, rpc: &Rpc, fits: &Arc<AtomicBool>) -> Result<bool, Error> {
        let (conditions, last) = {
            let asked = self.asked();
            (asked.conditions.clone(), asked.last.filter(|_| asked.agreed).unwrap_or_default())
        };
        let mut method = Method::Since;
        loop {
            let requests = Requests { wanted: &self.wanted, conditions: &conditions };
            let (core, fits) = (self.clone(), fits.clone());
            let then = move |reply: bytes::Bytes| {
                let fits = fits.load(Ordering::Relaxed);
                if fits { core.begin(method, &reply).map(|()| true) } else { Ok(false) }
            };
            let result = if method == Method::Since {
                let params = (&self.name, &self.id, requests, last);
                rpc.call_then(method.name(), &params, self.limit, then).await
            } else {
                rpc.call_then(method.name(), &(&self.name, &self.id, requests), self.limit, then).await
            };
            match (result, method.older(&conditions)) {
                (Err(Error::Rpc { kind: ErrorKind::UnknownMethod, .. }), Some(older)) => method = older,
                (result, _) => return result,
            }
        }
    }

    /// Takes the reply to a monitor: a snapshot, or what is new.
    fn begin(&self, method: Method, reply: &[u8]) -> Result<(), String> {
        let failed = |error: JsonError| format!("a reply to {} cannot be used: {error}", method.name());
        let mut cursor = Cursor::new(reply);
        let head = method.head(&mut cursor).map_err(failed)?;
        if head.found {
            self.apply(&mut cursor).map_err(failed)?;
        } else {
            let mut fresh = self.read().emptied();
            let mut records: Vec<Box<dyn Changes>> =
                self.wanted.iter().map(|_| Box::new(Unrecorded) as _).collect();
            monitor::updates(&mut cursor, &mut fresh, &mut records).map_err(failed)?;
            let mut database = self.write();
            if !self.audience.is_empty() {
                let diff = between(&*database, &fresh);
                self.audience.tell(&diff);
            }
            *database = fresh;
        }
        let mut asked = self.asked();
        (asked.last, asked.agreed) = (head.last, true);
        drop(asked);
        self.freshness.send_replace(Freshness::Live);
        self.revision.send_modify(|revision| *revision += 1);
        Ok(())
    }

    /// Applies an update, whole or not at all.
    fn apply(&self, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        let mut database = self.write();
        let mut records = monitor::recorders(&database.tables());
        if let Err(error) = monitor::updates(cursor, &mut *database, &mut records) {
            for (table, record) in database.tables_mut().into_iter().zip(&records) {
                record.revert(table);
            }
            return Err(error);
        }
        let names = self.wanted.iter().map(|wanted| wanted.table.clone());
        let diff = Diff::new(names.zip(records).collect());
        if !diff.is_empty() {
            self.audience.tell(&diff);
        }
        Ok(())
    }

    fn write(&self) -> RwLockWriteGuard<'_, D> {
        self.database.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of one state of a database in another.
fn between<D: Database>(earlier: &D, later: &D) -> Diff {
    let tables = later.tables().into_iter().zip(earlier.tables());
    Diff::new(
        tables
            .map(|(later, earlier)| {
                let mut record = later.recorder();
                later.since(earlier, &mut *record);
                (later.name().to_owned().into(), record)
            })
            .collect(),
    )
}

impl<D: Database> Sink for Core<D> {
    fn notify(&self, method: &str, params: &[u8]) -> Result<(), String> {
        if method == "monitor_canceled" {
            return Err(format!("the server took database {} away", self.name));
        }
        // Of a monitor whose rows were not taken.
        if *self.freshness.borrow() != Freshness::Live {
            return Ok(());
        }
        let mut cursor = Cursor::new(params);
        let applied = monitor::notified(method, &mut cursor).and_then(|last| {
            self.apply(&mut cursor)?;
            Ok(last)
        });
        let last = applied.map_err(|error| format!("an {method} cannot be applied: {error}"))?;
        if last.is_some() {
            self.asked().last = last;
        }
        self.revision.send_modify(|revision| *revision += 1);
        self.guard.as_ref().map_or(Ok(()), |guard| guard(&self.read()))
    }

    fn ended(&self, reason: &str) {
        self.freshness.send_replace(Freshness::Stale(reason.to_owned()));
    }
}

#[async_trait]
impl<D: Database> Attachment for Core<D> {
    /// Asks for the schema and for the rows at once: the server makes its snapshot while the schema is read here. It
    /// answers in this order, and of a schema that does not fit no row is taken.
    async fn attach(self: Arc<Self>, rpc: &Rpc) -> Result<(), Error> {
        rpc.subscribe(self.topic(), self.clone());
        let fits = Arc::new(AtomicBool::new(false));
        let (schema, rows) = tokio::join!(self.check(rpc, &fits), self.monitor(rpc, &fits));
        if schema.is_ok() && matches!(rows, Ok(true)) {
            return Ok(());
        }
        rpc.unsubscribe(&self.topic());
        if rows.is_ok() {
            rpc.send("monitor_cancel", &json!([self.id]))?;
        }
        schema?;
        rows?;
        let text = "the rows came before the schema that was asked for first".to_owned();
        Err(Error::Protocol { during: "get_schema".to_owned(), text })
    }

    fn topic(&self) -> Topic {
        Topic::Monitor(self.id.clone())
    }
}
