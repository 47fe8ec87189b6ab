//! A server, or a cluster of them, that one stays connected to.
//!
//! Nothing is connected before it is needed. As long as there is a [`Replica`] or a [`Lock`], a task of the client's
//! connects again whenever the connection is lost, sets them up again, and waits longer each time that fails. A call
//! that finds no connection tries once by itself.
//!
//! A call in flight when the connection ends fails as [`Error::Disconnected`]: whether it took effect is not known,
//! and only the caller knows what may be done twice. [`Client::read`] does what has no effect again.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::{
    backoff::Backoff,
    cluster::Member,
    core::{Attachment, Core},
    declare::Database,
    lock::{Lock, LockCore},
    monitor::Conditions,
    op::{Condition, Name},
    remote::Remote,
    replica::Replica,
    result::OperationResult,
    rpc::{Rpc, Topic},
    schema::DatabaseSchema,
    tls::Tls,
    txn::Transaction,
};
use crate::Error;

/// A connection that lasted so long was a good one, and the next wait is a short one again.
const STEADY: Duration = Duration::from_secs(8);

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest that connecting, or a call without a limit of its own, may take.
    pub call: Duration,
    /// The longest that the first reply to a monitor may take: it is as long as the tables are.
    pub snapshot: Duration,
    /// How often the server is asked whether it is there, while there is a replica or a lock; after twice as long
    /// without an answer the connection counts as lost. Not at all on a Unix socket, unless set.
    pub probe: Option<Duration>,
    /// Which members of a cluster will do, and for which database; each will if not set.
    pub member: Option<Member>,
    /// For `ssl:` remotes.
    pub tls: Option<Tls>,
    /// Whether every transaction is held against the schema before it is sent. The schema is fetched once a
    /// connection.
    pub check: bool,
}

/// A server, or a cluster of them. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    remotes: Vec<Remote>,
    options: Options,
    /// Which of the remotes is tried next.
    turn: AtomicUsize,
    current: Mutex<Option<Arc<Rpc>>>,
    /// Held by who connects.
    connecting: tokio::sync::Mutex<()>,
    attachments: Mutex<Vec<Arc<dyn Attachment>>>,
    schemas: Mutex<HashMap<Name, Arc<DatabaseSchema>>>,
    keeper: Mutex<Option<AbortHandle>>,
    monitors: AtomicU64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            snapshot: Duration::from_mins(2),
            probe: None,
            member: None,
            tls: None,
            check: false,
        }
    }
}

impl Client {
    /// The client of one server. Nothing is connected yet.
    pub fn new(remote: Remote) -> Self {
        Self::with(vec![remote], Options::default())
    }

