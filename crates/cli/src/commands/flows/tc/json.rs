//! `tc -j -s filter show`: an array, taken apart object by object in constant memory.

use std::io::{self, BufRead as _, BufReader, Read};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Filter, Part};

/// The longest filter that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// The filters of one or more arrays.
pub(in crate::commands::flows) struct Objects<R> {
    reader: BufReader<R>,
    line: u64,
    ended: bool,
}

/// What becomes of a byte between filters.
enum Between {
    /// It begins a filter.
    Begin,
    /// It separates filters.
    Space,
    /// It has no place here.
    Odd,
}

impl<R: Read> Objects<R> {
    /// Of whatever `reader` gives.
    pub(in crate::commands::flows) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, reader), line: 1, ended: false }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.reader.fill_buf()?.first().copied();
        if let Some(byte) = byte {
            self.reader.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }

    /// As far as a filter begins, or something that has no place between filters; that is skipped to its line's end.
    /// Gives the line that it stands in.
    fn between(&mut self) -> io::Result<Option<(u64, Between)>> {
        while let Some(byte) = self.byte()? {
            let number = self.line;
            match between(byte) {
                Between::Space => {}
                Between::Odd => {
                    let mut rest = Vec::new();
                    self.reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut rest)?;
                    self.line += u64::from(rest.ends_with(b"\n"));
                    return Ok(Some((number, Between::Odd)));
                }
                Between::Begin => return Ok(Some((number, Between::Begin))),
            }
        }
        Ok(None)
    }

    /// The filter whose brace has been read, to the brace that closes it.
    fn object(&mut self) -> io::Result<Result<String, &'static str>> {
        let (mut text, mut depth, mut quoted, mut escaped, mut long) =
            (vec![b'{'], 1_u32, false, false, false);
        while depth > 0 {
            let Some(byte) = self.byte()? else { return Ok(Err("the file ends within a filter")) };
            match byte {
                _ if std::mem::take(&mut escaped) => {}
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth -= 1,
                _ => {}
            }
            long |= text.len() >= LONGEST;
            if !long {
                text.push(byte);
            }
        }
        Ok(match (long, String::from_utf8(text)) {
            (true, _) => Err("the filter is longer than 1 MiB"),
            (false, Ok(text)) => Ok(text),
            (false, Err(_)) => Err("this is no UTF-8"),
        })
    }
}

fn between(byte: u8) -> Between {
    match byte {
        b'{' => Between::Begin,
        b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' => Between::Space,
        _ => Between::Odd,
    }
}

impl<R: Read> Iterator for Objects<R> {
    type Item = io::Result<Part>;

    fn next(&mut self) -> Option<io::Result<Part>> {
        if self.ended {
            return None;
        }
        let part = self.between().and_then(|begin| {
            Ok(match begin {
                None => None,
                Some((number, Between::Begin)) => {
                    let text = self.object()?;
                    let filter = text.map_err(str::to_owned).and_then(filter);
                    Some(Part { number, filter })
                }
                Some((number, _)) => {
                    Some(Part { number, filter: Err("this is no array of filters".to_owned()) })
                }
            })
        });
        self.ended = !matches!(part, Ok(Some(_)));
        part.transpose()
    }
}

/// What tc says of a filter, as far as it is needed.
#[derive(Deserialize)]
struct Said {
    kind: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    keys: Map<String, Value>,
    #[serde(default)]
    in_hw: bool,
    #[serde(default)]
    not_in_hw: bool,
    #[serde(default)]
    actions: Vec<Map<String, Value>>,
}

/// What an action has beside what it does.
const BESIDE: [&str; 15] = [
    "order",
    "kind",
    "control_action",
    "index",
    "ref",
    "bind",
    "installed",
    "last_used",
    "first_used",
    "expires",
    "stats",
    "cookie",
    "no_percpu",
    "hw_stats",
    "used_hw_stats",
];

fn filter(text: String) -> Result<Option<Filter>, String> {
    let said: Said = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let Some(options) = said.options else { return Ok(None) };
    let mut filter = Filter { key: options.keys, ..Filter::default() };
    if said.kind != "flower" {
        filter.key.insert("kind".to_owned(), said.kind.into());
    }
    filter.in_hardware = options.in_hw.then_some(true).or(options.not_in_hw.then_some(false));
    let mut used = None;
    for action in &options.actions {
        let number = |name: &str| action.get(name).and_then(Value::as_u64);
        let counted = |name: &str| action.get("stats").and_then(|stats| stats[name].as_u64()).unwrap_or(0);
        filter.count(counted("packets"), counted("bytes"));
        used = used.into_iter().chain(number("last_used")).min();
        if let Some(cookie) = action.get("cookie").and_then(Value::as_str) {
            filter.cookie(cookie);
        }
        filter.actions.push(told(action));
    }
    filter.used = used.filter(|_| filter.packets > 0);
    filter.text = text;
    Ok(Some(filter))
}

/// An action in a line: `mirred mirred_action=redirect direction=egress to_dev=eth2`.
fn told(action: &Map<String, Value>) -> String {
    let mut words = vec![plain(action.get("kind").unwrap_or(&Value::Null))];
    let own = action.iter().filter(|(name, _)| !BESIDE.contains(&name.as_str()));
    words.extend(own.map(|(name, value)| format!("{name}={}", plain(value))));
    words.join(" ")
}

/// A value without quotes around it.
pub(in crate::commands::flows) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
