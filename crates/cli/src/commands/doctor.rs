//! `vdpa doctor`: is this host ready, and what is missing.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Result, Session};
use crate::args::Wanted;
use crate::config::{ConfigError, DEFAULT_PATH, HostFile};
use crate::doctor::{self, Evidence, Verdict, bundle, page};
use crate::error::Error;
use crate::host::Access;
use crate::report::{Outcome, plain};

const HELP: &str = "\
Without a host file, every Mellanox and NVIDIA card of the host is asked about. Nothing is changed.
Exit code 1 where a check fails. docs/doctor.md lists the checks, and what a bundle holds and does not.

Examples:
  sudo vdpa doctor
  sudo vdpa doctor --json | jq '.checks[] | select(.verdict == \"fail\")'
  sudo vdpa doctor --bundle case.tar.gz     for a support case: evidence, without secrets
  vdpa doctor --from case.tar.gz            the same checks, on another machine
  vdpa doctor --simulate";

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Doctor {
    /// What the host should be.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Also write everything that was looked at into this archive (.tar.gz), which must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Look at an archive that `--bundle` wrote, and not at this host.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "config", "pci", "netdev", "vfs"])]
    pub from: Option<PathBuf>,
    /// Exit with 1 also where a check warns or is unknown.
    #[arg(long)]
    pub strict: bool,
    /// Print the list of checks, as Markdown.
    #[arg(long, exclusive = true)]
    pub list: bool,
}

/// Asks everything, and says what was found.
pub(super) async fn run(session: &Session, options: &Doctor) -> Result {
    if options.list {
        session.output.line(page::write());
        return Ok(Outcome::done("doctor", "done"));
    }
    let evidence = match &options.from {
        Some(_) if session.is_simulated() => return Err(Error::NotSimulated("a bundle").into()),
        Some(path) => bundle::open(path)?,
        None => look(session, &options.wanted).await?,
    };
    let checks = doctor::examine(&evidence);
    if options.from.is_some() {
        session.output.line(evidence.taken.to_string());
    }
    session.output.checks(&checks);
    if let Some(path) = &options.bundle {
        bundle::save(path, &evidence, &plain(&checks))?;
        session.output.line(format_args!("everything that was looked at is in {}", path.display()));
    }
    let amiss = checks.iter().any(|check| match check.verdict {
        Verdict::Pass => false,
        Verdict::Fail => true,
        Verdict::Warn | Verdict::Unknown => options.strict,
    });
    let outcome = Outcome::done("doctor", if amiss { "amiss" } else { "well" });
    Ok(Outcome {
        exit_code: u8::from(amiss),
        ..outcome.with("taken", &evidence.taken).with("checks", &checks)
    })
}

/// Looks at the host.
async fn look(session: &Session, wanted: &Wanted) -> Result<Evidence> {
    let file = host_file(session, wanted).map_err(Error::from)?;
    let access = Access::of(file.as_ref().unwrap_or(&HostFile::default()), &session.common.ovsdb);
    Ok(doctor::collect(&session.host(&access)?, file.as_ref()).await)
}

/// What is wanted of the host; nothing, where nobody says so.
fn host_file(session: &Session, wanted: &Wanted) -> Result<Option<HostFile>, ConfigError> {
    let nothing = wanted.is_silent() && !session.is_simulated() && !Path::new(DEFAULT_PATH).exists();
    if nothing { Ok(None) } else { wanted.host_file(session.is_simulated()).map(Some) }
}
