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

/// The processor time that both daemons of a directory have used so far.
pub(crate) fn cpu(dir: &Path) -> Result<Duration, Failure> {
    let mut ticks = 0;
    for daemon in ["ovsdb-server", "ovs-vswitchd"] {
        let pid = std::fs::read_to_string(dir.join(format!("{daemon}.pid")))?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))?;
        // After the name in parentheses: state is the third field, utime and stime the 14th and 15th (proc(5)).
        let fields = stat.rsplit_once(')').ok_or("no name in stat")?.1;
        let mut times = fields.split_whitespace().skip(11).take(2);
        for _ in 0..2 {
            ticks += times.next().ok_or("no times in stat")?.parse::<u64>()?;
        }
    }
    Ok(Duration::from_millis(ticks * 10)) // USER_HZ is 100 on every Linux
}
