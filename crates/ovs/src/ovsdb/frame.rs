//! Cutting a byte stream into JSON texts.
//!
//! OVSDB's JSON-RPC 1.0 has no delimiter (RFC 7047, section 4): the end of one text is known only by its
//! brackets. Every byte is looked at once and copied once, however the bytes arrive; a text is not parsed here.
//!
//! ```text
//!            '{'                         last '}'
//! Between ────────► Inside, depth 1.. n ──────────► a frame is ready
//!    ▲                │  ▲   '"' │ ▲ '"'               │
//!    │                └──┘       ▼ │                   │
//!    │                          String ◄─► after '\'   │
//!    └─────────────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;

/// Cuts a stream of JSON objects into frames.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    /// The frame that has begun and not ended.
    partial: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
    depth: usize,
    string: Str,
}

/// What a peer may send. The defaults take the largest snapshot seen (100 000 rows, 23 MB) ten times over, and
/// the deepest text of the protocol (a schema, 12 levels) five times.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest frame, in bytes.
    pub size: usize,
    /// The deepest nesting of brackets.
    pub depth: usize,
}

/// A stream that cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something other than an object between frames.
    #[error("byte 0x{0:02x} where a JSON object should begin")]
    Garbage(u8),
    /// A frame longer than the limit.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// A frame nested deeper than the limit.
    #[error("a message is nested deeper than {0} levels")]
    TooDeep(usize),
}

/// Where in a string the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Str {
    Outside,
    Inside,
    /// After a backslash.
    Escape,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 256 << 20, depth: 64 }
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Splitter {
    /// A splitter at the beginning of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, partial: Vec::new(), ready: VecDeque::new(), depth: 0, string: Str::Outside }
    }

    /// Takes the next bytes of the stream. After an error the stream is lost: frames that were complete can
    /// still be taken, nothing more can be fed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let mut begin = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            match (self.string, byte) {
                (Str::Inside, b'\\') => self.string = Str::Escape,
                (Str::Inside, b'"') => self.string = Str::Outside,
                (Str::Outside, b'{' | b'[') if self.depth > 0 => {
                    self.depth += 1;
                    if self.depth > self.limits.depth {
                        return Err(FrameError::TooDeep(self.limits.depth));
                    }
                }
                (Str::Outside, b'{') => {
                    self.depth = 1;
                    begin = at;
                }
                (Str::Outside, b' ' | b'\t' | b'\r' | b'\n') if self.depth == 0 => {}
                (Str::Outside, _) if self.depth == 0 => return Err(FrameError::Garbage(byte)),
                (Str::Escape, _) | (Str::Outside, b'"') => self.string = Str::Inside,
                (Str::Outside, b'}' | b']') => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.keep(&bytes[begin..=at])?;
                        self.ready.push_back(std::mem::take(&mut self.partial));
                    }
                }
                (Str::Inside | Str::Outside, _) => {}
            }
        }
        if self.depth > 0 { self.keep(&bytes[begin..]) } else { Ok(()) }
    }

    /// The oldest complete frame not yet taken.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.ready.pop_front()
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.partial.len() + bytes.len() > self.limits.size {
            return Err(FrameError::TooLong(self.limits.size));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        for chunk in chunks {
            splitter.feed(chunk).unwrap();
        }
        std::iter::from_fn(|| splitter.pop()).map(|frame| String::from_utf8(frame).unwrap()).collect()
    }

    #[test]
    fn two_frames_in_one_read_are_two() {
        assert_eq!(frames(&[br#"{"id":1}{"id":2}"#]), [r#"{"id":1}"#, r#"{"id":2}"#]);
        assert_eq!(frames(&[b" {\"id\":1}\r\n\t{\"id\":2}\n"]), [r#"{"id":1}"#, r#"{"id":2}"#]);
    }

    #[test]
    fn a_frame_may_come_byte_by_byte() {
        let text = br#"{"a":"}{\"","b":[{"c":"\\"}]}{"d":"\\\""}"#;
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(frames(&bytes), [r#"{"a":"}{\"","b":[{"c":"\\"}]}"#, r#"{"d":"\\\""}"#]);
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(frames(&[br#"{"a":"}{"}"#]), [r#"{"a":"}{"}"#]);
        assert_eq!(frames(&[br#"{"a":"}{\""}"#]), [r#"{"a":"}{\""}"#]);
        assert_eq!(frames(&[br#"{"a":"\\"}"#, br#"{"b":1}"#]), [r#"{"a":"\\"}"#, r#"{"b":1}"#]);
    }

    #[test]
    fn half_a_frame_is_none() {
        assert_eq!(frames(&[br#"{"a":[1,2"#]), [""; 0]);
    }

    #[test]
    fn what_is_no_object_is_refused_and_earlier_frames_stay() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.feed(b"{}[1]"), Err(FrameError::Garbage(b'[')));
        assert_eq!(splitter.pop().unwrap(), b"{}");
        assert_eq!(splitter.pop(), None);
    }

    #[test]
    fn limits_hold() {
        let mut deep = Splitter::new(Limits { size: 100, depth: 3 });
        assert_eq!(deep.feed(br#"{"a":[[1]]}"#), Ok(()));
        assert_eq!(deep.feed(br#"{"a":[[[1]]]}"#), Err(FrameError::TooDeep(3)));
        let mut long = Splitter::new(Limits { size: 10, depth: 3 });
        assert_eq!(long.feed(br#"{"a":1234}"#), Ok(()));
        assert_eq!(long.feed(br#"{"a":"#), Ok(()));
        assert_eq!(long.feed(b"12345}"), Err(FrameError::TooLong(10)));
    }

    #[test]
    fn the_work_is_linear_in_the_bytes() {
        // 16 MiB in 64-byte reads: looked at once it takes well under a second even unoptimized; a splitter
        // that starts over at each read would look at 2 TiB.
        let mut splitter = Splitter::default();
        splitter.feed(br#"{"a":""#).unwrap();
        for _ in 0..(16 << 20) / 64 {
            splitter.feed(&[b'x'; 64]).unwrap();
        }
        splitter.feed(br#""}"#).unwrap();
        assert_eq!(splitter.pop().unwrap().len(), (16 << 20) + 8);
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_bytes_arrive(texts in prop::collection::vec("\\PC*", 1..6), cut in 1usize..40) {
            let messages: Vec<String> =
                texts.iter().map(|text| serde_json::json!({ "k": [text, { text: {} }] }).to_string()).collect();
            let stream = messages.concat();
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();
            prop_assert_eq!(frames(&chunks), messages);
        }
    }
}
