//! `cargo xtask hw-test`: tests by tier, each test with an outcome of its own.
//!
//! A tier is found by the `required-features` of a test target: none (`mock`), `daemon`, `lab` or `card`. `suites`
//! builds the targets and lists their tests, `on_host` and `in_lab` run them, `reboots` says which tests are two halves with a
//! reboot between them, `outcome` is what is known of each test in the end. Nothing is skipped in silence: a test that cannot run here says what it would need, and a run
//! of no test at all has failed.

mod in_lab;
mod on_host;
mod outcome;
mod reboots;
mod suites;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::host::NEEDS;
use outcome::{Outcome, Report};
use suites::{Suite, Suites, Tier};

/// Which tests, and what to make of those that cannot run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this tier; may be given more than once
    #[arg(long)]
    tier: Vec<Tier>,
    /// Only tests whose `package::target::name` has this in it
    #[arg(long)]
    filter: Option<String>,
    /// A test of this tier that cannot run here has failed; may be given more than once
    #[arg(long)]
    require: Vec<Tier>,
    /// The PF of a card that the card tier may change as it likes
    #[arg(long, value_name = "ADDRESS")]
    pci: Option<String>,
    /// Test what a release build makes
    #[arg(long)]
    release: bool,
    /// Seconds that one test may take
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    limit: u64,
    /// Let the lab's VM stand still for 12 s now and then, as on a host that has too much to do
    #[arg(long)]
    stalls: bool,
}

impl Args {
    /// The tiers asked for; a card is only asked for by name.
    fn tiers(&self) -> Vec<Tier> {
        match (&self.tier[..], &self.pci) {
            ([], None) => vec![Tier::Mock, Tier::Daemon, Tier::Lab],
            ([], Some(_)) => vec![Tier::Card],
            (tiers, _) => {
                let mut tiers = tiers.to_vec();
                tiers.sort_unstable();
                tiers.dedup();
                tiers
            }
        }
    }
}

/// Runs the tests.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let tiers = args.tiers();
    if let Some(tier) = args.require.iter().find(|tier| !tiers.contains(tier)) {
        bail!("--require {tier} without running that tier: --tier says otherwise");
    }
    let mut report = Report::new(&args.require)?;
    for tier in tiers {
        let mut suites = Suites::build(tier, args.release).await?;
        if let Some(filter) = &args.filter {
            suites.keep(filter);
        }
        run_tier(tier, &suites, args, &mut report).await?;
    }
    report.close()
}

async fn run_tier(tier: Tier, suites: &Suites, args: &Args, report: &mut Report) -> Result<()> {
    match tier {
        Tier::Mock => on_host::run(suites, &[], args, report).await,
        Tier::Daemon => {
            let (able, unable): (Vec<_>, Vec<_>) =
                suites.iter().cloned().partition(|suite| unmet(suite).is_none());
            for suite in unable {
                skip(tier, &suite, &unmet(&suite).unwrap_or_else(unable_without_reason), report)?;
            }
            on_host::run(&Suites::of(tier, able), &[], args, report).await
        }
        Tier::Lab => in_lab::run(suites, args, report).await,
        Tier::Card => match &args.pci {
            Some(pci) => on_host::run(suites, &[("VDPA_TEST_PCI", pci)], args, report).await,
            None => suites.iter().try_for_each(|suite| {
                let why = "no card is named".to_owned();
                skip(
                    tier,
                    suite,
                    &Outcome::Skipped { why, needs: "--pci with the address of a spare card".into() },
                    report,
                )
            }),
        },
    }
}

/// What a suite of the daemon tier lacks here.
fn unmet(suite: &Suite) -> Option<Outcome> {
    let need = NEEDS.iter().find(|need| need.of == suite.package && !need.met())?;
    let why = format!("no {}", need.witness);
    Some(Outcome::Skipped {
        why,
        needs: format!("`apt-get install {}`, as `cargo xtask test` does", need.package),
    })
}

fn unable_without_reason() -> Outcome {
    Outcome::Skipped { why: "its needs changed while it was looked at".into(), needs: "another run".into() }
}

fn skip(tier: Tier, suite: &Suite, outcome: &Outcome, report: &mut Report) -> Result<()> {
    suite.tests.iter().try_for_each(|test| report.add(tier, suite, test, outcome.clone(), None, ""))
}
