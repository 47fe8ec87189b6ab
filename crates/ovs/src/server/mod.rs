//! The real switch: ovsdb-server, and behind it ovs-vswitchd.
//!
//! [`Ovsdb::apply`](crate::Vswitch::apply) is at most three round trips. Where there are rows of ours, one more asks what others
//! have set in them (`settings.rs`), for which the schema is read, once on each connection:
//!
//! ```text
//!  read (view) ──► plan ──► nothing to do ─────────────────────┐
//!   ▲                │                                         │
//!   │            verify + write ── another writer came between │
//!   └────────────────┼──────────────┘  (at most ATTEMPTS)      │
//!                    ▼                                         ▼
//!      wait for cur_cfg, read interfaces ──────────► every port works?
//! ```

mod plan;
mod settings;
mod view;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tracing::Instrument;

use self::{
    plan::Plan,
    view::{INTERFACE_COLUMNS, InterfaceRow, View},
};
use crate::{
    Applied, BridgeName, Change, Error, InterfaceFailure, Observation, Presence, Vswitch,
    ovsdb::{
        Client, Condition, ErrorKind, Function, Operation, OperationResult, Options, Remote, Transaction,
        Until, Uuid, Value,
    },
};

/// Where ovsdb-server listens unless told otherwise (`ovs-vsctl --db`, ovs-vsctl(8)).
pub const DEFAULT_SOCKET: &str = "/run/openvswitch/db.sock";

/// The key in a Bridge's or Port's `external_ids` that says who made it.
pub const OWNER_TAG: &str = "vdpa-owner";

/// The key in a Port's `external_ids` that holds its [`PortKey`](crate::PortKey).
pub const PORT_TAG: &str = "vdpa-port";

/// What [`OWNER_TAG`] holds in rows of ours.
pub const OWNER: &str = "vdpa";

const DATABASE: &str = "Open_vSwitch";

/// How often a change is planned anew because another writer came between. One of two writers that collide
/// always gets through, so more than a few mean that somebody writes without pause.
const ATTEMPTS: u32 = 10;

/// How many interfaces are read one by one; more are read by our tag.
const SINGLY: usize = 16;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A connection, or a call that only reads or writes the database.
    pub call: Duration,
    /// ovs-vswitchd's taking up of any change.
    pub applied: Duration,
    /// And more for each port that comes or goes. With 1000 ports it was seen to need 2 to 3 seconds of CPU.
    pub applied_per_port: Duration,
}

/// A switch behind an OVSDB socket.
///
/// Connects when first used, and again after a connection was lost (a restart of the service). A read on a
/// connection that turns out to be lost is repeated; a write never is, since its outcome is not known.
#[derive(Debug)]
pub struct Ovsdb {
    socket: PathBuf,
    limits: Limits,
    client: Client,
    writes: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            applied: Duration::from_secs(30),
            applied_per_port: Duration::from_millis(50),
        }
    }
}

impl Ovsdb {
    /// The switch behind a socket; [`DEFAULT_SOCKET`] is the usual one. Needs write permission on the socket,
    /// which is root's unless configured otherwise. Nothing is connected yet.
    pub fn new(socket: impl AsRef<Path>) -> Self {
        Self {
            socket: socket.as_ref().to_owned(),
            limits: Limits::default(),
            client: client(socket.as_ref(), Limits::default()),
            writes: AtomicU64::new(0),
        }
    }

    /// The switch with other time limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.client = client(&self.socket, limits);
        self
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The names of every bridge.
    pub async fn bridges(&self) -> Result<Vec<String>, Error> {
        Ok(self.view(false).await?.bridges.into_iter().map(|bridge| bridge.name).collect())
    }

    /// The connection's other uses: replicas, schemas, databases that are not Open vSwitch's.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Looks. Once more on a new connection if the old one turns out to be lost, and its schema with it: a server whose
    /// schema is converted hangs up (ovsdb-server(7)).
    async fn view(&self, with_settings: bool) -> Result<View, Error> {
        match self.look(with_settings).await {
            Err(Error::Disconnected { .. } | Error::Op { kind: ErrorKind::UnknownColumn, .. }) => {
                self.look(with_settings).await
            }
            result => result,
        }
    }

    async fn look(&self, with_settings: bool) -> Result<View, Error> {
        let mut view = View::read(&self.transact(&View::transaction(), self.limits.call).await?)?;
        if with_settings && view.has_ours() {
            let schema = self.client.schema(DATABASE).await?;
            view.settle(&self.transact(&settings::transaction(&schema), self.limits.call).await?)?;
        }
        Ok(view)
    }

