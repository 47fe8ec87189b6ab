//! The calls in flight on a connection.
//!
//! Replies may overtake each other (a blocked `wait` is answered after later calls), so calls are matched by id
//! and never by order. A call's end runs where messages are read, in the order of the wire: what a monitor's reply
//! brings is in the cache before the update after it is looked at.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// How a call ended.
pub(super) type Outcome = Result<Bytes, Failure>;

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server's error member, as JSON.
    Refused(Bytes),
    /// The connection ended.
    Ended(End),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// What to tell people.
    pub(super) reason: String,
    /// Whether it is the peer's breach of the protocol, and not its or our going away.
    pub(super) protocol: bool,
}

type Completion = Box<dyn FnOnce(Outcome) + Send>;

/// The calls in flight, until the connection has ended.
#[derive(Default)]
pub(super) struct Calls(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    pending: HashMap<u64, Completion>,
    end: Option<End>,
}

impl End {
    pub(super) fn lost(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), protocol: false }
    }

    pub(super) fn breach(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), protocol: true }
    }
}

impl Calls {
    /// Takes a call up and gives its id; or how the connection has ended.
    pub(super) fn begin(&self, completion: Completion) -> Result<u64, End> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        state.last += 1;
        let id = state.last;
        state.pending.insert(id, completion);
        Ok(id)
    }

    /// Ends a call; gives whether it was in flight.
    pub(super) fn complete(&self, id: u64, outcome: Outcome) -> bool {
        let completion = self.lock().pending.remove(&id);
        completion.is_some_and(|completion| {
            completion(outcome);
            true
        })
    }

    /// Forgets a call that nobody waits for any more; gives whether it was in flight.
    pub(super) fn forget(&self, id: u64) -> bool {
        self.lock().pending.remove(&id).is_some()
    }

    /// Ends every call, and those to come. The first reason stays.
    pub(super) fn end(&self, end: &End) {
        let pending = {
            let mut state = self.lock();
            state.end.get_or_insert_with(|| end.clone());
            std::mem::take(&mut state.pending)
        };
        for completion in pending.into_values() {
            completion(Err(Failure::Ended(end.clone())));
        }
    }

    /// How the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<End> {
        self.lock().end.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
