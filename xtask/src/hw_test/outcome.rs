//! What became of each test: a line as it ends, a report for machines, and the verdict on the whole run.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::suites::{Suite, Tier};
use crate::{process, workspace};

/// What became of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It ran and passed.
    Passed,
    /// It ran and did not pass.
    Failed {
        /// In one line.
        why: String,
    },
    /// It cannot run here.
    Skipped {
        /// What is missing.
        why: String,
        /// What would let it run.
        needs: String,
    },
    /// It could have run, but something before it went wrong.
    NotRun {
        /// What.
        why: String,
    },
}

impl Outcome {
    /// What became of a test that ended by itself: why it failed is in what it printed, where it panicked.
    pub(crate) fn of(succeeded: bool, status: &str, printed: &str) -> Self {
        if succeeded {
            return Self::Passed;
        }
        let mut lines = printed.lines().skip_while(|line| !line.contains(" panicked at "));
        let place = lines.next().and_then(|line| line.split(" panicked at ").nth(1));
        let why = match (place, lines.next()) {
            (Some(place), Some(message)) => format!("{message} ({})", place.trim_end_matches(':')),
            _ => status.to_owned(),
        };
        Self::Failed { why }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { why } => write!(f, "FAILED: {why}"),
            Self::Skipped { why, needs } => write!(f, "skipped: {why}; needs {needs}"),
            Self::NotRun { why } => write!(f, "NOT RUN: {why}"),
        }
    }
}

#[derive(Debug, Serialize)]
struct Record {
    tier: Tier,
    package: String,
    target: String,
    test: String,
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// A run's tests so far.
#[derive(Debug)]
pub(crate) struct Report {
    directory: PathBuf,
    required: Vec<Tier>,
    records: Vec<Record>,
}

impl Report {
    /// An empty report, in place of the last run's.
    pub(crate) fn new(required: &[Tier]) -> Result<Self> {
        let directory = workspace::target().join("hw-test");
        if directory.exists() {
            fs::remove_dir_all(&directory)
                .with_context(|| format!("cannot remove {}", directory.display()))?;
        }
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self { directory, required: required.to_vec(), records: Vec::new() })
    }

    /// Takes in how a test ended, and says so; what it printed is kept in a file, and shown if it failed.
    pub(crate) fn add(
        &mut self,
        tier: Tier,
        suite: &Suite,
        test: &str,
        outcome: Outcome,
        took: Option<Duration>,
        printed: &str,
    ) -> Result<()> {
        let outcome = self.judge(tier, outcome);
        let seconds = took.map(|took| took.as_secs_f64());
        let time = seconds.map(|seconds| format!("  {seconds:.1} s")).unwrap_or_default();
        println!("{tier:6} {}::{test}  {outcome}{time}", suite.name());
        if took.is_some() {
            let log = self.directory.join(format!("{tier}-{}-{test}.log", suite.name()).replace("::", "-"));
            fs::write(&log, printed).with_context(|| format!("cannot write {}", log.display()))?;
            if outcome != Outcome::Passed {
                println!(
                    "       all that it printed is in {}; it ends with:{}",
                    log.display(),
                    process::last_lines(printed, 60)
                );
            }
        }
        self.records.push(Record {
            tier,
            package: suite.package.clone(),
            target: suite.target.clone(),
            test: test.to_owned(),
            outcome,
            seconds,
        });
        // Written each time: an interrupted run has a report too.
        self.write()
    }

    /// A required tier has no skips.
    fn judge(&self, tier: Tier, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Skipped { why, needs } if self.required.contains(&tier) => {
                Outcome::Failed { why: format!("{why}; needs {needs}, and --require {tier} allows no skip") }
            }
            outcome => outcome,
        }
    }

    fn write(&self) -> Result<()> {
        let path = self.directory.join("report.json");
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let report = serde_json::json!({ "written": time, "tests": self.records });
        fs::write(&path, format!("{report:#}\n")).with_context(|| format!("cannot write {}", path.display()))
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.records.iter().filter(|record| which(&record.outcome)).count()
    }

    /// Says how the run ended.
    pub(crate) fn close(self) -> Result<ExitCode> {
        self.write()?;
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed { .. }));
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped { .. }));
        let not_run = self.count(|outcome| matches!(outcome, Outcome::NotRun { .. }));
        let empty: Vec<_> = self.required.iter().filter(|tier| !self.has_run(**tier)).collect();
        println!("report: {}", self.directory.join("report.json").display());
        if not_run > 0 {
            println!("{not_run} not run");
        }
        for tier in &empty {
            println!("required tier {tier} has run no test");
        }
        let none = passed + failed == 0;
        if none {
            println!("no test has run: that is a failure");
        }
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        let good = failed == 0 && not_run == 0 && empty.is_empty() && !none;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn has_run(&self, tier: Tier) -> bool {
        let ran = |outcome: &Outcome| matches!(outcome, Outcome::Passed | Outcome::Failed { .. });
        self.records.iter().any(|record| record.tier == tier && ran(&record.outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_why_a_test_failed() {
        let printed = "running 1 test\n\nthread 'x' (7) panicked at src/a.rs:3:5:\nno VF\nnote: run with\n";
        let why = "no VF (src/a.rs:3:5)".to_owned();
        assert_eq!(Outcome::of(false, "exit status: 101", printed), Outcome::Failed { why });
        assert_eq!(Outcome::of(false, "signal: 9", ""), Outcome::Failed { why: "signal: 9".into() });
        assert_eq!(Outcome::of(true, "exit status: 0", printed), Outcome::Passed);
    }

    fn suite() -> Suite {
        Suite { package: "p".into(), target: "t".into(), ..Suite::default() }
    }

    fn verdict(required: &[Tier], outcomes: &[Outcome]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let mut report = Report {
            directory: directory.path().to_owned(),
            required: required.to_vec(),
            records: Vec::new(),
        };
        for outcome in outcomes {
            report.add(Tier::Lab, &suite(), "x", outcome.clone(), None, "").unwrap();
        }
        let json = fs::read_to_string(directory.path().join("report.json")).unwrap_or_default();
        assert!(outcomes.is_empty() || json.contains(r#""outcome""#), "{json}");
        report.close().unwrap() == ExitCode::SUCCESS
    }

    #[test]
    fn a_run_is_good_only_if_something_ran_and_nothing_went_wrong() {
        let skipped = Outcome::Skipped { why: "no KVM".into(), needs: "KVM".into() };
        let failed = Outcome::Failed { why: "panicked".into() };
        let not_run = Outcome::NotRun { why: "the VM died".into() };
        assert!(verdict(&[], &[Outcome::Passed]));
        assert!(verdict(&[], &[Outcome::Passed, skipped.clone()]));
        assert!(!verdict(&[], &[]));
        assert!(!verdict(&[], std::slice::from_ref(&skipped)));
        assert!(!verdict(&[], &[Outcome::Passed, failed]));
        assert!(!verdict(&[], &[Outcome::Passed, not_run]));
        assert!(!verdict(&[Tier::Lab], &[Outcome::Passed, skipped.clone()]));
        assert!(verdict(&[Tier::Lab], &[Outcome::Passed]));
        assert!(!verdict(&[Tier::Card], &[Outcome::Passed]), "the required tier ran nothing");
    }
}
