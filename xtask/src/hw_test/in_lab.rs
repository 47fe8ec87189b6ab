//! Running tests in the lab.
//!
//! Each test target gets a VM of its own, fresh from boot; its tests run in it one after the other, in the order of
//! their names. After a test that did not pass, the next one gets a fresh VM. Between the halves of a test that has two
//! (`reboots`) the guest reboots, with its disk as the first half left it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::outcome::{Outcome, Report};
use super::suites::{self, Suite, Suites, Tier};
use super::{Args, reboots, skip};
use crate::host;
use crate::lab::{self, CARDS, Job, JobEnd, Lab, Stalls, Vm};
use crate::workspace;

/// Where the guest has the program under test: on its own disk, and not in PATH, where iproute2's `vdpa` is.
const PROGRAM: &str = "/opt/vdpa/vdpa";
const TEST: &str = "/opt/vdpa/test";
/// How many rounds the soak has; handed on to the guest.
const SOAK_ROUNDS: &str = "VDPA_SOAK_ROUNDS";

/// Runs all tests.
pub(crate) async fn run(suites: &Suites, args: &Args, report: &mut Report) -> Result<()> {
    if suites.is_empty() {
        return Ok(());
    }
    if let Some(outcome) = impossible().await {
        return suites.iter().try_for_each(|suite| skip(Tier::Lab, suite, &outcome, report));
    }
    let lab = Lab::ready().await?;
    let program = suites::program(args.release).await?;
    let program = in_guest(&program)?;
    for suite in suites.iter() {
        run_suite(&lab, suite, &program, args, report).await?;
    }
    Ok(())
}

/// Why there can be no lab here, if so.
async fn impossible() -> Option<Outcome> {
    let skipped = |why: String, needs: &str| Some(Outcome::Skipped { why, needs: needs.to_owned() });
    if std::env::consts::ARCH != "x86_64" {
        return skipped(
            format!("the lab's guest is x86_64 and this machine {}", std::env::consts::ARCH),
            "an x86_64 machine",
        );
    }
    if let Err(error) = host::meet(host::NEEDS.iter().filter(|need| need.of == "xtask")).await {
        return skipped(format!("{error:#}"), "those packages");
    }
    if let Err(error) = lab::check().await {
        return skipped(format!("{error:#}"), "root, or user namespaces");
    }
    None
}

/// A file of the target directory as the guest sees it.
fn in_guest(path: &std::path::Path) -> Result<String> {
    let target = workspace::target().canonicalize()?;
    let path = path.canonicalize()?;
    let below = path
        .strip_prefix(&target)
        .with_context(|| format!("{} is not in {}", path.display(), target.display()))?;
    Ok(format!("/target/{}", below.display()))
}

async fn run_suite(lab: &Lab, suite: &Suite, program: &str, args: &Args, report: &mut Report) -> Result<()> {
    let mut fresh: Option<Guest> = None;
    let cases = reboots::cases(&suite.tests);
    for (index, case) in cases.iter().enumerate() {
        let mut guest = match fresh.take() {
            Some(guest) => guest,
            None => match Guest::boot(lab, suite, program, args.stalls).await {
                Ok(guest) => guest,
                Err(error) => return give_up(suite, &cases[index..].concat(), &error, report),
            },
        };
        if run_case(&mut guest, suite, case, args.limit, report).await? {
            fresh = Some(guest);
        } else {
            guest.vm.end().await?;
        }
    }
    if let Some(guest) = fresh {
        guest.vm.end().await?;
    }
    Ok(())
}

