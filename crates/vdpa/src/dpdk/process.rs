//! A process that may not be our child: known by its id and its start time, signalled by pidfd.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process, told from a later one with the same id by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    /// The id.
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot (field 22 of /proc/PID/stat, proc(5)).
    started: u64,
}

impl ProcessId {
    /// The running process with this id; `None` if there is none, or only its remains.
    pub(super) fn running(pid: u32) -> Option<Self> {
        let process = Self { pid, started: started(pid)? };
        process.is_running().then_some(process)
    }

    /// Whether it still runs: any thread of it. The first one may be dead already (state Z) while others hold
    /// the process's files open; a pidfd tells (`pidfd_poll` in `kernel/fork.c`).
    pub(super) fn is_running(self) -> bool {
        let now = Duration::ZERO;
        self.open()
            .is_ok_and(|process| process.is_some_and(|process| !poll_end(&process, now).unwrap_or(true)))
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`; `false` if it is there even then.
    pub(super) async fn end(self, grace: Duration) -> io::Result<bool> {
        for signal in [Signal::TERM, Signal::KILL] {
            let Some(process) = self.open()? else { return Ok(true) };
            match pidfd_send_signal(&process, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
            if ended(process, grace).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A descriptor of it that becomes readable when it ends. The start time is compared once the
    /// descriptor is held, so that it cannot be another process's.
    fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        Ok((started(self.pid) == Some(self.started)).then_some(descriptor))
    }
}

/// Whether the process behind a pidfd ends within `limit`. A thread of its own polls it.
async fn ended(process: OwnedFd, limit: Duration) -> io::Result<bool> {
    tokio::task::spawn_blocking(move || poll_end(&process, limit)).await?
}

/// Whether the process behind a pidfd ends within `limit`: all of its threads.
fn poll_end(process: &OwnedFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(count) => return Ok(count > 0),
        }
    }
}

/// When the process started, in clock ticks since boot; dead and not yet reaped, it still tells.
fn started(pid: u32) -> Option<u64> {
    start_time(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of /proc/PID/stat. The second field is the program's name in parentheses, and may contain
/// parentheses and blanks itself.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) Z 1) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2";
        assert_eq!(start_time(stat), Some(4711));
        assert_eq!(start_time("7 (a"), None);
    }

    #[tokio::test]
    async fn a_process_is_ended_and_its_successor_is_not() {
        let mut child = tokio::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::running(child.id().unwrap()).unwrap();
        let successor = ProcessId { started: process.started + 1, ..process };
        assert!(!successor.is_running());
        assert!(successor.end(Duration::from_mins(1)).await.unwrap());
        assert!(process.is_running(), "a signal went to a process with the same id");
        assert!(process.end(Duration::from_mins(1)).await.unwrap());
        assert!(!process.is_running());
        child.wait().await.unwrap();
    }
}
