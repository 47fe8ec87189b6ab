//! `cargo xtask bench`: what `vdpa setup` costs, beside the reference document's script and the shortest ones.
//!
//! In one VM, each contender brings the same card from the same clean state to the same end state, in turns and
//! several times. `contender` says who they are, `guest` runs them by way of `lab/bench/guest.sh`, `counts` and
//! `trace` read what that wrote, `report` makes a table of it. Nothing is taken on trust: every clean state is
//! compared with the first, every end state with what was asked for, and packets show that flows are offloaded.
//!
//! Under emulation seconds mean little; counts and ratios do not depend on the machine, and the verdict rests on them
//! alone. The VM's clock counts its instructions, so that what else the machine does is not measured along.

mod budgets;
mod contender;
mod counts;
mod flows;
mod guest;
mod outcome;
mod ovs;
mod program;
mod report;
mod status;
mod timed;
mod trace;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use contender::{Contender, MOST_VFS, Target};
use guest::Guest;
use program::Program;
use report::{Report, Sample};

/// What to measure, and how often.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// Numbers of VFs
    #[arg(long, value_delimiter = ',', default_values_t = [2, 8], value_parser = clap::value_parser!(u16).range(2..=i64::from(MOST_VFS)))]
    vfs: Vec<u16>,
    /// Rounds that count; one more comes first, to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Rounds in which the reference document's script takes part: it takes a minute
    #[arg(long, default_value_t = 2)]
    reference_rounds: u32,
    /// Use this VM, which is up, instead of a fresh one
    #[arg(long, value_name = "NAME")]
    vm: Option<String>,
    #[command(flatten)]
    program: Program,
}

/// What else than `setup` can be measured.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Measure `vdpa flows --from` on a dump of a million flows, beside grep and Open vSwitch's parser in Python
    Flows(flows::Args),
    /// Measure the OVSDB client, beside ovs-vsctl, ovsdb-client and Python's
    Ovs(ovs::Args),
    /// Measure `vdpa status` and `vdpa plan` with nothing to do, beside the tools with which one looks by hand
    Status(status::Args),
    /// Hold the program's size, start and memory against what they may be
    Budgets(budgets::Args),
}

/// Measures.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    match &args.other {
        Some(Other::Flows(args)) => return flows::run(args).await,
        Some(Other::Ovs(args)) => return ovs::run(args).await,
        Some(Other::Status(args)) => return status::run(args).await,
        Some(Other::Budgets(args)) => return budgets::run(args).await,
        None => {}
    }
    let program = args.program.ready().await?;
    let guest = Guest::ready(args.vm.as_deref(), &program).await?;
    let mut report = Report::begin(args.rounds)?;
    for &vfs in &args.vfs {
        let target = Target { vfs };
        let clean = guest.clean(target).await?;
        for round in 0..=args.rounds {
            for contender in Contender::in_round(round, args.reference_rounds, target) {
                let mut sample = measure(&guest, contender, target, &clean, round).await;
                if let Err(error) = &sample
                    && contender != Contender::Ours
                {
                    // The scripts wait for udev as well as a script can, and lose a race now and then.
                    println!("{vfs} VFs  {contender:24} FAILED, once more: {error:#}");
                    report.failed(contender, vfs);
                    ensure!(guest.clean(target).await? == clean, "the clean state is not what it was");
                    sample = measure(&guest, contender, target, &clean, round).await;
                }
                let sample = sample.with_context(|| format!("{contender}, {vfs} VFs, round {round}"))?;
                println!("{}{}", sample.line(), if round == 0 { "  (warm-up)" } else { "" });
                if round > 0 {
                    report.add(sample);
                }
            }
        }
    }
    guest.end().await?;
    report.end()
}

/// One run of one contender, from the clean state and back to it.
async fn measure(
    guest: &Guest,
    contender: Contender,
    target: Target,
    clean: &str,
    round: u32,
) -> Result<Sample> {
    let measured = guest.measure(contender, target).await?;
    let state = guest.state(target).await?;
    let missing = target.missing(contender, &state);
    ensure!(missing.is_empty(), "the end state lacks {missing:?}; it is:\n{state}");
    // Packets change what the next one finds in the caches, and take time: once for each is enough.
    let offloaded = if round == 1 { Some(guest.offloaded(target).await?) } else { None };
    let restored = match contender {
        Contender::Ours => Some(guest.teardown(target).await? == *clean),
        _ => None,
    };
    let again = guest.clean(target).await?;
    ensure!(again == *clean, "the clean state is not what it was:\n{clean}\nnow:\n{again}");
    Ok(Sample { contender, vfs: target.vfs, round, measured, state, offloaded, restored })
}