    /// Runs a transaction without effect. Once more on a new connection if the old one turns out to be lost.
    async fn read(&self, txn: &Transaction, limit: Duration) -> Result<Vec<OperationResult>, Error> {
        match self.transact(txn, limit).await {
            Err(Error::Disconnected { .. }) => self.transact(txn, limit).await,
            result => result,
        }
    }

    async fn transact(&self, txn: &Transaction, limit: Duration) -> Result<Vec<OperationResult>, Error> {
        // Connected first, so that what is counted was sent, and the spans are one after the other.
        let rpc = self.client.connection().await?;
        let write = txn.writes();
        if write {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        let span = tracing::debug_span!(
            "ovsdb.transact",
            waits_for = "ovs",
            operations = txn.operations().len(),
            write
        );
        rpc.transact(txn, limit).instrument(span).await
    }

    /// Plans and writes until no other writer comes between; gives the plan that went through, with the
    /// configuration number to wait for and the interfaces inserted.
    async fn write(&self, change: &Change) -> Result<Written, Error> {
        for attempt in 1..=ATTEMPTS {
            // A port that comes takes over what was set for one that goes.
            let view = self.view(change.presence != Presence::Absent).await?;
            let plan = plan::plan(&view, change)?;
            if plan.txn.operations().is_empty() {
                let (next_cfg, cur_cfg) = (view.next_cfg, view.cur_cfg);
                return Ok(Written { plan, changed: false, next_cfg, cur_cfg, inserted: vec![], attempt });
            }
            match self.transact(&plan.txn, self.limits.call).await {
                Ok(results) => {
                    let next_cfg = match results[plan.next_cfg].rows.first() {
                        Some(row) => row.integer("next_cfg")?,
                        None => return Err(Error::NotInitialized),
                    };
                    let inserted = plan.inserts.iter().filter_map(|index| results[*index].uuid).collect();
                    return Ok(Written {
                        plan,
                        changed: true,
                        next_cfg,
                        cur_cfg: view.cur_cfg,
                        inserted,
                        attempt,
                    });
                }
                Err(error @ Error::Commit { .. }) if attempt == ATTEMPTS => return Err(error),
                Err(error) if came_between(&error, &plan) => {
                    tracing::debug!(attempt, %error, "another writer came between");
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::TryAgain { attempts: ATTEMPTS })
    }

    /// Waits until ovs-vswitchd has taken up a change with which DPDK is to come up, and until it says that it did.
    ///
    /// It says so in a transaction of its own that follows the one with `cur_cfg` (vswitchd/bridge.c,
    /// `run_status_update`), and it never says that DPDK did not come up: that is silence.
    async fn dpdk_is_up(&self, next_cfg: i64) -> Result<(), Error> {
        let patient = Self { limits: Limits { applied: DPDK, ..self.limits }, ..Self::new(&self.socket) };
        patient.applied(next_cfg, &[], &[], 0).await?;
        if !self.view(false).await?.is_dpdk_built() {
            return Err(Error::DpdkNotInitialized { built: false });
        }
        let mut txn = Transaction::new(DATABASE);
        txn.push(until_none("dpdk_initialized", Function::Equal, false, DPDK_SAID));
        match self.read(&txn, DPDK_SAID + self.limits.call).await {
            Ok(_) => Ok(()),
            Err(Error::Op { index: 0, kind: ErrorKind::TimedOut, .. }) => {
                Err(Error::DpdkNotInitialized { built: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Waits until ovs-vswitchd has reached a configuration number, and reads interfaces as they are then; those that
    /// were there before may lack our tag.
    ///
    /// The wait is the server's own, so that nothing is polled and nothing can be missed; a blocked wait is
    /// answered later and holds back no other call.
    async fn applied(
        &self,
        next_cfg: i64,
        interfaces: &[Uuid],
        before: &[Uuid],
        ports: usize,
    ) -> Result<Vec<InterfaceRow>, Error> {
        let per_port = self.limits.applied_per_port * u32::try_from(ports).unwrap_or(u32::MAX);
        let limit = self.limits.applied + per_port;
        let mut txn = Transaction::new(DATABASE);
        txn.push(until_none("cur_cfg", Function::Less, next_cfg, limit));
        if interfaces.len() > SINGLY {
            // All of ours at once: some more rows are sent, and many operations are not.
            txn.select("Interface", vec![view::tagged()], INTERFACE_COLUMNS);
        }
        let singly = if interfaces.len() > SINGLY { before } else { interfaces };
        for uuid in singly {
            txn.select("Interface", vec![Condition::equal("_uuid", *uuid)], INTERFACE_COLUMNS);
        }
        let span = tracing::debug_span!(
            "ovsdb.wait_applied",
            waits_for = "ovs",
            next_cfg,
            interfaces = interfaces.len()
        );
        match self.read(&txn, limit + self.limits.call).instrument(span).await {
            Ok(results) => {
                let mut wanted: HashSet<_> = interfaces.iter().collect();
                let rows = results.iter().flat_map(|result| &result.rows).map(InterfaceRow::read);
                rows.filter(|row| row.as_ref().map_or(true, |row| wanted.remove(&row.uuid))).collect()
            }
            Err(Error::Op { index: 0, kind: ErrorKind::TimedOut, .. }) => {
                let cur_cfg = self.view(false).await?.cur_cfg;
                Err(Error::NotApplied { next_cfg, cur_cfg, waited: limit })
            }
            Err(error) => Err(error),
        }
    }
}

/// How long DPDK may take to come up: it looks at every huge page and every PCI device.
const DPDK: Duration = Duration::from_mins(1);

/// How long ovs-vswitchd may take to say so once it is up. It takes some milliseconds.
const DPDK_SAID: Duration = Duration::from_secs(30);

/// The server's wait until the one row of `Open_vSwitch` no longer meets a condition.
fn until_none(
    column: &'static str,
    function: Function,
    value: impl Into<Value>,
    limit: Duration,
) -> Operation {
    Operation::Wait {
        timeout: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
        table: "Open_vSwitch".into(),
        conditions: vec![Condition::new(column, function, value)],
        columns: vec![column.into()],
        until: Until::Equal,
        rows: vec![],
    }
}

fn client(socket: &Path, limits: Limits) -> Client {
    let options = Options { call: limits.call, ..Options::default() };
    Client::with(vec![Remote::from(socket)], options)
}

/// What [`Ovsdb::write`] did.
struct Written {
    plan: Plan,
    changed: bool,
    next_cfg: i64,
    cur_cfg: i64,
    inserted: Vec<Uuid>,
    attempt: u32,
}

#[async_trait]
impl Vswitch for Ovsdb {
    async fn observe(&self, bridge: &BridgeName) -> Result<Observation, Error> {
        Ok(self.view(true).await?.observation(bridge))
    }

    async fn glance(&self, bridge: &BridgeName) -> Result<Observation, Error> {
        Ok(self.view(false).await?.observation(bridge))
    }

    async fn apply(&self, change: &Change) -> Result<Applied, Error> {
        let span = tracing::debug_span!("ovs.apply", bridge = %change.bridge);
        async {
            let written = self.write(change).await?;
            let Written { plan, changed, next_cfg, cur_cfg, inserted, attempt } = written;
            let applied = Applied { changed, next_cfg, attempts: attempt };
            if !changed && cur_cfg >= next_cfg {
                // Nothing to do and nothing to wait for: what was read is what is.
                return check(change, &plan.kept).map(|()| applied);
            }
            if changed && change.wants_dpdk() {
                self.dpdk_is_up(next_cfg).await?;
            }
            let kept: Vec<Uuid> = plan.kept.iter().map(|row| row.uuid).collect();
            let all = [kept.as_slice(), &inserted].concat();
            let interfaces = self.applied(next_cfg, &all, &kept, plan.ports).await?;
            check(change, &interfaces).map(|()| applied)
        }
        .instrument(span)
        .await
    }

    fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

/// Whether a transaction failed because what was read before is no longer so: a verify did not hold, or a name
/// is taken by now.
fn came_between(error: &Error, plan: &Plan) -> bool {
    match error {
        Error::Op { index, kind: ErrorKind::TimedOut, .. } => *index < plan.verifies,
        Error::Commit { kind: ErrorKind::ConstraintViolation, .. } => true,
        _ => false,
    }
}

/// Whether every interface asked for works. ovs-vswitchd records what it cannot open as `ofport` -1 and an
/// `error`, and ovs-vsctl 3.1.0 does not mind.
fn check(change: &Change, interfaces: &[InterfaceRow]) -> Result<(), Error> {
    let failed: Vec<_> = interfaces
        .iter()
        .filter(|row| row.error.is_some() || row.ofport.is_none_or(|ofport| ofport < 0))
        .filter(|row| !change.may_fail.iter().any(|name| name.as_str() == row.name))
        .map(|row| InterfaceFailure { name: row.name.clone(), ofport: row.ofport, error: row.error.clone() })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::InterfaceFailed { bridge: change.bridge.clone(), interfaces: failed })
    }
}
