//! `vdpa teardown`.

use super::{Result, Session};
use crate::args::Teardown;
use crate::error::Error;
use crate::firmware::Ledger;
use crate::host::{Access, Host};
use crate::privilege::NET_ADMIN;
use crate::receipt::Receipt;
use crate::report::{Outcome, Report as _, count};
use crate::teardown::{add_left_over, teardown};

/// Brings back what was there before `setup`.
pub(super) async fn run(session: &Session, options: &Teardown) -> Result {
    session.require("teardown", &[NET_ADMIN])?;
    let lock = session.lock()?;
    let written = session.drawer().open()?;
    let access = written
        .as_ref()
        .map_or_else(|| Access::usual(&session.common.ovsdb), |receipt| receipt.access.clone());
    let host = session.host(&access)?;
    let receipt = match written {
        Some(receipt) => receipt,
        None => unwritten(session, &host, access).await?,
    };
    if receipt.stages.iter().all(Vec::is_empty) {
        session.output.line("nothing was set up here: there is no receipt");
        return Ok(Outcome::done("teardown", "unchanged"));
    }
    session.listen_for_signals();
    let restored =
        teardown(&session.run(&host, &lock), receipt, &options.force.iter().copied().collect()).await?;
    session.output.line(format_args!("{} restored; the host is as it was", count(restored.of, "statement")));
    Ok(Outcome { restored: Some(restored), ..Outcome::done("teardown", "done") })
}

/// A receipt for what is left from before a reboot: firmware, which we keep account of, and rows in Open vSwitch.
async fn unwritten(session: &Session, host: &Host, access: Access) -> Result<Receipt, Error> {
    let mut receipt = Receipt::to_restore(access, Ledger::new(&host.state).read()?);
    match add_left_over(host, &mut receipt).await {
        Ok(true) => session.output.note("no receipt: what is left in Open vSwitch is from before a reboot"),
        Ok(false) => {}
        Err(error) => session.output.note(&format!("Open vSwitch was not looked at: {}", error.flat())),
    }
    Ok(receipt)
}
