//! The handle to the simulated machine: observe, operate, wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vdpa_netlink::{Errno, Refusal};

use super::fuse::{Fuse, When};
use super::kernel;
use super::state::State;

/// A handle to one simulated machine; clones share it.
#[derive(Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
    /// How many real milliseconds a simulated second takes; 0 in tests.
    pace: u32,
    watcher: Option<Watcher>,
    /// How often each kind of listing was asked for.
    listings: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

/// Called after the effect of each operation that is asked for through this handle, whatever comes of it: whoever
/// keeps the machine in a file can let it forget as little as a kernel does.
pub type Watcher = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("state", &self.state)
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine in this state, whose clock runs as fast as it is waited on.
    pub fn new(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), pace: 0, watcher: None, listings: Arc::default() }
    }

    /// The same machine with a clock that can be watched: `pace` real milliseconds a simulated second.
    #[must_use]
    pub fn with_pace(self, pace: u32) -> Self {
        Self { pace, ..self }
    }

    /// A handle to the same machine that tells `watcher`.
    #[must_use]
    pub fn with_watcher(self, watcher: Watcher) -> Self {
        Self { watcher: Some(watcher), ..self }
    }

    /// Reads the machine's state.
    pub fn observe<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the state from outside, as a test or a neighbour on the host does: no operation of ours.
    pub fn meddle<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    /// Carries out one operation: `verb` names the kind (`sriov_numvfs`), `object` what it is done to.
    ///
    /// # Errors
    /// What `effect` refuses, and EIO where the fuse blows.
    pub fn operate<T>(
        &self,
        verb: &str,
        object: &(impl ToString + ?Sized),
        effect: impl FnOnce(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let object = object.to_string();
        self.gated(verb, &object, |machine| effect(&mut machine.lock()))
    }

    /// Carries out an operation whose state lives outside the machine (OVSDB rows, domain XML), so
    /// that it counts, waits and fails like any other.
    ///
    /// # Errors
    /// What `effect` refuses, and EIO where the fuse blows.
    pub fn gated<T>(
        &self,
        verb: &str,
        object: &str,
        effect: impl FnOnce(&Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.before(verb, object)?;
        let value = effect(self)?;
        if let Some(watcher) = &self.watcher {
            watcher();
        }
        self.after(verb, object)?;
        Ok(value)
    }

    /// The first half of [`gated`](Self::gated), for mocks that take closures: counts the operation.
    ///
    /// # Errors
    /// EIO where the fuse strikes before the effect.
    pub fn before(&self, verb: &str, object: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.operations += 1;
        let now = state.operations;
        if let Some((_, card)) = state.removal.take_if(|(at, _)| *at == now) {
            kernel::pull_out(&mut state, card);
        }
        state.strike = state.fuse.as_mut().and_then(|fuse| fuse.strikes(verb, object));
        match state.strike {
            Some(When::Before) => Err(injected(verb, object)),
            _ => Ok(()),
        }
    }

    /// The second half of [`gated`](Self::gated): keeps the journal.
    ///
    /// # Errors
    /// EIO where the fuse strikes after the effect.
    pub fn after(&self, verb: &str, object: &str) -> Result<(), Refusal> {
        let mut state = self.lock();
        state.journal.push(format!("{verb} {object}"));
        match state.strike.take() {
            Some(When::After) => Err(injected(verb, object)),
            _ => Ok(()),
        }
    }

    /// Waits on the machine's clock until `look` finds what it looks for, no longer than `limit`.
    pub async fn wait<T>(&self, limit: Duration, look: impl Fn(&State) -> Option<T>) -> Option<T> {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let deadline = self.lock().now_ms.saturating_add(limit);
        loop {
            let now = {
                let mut state = self.lock();
                state.happen();
                if let Some(found) = look(&state) {
                    return Some(found);
                }
                state.now_ms
            };
            if now >= deadline {
                return None;
            }
            let next = self.lock().next_due().unwrap_or(deadline).clamp(now + 1, deadline);
            self.pass(next - now).await;
            let mut state = self.lock();
            state.now_ms = state.now_ms.max(next);
        }
    }

    /// Lets everything come that is on its way, as a host does that is left alone.
    pub async fn settle(&self) {
        self.wait(Duration::from_hours(1), |state| state.agenda_is_empty().then_some(())).await;
    }

    /// Lets time go by without anybody waiting for anything.
    pub fn elapse(&self, time: Duration) {
        let mut state = self.lock();
        let end = state.now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        while let Some(due) = state.next_due().filter(|due| *due <= end) {
            state.now_ms = state.now_ms.max(due);
            state.happen();
        }
        state.now_ms = end;
    }

    /// Puts a fuse in, or takes it out.
    pub fn set_fuse(&self, fuse: Option<Fuse>) {
        self.lock().fuse = fuse;
    }

    /// Counts a listing, whose cost grows with what there is: who asks for one for each VF takes time that grows
    /// with the square of their number.
    pub fn tally(&self, listing: &'static str) {
        *self.listings.lock().unwrap_or_else(PoisonError::into_inner).entry(listing).or_default() += 1;
    }

    /// How often each kind of listing was asked for.
    pub fn listings(&self) -> BTreeMap<&'static str, u64> {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many operations the machine has been asked for.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    async fn pass(&self, simulated_ms: u64) {
        if self.pace > 0 {
            tokio::time::sleep(Duration::from_millis(simulated_ms * u64::from(self.pace) / 1000)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(verb: &str, object: &str) -> Refusal {
    Refusal::because(Errno::EIO, format!("fault injected at {verb} {object}"))
}
