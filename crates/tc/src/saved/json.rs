//! `tc -j -s filter show`: an array, taken apart object by object in constant memory.

use std::io::{self, BufRead as _, BufReader, Read};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Entry, LONGEST, Saved, action, look_at};
use crate::{
    Action, Classifier, Control, Cookie, Counters, Filter, Flags, Flower, Place, Stats, show::protocol_named,
};

/// The filters of one or more arrays.
#[derive(Debug)]
pub struct Json<R> {
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

impl<R: Read> Json<R> {
    /// Of whatever `reader` gives.
    pub fn new(reader: R) -> Self {
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

impl<R: Read> Iterator for Json<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        if self.ended {
            return None;
        }
        let part = self.between().and_then(|begin| {
            Ok(match begin {
                None => None,
                Some((number, Between::Begin)) => {
                    let text = self.object()?;
                    let filter = text.map_err(str::to_owned).and_then(filter);
                    Some(Entry { number, filter })
                }
                Some((number, _)) => {
                    Some(Entry { number, filter: Err("this is no array of filters".to_owned()) })
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
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    pref: u16,
    #[serde(default)]
    chain: u32,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    handle: Value,
    #[serde(default)]
    indev: Option<String>,
    #[serde(default)]
    keys: Map<String, Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
    in_hw_count: Option<u32>,
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

fn filter(text: String) -> Result<Option<Saved>, String> {
    let said: Said = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let Some(options) = said.options else { return Ok(None) };
    let actions: Vec<Action> = options.actions.iter().map(one_action).collect();
    let classifier = if said.kind == "flower" {
        let has = |name: &str, flag: Flags| {
            if options.rest.get(name) == Some(&Value::Bool(true)) { flag } else { Flags::default() }
        };
        let mut rule = Flower {
            indev: options.indev,
            flags: Flags::NAMES
                .iter()
                .map(|(flag, name)| has(name, *flag))
                .fold(Flags::default(), |a, b| a | b),
            in_hw_count: options.in_hw_count,
            actions,
            ..Flower::default()
        };
        for (name, value) in &options.keys {
            look_at(&mut rule, name, &written(value));
        }
        Classifier::Flower(Box::new(rule))
    } else {
        Classifier::Other { kind: said.kind, actions }
    };
    let filter = Filter {
        place: Place::Saved,
        chain: said.chain,
        priority: said.pref,
        protocol: protocol_named(&said.protocol).unwrap_or(0),
        handle: options.handle.as_u64().and_then(|handle| handle.try_into().ok()).unwrap_or(0),
        classifier,
    };
    Ok(Some(Saved { filter, text }))
}

fn one_action(said: &Map<String, Value>) -> Action {
    let control = said.get("control_action").and_then(Value::as_object);
    let control = control.map(|said| said.values().map(written).collect::<Vec<_>>().join(" "));
    let control =
        control.map(|words| words.replace("goto ", "goto chain ")).and_then(|words| Control::among(&words));
    let number = |name: &str| said.get(name).and_then(Value::as_u64);
    let small = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
    let mut action = action(told(said), control);
    action.index = small("index").unwrap_or(0);
    action.references = small("ref").unwrap_or(1);
    action.bound = small("bind").unwrap_or(1);
    action.installed = number("installed").map(Duration::from_secs);
    action.used = number("last_used").map(Duration::from_secs);
    action.cookie = said.get("cookie").and_then(Value::as_str).and_then(Cookie::parse);
    action.stats = said.get("stats").map(|stats| {
        let counted = |packets: &str, bytes: &str| {
            let number = |name: &str| stats[name].as_u64();
            Some(Counters { packets: number(packets)?, bytes: number(bytes).unwrap_or(0) })
        };
        Stats {
            total: counted("packets", "bytes").unwrap_or_default(),
            hardware: counted("hw_packets", "hw_bytes"),
            ..Stats::default()
        }
    });
    action
}

/// An action in a line: `mirred mirred_action=redirect direction=egress to_dev=eth2`.
fn told(action: &Map<String, Value>) -> String {
    let mut words = vec![written(action.get("kind").unwrap_or(&Value::Null))];
    let own = action.iter().filter(|(name, _)| !BESIDE.contains(&name.as_str()));
    words.extend(own.map(|(name, value)| format!("{name}={}", written(value))));
    words.join(" ")
}

/// A value as the text form has it: no quotes, and flags as `nofrag/firstfrag`.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(flags) if flags.values().all(Value::is_boolean) => {
            let word = |(name, set): (&String, &Value)| {
                format!("{}{name}", if set == &Value::Bool(true) { "" } else { "no" })
            };
            flags.iter().map(word).collect::<Vec<_>>().join("/")
        }
        other => other.to_string(),
    }
}
