//! `vdpa status`: every statement, and whether it holds.

use super::{Result, Session};
use crate::args::Wanted;
use crate::host::Access;
use crate::plan::{compare, resolve};
use crate::receipt::{Phase, wanted};
use crate::report::{Outcome, Standing};
use crate::view::View;

/// Shows the statements of the last `setup`, or of the host file where one is named or nothing was set up.
pub(super) async fn run(session: &Session, options: &Wanted) -> Result {
    let receipt = if options.is_silent() { session.drawer().open()? } else { None };
    let (host, steps) = if let Some(receipt) = &receipt {
        let host = session.host(&receipt.access)?;
        (host, receipt.wanted().into_iter().cloned().collect::<Vec<_>>())
    } else {
        let file = options.host_file(session.is_simulated()).map_err(crate::Error::from)?;
        let host = session.host(&Access::of(&file, &session.common.ovsdb))?;
        let stages = resolve(&host, &View::new(&host), &file).await?.stages(0);
        (host, wanted(&stages).into_iter().cloned().collect())
    };
    let changes = compare(&host, &View::new(&host), &steps).await?;
    let untrue = changes.iter().filter(|change| !change.holds()).count();
    session.output.statements(&changes);
    let standing = receipt.as_ref().map(Standing::from);
    let state = match receipt.map(|receipt| receipt.phase) {
        None => "nothing was set up here",
        Some(Phase::Applied) => "set up",
        Some(Phase::Applying) => "a setup has not ended: `vdpa setup` goes on, `vdpa teardown` restores",
        Some(Phase::Restoring) => "a restore has not ended: `vdpa teardown` goes on",
    };
    session.output.line(format_args!(
        "{} of {} statements hold; {state}",
        changes.len() - untrue,
        changes.len()
    ));
    let outcome = Outcome::done("status", if untrue == 0 { "holds" } else { "drift" });
    Ok(Outcome { exit_code: u8::from(untrue > 0), statements: changes, receipt: standing, ..outcome })
}
