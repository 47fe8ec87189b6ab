//! A VM that stands still now and then, as one does whose host is overcommitted, suspended or moved elsewhere.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long it stands still: longer than what programs like to call "long enough".
const STILL: Duration = Duration::from_secs(12);

/// How long it runs between, in seconds: uneven, so that no two runs of a test are stopped at the same places.
const RUNNING: [u64; 5] = [17, 29, 23, 41, 31];

/// Stops a VM again and again until it is dropped. The guest's clock goes on meanwhile: for the guest, time jumps.
#[derive(Debug)]
pub(crate) struct Stalls {
    vm: Pid,
    stalling: JoinHandle<()>,
}

impl Stalls {
    /// Begins with the VM that is this process.
    pub(crate) fn begin(vm: Pid) -> Self {
        let stalling = tokio::spawn(async move {
            for seconds in RUNNING.into_iter().cycle() {
                sleep(Duration::from_secs(seconds)).await;
                if kill_process(vm, Signal::STOP).is_err() {
                    return;
                }
                sleep(STILL).await;
                wake(vm);
            }
        });
        Self { vm, stalling }
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stalling.abort();
        wake(self.vm);
    }
}

/// One that is gone needs no waking.
fn wake(vm: Pid) {
    let _ = kill_process(vm, Signal::CONT);
}
