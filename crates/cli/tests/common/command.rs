//! The command as a user types it, on a simulated host in a directory that goes with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A directory with a simulated host.
pub(crate) struct Simulated {
    directory: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command itself, with nothing of the tester's environment in it.
pub(crate) fn vdpa(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vdpa"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "VDPA_LOG", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    command
}

/// Puts a program where it will be run, with leave for everybody to do so.
///
/// A child writes it: a file that this process had open for writing would stay so in whatever another test's thread
/// forks just then, and a program that somebody has open for writing cannot be run ("Text file busy").
pub(crate) fn install(from: &Path, to: &Path) {
    let said = run(Command::new("install").args(["--mode", "755", "--"]).args([from, to]));
    assert_eq!(said.code, Some(0), "{said}");
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    Said::from(command.output().expect("the command starts"))
}

impl Simulated {
    /// Host 105 as new.
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Keeps host 105 in its file before any command has.
    pub(crate) fn keep(&self) {
        vdpa_cli::host::SimulatedHost::host_105(self.path()).save().unwrap();
    }

    /// Another host in the same state.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for name in ["host.json", "receipt.json"] {
            if self.path().join(name).exists() {
                std::fs::copy(self.path().join(name), copy.path().join(name)).unwrap();
            }
        }
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a host file next to the host.
    pub(crate) fn host_file(&self, text: &str) -> PathBuf {
        let path = self.path().join("host.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = vdpa(arguments);
        command.arg(format!("--simulate={}", self.path().display()));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        run(&mut self.command(arguments))
    }

    /// Starts a command whose standard output can be read while it runs.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts")
    }

    /// Runs a command that prints JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> (Said, Value) {
        let said = self.run(&[arguments, &["--json"]].concat());
        let document = said.document();
        (said, document)
    }

    pub(crate) fn has_receipt(&self) -> bool {
        self.path().join("receipt.json").exists()
    }

    /// The host as its file has it.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path().join("host.json")).unwrap()).unwrap()
    }

    /// Changes the host behind the command's back.
    pub(crate) fn meddle(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        change(&mut state);
        std::fs::write(self.path().join("host.json"), state.to_string()).unwrap();
    }

    /// Everything there is on the host but what nobody can bring back. An empty directory is host 105 as new.
    pub(crate) fn snapshot(&self) -> String {
        super::snapshot(&vdpa_cli::host::SimulatedHost::open(self.path()).unwrap())
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("not one JSON document: {error}\n{self}"))
    }

    /// The lines of an error, without the mark of a simulated host.
    pub(crate) fn error(&self) -> Vec<&str> {
        self.err.lines().map(|line| line.strip_prefix("[simulated] ").unwrap_or(line)).collect()
    }

    /// Whether an error reads as errors do: what, details indented, what became of the host, a hint last.
    #[track_caller]
    pub(crate) fn is_an_error(&self, what: &str, hint: &str) {
        let lines = self.error();
        assert!(
            lines.first().is_some_and(|line| line.starts_with("error: ") && line.contains(what)),
            "{what}:\n{self}"
        );
        let last = lines.last().unwrap();
        assert!(last.starts_with("hint: ") && last.contains(hint), "{hint}:\n{self}");
        let between = &lines[1..lines.len() - 1];
        assert!(
            between.iter().all(|line| line.starts_with("  ") || line.starts_with("rolled back ")),
            "{self}"
        );
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit code {:?}\n--- standard output\n{}--- standard error\n{}",
            self.code, self.out, self.err
        )
    }
}
