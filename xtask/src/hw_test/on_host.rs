//! Running tests on this machine, each in a process of its own.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::Args;
use super::outcome::{Outcome, Report};
use super::suites::{Suite, Suites, Tier};
use crate::process;

struct Ended {
    suite: Suite,
    test: String,
    outcome: Outcome,
    took: Duration,
    printed: String,
}

/// Runs all tests; those of the mock tier side by side, since nothing outside of them is touched.
pub(crate) async fn run(
    suites: &Suites,
    env: &[(&str, &str)],
    args: &Args,
    report: &mut Report,
) -> Result<()> {
    let at_once = match suites.tier {
        Tier::Mock => std::thread::available_parallelism().map_or(1, usize::from),
        Tier::Daemon | Tier::Lab | Tier::Card => 1,
    };
    let env: Vec<_> = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let limit = Duration::from_secs(args.limit);
    let mut running = JoinSet::new();
    for suite in suites.iter() {
        for test in &suite.tests {
            if running.len() == at_once {
                take_one(&mut running, suites.tier, report).await?;
            }
            running.spawn(run_one(suite.clone(), test.clone(), env.clone(), limit));
        }
    }
    while !running.is_empty() {
        take_one(&mut running, suites.tier, report).await?;
    }
    Ok(())
}

async fn take_one(running: &mut JoinSet<Ended>, tier: Tier, report: &mut Report) -> Result<()> {
    let Some(ended) = running.join_next().await else { return Ok(()) };
    let Ended { suite, test, outcome, took, printed } = ended?;
    report.add(tier, &suite, &test, outcome, Some(took), &printed)
}

async fn run_one(suite: Suite, test: String, env: Vec<(String, String)>, limit: Duration) -> Ended {
    let mut command = process::command(&suite.executable.to_string_lossy());
    command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).envs(env);
    command
        .current_dir(&suite.directory)
        .env("CARGO_MANIFEST_DIR", &suite.directory)
        .env("RUST_BACKTRACE", "0");
    let since = Instant::now();
    let mut printed = String::new();
    let ended = process::followed(command, limit, |line| {
        printed.push_str(line);
        printed.push('\n');
    });
    let outcome = match ended.await {
        Ok(status) => Outcome::of(status.success(), &status.to_string(), &printed),
        Err(error) => Outcome::Failed { why: format!("{error:#}") },
    };
    Ended { suite, test, outcome, took: since.elapsed(), printed }
}
