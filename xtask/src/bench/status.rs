//! `cargo xtask bench status`: `vdpa status` and `vdpa plan` with nothing to do, beside the three tools with which one
//! looks at the same by hand, run one after another, in one VM whose clock counts its instructions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::contender::{MOST_VFS, Target};
use super::guest::{Guest, Measured};
use super::outcome;
use super::program::Program;
use super::report::Spread;

/// What a user types who looks by hand: one process a tool.
const BY_HAND: &str = "ovs-vsctl show, devlink port show, ip -d link";

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many VFs are set up
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=i64::from(MOST_VFS)))]
    vfs: u16,
    /// Rounds that count; one more comes first, to warm up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Use this VM, which is up, instead of a fresh one
    #[arg(long, value_name = "NAME")]
    vm: Option<String>,
    #[command(flatten)]
    program: Program,
}

/// Measures.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    let program = args.program.ready().await?;
    let guest = Guest::ready(args.vm.as_deref(), &program).await?;
    let target = Target { vfs: args.vfs };
    guest.clean(target).await?;
    guest.setup(target).await?;
    let mut all: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
    for round in 0..=args.rounds {
        guest.quiet(target).await?;
        let mut lookers = [
            (BY_HAND, vec!["bash".to_owned(), "-c".to_owned(), BY_HAND.replace(',', ";")]),
            ("vdpa status", Guest::ours(&["status"])),
            ("vdpa plan", Guest::ours(&["plan", "--config", &Guest::host_file(target)])),
        ];
        let first = round as usize % lookers.len();
        lookers.rotate_left(first);
        for (name, argv) in lookers {
            let measured = guest.run_measured(argv, target.env()).await.with_context(|| name.to_owned())?;
            println!("{name:46}  {:6.3} s", measured.seconds);
            if round > 0 {
                all.entry(name).or_default().push(measured);
            }
        }
    }
    guest.teardown(target).await?;
    guest.end().await?;
    end(args.vfs, &all)
}

fn end(vfs: u16, all: &BTreeMap<&str, Vec<Measured>>) -> Result<ExitCode> {
    let spread = |name: &str| {
        let seconds = all.get(name).into_iter().flatten().map(|measured| measured.seconds);
        Spread::of(seconds).with_context(|| format!("{name} was not measured"))
    };
    let by_hand = spread(BY_HAND)?.median;
    let mut text = format!("{vfs} VFs, nothing to do\n\n{:46}  median s  (least–most)     ÷ by hand\n", "");
    let mut targets = Vec::new();
    for name in [BY_HAND, "vdpa status", "vdpa plan"] {
        let Spread { median, least, most } = spread(name)?;
        let ratio = median / by_hand;
        let _ = writeln!(text, "{name:46}  {median:8.3}  ({least:.3}–{most:.3})  {ratio:10.2}");
        if name != BY_HAND {
            targets.push((format!("{name} takes no longer than by hand ({ratio:.2} times)"), ratio <= 1.0));
        }
    }
    text.push('\n');
    outcome::end("status", text, &targets, all)
}
