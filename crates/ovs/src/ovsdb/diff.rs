//! What a transaction, or a new snapshot, has made of a database; and handing it to who wants to know.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::{
    op::Name,
    table::{Change, Changes, Declared, RowType},
};

/// How many diffs wait for a reader before they are merged into one.
const BACKLOG: usize = 64;

/// What has become of a database's rows.
#[derive(Clone)]
pub struct Diff {
    tables: Vec<(Name, Arc<dyn Changes>)>,
}

/// Diffs as they come, from [`Replica::changes`](super::Replica::changes).
///
/// None is lost and memory is bounded: when a reader is slow, diffs that wait are merged. Then it sees what was and
/// what is of every row, and not each value in between.
#[derive(Debug)]
pub struct Feed {
    queue: Arc<Queue>,
}

/// Diffs that wait for a [`Feed`].
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Diff>>,
    news: Notify,
}

/// Whoever is to be told of diffs.
#[derive(Default)]
pub(super) struct Audience(Mutex<Vec<Weak<Queue>>>);

impl Diff {
    pub(super) fn new(tables: Vec<(Name, Box<dyn Changes>)>) -> Self {
        Self { tables: tables.into_iter().map(|(name, changes)| (name, changes.into())).collect() }
    }

    /// The changes of a declared type's rows.
    pub fn of<R: Declared>(&self) -> &[Change<R>] {
        self.table(R::TABLE)
    }

    /// The changes of a table's rows; none if it is not among the tables, or its rows are of another type.
    pub fn table<R: RowType>(&self, name: &str) -> &[Change<R>] {
        let changes = self.tables.iter().find(|(table, _)| table == name);
        changes.and_then(|(_, changes)| changes.as_any().downcast_ref::<Vec<_>>()).map_or(&[], Vec::as_slice)
    }

    /// The names of the tables that have changed.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|(_, changes)| !changes.is_empty()).map(|(name, _)| &**name)
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.tables().next().is_none()
    }

    fn merge(&mut self, later: &Self) {
        for (name, changes) in &later.tables {
            if let Some((_, before)) = self.tables.iter_mut().find(|(table, _)| table == name) {
                let mut both = before.duplicate();
                both.merge(&**changes);
                *before = both.into();
            }
        }
    }
}

impl fmt::Debug for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Diff").field(&self.tables().collect::<Vec<_>>()).finish()
    }
}

impl Feed {
    /// The next diff. It may be dropped and asked for again: none is lost.
    pub async fn next(&mut self) -> Diff {
        loop {
            if let Some(diff) = self.try_next() {
                return diff;
            }
            // A permit that was given meanwhile is kept, so nothing falls between.
            self.queue.news.notified().await;
        }
    }

    /// The next diff, if there is one already.
    pub fn try_next(&mut self) -> Option<Diff> {
        self.queue.waiting().pop_front()
    }
}

impl Queue {
    fn push(&self, diff: Diff) {
        let mut waiting = self.waiting();
        let is_full = waiting.len() >= BACKLOG;
        match waiting.back_mut().filter(|_| is_full) {
            Some(last) => last.merge(&diff),
            None => waiting.push_back(diff),
        }
        drop(waiting);
        self.news.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Diff>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting().len()).finish()
    }
}

impl Audience {
    /// A new member, who begins with a diff.
    pub(super) fn join(&self, first: Diff) -> Feed {
        let queue = Arc::new(Queue::default());
        queue.push(first);
        self.members().push(Arc::downgrade(&queue));
        Feed { queue }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members().iter().all(|member| member.strong_count() == 0)
    }

    pub(super) fn tell(&self, diff: &Diff) {
        self.members().retain(|member| {
            let queue = member.upgrade();
            if let Some(queue) = &queue {
                queue.push(diff.clone());
            }
            queue.is_some()
        });
    }

    fn members(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
