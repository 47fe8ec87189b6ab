//! A connection: calls with a time limit, the server's echo, notifications in the order of the wire.
//!
//! ```text
//!   call ──► queue ──► writer task ──► socket ──► reader task ──┬─► the call's end (by id)
//!                          ▲                                    ├─► the monitor's or lock's sink
//!                          └──────────── answer to echo ◄───────┘
//! ```
//!
//! One task reads, and does with a message what is to be done before it looks at the next: an update has reached
//! its cache when a later reply ends its call. Another writes, because a reader that waited for room in the socket
//! to answer an echo could wait for ever: ovsdb-server stops reading from a client that does not read.
//!
//! There is no reconnection here ([`Client`](super::Client) does that): a lost connection ends every call in flight
//! with [`Error::Disconnected`], and the caller alone knows what may be repeated.

mod traffic;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{
    calls::{Calls, End, Failure, Outcome},
    remote::Remote,
    result::{self, OperationResult},
    stream::Stream,
    tls::Tls,
    txn::Transaction,
};
use crate::Error;

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Monitor(String),
    Lock(String),
}

/// Who is told what the server says of a topic. An error ends the connection.
pub(super) trait Sink: Send + Sync {
    fn notify(&self, method: &str, params: &[u8]) -> Result<(), String>;

    /// The connection has ended.
    fn ended(&self, reason: &str);
}

/// A connection to an OVSDB server.
///
/// Any number of calls can be in flight; each ends by its reply, by its limit or by the end of the connection.
/// Dropping it closes the connection.
pub struct Rpc {
    shared: Arc<Shared>,
    reader: AbortHandle,
}

struct Shared {
    remote: Remote,
    out: mpsc::UnboundedSender<Vec<u8>>,
    calls: Calls,
    sinks: Mutex<HashMap<Topic, Arc<dyn Sink>>>,
    open: watch::Sender<bool>,
}

/// A call on its way. Dropped before its end, it tells the server that nobody waits for it any more.
struct InFlight<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Rpc {
    /// Connects to a server. Needs write permission on a Unix socket, and `tls` for an `ssl:` remote.
    pub async fn connect(remote: &Remote, tls: Option<&Tls>, limit: Duration) -> Result<Self, Error> {
        Ok(Self::start(Stream::connect(remote, tls, limit).await?, remote.clone()))
    }

    /// Takes over a connected socket; `remote` is its name in errors. Has to be called within a tokio runtime.
    pub fn over(stream: UnixStream, remote: Remote) -> Self {
        Self::start(Stream::unix(stream), remote)
    }

