//! Unified diffs, with the colours that people know from elsewhere.

use super::{BOLD, GREEN, Output, RED};

impl Output {
    /// A unified diff, line by line.
    pub fn diff(&self, diff: &str) {
        for line in diff.lines() {
            match line.as_bytes() {
                [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => {
                    self.line(format_args!("{BOLD}{line}{BOLD:#}"));
                }
                [b'+', ..] => self.line(format_args!("{GREEN}{line}{GREEN:#}")),
                [b'-', ..] => self.line(format_args!("{RED}{line}{RED:#}")),
                _ => self.line(line),
            }
        }
    }
}
