//! OVSDB's JSON-RPC 1.0 on a Unix socket, made fit for jsonrpsee's 2.0 client.
//!
//! What a plain pipe between the two would get wrong, and is put right here:
//! - the server drops the connection on a `jsonrpc` member, and jsonrpsee wants one;
//! - the server's own `echo` calls must be answered, or it drops the connection;
//! - a reply with an id that is not in flight ends jsonrpsee's client, so it is filtered;
//! - an error may be text or an object, and jsonrpsee wants a code and a message: it travels as `data`.
//!
//! Notifications (`update`, `locked`, …) stop here: nobody has asked for any. A monitor belongs between
//! [`Receiver::next`] and jsonrpsee: it must see an update before any later reply goes on.
//!
//! Writing goes through a task of its own. A receiver that waited for room in the socket to answer an echo
//! could wait for ever: ovsdb-server stops reading from a client that does not read.

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::Write as _,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use jsonrpsee_core::client::{ReceivedMessage, TransportReceiverT, TransportSenderT};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

use super::frame::{FrameError, Splitter};

/// How much is read at once, in bytes.
const CHUNK: usize = 64 << 10;

/// The ids of the calls in flight.
type InFlight = Arc<Mutex<HashSet<u64>>>;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("the server closed the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Message(String),
}

/// jsonrpsee's way to the server.
pub(super) struct Sender {
    out: mpsc::UnboundedSender<Vec<u8>>,
    in_flight: InFlight,
}

/// jsonrpsee's way from the server.
pub(super) struct Receiver {
    input: OwnedReadHalf,
    out: mpsc::UnboundedSender<Vec<u8>>,
    in_flight: InFlight,
    splitter: Splitter,
    chunk: Vec<u8>,
}

/// A call as jsonrpsee writes it, less its `jsonrpc` member; and as OVSDB reads it.
#[derive(Serialize, Deserialize)]
struct Call<'a> {
    id: u64,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// Whatever the server sends.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The two halves for jsonrpsee. Has to be called within a tokio runtime.
pub(super) fn split(stream: UnixStream) -> (Sender, Receiver) {
    let (input, output) = stream.into_split();
    let (out, queue) = mpsc::unbounded_channel();
    tokio::spawn(write(output, queue));
    let in_flight = InFlight::default();
    let sender = Sender { out: out.clone(), in_flight: in_flight.clone() };
    (sender, Receiver { input, out, in_flight, splitter: Splitter::default(), chunk: vec![0; CHUNK] })
}

/// Writes what is queued until both ends of the transport are gone. The queue holds at most the calls that
/// somebody awaits and the echoes of a server that waits for each.
async fn write(mut output: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(message) = queue.recv().await {
        if let Err(error) = output.write_all(&message).await {
            tracing::debug!(%error, "writing to OVSDB failed");
            return;
        }
    }
}

impl TransportSenderT for Sender {
    type Error = TransportError;

    async fn send(&mut self, message: String) -> Result<(), TransportError> {
        let call: Call<'_> =
            serde_json::from_str(&message).map_err(|error| TransportError::Message(error.to_string()))?;
        let bytes = serde_json::to_vec(&call).map_err(|error| TransportError::Message(error.to_string()))?;
        lock(&self.in_flight).insert(call.id);
        self.out.send(bytes).map_err(|_| TransportError::Closed)
    }
}

impl TransportReceiverT for Receiver {
    type Error = TransportError;

    async fn receive(&mut self) -> Result<ReceivedMessage, TransportError> {
        loop {
            let frame = self.next().await?;
            if let Some(reply) = self.take(&frame)? {
                return Ok(ReceivedMessage::Text(reply));
            }
        }
    }
}

impl Receiver {
    async fn next(&mut self) -> Result<Vec<u8>, TransportError> {
        loop {
            if let Some(frame) = self.splitter.pop() {
                return Ok(frame);
            }
            match self.input.read(&mut self.chunk).await? {
                0 => return Err(TransportError::Closed),
                length => self.splitter.feed(&self.chunk[..length])?,
            }
        }
    }

    /// Deals with a message, or gives the reply that jsonrpsee is to see.
    fn take(&self, frame: &[u8]) -> Result<Option<String>, TransportError> {
        let message: Incoming<'_> = serde_json::from_slice(frame)
            .map_err(|error| TransportError::Message(format!("a message is not JSON-RPC: {error}")))?;
        match (message.method, message.id) {
            (Some(method), Some(id)) => self.answer(&method, id, message.params).map(|()| None),
            (Some(method), None) => {
                tracing::debug!(%method, "a notification nobody asked for");
                Ok(None)
            }
            (None, id) => {
                let number: Option<u64> = id.and_then(|id| id.get().parse().ok());
                if let Some(number) = number.filter(|number| lock(&self.in_flight).remove(number)) {
                    return Ok(Some(reply(number, message.result, message.error)));
                }
                tracing::debug!(id = id.map_or("null", RawValue::get), "a reply to no call of ours");
                Ok(None)
            }
        }
    }

    /// Answers a call of the server's; it has none but `echo` (RFC 7047, section 4.1.11).
    fn answer(&self, method: &str, id: &RawValue, params: Option<&RawValue>) -> Result<(), TransportError> {
        let answer = if method == "echo" {
            let params = params.map_or("[]", RawValue::get);
            format!(r#"{{"id":{id},"result":{params},"error":null}}"#)
        } else {
            format!(r#"{{"id":{id},"result":null,"error":"unknown method"}}"#)
        };
        self.out.send(answer.into_bytes()).map_err(|_| TransportError::Closed)
    }
}

/// A reply as JSON-RPC 2.0 has it.
fn reply(id: u64, result: Option<&RawValue>, error: Option<&RawValue>) -> String {
    let content = error.or(result).map_or("null", RawValue::get);
    let mut text = String::with_capacity(content.len() + 80);
    let written = match error {
        Some(_) => write!(
            text,
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32000,"message":"OVSDB","data":{content}}}}}"#
        ),
        None => write!(text, r#"{{"jsonrpc":"2.0","id":{id},"result":{content}}}"#),
    };
    debug_assert!(written.is_ok(), "a String takes whatever is written to it");
    text
}

fn lock(in_flight: &InFlight) -> std::sync::MutexGuard<'_, HashSet<u64>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}
