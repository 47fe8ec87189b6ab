//! What a long chore is doing right now, and how long each part took.
//!
//! On a terminal the current part has a line that is drawn again as it goes on; elsewhere only a part's beginning and
//! its end are printed, so that a log stays short.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

/// One part of a chore, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Part {
    what: String,
    since: Instant,
    live: bool,
}

impl Part {
    /// Says that a part begins.
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let part = Self { what: what.into(), since: Instant::now(), live: std::io::stderr().is_terminal() };
        if !part.live {
            eprintln!("lab: {} …", part.what);
        }
        part
    }

    /// Says where the part is.
    pub(crate) fn at(&self, place: &str) {
        if self.live {
            let line = format!("lab: {} … {:.0} s  {place}", self.what, self.since.elapsed().as_secs_f32());
            let width = terminal_width();
            let line: String = line.chars().take(width).collect();
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        }
    }

    /// Says that the part is done, and how long it took.
    pub(crate) fn end(self) {
        let erase = if self.live { "\r\x1b[K" } else { "" };
        eprintln!("{erase}lab: {}: {:.1} s", self.what, self.since.elapsed().as_secs_f32());
    }
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col).max(20)) - 1
}
