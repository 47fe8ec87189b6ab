//! The OVSDB management protocol (RFC 7047), with what Open vSwitch adds to it (ovsdb-server(7)).
//!
//! ```text
//! Replica ─ rows in memory     Lock          Transaction ─ the ten operations
//!     └──────────────┬──────────┘                 │
//!                 Client ─ connects, and connects again; finds a cluster's leader
//!                    │
//!                   Rpc ─ one connection: calls, echo, notifications in order
//!                    │
//!        message, frame ─ the stream cut into messages
//!                    │
//!         stream ─ Unix socket, TCP, TLS
//! ```
//!
//! Two ways to read: [`Transaction::select`], for a program that looks once, and [`Client::replicate`], for one that
//! stays. Row types are declared by [`row!`](crate::row) and [`database!`](crate::database), or are [`Row`]s as the
//! server's schema has them ([`Dynamic`]).
//!
//! ```no_run
//! use vdpa_ovs::{database, ovsdb::Client, row};
//!
//! row! { pub struct Interface in "Interface" { pub name: String, pub ofport: Option<i64> } }
//! database! { pub struct Switch in "Open_vSwitch" { pub interfaces: Interface } }
//!
//! # async fn run() -> Result<(), vdpa_ovs::Error> {
//! let client = Client::new("unix:/run/openvswitch/db.sock".parse()?);
//! let switch = client.replicate::<Switch>().await?;
//! let mut changes = switch.changes();
//! loop {
//!     for change in changes.next().await.of::<Interface>() {
//!         println!("{:?} -> {:?}", change.before, change.after);
//!     }
//! }
//! # }
//! ```

mod backoff;
mod calls;
mod client;
mod cluster;
mod column;
mod core;
mod declare;
mod diff;
mod dynamic;
pub mod frame;
pub mod json;
mod lock;
pub mod message;
mod monitor;
mod op;
mod remote;
mod replica;
mod result;
mod row;
mod rpc;
mod schema;
mod stream;
mod table;
mod tls;
mod txn;
mod uuid;
mod value;
mod wire;

pub(crate) use self::stream::connect_error;
pub use self::{
    client::{Client, Options},
    cluster::Member,
    column::{Column, Scalar},
    core::Freshness,
    declare::{Database, Wanted},
    diff::{Diff, Feed},
    dynamic::{Dynamic, RowContext},
    lock::Lock,
    op::{Condition, Function, Mutation, Mutator, Name, Operation, Until},
    remote::{DEFAULT_PORT, Host, Remote},
    replica::{Replica, View},
    result::{ErrorKind, OperationResult},
    row::Row,
    rpc::Rpc,
    schema::{AtomType, BaseType, ColumnSchema, ColumnType, DatabaseSchema, Shape, TableSchema},
    table::{AnyTable, Change, Changes, Declared, RowType, Table},
    tls::Tls,
    txn::Transaction,
    uuid::{NoUuid, Uuid},
    value::{Atom, Map, NamedUuid, Set, Value},
};
