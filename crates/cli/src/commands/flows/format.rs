//! What flows are written in.

use std::io::{self, Cursor, Read};

/// What flows are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Open vSwitch's lines.
    Flows,
    /// `tc -j -s filter show`.
    TcJson,
    /// `tc -s filter show`.
    TcText,
}

/// How `tc -s filter show` begins.
const TC_TEXT: &[u8] = b"filter ";

/// How much white space there may be at the beginning.
const SPACE: usize = 1 << 16;

impl Format {
    /// Sees by the beginning of what `reader` gives what it is; gives that, and a reader for all of it.
    ///
    /// # Errors
    /// What the reader says.
    pub(super) fn see(mut reader: impl Read) -> io::Result<(Self, impl Read)> {
        let mut begin = Vec::new();
        while begin.trim_ascii_start().len() < TC_TEXT.len() && begin.len() < SPACE {
            let mut more = [0; 512];
            match reader.read(&mut more)? {
                0 => break,
                read => begin.extend_from_slice(&more[..read]),
            }
        }
        Ok((Self::of(&begin), Cursor::new(begin).chain(reader)))
    }

    fn of(begin: &[u8]) -> Self {
        match begin.trim_ascii_start() {
            [b'[', ..] => Self::TcJson,
            text if text.starts_with(TC_TEXT) => Self::TcText,
            _ => Self::Flows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_tells_and_is_not_lost() {
        for (text, format) in [
            (" \n[{\"protocol\"", Format::TcJson),
            ("filter protocol ip", Format::TcText),
            ("ufid:", Format::Flows),
            ("", Format::Flows),
        ] {
            let (seen, mut reader) = Format::see(text.as_bytes()).unwrap();
            let mut all = String::new();
            reader.read_to_string(&mut all).unwrap();
            assert_eq!((seen, all.as_str()), (format, text));
        }
    }
}
