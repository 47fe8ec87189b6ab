//! `vdpa setup`.

use super::{Result, Session};
use crate::args::Setup;
use crate::error::Error;
use crate::host::Access;
use crate::report::Outcome;
use crate::setup::setup;

/// Makes the host what the host file says.
pub(super) async fn run(session: &Session, options: &Setup) -> Result {
    let file = options.wanted.host_file(session.is_simulated()).map_err(Error::from)?;
    let access = Access::of(&file, &session.common.ovsdb);
    let lock = session.lock()?;
    let host = session.host(&access)?;
    session.listen_for_signals();
    let done =
        setup(&session.run(&host, &lock), &file, &access, &options.force.iter().copied().collect()).await?;
    let word = if done.changed {
        session.output.line(format_args!("{} statements hold", done.statements.len()));
        "done"
    } else {
        session.output.line("unchanged: there was nothing to do");
        "unchanged"
    };
    Ok(Outcome { receipt: session.standing()?, ..Outcome::done("setup", word, &done.statements) })
}