    /// The client of a cluster, or one with options. Remotes are tried in turn.
    pub fn with(remotes: Vec<Remote>, options: Options) -> Self {
        let inner = Inner {
            remotes,
            options,
            turn: AtomicUsize::new(0),
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            attachments: Mutex::default(),
            schemas: Mutex::default(),
            keeper: Mutex::default(),
            monitors: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The connection; a new one is made if there is none.
    pub async fn connection(&self) -> Result<Arc<Rpc>, Error> {
        self.inner.connection().await
    }

    /// Calls a method on the connection.
    pub async fn call(&self, method: &str, params: &impl Serialize, limit: Duration) -> Result<Bytes, Error> {
        self.connection().await?.call(method, params, limit).await
    }

    /// Runs a transaction; gives one result an operation.
    pub async fn transact(&self, txn: &Transaction) -> Result<Vec<OperationResult>, Error> {
        self.transact_within(txn, self.inner.options.call).await
    }

    /// Runs a transaction with a time limit of its own, as one with a `wait` in it may need.
    pub async fn transact_within(
        &self,
        txn: &Transaction,
        limit: Duration,
    ) -> Result<Vec<OperationResult>, Error> {
        let rpc = self.connection().await?;
        if self.inner.options.check {
            self.schema(txn.database()).await?.check(txn.operations())?;
        }
        rpc.transact(txn, limit).await
    }

    /// Runs a transaction without effect, once more on a new connection if the old one turns out to be lost.
    pub async fn read(&self, txn: &Transaction, limit: Duration) -> Result<Vec<OperationResult>, Error> {
        match self.transact_within(txn, limit).await {
            Err(Error::Disconnected { .. }) if !txn.writes() => self.transact_within(txn, limit).await,
            result => result,
        }
    }

    /// The names of the server's databases.
    pub async fn databases(&self) -> Result<Vec<String>, Error> {
        let reply = self.call("list_dbs", &[(); 0], self.inner.options.call).await?;
        serde_json::from_slice(&reply)
            .map_err(|error| Error::Protocol { during: "list_dbs".to_owned(), text: error.to_string() })
    }

    /// A database's schema; it is asked for once a connection.
    pub async fn schema(&self, database: &str) -> Result<Arc<DatabaseSchema>, Error> {
        let rpc = self.connection().await?;
        if let Some(schema) = lock(&self.inner.schemas).get(database) {
            return Ok(schema.clone());
        }
        let span = tracing::debug_span!("ovsdb.get_schema", waits_for = "ovs", database);
        let fetched = DatabaseSchema::fetch(&rpc, database, self.inner.options.call).instrument(span).await?;
        let schema = Arc::new(fetched);
        lock(&self.inner.schemas).insert(database.to_owned().into(), schema.clone());
        Ok(schema)
    }

    /// Holds tables of a database in memory, declared by [`database!`](crate::database). Returns when they are there.
    pub async fn replicate<D: Database + Default>(&self) -> Result<Replica<D>, Error> {
        self.replicate_some(D::default(), []).await
    }

    /// Holds tables in memory, and of those named only the rows of which any condition holds.
    pub async fn replicate_some<D: Database>(
        &self,
        empty: D,
        conditions: impl IntoIterator<Item = (Name, Vec<Condition>)>,
    ) -> Result<Replica<D>, Error> {
        let id = format!("vdpa-{}", self.inner.monitors.fetch_add(1, Ordering::Relaxed));
        let conditions: Conditions = conditions.into_iter().collect();
        let core = Arc::new(Core::new(id, empty, conditions, self.inner.options.snapshot, None));
        self.attach(core.clone()).await?;
        Ok(Replica::new(core, self.clone()))
    }

    /// Asks for a lock. Whether it is owned at once is the [`Lock`]'s to say.
    pub async fn lock(&self, name: &str) -> Result<Lock, Error> {
        self.lock_or_steal(name, false).await
    }

    /// Takes a lock, from its owner if it has one.
    pub async fn steal(&self, name: &str) -> Result<Lock, Error> {
        self.lock_or_steal(name, true).await
    }

    async fn lock_or_steal(&self, name: &str, steal: bool) -> Result<Lock, Error> {
        let core = Arc::new(LockCore::new(name, steal, self.inner.options.call));
        self.attach(core.clone()).await?;
        Ok(Lock::new(core, self.clone()))
    }

    /// Sets something up on the connection, and on every later one.
    async fn attach(&self, attachment: Arc<dyn Attachment>) -> Result<(), Error> {
        let connecting = self.inner.connecting.lock().await;
        let rpc = self.inner.connect().await?;
        attachment.clone().attach(&rpc).await?;
        lock(&self.inner.attachments).push(attachment);
        drop(connecting);
        let inner = Arc::downgrade(&self.inner);
        lock(&self.inner.keeper).get_or_insert_with(|| tokio::spawn(keep(inner)).abort_handle());
        Ok(())
    }

    /// Does no longer set something up; gives what it was told of.
    pub(super) fn detach(&self, attachment: &dyn Attachment) -> Topic {
        let topic = attachment.topic();
        lock(&self.inner.attachments).retain(|other| other.topic() != topic);
        if let Some(rpc) = self.current() {
            rpc.unsubscribe(&topic);
        }
        topic
    }

    /// The connection, if it stands.
    pub(super) fn current(&self) -> Option<Arc<Rpc>> {
        self.inner.current()
    }

    /// Whom it is connected to, or would be.
    pub(super) fn remote(&self) -> Remote {
        self.current().map_or_else(|| self.inner.remotes[0].clone(), |rpc| rpc.remote().clone())
    }
}

impl Inner {
    fn current(&self) -> Option<Arc<Rpc>> {
        lock(&self.current).clone().filter(|rpc| rpc.is_connected())
    }

    async fn connection(&self) -> Result<Arc<Rpc>, Error> {
        if let Some(rpc) = self.current() {
            return Ok(rpc);
        }
        let _connecting = self.connecting.lock().await;
        self.connect().await
    }

    /// Tries each remote once, unless there is a connection. To be called by who holds `connecting`.
    async fn connect(&self) -> Result<Arc<Rpc>, Error> {
        if let Some(rpc) = self.current() {
            return Ok(rpc);
        }
        lock(&self.schemas).clear();
        let mut error = None;
        for _ in &self.remotes {
            let remote = &self.remotes[self.turn.load(Ordering::Relaxed) % self.remotes.len()];
            let span = tracing::debug_span!("ovsdb.connect", waits_for = "ovs", %remote);
            match self.connect_to(remote).instrument(span).await {
                Ok(rpc) => {
                    *lock(&self.current) = Some(rpc.clone());
                    return Ok(rpc);
                }
                Err(failed) => {
                    tracing::debug!(%remote, error = %failed, "no connection");
                    self.turn.fetch_add(1, Ordering::Relaxed);
                    error = Some(failed);
                }
            }
        }
        Err(error.unwrap_or(Error::Name {
            what: "list of remotes",
            value: String::new(),
            why: "it is empty",
        }))
    }

    async fn connect_to(&self, remote: &Remote) -> Result<Arc<Rpc>, Error> {
        let rpc = Rpc::connect(remote, self.options.tls.as_ref(), self.options.call).await?;
        if let Some(member) = &self.options.member {
            member.check(&rpc, self.options.call).await?;
        }
        let attachments = lock(&self.attachments).clone();
        for attachment in attachments {
            attachment.attach(&rpc).await?;
        }
        Ok(Arc::new(rpc))
    }

    /// How often the server is to be asked whether it is there.
    fn probe(&self, remote: &Remote) -> Option<Duration> {
        self.options.probe.or_else(|| (!remote.is_local()).then_some(Duration::from_secs(5)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = lock(&self.keeper).take() {
            keeper.abort();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("remotes", &self.inner.remotes)
            .field("connected", &self.current().is_some())
            .finish_non_exhaustive()
    }
}

/// Keeps a client connected until it is dropped.
async fn keep(inner: Weak<Inner>) {
    let Some(fresh) = inner.upgrade().map(|inner| Backoff::for_remotes(&inner.remotes)) else { return };
    let mut backoff = fresh;
    loop {
        let Some(client) = inner.upgrade() else { return };
        if let Ok(rpc) = client.connection().await {
            let probe = client.probe(rpc.remote());
            drop(client); // it ends with its last user, not with this task
            let since = Instant::now();
            watch(&rpc, probe).await;
            // A server that hangs up at once is as good as none.
            if since.elapsed() > STEADY {
                backoff = fresh;
            }
        } else {
            drop(client);
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Waits for the end of a connection, and brings it about if the server does not answer.
async fn watch(rpc: &Rpc, probe: Option<Duration>) {
    let Some(probe) = probe else {
        rpc.closed().await;
        return;
    };
    loop {
        if tokio::time::timeout(probe, rpc.closed()).await.is_ok() {
            return;
        }
        if let Err(Error::Timeout { limit, .. }) = rpc.echo(probe * 2).await {
            rpc.close(&format!("the server did not answer an echo within {limit:?}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
