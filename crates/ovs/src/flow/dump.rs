//! A dump of any length, read line by line in constant memory.

use std::io::{self, Read};

use super::{BadLine, FlowLine};

/// The longest line that is read, in bytes. Open vSwitch's longest are some kilobytes: the actions of a flow that is
/// flooded to hundreds of ports.
pub const LONGEST: usize = 1 << 20;

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// A dump that is read.
#[derive(Debug)]
pub struct Dump<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer is read and not yet given.
    filled: std::ops::Range<usize>,
    /// How far behind the beginning of `filled` there is no newline.
    searched: usize,
    line: u64,
    ended: bool,
}

/// A line of a dump.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// The flow that it is, or why it is none. Absent for what `dpctl/dump-flows` prints between flows: an empty
    /// line, or the heading of a userspace datapath's threads (`flow-dump from …`).
    pub flow: Option<Result<FlowLine<'a>, BadLine>>,
}

impl<R: Read> Dump<R> {
    /// Of whatever `reader` gives.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; CHUNK], filled: 0..0, searched: 0, line: 0, ended: false }
    }

    /// The next line, `None` at the end.
    ///
    /// # Errors
    /// What the reader says.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry<'_>>> {
        let Some(length) = self.find()? else { return Ok(None) };
        self.line += 1;
        let start = self.filled.start;
        let Ok(length) = length else {
            let why = "the line is longer than 1 MiB";
            return Ok(Some(Entry {
                number: self.line,
                flow: Some(Err(BadLine { column: LONGEST + 1, why })),
            }));
        };
        self.filled.start = (start + length + 1).min(self.filled.end);
        let line = &self.buffer[start..start + length];
        Ok(Some(Entry { number: self.line, flow: flow(line.strip_suffix(b"\r").unwrap_or(line)) }))
    }

    /// How long the next line is, which then lies at the beginning of what is filled; an error where it was too
    /// long, and is skipped.
    fn find(&mut self) -> io::Result<Option<Result<usize, TooLong>>> {
        let mut too_long = false;
        loop {
            let unseen = &self.buffer[self.filled.clone()][self.searched..];
            if let Some(more) = memchr::memchr(b'\n', unseen) {
                let length = std::mem::take(&mut self.searched) + more;
                if too_long {
                    self.filled.start += length + 1;
                    return Ok(Some(Err(TooLong)));
                }
                return Ok(Some(Ok(length)));
            }
            self.searched = self.filled.len();
            if self.searched > LONGEST {
                too_long = true;
                (self.filled, self.searched) = (0..0, 0);
            }
            if self.ended || !self.fill()? {
                self.ended = true;
                let length = std::mem::take(&mut self.searched);
                return Ok(match (too_long, length) {
                    (true, _) => {
                        self.filled = 0..0;
                        Some(Err(TooLong))
                    }
                    (false, 0) => None,
                    (false, length) => Some(Ok(length)),
                });
            }
        }
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.filled.end == self.buffer.len() {
            self.buffer.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
            if self.filled.end + CHUNK / 2 > self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        loop {
            match self.reader.read(&mut self.buffer[self.filled.end..]) {
                Ok(read) => {
                    self.filled.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A line that is skipped.
#[derive(Debug)]
struct TooLong;

fn flow(line: &[u8]) -> Option<Result<FlowLine<'_>, BadLine>> {
    match std::str::from_utf8(line) {
        Ok(text) if text.trim_ascii().is_empty() || text.starts_with("flow-dump from ") => None,
        Ok(text) => Some(FlowLine::scan(text)),
        Err(error) => Some(Err(BadLine { column: error.valid_up_to() + 1, why: "this is no UTF-8" })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: &str = "in_port(1),eth(), packets:0, bytes:0, used:never, actions:2";

    /// Gives a few bytes at a time.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(into.len());
            into[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// Each line's number, and the flow's text or what is wrong.
    fn read(reader: impl Read) -> Vec<(u64, String)> {
        let (mut dump, mut seen) = (Dump::new(reader), Vec::new());
        while let Some(entry) = dump.next_entry().unwrap() {
            let said = match entry.flow {
                Some(Ok(flow)) => flow.text.to_owned(),
                Some(Err(bad)) => bad.to_string(),
                None => String::new(),
            };
            seen.push((entry.number, said));
        }
        seen
    }

    #[test]
    fn lines_are_told_apart_however_they_come() {
        let text = format!("flow-dump from the main thread:\n{FLOW}\r\n\noops\n{FLOW}");
        let wrong = "column 1: an attribute or `, packets:` is missing";
        let expected = [(1, ""), (2, FLOW), (3, ""), (4, wrong), (5, FLOW)];
        let expected: Vec<_> = expected.iter().map(|(number, said)| (*number, (*said).to_owned())).collect();
        for step in [1, 2, 7, 64, 100_000] {
            assert_eq!(read(Drops(text.as_bytes(), step)), expected, "{step} bytes at a time");
        }
        assert_eq!(read(io::empty()), []);
        assert_eq!(read("\n".as_bytes()), [(1, String::new())]);
    }

    #[test]
    fn a_line_without_end_is_skipped_in_constant_memory() {
        let long = vec![b'x'; 5 * LONGEST];
        let text = [FLOW.as_bytes(), b"\n", &long, b"\n", FLOW.as_bytes(), b"\n\xff\n", &long].concat();
        let mut dump = Dump::new(Drops(&text, 100_000));
        let mut said = Vec::new();
        while let Some(entry) = dump.next_entry().unwrap() {
            said.push((entry.number, entry.flow.unwrap().map(|flow| flow.packets).map_err(|bad| bad.why)));
        }
        let too_long = Err("the line is longer than 1 MiB");
        assert_eq!(
            said,
            [(1, Ok(0)), (2, too_long), (3, Ok(0)), (4, Err("this is no UTF-8")), (5, too_long)]
        );
        assert!(dump.buffer.len() <= 4 * LONGEST, "{} bytes", dump.buffer.len());
    }

    #[test]
    fn what_the_reader_says_is_said() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
        }
        assert!(Dump::new(Broken).next_entry().is_err());
    }
}
