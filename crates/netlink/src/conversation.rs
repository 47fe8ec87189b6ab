//! One request and its answer, on a socket of their own.

use std::io;
use std::time::{Duration, Instant};

use netlink_sys::Socket;
use tokio::sync::oneshot;

use crate::wire::{self, Body, Frames};
use crate::{Error, Refusal, socket, threads};

/// The time limit of a request that does not state its own. Its turn comes after whatever else holds the kernel's lock:
/// a switch of an eswitch with 127 VFs takes a minute.
pub const DEFAULT_LIMIT: Duration = Duration::from_mins(2);

/// How often a listing that changed while it was read is read again.
const DUMP_ATTEMPTS: u32 = 8;

/// Has a thread hold a conversation of `protocol` (`NETLINK_GENERIC`, `NETLINK_ROUTE`), because the kernel works inside
/// `sendmsg`, and gives up on it at the limit, which begins now. It is held in the calling thread's network namespace.
pub(crate) async fn converse<T: Send + 'static>(
    protocol: isize,
    intent: String,
    limit: Duration,
    hold: impl FnOnce(&mut Conversation) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let mut conversation = Conversation::open(protocol, intent.clone(), limit)?;
    on_a_thread(intent, limit, move || hold(&mut conversation)).await
}

/// Has a thread do `work`, and gives up on it at the limit.
async fn on_a_thread<T: Send + 'static>(
    intent: String,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (tell, told) = oneshot::channel();
    let begun = threads::run(move || {
        // Nobody listens any more if the caller was cancelled.
        let _ = tell.send(work());
    });
    if let Err(source) = begun {
        return Err(Error::Io { intent, source });
    }
    match tokio::time::timeout(limit, told).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Io { intent, source: io::Error::other("the request's thread ended") }),
        Err(_) => Err(Error::Timeout { intent, limit }),
    }
}

/// An answer: the type of each message, and what is behind its header.
pub(crate) type Payloads = Vec<(u16, Vec<u8>)>;

/// One socket, its requests numbered.
pub(crate) struct Conversation {
    socket: Socket,
    sequence: u32,
    intent: String,
    limit: Duration,
    deadline: Instant,
}

impl Conversation {
    /// A socket of `protocol` in the calling thread's network namespace, for answers that come within `limit` from now.
    fn open(protocol: isize, intent: String, limit: Duration) -> Result<Self, Error> {
        let socket = match socket::open(protocol) {
            Ok(socket) => socket,
            Err(source) => return Err(Error::Io { intent, source }),
        };
        let now = Instant::now();
        // An unreachable end of time is an hour away.
        let deadline = now.checked_add(limit).unwrap_or(now + Duration::from_hours(1));
        Ok(Self { socket, sequence: 0, intent, limit, deadline })
    }

    /// What the caller said it is for.
    pub(crate) fn intent(&self) -> &str {
        &self.intent
    }

    /// Asks for a listing until it has not changed meanwhile.
    pub(crate) fn until_steady<T>(
        &mut self,
        mut ask: impl FnMut(&mut Self) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
        }
        Err(Error::Unsteady { intent: self.intent.clone(), attempts: DUMP_ATTEMPTS })
    }

    /// Sends one request and reads its answer to the end: types and payloads. `None` if the listing changed
    /// meanwhile.
    pub(crate) fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        payload: &[u8],
    ) -> Result<Option<Payloads>, Error> {
        self.sequence += 1;
        let bytes = wire::request(kind, flags, self.sequence, payload)
            .ok_or_else(|| Error::TooLong { intent: self.intent.clone() })?;
        self.socket.send(&bytes, 0).map_err(|source| self.io(source))?;
        let (mut messages, mut interrupted) = (Vec::new(), false);
        loop {
            let datagram = socket::receive(&self.socket, self.deadline).map_err(|source| self.io(source))?;
            for frame in Frames(&datagram) {
                let frame = frame.map_err(|source| Error::malformed(&self.intent, source))?;
                if frame.sequence != self.sequence {
                    continue;
                }
                interrupted |= frame.interrupted;
                match frame.body {
                    Body::Data { kind, payload } => messages.push((kind, payload.to_vec())),
                    Body::Noop => {}
                    Body::End { errno: Some(errno), said } => {
                        let refusal = Refusal { errno, message: said.message };
                        return Err(Error::Refused {
                            intent: self.intent.clone(),
                            refusal,
                            culprit: said.culprit,
                        });
                    }
                    Body::End { errno: None, said } => {
                        if let Some(remark) = said.message {
                            tracing::warn!(
                                intent = self.intent.as_str(),
                                kernel = remark,
                                "done, with a remark"
                            );
                        }
                        return Ok((!interrupted).then_some(messages));
                    }
                }
            }
        }
    }

    fn io(&self, source: io::Error) -> Error {
        let intent = self.intent.clone();
        match source.kind() {
            io::ErrorKind::TimedOut => Error::Timeout { intent, limit: self.limit },
            _ => Error::Io { intent, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_stays_in_the_kernel_is_given_up_on() {
        let (_keep, held) = std::sync::mpsc::channel::<()>();
        let limit = Duration::from_mins(1);
        let stuck = on_a_thread("switch".into(), limit, move || {
            let _ = held.recv();
            Ok(())
        });
        match stuck.await {
            Err(Error::Timeout { intent, limit: said }) => {
                assert_eq!((intent.as_str(), said), ("switch", limit));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_listing_that_never_holds_still_is_given_up_on() {
        let mut conversation =
            Conversation::open(netlink_sys::protocols::NETLINK_ROUTE, "list".into(), DEFAULT_LIMIT).unwrap();
        let mut asked = 0;
        let error = conversation.until_steady(|_| {
            asked += 1;
            Ok(None::<()>)
        });
        assert!(matches!(error, Err(Error::Unsteady { attempts: 8, .. })), "{error:?}");
        assert_eq!(asked, 8);
    }
}
