//! What does not fit, said to people and programs.

use serde::Serialize;
use vdpa_vm::{Finding, Severity};

use crate::commands::Session;
use crate::error::Error;

/// A finding for programs.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    finding: &'static str,
    severity: Severity,
    message: String,
    hint: Option<String>,
}

/// Says what was found. The first that cannot work ends the command, save where it is the host's and `force` is on.
pub(super) fn say(session: &Session, findings: &[Finding], force: bool) -> Result<Vec<Shown>, Error> {
    let stops =
        |finding: &&Finding| finding.severity() == Severity::Error && !(force && finding.is_of_host());
    for finding in findings.iter().filter(|finding| !stops(finding)) {
        let hint = finding.hint().filter(|_| !session.output.is_json());
        if finding.severity() > Severity::Advice {
            session.output.caution(finding);
            if let Some(hint) = hint {
                session.output.hint(hint);
            }
        } else if let Some(hint) = hint {
            session.output.hint(format_args!("{finding}: {hint}"));
        }
    }
    if let Some(finding) = findings.iter().find(stops) {
        return Err(vdpa_vm::Error::Unfit(finding.clone()).into());
    }
    Ok(findings.iter().map(shown).collect())
}

fn shown(finding: &Finding) -> Shown {
    Shown {
        finding: finding.name(),
        severity: finding.severity(),
        message: finding.to_string(),
        hint: finding.hint(),
    }
}
