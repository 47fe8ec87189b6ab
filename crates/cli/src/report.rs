//! What people and programs are told: the only module that prints.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::engine::Failure;
use crate::error::Error;
use crate::plan::{Change, reads};
use crate::step::Step;

mod checks;
mod diff;
mod log;
mod outcome;

pub use checks::plain;
pub use log::Log;
pub use outcome::{Outcome, Standing, Statement};

/// Who is told what the engine does while it does it.
pub trait Report: Send + Sync {
    /// This is what is wanted and how it reads now, before anything is changed.
    fn planned(&self, changes: &[Change]);
    /// These changes begin, side by side.
    fn stage(&self, due: &[&Change]);
    /// A statement has become true.
    fn done(&self, step: &Step, took: Duration);
    /// A statement has not.
    fn failed(&self, step: &Step, error: &Error);
    /// Something the user should know.
    fn note(&self, text: &str);
    /// Something that may hurt later.
    fn warn(&self, text: &str);
    /// What was done is about to be taken back, because of `error`.
    fn restoring(&self, error: &Error);
}

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// How a command speaks.
#[derive(Debug)]
pub struct Output {
    json: bool,
    /// Ahead of every line: a simulated host is never mistaken for a real one.
    prefix: &'static str,
    spinner: ProgressBar,
    notes: Mutex<Vec<String>>,
}

impl Output {
    /// Text for people, or one JSON document at the end.
    pub fn new(json: bool, simulated: bool) -> Self {
        let spinner = if json || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg} {elapsed}") {
            spinner.set_style(style);
        }
        Self { json, prefix: prefix(simulated), spinner, notes: Mutex::default() }
    }

    /// Whether the output is JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line on standard output, for people.
    pub fn line(&self, text: impl Display) {
        self.lines(text.to_string().lines());
    }

    /// Lines on standard output, for people, in one write.
    fn lines(&self, lines: impl IntoIterator<Item = impl Display>) {
        if self.json {
            return;
        }
        let mut text = String::new();
        for line in lines {
            // Nothing can go wrong in memory.
            let _ = writeln!(text, "{DIM}{}{DIM:#}{line}", self.prefix);
        }
        if !self.has_colours() {
            text = anstream::adapter::strip_str(&text).to_string();
        }
        // A reader that has gone away (`vdpa plan | head`) is no reason to stop half-way.
        self.spinner.suspend(|| drop(std::io::stdout().write_all(text.as_bytes())));
    }

    /// What is at work, on terminals; `None` where nothing is any more.
    pub fn working(&self, what: Option<&str>) {
        if let Some(what) = what {
            self.spinner.set_message(what.to_owned());
            self.spinner.enable_steady_tick(Duration::from_millis(100));
        } else {
            self.spinner.disable_steady_tick();
            self.spinner.set_message("");
        }
    }

    /// The statements with how they read now, those that hold shortened to one line.
    pub fn changes(&self, changes: &[Change]) {
        let due: Vec<(String, &Change)> = with_subject(changes.iter().filter(|change| !change.holds()));
        let width = due.iter().map(|(subject, _)| subject.len()).max().unwrap_or(0);
        let line = |(subject, change): &(String, &Change)| {
            let (now, wanted) = (reads(change.now.as_ref()), change.wanted.value());
            format!("  {subject:width$}  {DIM}{now} →{DIM:#} {BOLD}{wanted}{BOLD:#}")
        };
        self.lines(due.iter().map(line));
        match (changes.len() - due.len(), due.len()) {
            (0, _) => {}
            (held, 0) => self.line(format_args!("  {GREEN}all {held} statements hold{GREEN:#}")),
            (1, _) => self.line(format_args!("  {DIM}and one statement that holds already{DIM:#}")),
            (held, _) => self.line(format_args!("  {DIM}and {held} statements that hold already{DIM:#}")),
        }
    }

    /// Every statement with whether it holds.
    pub fn statements(&self, changes: &[Change]) {
        let all = with_subject(changes);
        let width = all.iter().map(|(subject, _)| subject.len()).max().unwrap_or(0);
        let line = |(subject, change): &(String, &Change)| {
            let wanted = change.wanted.value();
            if change.holds() {
                return format!("  {GREEN}✓{GREEN:#} {subject:width$}  {wanted}");
            }
            let now = reads(change.now.as_ref());
            format!("  {RED}✗{RED:#} {subject:width$}  {now} {RED}(wanted: {wanted}){RED:#}")
        };
        self.lines(all.iter().map(line));
    }

    /// An error as a user should meet it: the object and the intent, what the kernel said, what became of
    /// the host, and what to type next.
    pub fn error(&self, failure: &Failure) {
        if self.json {
            return;
        }
        let error = &failure.error;
        self.spinner.finish_and_clear();
        let mut lines = vec![format!("{RED}error{RED:#}: {}", harmless(&error.to_string()))];
        lines.extend(error.details().into_iter().map(|line| format!("  {}", harmless(&line))));
        if let Some(restored) = &failure.restored {
            let back = restored.of - restored.remains.len();
            let state =
                if restored.is_complete() { "the host is as it was" } else { "NOT everything was restored:" };
            lines.push(format!("rolled back {back} of {}; {state}", count(restored.of, "statement")));
            for remains in &restored.remains {
                lines.push(format!("  {RED}REMAINS{RED:#} {}", harmless(&remains.described())));
            }
        }
        let hint = failure.hint();
        lines.extend(hint.map(|hint| format!("{YELLOW}hint{YELLOW:#}: {}", harmless(&hint))));
        for line in lines.iter().flat_map(|text| text.lines()) {
            drop(writeln!(anstream::stderr(), "{DIM}{}{DIM:#}{line}", self.prefix));
        }
    }

    /// One line on standard error about a mistake in what is read, while the rest goes on; with `--json` too, since
    /// standard output has an object a line then.
    pub fn complain(&self, text: impl Display) {
        drop(writeln!(
            anstream::stderr(),
            "{DIM}{}{DIM:#}{RED}error{RED:#}: {}",
            self.prefix,
            harmless(&text.to_string())
        ));
    }

    /// One line on standard error about something that would work badly; with `--json` it is among the notes.
    pub fn caution(&self, text: impl Display) {
        self.aside(format_args!("{YELLOW}warning{YELLOW:#}: "), text);
    }

    /// One line on standard error about what was chosen; with `--json` it is among the notes.
    pub fn remark(&self, text: impl Display) {
        self.aside("", text);
    }

    fn aside(&self, label: impl Display, text: impl Display) {
        let text = text.to_string();
        self.keep(&text);
        if !self.json {
            drop(writeln!(anstream::stderr(), "{DIM}{}{DIM:#}{label}{}", self.prefix, harmless(&text)));
        }
    }

    /// What to type next, where a command that complained has ended.
    pub fn hint(&self, text: impl Display) {
        drop(writeln!(anstream::stderr(), "{DIM}{}{DIM:#}{YELLOW}hint{YELLOW:#}: {text}", self.prefix));
    }

    /// A document of its own on standard output, to the byte.
    pub fn raw(&self, text: &str) {
        drop(std::io::stdout().write_all(text.as_bytes()));
    }

    /// The sign of what is so, or is not.
    pub fn mark(&self, holds: bool) -> String {
        if holds { format!("{GREEN}✓{GREEN:#}") } else { format!("{RED}✗{RED:#}") }
    }

    /// Whether standard output has colours.
    pub fn has_colours(&self) -> bool {
        anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
    }

    /// The one JSON document of a command.
    pub fn document(&self, outcome: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(outcome).unwrap_or_else(|error| error.to_string());
            drop(writeln!(std::io::stdout(), "{text}"));
        }
    }

    /// The notes made so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, text: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
    }
}

