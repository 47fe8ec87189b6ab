//! `vdpa plan`: what `setup` would change.

use super::{Result, Session};
use crate::args::Plan;
use crate::host::Access;
use crate::plan::{Order, compare, resolve};
use crate::receipt::wanted;
use crate::report::Outcome;
use crate::view::View;

/// Shows what would change; 10 with `--detailed-exitcode` where something would.
pub(super) async fn run(session: &Session, options: &Plan) -> Result {
    let file = options.wanted.host_file(session.is_simulated()).map_err(crate::Error::from)?;
    let host = session.host(&Access::of(&file, &session.common.ovsdb))?;
    let resolved = resolve(&host, &file).await?;
    let stages = resolved.stages(Order::SwitchdevFirst);
    let steps: Vec<_> = wanted(&stages).into_iter().cloned().collect();
    let changes = compare(&host, &View::new(&host), &steps).await?;
    let due = changes.iter().filter(|change| !change.holds()).count();
    session.output.line(format_args!("{due} of {} statements would change:", changes.len()));
    session.output.changes(&changes);
    let outcome = Outcome::done("plan", if due == 0 { "unchanged" } else { "changes" }, &changes);
    let exit_code = if options.detailed_exitcode && due > 0 { 10 } else { 0 };
    Ok(Outcome { exit_code, ..outcome })
}
