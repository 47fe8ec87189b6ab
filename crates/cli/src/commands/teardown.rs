//! `vdpa teardown`.

use super::{Result, Session};
use crate::args::Teardown;
use crate::firmware::Ledger;
use crate::host::Access;
use crate::receipt::Receipt;
use crate::report::{Outcome, count};
use crate::teardown::teardown;

/// Brings back what was there before `setup`.
pub(super) async fn run(session: &Session, options: &Teardown) -> Result {
    let lock = session.lock()?;
    let receipt = if let Some(receipt) = session.drawer().open()? {
        receipt
    } else {
        // After a reboot firmware is all that is left of a `setup`.
        let access = Access::usual(&session.common.ovsdb);
        let kept = Ledger::new(&session.host(&access)?.state).read()?;
        if kept.is_empty() {
            session.output.line("nothing was set up here: there is no receipt");
            return Ok(Outcome::done("teardown", "unchanged", &[]));
        }
        Receipt::to_restore(access, kept)
    };
    let host = session.host(&receipt.access)?;
    session.listen_for_signals();
    let restored =
        teardown(&session.run(&host, &lock), receipt, &options.force.iter().copied().collect()).await?;
    session.output.line(format_args!("{} restored; the host is as it was", count(restored.of, "statement")));
    Ok(Outcome { restored: Some(restored), ..Outcome::done("teardown", "done", &[]) })
}
