//! Where a shell script assigns to variables, without running it.
//!
//! `grub-mkconfig` sources `/etc/default/grub` as a script of `/bin/sh`. This reads as much of the shell's grammar as
//! is needed to be sure of an assignment: quotes, escapes, comments, continuation lines, substitutions, compound
//! commands (POSIX.1-2017, Shell Command Language, sections 2.2, 2.3, 2.9). What it cannot be sure of is an error
//! with its line, never a guess.

use std::ops::Range;

/// An assignment to one of the variables that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// The variable.
    pub(super) name: &'static str,
    /// The line it begins in, counted from 1.
    pub(super) line: usize,
    /// The value with its quotes.
    pub(super) value: Range<usize>,
}

/// What cannot be kept, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) line: usize,
    pub(super) why: String,
}

/// Every assignment to one of `names`, in order.
pub(super) fn assignments(text: &str, names: &[&'static str]) -> Result<Vec<Assignment>, Trouble> {
    let mut scanner = Scanner { text, at: 0 };
    let mut found = Vec::new();
    // Where compound commands that are open began, and parentheses.
    let (mut compounds, mut parentheses) = (Vec::new(), 0_usize);
    let mut is_command = true;
    // Assignments of the simple command at hand: a command behind them would take them for itself alone.
    let mut pending: Vec<Assignment> = Vec::new();
    let mut exports = false;
    while let Some(token) = scanner.next()? {
        match token {
            Token::End => {
                found.append(&mut pending);
                (is_command, exports) = (true, false);
            }
            Token::Open => parentheses += 1,
            Token::Close => {
                parentheses = parentheses.saturating_sub(1);
                found.append(&mut pending);
                (is_command, exports) = (true, false);
            }
            Token::Redirection => {
                if scanner.text[..scanner.at].ends_with("<<") {
                    return Err(scanner.trouble(scanner.at, "a here-document"));
                }
            }
            Token::Word(range) => {
                let word = &text[range.clone()];
                if is_command && matches!(word, "if" | "case" | "for" | "while" | "until" | "{") {
                    compounds.push(range.start);
                    is_command = !matches!(word, "case" | "for");
                } else if is_command && matches!(word, "fi" | "esac" | "done" | "}") {
                    compounds.pop();
                } else if is_command && matches!(word, "then" | "else" | "elif" | "do" | "!") {
                    // What follows is a command.
                } else if is_command && word == "export" {
                    exports = true;
                    is_command = false;
                } else if is_command && word == "unset" {
                    is_command = false;
                } else if let Some((name, append, value)) = target(word).filter(|_| is_command || exports) {
                    let Some(name) = names.iter().find(|known| **known == name) else { continue };
                    let trouble =
                        |why: &str| Err(scanner.trouble(range.start, &format!("{name} is set {why}")));
                    if append {
                        return trouble("with `+=`, which not every shell knows");
                    }
                    if !compounds.is_empty() || parentheses > 0 {
                        return trouble("inside a compound command, so that it depends on the boot");
                    }
                    let line = scanner.line(range.start);
                    pending.push(Assignment { name, line, value: range.start + value..range.end });
                } else {
                    if let Some(first) = pending.first().filter(|_| is_command) {
                        let why = format!("{} is set for one command only", first.name);
                        return Err(Trouble { line: first.line, why });
                    }
                    is_command = false;
                }
            }
        }
    }
    if let Some(start) = compounds.pop() {
        return Err(scanner.trouble(start, "a compound command that is not closed"));
    }
    found.append(&mut pending);
    Ok(found)
}

/// `NAME=…` or `NAME+=…`: the name, whether it appends, and where the value begins.
fn target(word: &str) -> Option<(&str, bool, usize)> {
    let equals = word.find('=')?;
    let name = word[..equals].strip_suffix('+').unwrap_or(&word[..equals]);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
    is_name.then_some((name, name.len() != equals, equals + 1))
}

enum Token {
    Word(Range<usize>),
    /// A line's end or `;`, `&`, `|`: a new command follows.
    End,
    Open,
    Close,
    Redirection,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn trouble(&self, at: usize, why: &str) -> Trouble {
        Trouble { line: self.line(at), why: why.to_owned() }
    }

    fn next(&mut self) -> Result<Option<Token>, Trouble> {
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return Ok(None) };
            if rest.starts_with("\\\n") {
                self.at += 2;
            } else if c == ' ' || c == '\t' {
                self.at += 1;
            } else if c == '#' {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else {
                let single = match c {
                    '\n' | ';' | '&' | '|' => Token::End,
                    '(' => Token::Open,
                    ')' => Token::Close,
                    '<' | '>' => {
                        self.at += 1 + usize::from(rest[1..].starts_with(['<', '>', '&', '|']));
                        return Ok(Some(Token::Redirection));
                    }
                    _ => return self.word().map(Some),
                };
                self.at += 1;
                return Ok(Some(single));
            }
        }
    }

    fn word(&mut self) -> Result<Token, Trouble> {
        let start = self.at;
        while let Some(c) = self.rest().chars().next() {
            match c {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\'' => self.at = self.closing(self.at + 1, '\'', "a quote that is not closed")?,
                '"' => self.double()?,
                '`' => self.backquoted()?,
                '\\' => self.at += 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8),
                '$' => self.dollar()?,
                c => self.at += c.len_utf8(),
            }
        }
        Ok(Token::Word(start..self.at))
    }

    /// Past the next `close` behind `from`.
    fn closing(&self, from: usize, close: char, why: &str) -> Result<usize, Trouble> {
        let length = self.text[from..].find(close).ok_or_else(|| self.trouble(self.at, why))?;
        Ok(from + length + close.len_utf8())
    }

    fn double(&mut self) -> Result<(), Trouble> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                None => return Err(self.trouble(start, "a quote that is not closed")),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.at += 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8),
                Some('`') => self.backquoted()?,
                Some('$') => self.dollar()?,
                Some(c) => self.at += c.len_utf8(),
            }
        }
    }

    fn backquoted(&mut self) -> Result<(), Trouble> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.rest().chars().next() {
                None => return Err(self.trouble(start, "a command substitution that is not closed")),
                Some('`') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.at += 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8),
                Some(c) => self.at += c.len_utf8(),
            }
        }
    }

    /// `$NAME`, `${…}`, `$(…)`, `$((…))`.
    fn dollar(&mut self) -> Result<(), Trouble> {
        let start = self.at;
        let (open, close) = match self.rest()[1..].chars().next() {
            Some('{') => ('{', '}'),
            Some('(') => ('(', ')'),
            _ => {
                self.at += 1;
                return Ok(());
            }
        };
        self.at += 2;
        let mut depth = 1;
        while depth > 0 {
            match self.rest().chars().next() {
                None => return Err(self.trouble(start, "a substitution that is not closed")),
                Some('\'') if open == '(' => {
                    self.at = self.closing(self.at + 1, '\'', "a quote that is not closed")?;
                }
                Some('"') => self.double()?,
                Some('`') => self.backquoted()?,
                Some('\\') => self.at += 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8),
                Some('$') => self.dollar()?,
                Some(c) => {
                    depth = if c == open { depth + 1 } else { depth - usize::from(c == close) };
                    self.at += c.len_utf8();
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<&str> {
        let found = assignments(text, &["A", "AB"]).unwrap_or_else(|trouble| panic!("{text}: {trouble:?}"));
        found.iter().map(|assignment| &text[assignment.value.clone()]).collect()
    }

    fn trouble(text: &str) -> (usize, String) {
        let trouble = assignments(text, &["A", "AB"]).unwrap_err();
        (trouble.line, trouble.why)
    }

    #[test]
    fn assignments_are_found_with_their_quotes() {
        assert_eq!(
            values("A=x AB='y z' # A=no\nC=1; A=\"q\\\"r\"\nexport A=e C AB=f"),
            ["x", "'y z'", "\"q\\\"r\"", "e", "f"]
        );
        assert_eq!(values("A=\nAB=\"\"\n"), ["", "\"\""]);
        assert_eq!(values("A=\"a \\\n  b\"\n"), ["\"a \\\n  b\""]);
        assert_eq!(values("D=`lsb_release -i -s 2> /dev/null || echo Debian`\nA=1\n"), ["1"]);
        assert_eq!(values("D=\"$(. /etc/os-release; echo ${NAME:-\"a ) b\"} )\"\nA=1"), ["1"]);
        assert_eq!(values("if true; then\n  B=1\nfi\nA=1\n"), ["1"]);
        assert_eq!(values("f() { B=1; }\nA=1\n"), ["1"]);
        assert_eq!(values("case x in\n a) B=1 ;;\n (b) ;;\nesac\nA=1\n"), ["1"]);
        assert_eq!(values("for x in 1 2; do B=$x; done >/dev/null 2>&1\nA=1\n"), ["1"]);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        assert_eq!(
            values("# A=1\necho A=2\nB=\"\nA=3\n\"\nC='\nA=4'\necho \\\n A=5\nXA=6\n"),
            [] as [&str; 0]
        );
        assert_eq!(values("echo if\nA=1"), ["1"]);
    }

    #[test]
    fn what_is_not_certain_is_named_with_its_line() {
        assert_eq!(trouble("\nif x; then\n  A=1\nfi").0, 3);
        assert!(trouble("case x in a) A=1 ;; esac").1.contains("compound"));
        assert!(trouble("(A=1)").1.contains("compound"));
        assert!(trouble("A+=\" x\"").1.contains("+="));
        assert_eq!(trouble("B=1\nA=1 command"), (2, "A is set for one command only".to_owned()));
        assert_eq!(trouble("B=1\n\nA=\"x").0, 3);
        assert_eq!(trouble("A=1\nif x; then\n"), (2, "a compound command that is not closed".to_owned()));
        assert_eq!(trouble("A='x\n\n").0, 1);
        assert_eq!(trouble("cat <<EOF\nA=1\nEOF\n"), (1, "a here-document".to_owned()));
        assert!(trouble("D=`x").1.contains("substitution"));
    }
}
