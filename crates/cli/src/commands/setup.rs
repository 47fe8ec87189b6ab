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
    let host = session.host(&access)?;
    session.listen_for_signals();
    let done = setup(&session.run(&host), &file, &access, &options.force.iter().copied().collect()).await?;
    session.output.line(format_args!("{} statements hold", done.statements.len()));
    Ok(Outcome::done("setup", if done.changed { "done" } else { "unchanged" }, &done.statements))
}
