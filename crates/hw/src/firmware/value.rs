//! The value of a setting.

use std::fmt;
use std::str::FromStr;

use crate::nouns::{ParseError, serde_as_text};

/// The value of a setting, as the firmware tools print it and take it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `8`
    Number(u64),
    /// `True(1)`, `ETH(2)`: a word and the number it stands for.
    Named {
        /// The word.
        name: String,
        /// The number.
        number: u64,
    },
    /// `Array[0..15]`: more values than a listing shows.
    Array {
        /// The first index.
        first: u32,
        /// The last one.
        last: u32,
    },
    /// `ETH`, `0x2a`: a word without its number, as one may ask for it.
    Word(String),
}

impl Value {
    /// A truth value, as the tools print it: `True(1)`.
    pub fn truth(on: bool) -> Self {
        let name = if on { "True" } else { "False" };
        Self::Named { name: name.to_owned(), number: u64::from(on) }
    }

    /// The number that it is or stands for.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) | Self::Named { number, .. } => Some(*number),
            Self::Array { .. } | Self::Word(_) => None,
        }
    }

    /// Whether this is what `asked` means: `True(1)` is `1` and `true`, `ETH(2)` is `2` and `eth`.
    pub fn is(&self, asked: &Self) -> bool {
        match (self, asked) {
            (Self::Named { name, .. }, Self::Word(word)) | (Self::Word(word), Self::Named { name, .. }) => {
                name.eq_ignore_ascii_case(word)
            }
            _ => match (self.number(), asked.number()) {
                (Some(one), Some(other)) => one == other,
                _ => self == asked,
            },
        }
    }

    /// What a tool is given for it: the number, as far as there is one.
    pub fn argument(&self) -> String {
        self.number().map_or_else(|| self.to_string(), |number| number.to_string())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Named { name, number } => write!(f, "{name}({number})"),
            Self::Array { first, last } => write!(f, "Array[{first}..{last}]"),
            Self::Word(word) => word.fmt(f),
        }
    }
}

impl FromStr for Value {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = || {
            ParseError::new("a firmware setting's value", text, "write a number, `true`, `false` or a word")
        };
        let is_word = |text: &str| {
            !text.is_empty()
                && text.len() <= 128
                && text.bytes().all(|b| b.is_ascii_graphic() && !b"()[]*=".contains(&b))
        };
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Ok(Self::truth(text.eq_ignore_ascii_case("true")));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|_| error());
        }
        if let Some((name, number)) = text.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
            let number = decimal(number).ok_or_else(error)?;
            return if is_word(name) {
                Ok(Self::Named { name: name.to_owned(), number })
            } else {
                Err(error())
            };
        }
        if let Some(range) = text.strip_prefix("Array[").and_then(|rest| rest.strip_suffix(']')) {
            let index = |text| decimal(text).and_then(|index| u32::try_from(index).ok());
            let (first, last) = range.split_once("..").ok_or_else(error)?;
            let (first, last) = (index(first).ok_or_else(error)?, index(last).ok_or_else(error)?);
            return Ok(Self::Array { first, last });
        }
        if is_word(text) { Ok(Self::Word(text.to_owned())) } else { Err(error()) }
    }
}

fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

serde_as_text!(Value);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Value {
        text.parse().unwrap()
    }

    #[test]
    fn values_are_read_as_the_tools_print_them() {
        assert_eq!(value("8"), Value::Number(8));
        assert_eq!(value("True(1)"), Value::truth(true));
        assert_eq!(value("Array[0..15]"), Value::Array { first: 0, last: 15 });
        assert_eq!(value("false"), Value::truth(false));
        assert_eq!(value("ETH"), Value::Word("ETH".to_owned()));
        for bad in ["", "True(", "True(x)", "(1)", "Array[0-15]", "Array[0..]", "a b", "18446744073709551616"]
        {
            assert!(bad.parse::<Value>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_asked_for_may_be_a_number_or_a_word() {
        for (found, asked) in
            [("True(1)", "1"), ("True(1)", "true"), ("ETH(2)", "eth"), ("ETH(2)", "2"), ("8", "8")]
        {
            assert!(value(found).is(&value(asked)), "{found} {asked}");
        }
        for (found, asked) in
            [("True(1)", "0"), ("ETH(2)", "IB"), ("8", "16"), ("Array[0..15]", "15"), ("8", "eight")]
        {
            assert!(!value(found).is(&value(asked)), "{found} {asked}");
        }
        assert_eq!(value("ETH(2)").argument(), "2");
        assert_eq!(value("ETH").argument(), "ETH");
    }

    proptest! {
        #[test]
        fn values_round_trip(text in "[0-9]{1,18}|[A-Za-z][A-Za-z0-9_]{0,20}(\\([0-9]{1,10}\\))?|Array\\[[0-9]{1,3}\\.\\.[0-9]{1,3}\\]|.{0,8}") {
            if let Ok(value) = text.parse::<Value>() {
                prop_assert_eq!(value.to_string().parse::<Value>().unwrap(), value);
            }
        }
    }
}
