//! Checks as people read them.

use anstyle::Style;

use super::{BOLD, DIM, GREEN, Output, RED, YELLOW, count};
use crate::doctor::{Check, Verdict};

impl Output {
    /// Every check, what is amiss with its reason and what to type, and how many there are of each verdict.
    pub fn checks(&self, checks: &[Check]) {
        for line in lines(checks) {
            self.line(line);
        }
    }
}

/// The same as a text without colours, for a file.
pub fn plain(checks: &[Check]) -> String {
    let lines = lines(checks);
    let mut text: Vec<String> =
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    text.push(String::new());
    text.join("\n")
}

fn lines(checks: &[Check]) -> Vec<String> {
    let width =
        |text: fn(&Check) -> &str| checks.iter().map(|check| text(check).chars().count()).max().unwrap_or(0);
    let (ids, subjects) = (width(|check| check.id), width(|check| &check.subject).min(24));
    let mut lines = Vec::new();
    for check in checks {
        let Check { id, subject, verdict, fact, source, why, remedy } = check;
        let (style, mark) = marked(*verdict);
        lines.push(format!(
            "{style}{mark}{style:#} {id:ids$}  {subject:subjects$}  {fact} {DIM}[{source}]{DIM:#}"
        ));
        lines.extend(why.iter().map(|why| format!("    {style}{why}{style:#}")));
        lines.extend(remedy.iter().map(|remedy| format!("    → {BOLD}{remedy}{BOLD:#}")));
    }
    lines.push(sum(checks));
    lines
}

fn marked(verdict: Verdict) -> (Style, char) {
    match verdict {
        Verdict::Pass => (GREEN, '✓'),
        Verdict::Warn => (YELLOW, '!'),
        Verdict::Fail => (RED, '✗'),
        Verdict::Unknown => (YELLOW, '?'),
    }
}

fn sum(checks: &[Check]) -> String {
    let of = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let parts = Verdict::ALL.map(|verdict| (verdict, of(verdict)));
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    format!("{}: {}", count(checks.len(), "check"), parts.join(", "))
}
