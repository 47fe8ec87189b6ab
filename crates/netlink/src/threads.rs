//! Threads for calls in which the kernel takes its time.
//!
//! They are none of the runtime's: dropping a runtime waits for those. A thread that has done its work waits a while for
//! more, since a look at a host makes a dozen requests one after the other.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

type Work = Box<dyn FnOnce() + Send>;

/// Threads without work, the one that became so last at the end.
static IDLE: Mutex<Vec<(ThreadId, Sender<Work>)>> = Mutex::new(Vec::new());

/// How long a thread waits for more work.
const LINGER: Duration = Duration::from_secs(1);

/// Has a thread do `work`: one that waits for work, or a new one.
pub(crate) fn run(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut work: Work = Box::new(work);
    loop {
        // The lock is not held any more where the thread is spoken to.
        let waiting = idle().pop();
        let Some((_, thread)) = waiting else { break };
        match thread.send(work) {
            Ok(()) => return Ok(()),
            Err(unsent) => work = unsent.0, // its work before had panicked
        }
    }
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("netlink".into()).spawn(move || serve(work, &sender, &receiver)).map(drop)
}

fn serve(first: Work, sender: &Sender<Work>, receiver: &Receiver<Work>) {
    let own = thread::current().id();
    let mut work = first;
    loop {
        work();
        idle().push((own, sender.clone()));
        work = match receiver.recv_timeout(LINGER).ok().or_else(|| last(own, receiver)) {
            Some(more) => more,
            None => return,
        };
    }
}

/// Strikes a thread off the list. If somebody has just taken it from there, work is on its way.
fn last(own: ThreadId, receiver: &Receiver<Work>) -> Option<Work> {
    let mut idle = idle();
    if let Some(place) = idle.iter().position(|(thread, _)| *thread == own) {
        idle.remove(place);
        return None;
    }
    drop(idle);
    receiver.recv().ok()
}

fn idle() -> MutexGuard<'static, Vec<(ThreadId, Sender<Work>)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread_of_work() -> ThreadId {
        let (tell, told) = mpsc::channel();
        run(move || tell.send(thread::current().id()).unwrap()).unwrap();
        told.recv().unwrap()
    }

    #[test]
    fn work_one_after_the_other_is_done_by_few_threads_and_at_once_by_many() {
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(Mutex::new(held));
        let (tell, told) = mpsc::channel();
        for _ in 0..3 {
            let (held, tell) = (held.clone(), tell.clone());
            run(move || {
                tell.send(thread::current().id()).unwrap();
                let _ = held.lock().unwrap().recv();
            })
            .unwrap();
        }
        let at_once: std::collections::HashSet<_> = told.iter().take(3).collect();
        assert_eq!(at_once.len(), 3, "three works side by side");
        drop(release);
        let one_by_one: std::collections::HashSet<_> = (0..50).map(|_| thread_of_work()).collect();
        assert!(one_by_one.len() < 50, "each had a thread of its own");
    }

    #[test]
    fn work_that_panics_costs_its_thread_and_nothing_else() {
        run(|| panic!("as tests do")).unwrap();
        thread_of_work();
    }
}
