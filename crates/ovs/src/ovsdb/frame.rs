//! Cutting a byte stream into JSON objects, and these into their members.
//!
//! OVSDB's JSON-RPC 1.0 has no delimiter (RFC 7047, section 4): the end of one message is known only by its
//! brackets. Whoever counts brackets passes every member of the message on the way, so their places are kept and
//! nobody needs to look for them again, in a snapshot of many megabytes least of all. Every byte is looked at once,
//! however the bytes arrive, and a frame is a part of the buffer that it was read into.
//!
//! ```text
//!            '{'                         last '}'
//! Between ────────► Inside, depth 1.. n ──────────► a frame is ready
//!    ▲                │  ▲   '"' │ ▲ '"'               │
//!    │                └──┘       ▼ │                   │
//!    │                          String (backslashes)   │
//!    └─────────────────────────────────────────────────┘
//! ```

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// How much room there is at least for the next read, in bytes.
const CHUNK: usize = 64 << 10;

/// Cuts a stream of JSON objects into frames.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    /// What has arrived and is in no frame yet. It begins with the frame that has begun, if any.
    buffer: BytesMut,
    /// How much of the buffer has been looked at. One beyond its end if that is in the middle of an escape.
    scanned: usize,
    depth: usize,
    in_string: bool,
    /// Where the member that has begun does, and where its colon is.
    member: (usize, Option<usize>),
    members: Vec<Member>,
}

/// One JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its text.
    pub text: Bytes,
    /// Where its members are, in order.
    pub members: Vec<Member>,
}