impl Report for Output {
    fn planned(&self, changes: &[Change]) {
        let due = changes.iter().filter(|change| !change.holds()).count();
        if due > 0 {
            self.line(format_args!("{due} of {} statements are to change:", changes.len()));
        }
        self.changes(changes);
        if due > 0 {
            self.line("setting up:");
        }
    }

    fn stage(&self, due: &[&Change]) {
        let subjects: Vec<String> = due.iter().map(|change| change.wanted.subject()).collect();
        let text = match subjects.as_slice() {
            [first, second, third, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            few => few.join(", "),
        };
        self.spinner.set_message(text);
        self.spinner.enable_steady_tick(Duration::from_millis(100));
    }

    fn done(&self, step: &Step, took: Duration) {
        self.line(format_args!("  {GREEN}✓{GREEN:#} {step} {DIM}({}){DIM:#}", human(took)));
    }

    fn failed(&self, step: &Step, error: &Error) {
        self.line(format_args!("  {RED}✗{RED:#} {step}: {}", harmless(&error.to_string())));
    }

    fn note(&self, text: &str) {
        self.keep(text);
        self.line(format_args!("  {YELLOW}note{YELLOW:#}: {}", harmless(text)));
    }

    fn warn(&self, text: &str) {
        self.keep(text);
        self.line(format_args!("  {YELLOW}warning{YELLOW:#}: {}", harmless(text)));
    }

    fn restoring(&self, error: &Error) {
        let error = harmless(&error.to_string());
        self.line(format_args!("{YELLOW}{error}: restoring what was there{YELLOW:#}"));
    }
}

/// What others said, for a terminal: what would move its cursor or change its title is shown as a sign that something was
/// there.
pub(crate) fn harmless(text: &str) -> String {
    let harms = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    text.replace(harms, "\u{fffd}")
}

fn with_subject<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Vec<(String, &'a Change)> {
    changes.into_iter().map(|change| (change.wanted.subject(), change)).collect()
}

fn prefix(simulated: bool) -> &'static str {
    if simulated { "[simulated] " } else { "" }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

/// A number of things: `1 statement`, `3 statements`.
pub fn count<N: std::fmt::Display + PartialEq + From<u8> + Copy>(n: N, thing: &str) -> String {
    format!("{n} {thing}{}", if n == N::from(1) { "" } else { "s" })
}

/// A time with its unit: `12 ms`, `3.4 s`.
pub fn human(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_said_cannot_speak_to_a_terminal() {
        assert_eq!(
            harmless("a\u{1b}]0;title\u{7}b\tc\nd\u{9b}2J"),
            "a\u{fffd}]0;title\u{fffd}b\tc\nd\u{fffd}2J"
        );
    }
}
