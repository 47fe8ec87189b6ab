//! The two tasks of a connection: what is done with what arrives, and writing.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, watch},
};

use super::{Shared, Topic};
use crate::ovsdb::{
    calls::{End, Failure},
    frame::{Frame, Splitter},
    json::Cursor,
    message::Message,
};

/// Messages longer than this are taken apart on a thread that may block, in bytes. Others take microseconds.
const LONG: usize = 1 << 20;

pub(super) async fn read(mut input: Box<dyn AsyncRead + Send + Unpin>, shared: Arc<Shared>) {
    let end = read_until_the_end(&mut *input, &shared).await;
    tracing::debug!(remote = %shared.remote, reason = end.reason, "a connection ended");
    shared.end(&end);
}

async fn read_until_the_end(input: &mut (dyn AsyncRead + Send + Unpin), shared: &Arc<Shared>) -> End {
    let mut splitter = Splitter::default();
    loop {
        let frame = match splitter.frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => match input.read_buf(splitter.space()).await {
                Ok(0) => return End::lost("the server closed the connection"),
                Ok(_) => continue,
                Err(error) => return End::lost(error.to_string()),
            },
            Err(error) => return End::breach(error.to_string()),
        };
        let taken = if frame.text.len() < LONG {
            shared.take(&frame)
        } else {
            let shared = shared.clone();
            let taken = tokio::task::spawn_blocking(move || shared.take(&frame)).await;
            taken.unwrap_or_else(|_| Err(End::lost("the runtime is shutting down")))
        };
        if let Err(end) = taken {
            return end;
        }
    }
}

/// Writes what is queued, as much of it at once as there is, until the connection has ended.
pub(super) async fn write(
    mut output: Box<dyn AsyncWrite + Send + Unpin>,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    mut open: watch::Receiver<bool>,
) {
    let writing = async {
        while let Some(mut message) = queue.recv().await {
            while let Ok(more) = queue.try_recv() {
                message.extend_from_slice(&more);
            }
            output.write_all(&message).await?;
            output.flush().await?;
        }
        std::io::Result::Ok(())
    };
    tokio::select! {
        Err(error) = writing => {
            // The reader meets the end of the connection too, and may find there what the server had to say.
            tracing::debug!(%error, "writing to OVSDB failed");
        }
        _ = open.wait_for(|open| !open) => {}
        else => {}
    }
}

impl Shared {
    /// Does what a message asks for. An error is the end of the connection.
    fn take(&self, frame: &Frame) -> Result<(), End> {
        let message = Message::read(frame)
            .map_err(|error| End::breach(format!("a message is not JSON-RPC: {error}")))?;
        match message {
            Message::Reply { id, result } => {
                let outcome = result.map_err(Failure::Refused);
                if !id.is_some_and(|id| self.calls.complete(id, outcome)) {
                    tracing::debug!(?id, "a reply to no call of ours");
                }
                // A call's end may have found its reply to be none.
                self.calls.ended().map_or(Ok(()), Err)
            }
            Message::Call { id, method, params } => {
                self.answer(&method, &id, &params);
                Ok(())
            }
            Message::Notification { method, params } => self.notify(&method, &params),
        }
    }

    /// Answers a call of the server's; it has none but `echo` (RFC 7047, section 4.1.11).
    fn answer(&self, method: &str, id: &[u8], params: &[u8]) {
        let (before, content, after): (_, &[u8], _) = if method == "echo" {
            (r#","result":"#, params, r#","error":null}"#)
        } else {
            (r#","result":null,"error":"#, br#""unknown method""#, "}")
        };
        let parts = [br#"{"id":"#, id, before.as_bytes(), content, after.as_bytes()];
        let _ = self.out.send(parts.concat());
    }

    fn notify(&self, method: &str, params: &[u8]) -> Result<(), End> {
        let topic = match method {
            "update" | "update2" | "update3" | "monitor_canceled" => Topic::Monitor,
            "locked" | "stolen" => Topic::Lock,
            _ => {
                tracing::debug!(%method, "a notification that is not the protocol's");
                return Ok(());
            }
        };
        let mut cursor = Cursor::new(params);
        let breach = |error| End::breach(format!("a {method} notification is malformed: {error}"));
        cursor.expect(b'[').map_err(breach)?;
        // A name of ours is text; anything else is none of ours.
        let name = if cursor.peek() == b'"' { cursor.string().map_err(breach)? } else { "".into() };
        let topic = topic(name.into_owned());
        let Some(sink) = self.sinks().get(&topic).cloned() else {
            tracing::debug!(%method, ?topic, "a notification nobody asked for");
            return Ok(());
        };
        sink.notify(method, params).map_err(End::breach)
    }
}
