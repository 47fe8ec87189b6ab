//! What the daemons use of the processor, and when they are done.

use std::{path::Path, time::Duration};

use vdpa_ovs::testing::Daemons;

use crate::Failure;

/// Waits until both daemons have done what the last contender left them to do: their control sockets are served by
/// the loop that does all else.
pub(crate) async fn settle(daemons: &Daemons) -> Result<(), Failure> {
    for _ in 0..3 {
        daemons.ovsdb_control().call("version", &[]).await?;
        daemons.vswitchd_control().call("version", &[]).await?;
    }
    Ok(())
}

/// The same of ovsdb-server alone.
pub(crate) async fn settle_server(daemons: &Daemons) -> Result<(), Failure> {
    for _ in 0..3 {
        daemons.ovsdb_control().call("version", &[]).await?;
    }
    Ok(())
}

/// The processor time that both daemons of a directory have used so far, by every thread that still is.
pub(crate) fn cpu(dir: &Path) -> Result<Duration, Failure> {
    let mut nanoseconds = 0;
    for daemon in ["ovsdb-server", "ovs-vswitchd"] {
        let pid = std::fs::read_to_string(dir.join(format!("{daemon}.pid")))?;
        for thread in std::fs::read_dir(format!("/proc/{}/task", pid.trim()))? {
            // The first field is the time on a processor, in ns (the kernel's Documentation/scheduler/sched-stats.rst).
            // A thread that has ended since it was listed has no file.
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            nanoseconds += stat.split_whitespace().next().ok_or("no time in schedstat")?.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}
