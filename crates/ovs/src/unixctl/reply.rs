//! A command's reply, told line by line while it arrives.
//!
//! A reply is one JSON object whose `result` is one text, which for a dump of a million flows is hundreds of
//! megabytes. The protocol has no smaller pieces, but nobody has to wait for the last byte to look at the first: what
//! is kept is one line and one read.

use memchr::{memchr, memchr2};

/// The longest that anything but the result may be, in bytes; and a line of it.
const LIMIT: usize = 16 << 20;

/// What is wrong with a text.
const HALF: &str = "half of a surrogate pair";

/// A reply in the middle of its arrival.
#[derive(Debug, Default)]
pub(super) struct Reply {
    state: State,
    depth: usize,
    /// The name of the member, and then its value, unless that is the result's text.
    name: Vec<u8>,
    value: Vec<u8>,
    /// What has been decoded of a line.
    line: Vec<u8>,
    /// The digits of a `\u`, and the first half of a pair of them.
    digits: Vec<u8>,
    high: Option<u16>,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Name,
    Value,
    /// In a text within a value, perhaps after a backslash.
    ValueText {
        escaped: bool,
    },
    Result,
    ResultEscape,
    ResultUnicode,
    After,
}

impl Reply {
    /// Takes the next bytes and tells the lines that are complete; gives whether the reply is.
    pub(super) fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(&str)) -> Result<bool, String> {
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let mut taken = 1;
            match self.state {
                State::Before => match byte {
                    b'{' => self.state = State::Name,
                    byte if byte.is_ascii_whitespace() => {}
                    byte => return Err(format!("byte 0x{byte:02x} where a JSON object should begin")),
                },
                State::Name => match byte {
                    b':' => self.state = State::Value,
                    b'}' => self.state = State::After,
                    byte => self.name.push(byte),
                },
                State::Value => self.value(byte)?,
                State::ValueText { escaped } => {
                    self.value.push(byte);
                    self.state = match byte {
                        b'"' if !escaped => State::Value,
                        _ => State::ValueText { escaped: byte == b'\\' && !escaped },
                    };
                }
                State::Result => {
                    taken = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    self.text(&rest[..taken], each)?;
                    if let Some(&byte) = rest.get(taken) {
                        taken += 1;
                        self.state = if byte == b'"' { State::Value } else { State::ResultEscape };
                    }
                }
                State::ResultEscape => self.escape(byte, each)?,
                State::ResultUnicode => self.unicode(byte, each)?,
                State::After => return Ok(true),
            }
            if self.name.len() + self.value.len() + self.line.len() > LIMIT {
                return Err(format!("a line is longer than {LIMIT} bytes"));
            }
            rest = &rest[taken..];
        }
        Ok(self.state == State::After)
    }

    /// The end: the last line, if it has no newline; or the daemon's refusal.
    pub(super) fn end(mut self, each: &mut impl FnMut(&str)) -> Result<Option<String>, String> {
        if self.high.is_some() {
            return Err(HALF.to_owned());
        }
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            each(std::str::from_utf8(&line).map_err(|error| error.to_string())?);
        }
        Ok(self.error)
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.trim_ascii() == name
    }

    fn value(&mut self, byte: u8) -> Result<(), String> {
        match byte {
            b'"' if self.depth == 0 && self.is(b"\"result\"") => self.state = State::Result,
            b'"' => {
                self.value.push(byte);
                self.state = State::ValueText { escaped: false };
            }
            b',' | b'}' if self.depth == 0 => {
                if self.is(b"\"error\"") && self.value.trim_ascii() != b"null" {
                    let text = serde_json::from_slice::<String>(&self.value)
                        .map_err(|error| format!("an error that is no text: {error}"))?;
                    self.error = Some(text);
                }
                self.name.clear();
                self.value.clear();
                self.state = if byte == b',' { State::Name } else { State::After };
            }
            byte => {
                self.depth += usize::from(matches!(byte, b'{' | b'['));
                self.depth = self.depth.saturating_sub(usize::from(matches!(byte, b'}' | b']')));
                self.value.push(byte);
            }
        }
        Ok(())
    }

    fn text(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&str)) -> Result<(), String> {
        if self.high.is_some() && !bytes.is_empty() {
            return Err(HALF.to_owned());
        }
        // A newline is always escaped in JSON, and taken all the same.
        while let Some(length) = memchr(b'\n', bytes) {
            self.line.extend_from_slice(&bytes[..length]);
            self.newline(each)?;
            bytes = &bytes[length + 1..];
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn newline(&mut self, each: &mut impl FnMut(&str)) -> Result<(), String> {
        each(std::str::from_utf8(&self.line).map_err(|error| error.to_string())?);
        self.line.clear();
        Ok(())
    }

    fn escape(&mut self, byte: u8, each: &mut impl FnMut(&str)) -> Result<(), String> {
        self.state = State::Result;
        if self.high.is_some() && byte != b'u' {
            return Err(HALF.to_owned());
        }
        match byte {
            b'n' => return self.newline(each),
            b'u' => self.state = State::ResultUnicode,
            b't' => self.line.push(b'\t'),
            b'r' => self.line.push(b'\r'),
            b'b' => self.line.push(8),
            b'f' => self.line.push(12),
            b'"' | b'\\' | b'/' => self.line.push(byte),
            byte => return Err(format!("no escape of JSON: \\{}", byte as char)),
        }
        Ok(())
    }

    fn unicode(&mut self, byte: u8, each: &mut impl FnMut(&str)) -> Result<(), String> {
        self.digits.push(byte);
        if self.digits.len() < 4 {
            return Ok(());
        }
        let digits = std::mem::take(&mut self.digits);
        let unit = std::str::from_utf8(&digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or("no four digits after \\u")?;
        self.state = State::Result;
        let units: Vec<u16> = self.high.take().into_iter().chain([unit]).collect();
        match String::from_utf16(&units) {
            Ok(text) => self.text(text.as_bytes(), each),
            Err(_) if units.len() == 1 && (0xd800..0xdc00).contains(&unit) => {
                self.high = Some(unit);
                Ok(())
            }
            Err(_) => Err(HALF.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, piece: usize) -> Result<(Vec<String>, Option<String>), String> {
        let (mut reply, mut lines) = (Reply::default(), Vec::new());
        let mut each = |line: &str| lines.push(line.to_owned());
        let mut done = false;
        for bytes in text.as_bytes().chunks(piece) {
            done = reply.feed(bytes, &mut each)?;
        }
        let error = reply.end(&mut each)?;
        if done { Ok((lines, error)) } else { Err("it has not ended".to_owned()) }
    }

    #[test]
    fn lines_are_told_however_they_arrive() {
        let text = r#"{"id":0,"error":null,"result":"a \"b\" \\\u00e9\n\nlast\ud83d\ude00\/"}"#;
        for piece in [1, 2, 7, 1000] {
            let (lines, error) = read(text, piece).unwrap();
            assert_eq!(lines, ["a \"b\" \\é", "", "last😀/"]);
            assert_eq!(error, None);
        }
    }

    #[test]
    fn a_refusal_is_the_daemons_text() {
        let text = r#"{"result":null,"error":"\"x\" is not a valid command\n","id":0}"#;
        assert_eq!(read(text, 3).unwrap(), (vec![], Some("\"x\" is not a valid command\n".to_owned())));
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for text in [r#"["a"]"#, r#"{"result":"\x"}"#, r#"{"result":"\ud800x"}"#, r#"{"result":"\uzzzz"}"#] {
            assert!(read(text, 4).is_err(), "{text} was taken");
        }
        assert!(read(r#"{"result":"a"#, 4).is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_as_its_lines(text in "\\PC*(\n\\PC*)*", piece in 1_usize..50) {
            let json = serde_json::json!({ "id": 1, "result": text, "error": null }).to_string();
            let (lines, _) = read(&json, piece).unwrap();
            let mut wanted: Vec<&str> = text.split('\n').collect();
            if wanted.last() == Some(&"") {
                wanted.pop();
            }
            prop_assert_eq!(lines, wanted);
        }
    }
}
