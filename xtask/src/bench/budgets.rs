//! `cargo xtask bench budgets`: how large the program is, how long it takes to start and how much memory it holds, each
//! beside what it may be.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::program::Program;
use super::report::Spread;
use super::{outcome, timed};
use crate::host;

/// What the program may be: a number that grows past it is looked at before the budget is.
const BUDGETS: [(Thing, f64); 5] = [
    (Thing::Size, 20.0),
    (Thing::Start, 10.0),
    (Thing::Memory(&["--version"]), 12.0),
    (Thing::Memory(&["plan", "--simulate"]), 24.0),
    (Thing::Memory(&["setup", "--simulate"]), 24.0),
];

/// How often the program is started for one figure of a start, since GNU time counts hundredths of a second.
const STARTS: usize = 100;

/// How much to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    program: Program,
}

/// What has a budget.
#[derive(Debug, Clone, Copy)]
enum Thing {
    /// The program's file, in MB.
    Size,
    /// From its start to its end with `--version`, in ms.
    Start,
    /// The most memory that it holds with these arguments, in MiB.
    Memory(&'static [&'static str]),
}

/// A budget and what was found.
#[derive(Debug, Serialize)]
struct Figure {
    of: String,
    unit: &'static str,
    found: Spread,
    budget: f64,
}

/// Measures.
pub(crate) async fn run(args: &Args) -> Result<ExitCode> {
    host::meet([timed::TIME].iter()).await?;
    let program = args.program.ready().await?;
    let mut figures = Vec::new();
    for (thing, budget) in BUDGETS {
        let mut found = Vec::new();
        for _ in 0..args.rounds {
            found.push(thing.measure(&program).await.with_context(|| thing.name())?);
        }
        let found = Spread::of(found.into_iter()).context("nothing was measured")?;
        figures.push(Figure { of: thing.name(), unit: thing.unit(), found, budget });
    }
    let mut text = format!("{:32}     median  (least–most)        budget\n", program.display());
    let mut targets = Vec::new();
    for Figure { of, unit, found, budget } in &figures {
        let span = format!("({:.1}–{:.1})", found.least, found.most);
        let _ = writeln!(text, "{of:32}  {:6.1} {unit:3}  {span:15}  {budget:6.1} {unit}", found.median);
        targets.push((format!("{of} within its budget"), found.median <= *budget));
    }
    text.push('\n');
    outcome::end("budgets", text, &targets, &figures)
}

impl Thing {
    fn name(self) -> String {
        match self {
            Self::Size => "size of the program".to_owned(),
            Self::Start => "start to end of --version".to_owned(),
            Self::Memory(arguments) => format!("memory of {}", arguments.join(" ")),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Size => "MB",
            Self::Start => "ms",
            Self::Memory(_) => "MiB",
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "files and memory have less than 2^52 bytes")]
    async fn measure(self, program: &Path) -> Result<f64> {
        let path = program.display().to_string();
        Ok(match self {
            Self::Size => fs::metadata(program).with_context(|| format!("no {path}"))?.len() as f64 / 1e6,
            Self::Start => {
                let started = std::time::Instant::now();
                for _ in 0..STARTS {
                    timed::start(&[path.clone(), "--version".to_owned()]).await?;
                }
                started.elapsed().as_secs_f64() * 1e3 / STARTS as f64
            }
            Self::Memory(arguments) => {
                // A simulated host is kept in this directory, and goes with it.
                let state = tempfile::tempdir().context("cannot make a temporary directory")?;
                let place = format!("XDG_STATE_HOME={}", state.path().display());
                let words = ["env".to_owned(), place, path].into_iter();
                let argv: Vec<String> = words.chain(arguments.iter().map(|&word| word.to_owned())).collect();
                timed::run(&argv).await?.memory as f64 / 1024.0
            }
        })
    }
}
