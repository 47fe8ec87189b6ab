//! Reading JSON in one pass, without building it first.
//!
//! A snapshot is tens of megabytes of rows whose columns go straight into the fields of a Rust type. A [`Cursor`] is
//! asked for what the type expects next and fails on anything else. Unlike serde's it is one concrete type, so
//! that a table can be a trait object, and what is skipped is not looked into. What is rare, escapes and numbers
//! with a fraction, is left to `serde_json` and the standard library.

use std::borrow::Cow;

/// A place in a JSON text.
#[derive(Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A text that is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct JsonError {
    what: Cow<'static, str>,
    at: usize,
}

type Result<T> = std::result::Result<T, JsonError>;

impl<'a> Cursor<'a> {
    /// The beginning of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// An error at this place.
    pub fn error(&self, what: impl Into<Cow<'static, str>>) -> JsonError {
        JsonError { what: what.into(), at: self.at }
    }

    /// The first byte of the value that comes next, or 0 at the end.
    pub fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied().unwrap_or(0)
    }

    /// Whether a byte comes next; it is taken if so.
    pub fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// A byte that has to come next.
    pub fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.error(format!("no {:?}", byte as char))) }
    }

    /// Nothing but space may come next.
    pub fn end(&mut self) -> Result<()> {
        if self.peek() == 0 && self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.error("more than was expected"))
        }
    }

    /// Text.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"')?;
        let begin = self.at;
        let plain = self.text[begin..].iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        let end = begin + plain.ok_or_else(|| self.error("text without an end"))?;
        if self.text[end] == b'"' {
            let text = std::str::from_utf8(&self.text[begin..end]).map_err(|_| self.error("no UTF-8"))?;
            self.at = end + 1;
            return Ok(Cow::Borrowed(text));
        }
        // Escapes are rare, and serde_json knows all of them.
        self.at = begin - 1;
        self.skip_string()?;
        let text = serde_json::from_slice(&self.text[begin - 1..self.at]);
        text.map(Cow::Owned).map_err(|_| JsonError { what: "text that is no JSON".into(), at: begin })
    }

    /// An integer of 64 bits. A real without fraction is one.
    pub fn integer(&mut self) -> Result<i64> {
        let text = self.number()?;
        match text.parse() {
            Ok(number) => Ok(number),
            Err(_) => whole(text).ok_or_else(|| self.error(format!("no integer of 64 bits: {text}"))),
        }
    }

    /// A real number; the server writes 1.0 as `1`.
    pub fn real(&mut self) -> Result<f64> {
        let text = self.number()?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(self.error(format!("no real number: {text}"))),
        }
    }

    /// The characters of a number, in JSON's form.
    pub fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let text = std::str::from_utf8(&rest[..end]).unwrap_or_default();
        if !is_number(text.as_bytes()) {
            return Err(self.error("no number"));
        }
        self.at += end;
        Ok(text)
    }

    /// True or false.
    pub fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => Err(self.error("neither true nor false")),
        }
    }

    /// `null`.
    pub fn null(&mut self) -> Result<()> {
        self.peek();
        self.word("null")
    }

    /// An array; `each` has to read one element.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// An object; `each` is told a member's name and has to read its value.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(b':')?;
            each(self, &name)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Passes over a value, of which only the brackets and strings are looked at.
    pub fn skip(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    self.at += 1;
                    depth += 1;
                    continue;
                }
                b'}' | b']' | b',' | b':' if depth > 0 => {
                    let closes = matches!(self.text[self.at], b'}' | b']');
                    self.at += 1;
                    depth -= usize::from(closes);
                    if !closes {
                        continue;
                    }
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => self.number().map(|_| ())?,
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Where it is, in bytes from the beginning.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a place that it was at.
    pub fn back_to(&mut self, position: usize) {
        self.at = position.min(self.at);
    }

    fn skip_string(&mut self) -> Result<()> {
        let mut at = self.at + 1;
        loop {
            match self.text.get(at) {
                None => return Err(self.error("text without an end")),
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
        self.at = at + 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error(format!("no {word}")))
        }
    }
}

/// Whether it is a number as RFC 8259, section 6, has them.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let Some((b'e' | b'E', exponent)) = rest.split_first() {
        let exponent =
            exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// The integer that a number with a fraction or exponent stands for, as in `1e3`.
fn whole(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation, reason = "held against what it came from")]
    let integer = number as i64;
    #[allow(
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "beyond 2^53 it is refused; equal is meant"
    )]
    let same = integer.unsigned_abs() <= 1 << 53 && integer as f64 == number;
    same.then_some(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_read() {
        let mut cursor =
            Cursor::new(br#" {"a" : [1, -2 ,3e2], "b\u00e9":{"c":null},"d":"x\n\"y\"" , "e":1} "#);
        let mut seen = Vec::new();
        cursor
            .object(|cursor, name| {
                match name {
                    "a" => {
                        cursor
                            .array(|cursor| cursor.integer().map(|number| seen.push(number.to_string())))?;
                    }
                    "d" => seen.push(cursor.string()?.into_owned()),
                    "e" => seen.push(cursor.real()?.to_string()),
                    other => {
                        seen.push(other.to_owned());
                        cursor.skip()?;
                    }
                }
                Ok(())
            })
            .unwrap();
        cursor.end().unwrap();
        assert_eq!(seen, ["1", "-2", "300", "bé", "x\n\"y\"", "1"]);
    }

    #[test]
    fn an_error_says_where() {
        let error = Cursor::new(b"[1,tru]").array(|cursor| cursor.integer().map(|_| ())).unwrap_err();
        assert_eq!(error.to_string(), "no number at byte 3");
    }

    #[test]
    fn numbers_are_those_of_json() {
        for text in ["0", "-0", "10", "1.5", "1e5", "-1.25E-3"] {
            assert_eq!(Cursor::new(text.as_bytes()).number(), Ok(text));
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "+1", "1e+", "0x1", "1-1"] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.number().is_err() || cursor.end().is_err(), "{text:?} was taken");
        }
        assert_eq!(Cursor::new(b"9223372036854775807").integer(), Ok(i64::MAX));
        for text in ["9223372036854775808", "1.5", "1e30", "9223372036854775807.0"] {
            assert!(Cursor::new(text.as_bytes()).integer().is_err(), "{text} was taken");
        }
        assert!(Cursor::new(b"1e999").real().is_err());
    }

    #[test]
    fn skipping_ends_where_the_value_does() {
        for text in [r#"{"a":[1,{"b":"}]"}],"c":"\\\""}"#, "[]", r#""x""#, "-1.5", "true", "null", "[[],{}]"]
        {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.skip().unwrap();
            cursor.end().unwrap();
        }
        for text in ["", "{", "[1", r#""x"#, r#""x\"#, "nul", "]", "[1}}"] {
            let mut cursor = Cursor::new(text.as_bytes());
            assert!(cursor.skip().is_err() || cursor.end().is_err(), "{text} was taken");
        }
    }

    #[test]
    fn text_is_utf_8_without_control_characters() {
        assert!(Cursor::new(b"\"\xff\"").string().is_err());
        assert!(Cursor::new(b"\"a\nb\"").string().is_err());
        assert!(Cursor::new(br#""\ud800""#).string().is_err());
        assert_eq!(Cursor::new(br#""\ud83d\ude00""#).string().unwrap(), "😀");
    }
}
