//! Where in a host file something stands, and what is wrong there.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A place in a file: line and column count from 1, as editors do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The line's text.
    pub text: String,
}

impl Place {
    /// Where `span` begins in `source`.
    pub fn of(file: &Path, source: &str, span: &Range<usize>) -> Self {
        let start =
            (0..=span.start.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0);
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            text: source[line_start..].lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Place {
    /// The place, its line and a mark below the column.
    pub fn shown(&self) -> [String; 3] {
        let caret = " ".repeat(self.column - 1) + "^";
        [format!("--> {self}"), format!("  | {}", self.text), format!("  | {caret}")]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// Something in the host file, or in the flags that stand for it, that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What is wrong, naming the object.
    pub message: String,
    /// Where; `None` for flags and for a file that cannot be read.
    pub place: Option<Place>,
    /// What to do.
    pub hint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_from_one_in_characters() {
        let source = "a = 1\nmäc = 2\n";
        let at = source.find('2').unwrap();
        let place = Place::of(Path::new("host.toml"), source, &(at..at + 1));
        assert_eq!(place.to_string(), "host.toml:2:7");
        assert_eq!(place.text, "mäc = 2");
        assert_eq!(Place::of(Path::new("f"), "", &(5..9)).line, 1);
    }
}
