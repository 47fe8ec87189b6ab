//! `vdpa setup`.

use super::{Result, Session};
use crate::args::Setup;
use crate::arrival::await_cards;
use crate::error::Error;
use crate::host::Access;
use crate::privilege::NET_ADMIN;
use crate::report::{Outcome, Report as _};
use crate::setup::{Leave, setup};
use crate::until::Until;

/// There is more to do, after a firmware reset or a reboot.
const RESET_NEEDED: u8 = 10;

/// Makes the host what the host file says.
pub(super) async fn run(session: &Session, options: &Setup) -> Result {
    let file = options.wanted.host_file(session.is_simulated()).map_err(Error::from)?;
    let access = Access::of(&file, &session.common.ovsdb);
    session.require("setup", &[NET_ADMIN])?;
    let lock = session.lock()?;
    let until = options.until.reaching(session.drawer().open()?.as_ref());
    let mut host = session.host(&access)?;
    if until < Until::Domains {
        host = host.without_domains();
    }
    session.listen_for_signals();
    if options.until < Until::Domains {
        // At boot: drivers may still be looking for their cards.
        await_cards(&host, &file).await;
    }
    let leave = Leave { forced: options.force.iter().copied().collect(), firmware: options.firmware, until };
    let done = setup(&session.run(&host, &lock), &file, &access, &leave).await;
    if done.as_ref().is_err_and(|failure| failure.error.is_overdue()) {
        lock.keep();
    }
    let done = done?;
    let word = if !done.waits_for.is_empty() {
        for card in &done.waits_for {
            session.output.note(card);
        }
        session.output.line("then `vdpa setup` goes on");
        "reset-needed"
    } else if done.changed {
        session.output.line(format_args!("{} statements hold", done.statements.len()));
        "done"
    } else {
        session.output.line("unchanged: there was nothing to do");
        "unchanged"
    };
    let exit_code = if done.waits_for.is_empty() { 0 } else { RESET_NEEDED };
    let (statements, receipt) = (done.statements, session.standing()?);
    Ok(Outcome { exit_code, statements, receipt, ..Outcome::done("setup", word) })
}
