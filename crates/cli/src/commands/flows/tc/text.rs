//! `tc -s filter show`: a filter is a line that begins with the word, and the lines below that begin with space.

use std::io::{self, BufRead as _, BufReader, Read};

use super::{Filter, Part};

/// The longest filter that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// The filters of a text.
pub(in crate::commands::flows) struct Blocks<R> {
    reader: BufReader<R>,
    line: u64,
    /// The line that was read already: it begins the next filter.
    next: Option<String>,
}

impl<R: Read> Blocks<R> {
    /// Of whatever `reader` gives.
    pub(in crate::commands::flows) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, reader), line: 0, next: None }
    }

    /// The next line without its end; bytes that are no text are replaced.
    fn line(&mut self) -> io::Result<Option<String>> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let mut line = Vec::new();
        if self.reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Ok(Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()))
    }

    fn block(&mut self) -> io::Result<Option<Part>> {
        let Some(mut text) = self.line()? else { return Ok(None) };
        let number = self.line;
        if text.trim_ascii().is_empty() {
            return Ok(Some(Part { number, filter: Ok(None) }));
        }
        if !text.starts_with("filter ") {
            let why = "this is no filter of `tc -s filter show`".to_owned();
            return Ok(Some(Part { number, filter: Err(why) }));
        }
        while let Some(line) = self.line()? {
            if !line.is_empty() && !line.starts_with([' ', '\t']) {
                self.next = Some(line);
                break;
            }
            if text.len() + line.len() < LONGEST {
                text.push('\n');
                text.push_str(&line);
            }
        }
        Ok(Some(Part { number, filter: Ok(filter(text.trim_end_matches('\n'))) }))
    }
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = io::Result<Part>;

    fn next(&mut self) -> Option<io::Result<Part>> {
        self.block().transpose()
    }
}

/// The filter; nothing where it is the heading of a priority, which has no handle.
fn filter(text: &str) -> Option<Filter> {
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    if !words.contains(&"handle") {
        return None;
    }
    let mut filter = Filter { text: text.to_owned(), ..Filter::default() };
    if !words.contains(&"flower") {
        // `filter [ingress] protocol P pref N KIND …`
        let kind = words.iter().position(|word| *word == "pref").and_then(|at| words.get(at + 2));
        filter.key.extend(kind.map(|kind| ("kind".to_owned(), (*kind).into())));
    }
    let mut used = None;
    for line in body.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        match words.as_slice() {
            ["action", "order", ..] => {
                let what = line.split_once(": ").map_or(line, |(_, what)| what);
                filter.actions.push(what.to_owned());
            }
            ["Sent", "software" | "hardware", ..] => {}
            ["Sent", _, "bytes", _, "pkt", ..] => {
                filter.count(number(3).unwrap_or(0), number(1).unwrap_or(0));
            }
            ["index", rest @ ..] => {
                let at = rest.iter().position(|word| *word == "used");
                used = used.into_iter().chain(at.and_then(|at| number(at + 2))).min();
            }
            ["cookie", cookie] => filter.cookie(cookie),
            words if words.contains(&"in_hw") => filter.in_hardware = Some(true),
            words if words.contains(&"not_in_hw") => filter.in_hardware = Some(false),
            // Before the first action there are keys; behind it, what is said of actions.
            [name, value @ ..] if filter.actions.is_empty() && !value.is_empty() => {
                filter.key.insert((*name).to_owned(), value.join(" ").into());
            }
            _ => {}
        }
    }
    filter.used = used.filter(|_| filter.packets > 0);
    Some(filter)
}
