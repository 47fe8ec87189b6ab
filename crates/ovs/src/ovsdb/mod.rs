//! The OVSDB management protocol (RFC 7047) over a Unix socket.
//!
//! ```text
//! Rpc::transact ── Transaction (txn, op, value)
//!      │
//! jsonrpsee's async client: ids, calls in flight
//!      │  JSON-RPC 2.0
//! transport: 2.0 ⇄ 1.0, echo, unknown ids
//!      │  bytes
//! frame: the stream cut into messages
//! ```
//!
//! Replies may overtake each other (a blocked `wait` is answered after later calls), so calls are matched by id
//! and never by order. There is no reconnection here: a lost connection ends every call in flight with
//! [`Error::Disconnected`](crate::Error::Disconnected), and the caller alone knows what may be repeated.
//! Absent so far, because nothing needs it yet: monitors and a cache, TLS and TCP, schemas. One-shot reads are
//! faster by `select` than by a snapshot.

pub mod frame;
mod op;
mod result;
mod row;
mod rpc;
mod transport;
mod txn;
mod uuid;
mod value;
mod wire;

pub(crate) use self::rpc::connect_error;
pub use self::{
    op::{Condition, Function, Mutation, Mutator, Operation, Until},
    result::{ErrorKind, OperationResult},
    row::Row,
    rpc::Rpc,
    txn::Transaction,
    uuid::{NoUuid, Uuid},
    value::{Atom, Map, NamedUuid, Set, Value},
};