    fn start(stream: Stream, remote: Remote) -> Self {
        let (out, queue) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            remote,
            out,
            calls: Calls::default(),
            sinks: Mutex::default(),
            open: watch::Sender::new(true),
        });
        tokio::spawn(traffic::write(stream.output, queue, shared.open.subscribe()));
        let reader = tokio::spawn(traffic::read(stream.input, shared.clone())).abort_handle();
        Self { shared, reader }
    }

    /// Whom it is connected to.
    pub fn remote(&self) -> &Remote {
        &self.shared.remote
    }

    /// Whether the connection still stands, as far as is known.
    pub fn is_connected(&self) -> bool {
        *self.shared.open.borrow()
    }

    /// Waits for the end of the connection, and gives its reason.
    pub async fn closed(&self) -> String {
        // The sender is in what is held here, so it cannot go away.
        let _ = self.shared.open.subscribe().wait_for(|open| !open).await;
        self.shared.calls.ended().map(|end| end.reason).unwrap_or_default()
    }

    /// Closes the connection. The calls in flight end with [`Error::Disconnected`] and this reason.
    pub fn close(&self, reason: &str) {
        self.reader.abort();
        self.shared.end(&End::lost(reason));
    }

    /// Calls a method and gives the result as JSON. `params` must serialize to an array: the server drops the
    /// connection on anything else.
    pub async fn call(&self, method: &str, params: &impl Serialize, limit: Duration) -> Result<Bytes, Error> {
        self.call_then(method, params, limit, Ok).await
    }

    /// Runs a transaction; gives one result an operation.
    pub async fn transact(&self, txn: &Transaction, limit: Duration) -> Result<Vec<OperationResult>, Error> {
        let reply = self.call("transact", txn, limit).await?;
        result::read(txn.operations(), &reply)
    }

    /// Asks whether the server is there (RFC 7047, section 4.1.11).
    pub async fn echo(&self, limit: Duration) -> Result<(), Error> {
        self.call("echo", &[(); 0], limit).await.map(|_| ())
    }

    /// Calls a method and does something with the result before any later message is looked at. What that finds
    /// wrong ends the connection.
    pub(super) async fn call_then<T: Send + 'static>(
        &self,
        method: &str,
        params: &impl Serialize,
        limit: Duration,
        then: impl FnOnce(Bytes) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel::<Result<T, Failure>>();
        let shared = Arc::downgrade(&self.shared);
        let completion = move |outcome: Outcome| {
            let result = outcome.and_then(|result| {
                then(result).map_err(|reason| {
                    let end = End::breach(reason);
                    if let Some(shared) = shared.upgrade() {
                        shared.calls.end(&end);
                    }
                    Failure::Ended(end)
                })
            });
            // Whoever called may have stopped waiting.
            let _ = sender.send(result);
        };
        let id = self.start_call(method, params, Box::new(completion))?;
        let in_flight = InFlight { shared: &self.shared, id };
        let outcome = tokio::time::timeout(limit, receiver).await;
        drop(in_flight);
        match outcome {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(failure))) => Err(self.error(method, failure)),
            Ok(Err(_)) => Err(self.error(method, Failure::Ended(End::lost("the connection is closed")))),
            Err(_) => {
                Err(Error::Timeout { remote: self.shared.remote.clone(), during: method.to_owned(), limit })
            }
        }
    }

    /// Calls a method without waiting for its end.
    pub(super) fn send(&self, method: &str, params: &impl Serialize) -> Result<(), Error> {
        self.start_call(method, params, Box::new(|_| {})).map(|_| ())
    }

    /// Has a sink told of a topic, until it is taken back or the connection ends.
    pub(super) fn subscribe(&self, topic: Topic, sink: Arc<dyn Sink>) {
        self.shared.sinks().insert(topic, sink);
    }

    pub(super) fn unsubscribe(&self, topic: &Topic) {
        self.shared.sinks().remove(topic);
    }

    fn start_call(
        &self,
        method: &str,
        params: &impl Serialize,
        completion: Box<dyn FnOnce(Outcome) + Send>,
    ) -> Result<u64, Error> {
        let mut text = message(method, params)?;
        let closed = || End::lost("the connection is closed");
        let ended = |end| self.error(method, Failure::Ended(end));
        let id = self.shared.calls.begin(completion).map_err(ended)?;
        text.extend_from_slice(id.to_string().as_bytes());
        text.push(b'}');
        self.shared.out.send(text).map_err(|_| ended(closed()))?;
        Ok(id)
    }

    fn error(&self, method: &str, failure: Failure) -> Error {
        let method = method.to_owned();
        match failure {
            Failure::Refused(error) => {
                let (kind, details) = result::refusal(&error);
                Error::Rpc { method, kind, details }
            }
            Failure::Ended(End { reason, protocol: true }) => {
                Error::Protocol { during: method, text: reason }
            }
            Failure::Ended(End { reason, .. }) => {
                Error::Disconnected { remote: self.shared.remote.clone(), during: method, reason }
            }
        }
    }
}

/// A call without its id, which comes last.
fn message(method: &str, params: &impl Serialize) -> Result<Vec<u8>, Error> {
    let protocol = |text: String| Error::Protocol { during: method.to_owned(), text };
    let mut text = Vec::with_capacity(256);
    text.extend_from_slice(b"{\"method\":");
    serde_json::to_writer(&mut text, method).map_err(|error| protocol(error.to_string()))?;
    text.extend_from_slice(b",\"params\":");
    let begin = text.len();
    serde_json::to_writer(&mut text, params).map_err(|error| protocol(error.to_string()))?;
    if text.get(begin) != Some(&b'[') {
        return Err(protocol("parameters have to be an array".to_owned()));
    }
    text.extend_from_slice(b",\"id\":");
    Ok(text)
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("remote", &self.shared.remote)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.close("closed by us");
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.shared.calls.forget(self.id) {
            // RFC 7047, section 4.1.4. It is about transactions; for others the server passes over it.
            let cancel = format!(r#"{{"method":"cancel","params":[{}],"id":null}}"#, self.id);
            let _ = self.shared.out.send(cancel.into_bytes());
        }
    }
}

impl Shared {
    fn sinks(&self) -> std::sync::MutexGuard<'_, HashMap<Topic, Arc<dyn Sink>>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: &End) {
        self.calls.end(end);
        self.open.send_replace(false);
        let sinks: Vec<_> = self.sinks().drain().collect();
        for (_, sink) in sinks {
            sink.ended(&end.reason);
        }
    }
}

#[cfg(test)]
mod tests;