/// Runs a test, or two halves of one with a reboot between them. Gives whether it passed as a whole.
async fn run_case(
    guest: &mut Guest,
    suite: &Suite,
    case: &[&str],
    limit: u64,
    report: &mut Report,
) -> Result<bool> {
    let mut failed = false;
    for (half, test) in case.iter().enumerate() {
        if failed {
            let why = "the half before the reboot did not pass".to_owned();
            report.add(Tier::Lab, suite, test, Outcome::NotRun { why }, None, "")?;
            continue;
        }
        let rebooted = if half > 0 { guest.vm.reboot().await.map(drop) } else { Ok(()) };
        let job =
            job(&[TEST, "--exact", test, "--nocapture", "--test-threads=1"], Duration::from_secs(limit));
        let ended = match rebooted {
            Ok(()) => guest.vm.share.run(&job, |_, _| {}).await,
            Err(error) => Err(error),
        };
        let (outcome, took, printed) = match ended {
            Ok(end) => (outcome(&end, limit), end.took, end.stdout),
            Err(error) => (Outcome::Failed { why: format!("{error:#}") }, Duration::ZERO, guest.console()),
        };
        failed = outcome != Outcome::Passed;
        report.add(Tier::Lab, suite, test, outcome, Some(took), &printed)?;
    }
    Ok(!failed)
}

/// No VM: the first test of the rest has failed for it, and the others are not tried.
fn give_up(suite: &Suite, rest: &[&str], error: &anyhow::Error, report: &mut Report) -> Result<()> {
    for (index, test) in rest.iter().enumerate() {
        let outcome = if index == 0 {
            Outcome::Failed { why: format!("{error:#}") }
        } else {
            Outcome::NotRun { why: "no VM to run it in".into() }
        };
        report.add(Tier::Lab, suite, test, outcome, None, "")?;
    }
    Ok(())
}

fn outcome(end: &JobEnd, limit: u64) -> Outcome {
    match end {
        JobEnd { timed_out: true, .. } => {
            Outcome::Failed { why: format!("it did not end within {limit} s and was killed") }
        }
        JobEnd { rc, stdout, .. } => Outcome::of(*rc == 0, &format!("exit status {rc}"), stdout),
    }
}

/// A VM with the program and a test target on its disk.
struct Guest {
    vm: Vm,
    /// It stands still now and then for as long as this is kept.
    _stalls: Option<Stalls>,
    directory: TempDir,
}

impl Guest {
    async fn boot(lab: &Lab, suite: &Suite, program: &str, stalls: bool) -> Result<Self> {
        let directory = TempDir::with_prefix("vdpa-lab-")?;
        let vm = Vm::boot(lab, directory.path(), lab::Life::Ours, lab::Clock::Host).await?;
        let stalls = stalls.then(|| vm.stall()).flatten();
        let guest = Self { vm, _stalls: stalls, directory };
        // Not run from the shared folder: its pages would come through it one by one.
        guest.must(&["install", "-D", program, PROGRAM]).await?;
        guest.must(&["install", "-D", &in_guest(&suite.executable)?, TEST]).await?;
        guest
            .must(&[PROGRAM, "--version"])
            .await
            .context("the program does not run in the guest (built for a newer libc?)")?;
        Ok(guest)
    }

    async fn must(&self, argv: &[&str]) -> Result<()> {
        let end = self.vm.share.run(&job(argv, Duration::from_mins(4)), |_, _| {}).await?;
        ensure!(end.rc == 0, "{} failed ({}): {}", argv.join(" "), end.rc, end.stdout.trim());
        Ok(())
    }

    fn console(&self) -> String {
        let console = std::fs::read(self.directory.path().join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&console).into_owned()
    }
}

fn job(argv: &[&str], limit: Duration) -> Job {
    let mut env = vec![("VDPA_BIN".to_owned(), PROGRAM.to_owned()), ("NO_COLOR".to_owned(), "1".to_owned())];
    env.extend(CARDS.iter().map(|card| (card.variable.to_owned(), card.pci.to_owned())));
    env.extend(std::env::var(SOAK_ROUNDS).map(|rounds| (SOAK_ROUNDS.to_owned(), rounds)));
    Job { argv: argv.iter().map(|&word| word.to_owned()).collect(), env, limit, merge: true }
}
