//! `vdpa teardown`.

use super::{Result, Session};
use crate::args::Teardown;
use crate::report::{Outcome, count};
use crate::teardown::teardown;

/// Brings back what was there before `setup`.
pub(super) async fn run(session: &Session, options: &Teardown) -> Result {
    let lock = session.lock()?;
    let Some(receipt) = session.drawer().open()? else {
        session.output.line("nothing was set up here: there is no receipt");
        return Ok(Outcome::done("teardown", "unchanged", &[]));
    };
    let host = session.host(&receipt.access)?;
    session.listen_for_signals();
    let restored =
        teardown(&session.run(&host, &lock), receipt, &options.force.iter().copied().collect()).await?;
    session.output.line(format_args!("{} restored; the host is as it was", count(restored.of, "statement")));
    Ok(Outcome { restored: Some(restored), ..Outcome::done("teardown", "done", &[]) })
}
