//! `vdpa plan`: what `setup` would change.

use super::{Result, Session};
use crate::args::Plan;
use crate::fit;
use crate::host::Access;
use crate::report::{Outcome, Standing, count};
use crate::setup::plan;

/// Shows what would change; 10 with `--detailed-exitcode` where something would.
pub(super) async fn run(session: &Session, options: &Plan) -> Result {
    let file = options.wanted.host_file(session.is_simulated()).map_err(crate::Error::from)?;
    let host = session.host(&Access::of(&file, &session.common.ovsdb))?;
    let earlier = session.drawer().open()?;
    let changes = plan(&host, &file, earlier.as_ref()).await?;
    let due = changes.iter().filter(|change| !change.holds()).count();
    session.output.line(format_args!(
        "{due} of {} would change{}",
        count(changes.len(), "statement"),
        if due > 0 { ":" } else { "" }
    ));
    session.output.changes(&changes);
    let fits = fit::look(&host, &changes).await?;
    for fit in &fits {
        session
            .output
            .caution(format_args!("{}{fit}", if fit.is_error() { "`setup` would stop: " } else { "" }));
    }
    let standing = earlier.as_ref().map(Standing::from);
    let outcome = Outcome::done("plan", if due == 0 { "unchanged" } else { "changes" });
    let exit_code = if options.detailed_exitcode && due > 0 { 10 } else { 0 };
    Ok(Outcome { exit_code, statements: changes, receipt: standing, ..outcome })
}
