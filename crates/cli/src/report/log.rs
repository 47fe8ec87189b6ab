//! What `-v` shows, on standard error.

use std::io::{self, IsTerminal as _, Write};

/// Where traces go: standard error, every line marked like all others of a simulated host.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    prefix: &'static str,
}

impl Log {
    /// The log of a command on a simulated host, or on this one.
    pub fn new(simulated: bool) -> Self {
        Self { prefix: super::prefix(simulated) }
    }

    /// Whether it may be coloured: on a terminal, unless `NO_COLOR` (no-color.org) is set and not empty.
    pub fn has_colours(self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut to = io::stderr().lock();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            to.write_all(self.prefix.as_bytes())?;
            to.write_all(line)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
