//! What a command came to: the shape of every `--json` document.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::engine::{Failure, Restored};
use crate::plan::{Change, Order};
use crate::receipt::{Phase, Receipt};
use crate::step::Step;

/// What a command came to.
///
/// ```json
/// { "command": "setup", "simulated": true, "outcome": "done", "exit_code": 0, "elapsed_ms": 812,
///   "statements": [ { "subject": "eswitch of 0000:43:00.0", "wanted": "switchdev", "now": "switchdev",
///                     "holds": true, "statement": { "about": "eswitch-mode", … } } ],
///   "receipt": { "phase": "applied", "order": "switchdev-first" },
///   "notes": [], "error": null, "restored": null }
/// ```
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The command; `vdpa` where the command line is none.
    pub command: &'static str,
    /// Whether the host is simulated.
    pub simulated: bool,
    /// In a word: `done`, `unchanged`, `changes`, `holds`, `drift`, `reset-needed`, `failed`, `incomplete`.
    pub outcome: &'static str,
    /// The exit code.
    pub exit_code: u8,
    /// Milliseconds from start to end.
    pub elapsed_ms: u64,
    /// Every statement, and how it reads; put into words when the document is written, which few commands are asked for.
    #[serde(serialize_with = "in_words")]
    pub statements: Vec<Change>,
    /// What is written down of the host, where the command leaves or finds something set up.
    pub receipt: Option<Standing>,
    /// What the user should know besides.
    pub notes: Vec<String>,
    /// Why it failed.
    pub error: Option<Explained>,
    /// What became of the host after a failure; absent where nothing had been changed.
    pub restored: Option<Restored>,
    /// What only this command has to say, by name, beside the rest: [`Outcome::with`].
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

/// How far a host is between what it was and what it is to be, for programs.
#[derive(Debug, Serialize)]
pub struct Standing {
    /// How far.
    pub phase: Phase,
    /// In which order VFs and eswitch were brought there; absent where both were there before.
    pub order: Option<Order>,
}

impl From<&Receipt> for Standing {
    fn from(receipt: &Receipt) -> Self {
        Self { phase: receipt.phase, order: receipt.order }
    }
}

/// A statement for programs.
#[derive(Debug, Serialize)]
pub struct Statement {
    /// What it is about.
    pub subject: String,
    /// What is wanted of it.
    pub wanted: String,
    /// How it reads now; absent where its subject is not there.
    pub now: Option<String>,
    /// Whether it holds.
    pub holds: bool,
    /// The statement itself.
    pub statement: Step,
}

impl From<&Change> for Statement {
    fn from(change: &Change) -> Self {
        Self {
            subject: change.wanted.subject(),
            wanted: change.wanted.value(),
            now: change.now.as_ref().map(Step::value),
            holds: change.holds(),
            statement: change.wanted.clone(),
        }
    }
}

fn in_words<S: Serializer>(changes: &[Change], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(changes.iter().map(Statement::from))
}

/// An error for programs.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// The object and the intent.
    pub message: String,
    /// What the kernel or a daemon said, where in the file, what was seen.
    pub details: Vec<String>,
    /// What to type or look at next.
    pub hint: Option<String>,
}

impl From<&Failure> for Explained {
    fn from(failure: &Failure) -> Self {
        let error = &failure.error;
        Self { message: error.to_string(), details: error.details(), hint: failure.hint() }
    }
}

impl Outcome {
    /// A command that did what it was asked for.
    pub fn done(command: &'static str, outcome: &'static str) -> Self {
        Self {
            command,
            simulated: false,
            outcome,
            exit_code: 0,
            elapsed_ms: 0,
            statements: Vec::new(),
            receipt: None,
            notes: Vec::new(),
            error: None,
            restored: None,
            own: Map::new(),
        }
    }

    /// The same with something that only this command has to say: `domains` of `vm list`.
    #[must_use]
    pub fn with(mut self, name: &str, what: &impl Serialize) -> Self {
        // What is serialized here are our own types, whose keys are texts and whose numbers are finite.
        self.own.insert(name.to_owned(), serde_json::to_value(what).unwrap_or_default());
        self
    }

    /// A command line that is none.
    pub fn not_understood(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default();
        let error = Explained {
            message: message.strip_prefix("error: ").unwrap_or(message).to_owned(),
            details: text
                .lines()
                .skip(1)
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
            hint: Some("`vdpa --help` shows the commands, `vdpa COMMAND --help` their flags".to_owned()),
        };
        Self { exit_code: 2, error: Some(error), ..Self::done("vdpa", "failed") }
    }

    /// A command that did not. Exit code 3 where something remains, 2 where the mistake is the user's.
    pub fn failed(command: &'static str, failure: &Failure) -> Self {
        let complete =
            failure.restored.as_ref().is_none_or(Restored::is_complete) && !failure.error.is_half_done();
        // What could not be found once something had been changed is no slip of the pen: it has gone.
        let usage = failure.restored.is_none() && failure.error.is_usage();
        let (outcome, exit_code) = match (complete, usage) {
            (false, _) => ("incomplete", 3),
            (true, true) => ("failed", 2),
            (true, false) => ("failed", 1),
        };
        Self {
            exit_code,
            error: Some(Explained::from(failure)),
            restored: failure.restored.clone(),
            ..Self::done(command, outcome)
        }
    }
}