/// Where a member of an object is: ranges of its text, with the space around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name, in quotes if it is JSON.
    pub name: Range<usize>,
    /// The value.
    pub value: Range<usize>,
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
    /// An object whose members are not `name: value`.
    #[error("a message is no JSON object (byte {0})")]
    Malformed(usize),
    /// A frame longer than the limit.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// A frame nested deeper than the limit.
    #[error("a message is nested deeper than {0} levels")]
    TooDeep(usize),
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
        Self {
            limits,
            buffer: BytesMut::new(),
            scanned: 0,
            depth: 0,
            in_string: false,
            member: (0, None),
            members: Vec::new(),
        }
    }

    /// Where the next bytes of the stream are to be put; there is room for some.
    pub fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// Takes the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it has arrived. After an error the stream is lost.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.depth == 0 && !self.begin()? {
            return Ok(None);
        }
        let Some(end) = self.scan()? else {
            return if self.buffer.len() > self.limits.size {
                Err(FrameError::TooLong(self.limits.size))
            } else {
                Ok(None)
            };
        };
        if end > self.limits.size {
            return Err(FrameError::TooLong(self.limits.size));
        }
        let text = self.buffer.split_to(end).freeze();
        Ok(Some(Frame { text, members: std::mem::take(&mut self.members) }))
    }

    /// Passes over what is between frames; gives whether one begins.
    fn begin(&mut self) -> Result<bool, FrameError> {
        let space = self.buffer.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.buffer.advance(space.count());
        match self.buffer.first() {
            None => return Ok(false),
            Some(b'{') => {}
            Some(byte) => return Err(FrameError::Garbage(*byte)),
        }
        (self.depth, self.scanned, self.member) = (1, 1, (1, None));
        Ok(true)
    }

    /// Looks at what has arrived since; gives the end of the frame.
    fn scan(&mut self) -> Result<Option<usize>, FrameError> {
        let bytes = &self.buffer[..];
        let mut at = self.scanned;
        while at < bytes.len() {
            if self.in_string {
                match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                    None => at = bytes.len(),
                    Some(length) if bytes[at + length] == b'\\' => at += length + 2,
                    Some(length) => {
                        at += length + 1;
                        self.in_string = false;
                    }
                }
                continue;
            }
            match bytes[at] {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > self.limits.depth {
                        return Err(FrameError::TooDeep(self.limits.depth));
                    }
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let blank = bytes[self.member.0..at].iter().all(u8::is_ascii_whitespace);
                        if !(blank && self.members.is_empty()) {
                            Self::end_member(&mut self.members, self.member, at)?;
                        }
                        return Ok(Some(at + 1));
                    }
                }
                b':' if self.depth == 1 && self.member.1.replace(at).is_some() => {
                    return Err(FrameError::Malformed(at));
                }
                b',' if self.depth == 1 => {
                    Self::end_member(&mut self.members, self.member, at)?;
                    self.member = (at + 1, None);
                }
                _ => {}
            }
            at += 1;
        }
        self.scanned = at;
        Ok(None)
    }

    fn end_member(
        members: &mut Vec<Member>,
        (begin, colon): (usize, Option<usize>),
        end: usize,
    ) -> Result<(), FrameError> {
        let colon = colon.ok_or(FrameError::Malformed(end))?;
        members.push(Member { name: begin..colon, value: colon + 1..end });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut frames = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk);
            while let Some(frame) = splitter.frame().unwrap() {
                frames.push(String::from_utf8(frame.text.to_vec()).unwrap());
            }
        }
        frames
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
    fn members_are_found_on_the_way() {
        let mut splitter = Splitter::default();
        splitter.feed(br#"{ "id" : 7, "a:b,}":[{"c":1,"d":2}],"e":"x,y:z"} {}"#);
        let frame = splitter.frame().unwrap().unwrap();
        let text = |range: &Range<usize>| std::str::from_utf8(&frame.text[range.clone()]).unwrap().trim();
        let members: Vec<_> = frame.members.iter().map(|m| (text(&m.name), text(&m.value))).collect();
        let inner = r#"[{"c":1,"d":2}]"#;
        assert_eq!(members, [(r#""id""#, "7"), (r#""a:b,}""#, inner), (r#""e""#, r#""x,y:z""#)]);
        assert_eq!(splitter.frame().unwrap().unwrap().members, []);
    }

    #[test]
    fn what_is_no_object_is_refused_and_earlier_frames_stay() {
        let mut splitter = Splitter::default();
        splitter.feed(b"{}[1]");
        assert_eq!(splitter.frame().unwrap().unwrap().text, "{}");
        assert_eq!(splitter.frame(), Err(FrameError::Garbage(b'[')));
        for text in [r#"{"a"}"#, r#"{"a":1,}"#, r"{,}", r#"{"a":1:2}"#, r#"{"a",1}"#] {
            let mut splitter = Splitter::default();
            splitter.feed(text.as_bytes());
            assert!(matches!(splitter.frame(), Err(FrameError::Malformed(_))), "{text} was taken");
        }
    }

    #[test]
    fn limits_hold() {
        let mut deep = Splitter::new(Limits { size: 100, depth: 3 });
        deep.feed(br#"{"a":[[1]]}"#);
        assert!(deep.frame().unwrap().is_some());
        deep.feed(br#"{"a":[[[1]]]}"#);
        assert_eq!(deep.frame(), Err(FrameError::TooDeep(3)));
        let mut long = Splitter::new(Limits { size: 10, depth: 3 });
        long.feed(br#"{"a":1234}"#);
        assert!(long.frame().unwrap().is_some());
        long.feed(br#"{"a":"#);
        assert_eq!(long.frame(), Ok(None));
        long.feed(b"12345}");
        assert_eq!(long.frame(), Err(FrameError::TooLong(10)));
    }

    #[test]
    fn the_work_is_linear_in_the_bytes() {
        // 16 MiB in 64-byte reads: looked at once it takes well under a second even unoptimized; a splitter
        // that starts over at each read would look at 2 TiB.
        let mut splitter = Splitter::default();
        splitter.feed(br#"{"a":""#);
        for _ in 0..(16 << 20) / 64 {
            splitter.feed(&[b'x'; 64]);
            assert_eq!(splitter.frame(), Ok(None));
        }
        splitter.feed(br#""}"#);
        assert_eq!(splitter.frame().unwrap().unwrap().text.len(), (16 << 20) + 8);
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
