//! `tc -s filter show`: a filter is a line that begins with the word, and the lines below that begin with space.

use std::io::{self, BufRead as _, BufReader, Read};
use std::time::Duration;

use super::{Entry, LONGEST, Saved, action, look_at};
use crate::{
    Action, Classifier, Control, Cookie, Counters, Filter, Flags, Flower, Place, Stats, show::protocol_named,
};

/// The filters of a text.
#[derive(Debug)]
pub struct Text<R> {
    reader: BufReader<R>,
    line: u64,
    /// The line that was read already: it begins the next filter.
    next: Option<String>,
}

impl<R: Read> Text<R> {
    /// Of whatever `reader` gives.
    pub fn new(reader: R) -> Self {
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

    fn block(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut text) = self.line()? else { return Ok(None) };
        let number = self.line;
        if text.trim_ascii().is_empty() {
            return Ok(Some(Entry { number, filter: Ok(None) }));
        }
        if !text.starts_with("filter ") {
            let why = "this is no filter of `tc -s filter show`".to_owned();
            return Ok(Some(Entry { number, filter: Err(why) }));
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
        Ok(Some(Entry { number, filter: Ok(filter(text.trim_end_matches('\n'))) }))
    }
}

impl<R: Read> Iterator for Text<R> {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        self.block().transpose()
    }
}

/// The filter; nothing where it is the heading of a priority, which has no handle.
fn filter(text: &str) -> Option<Saved> {
    let (head, body) = text.split_once('\n').unwrap_or((text, ""));
    let words: Vec<&str> = head.split_whitespace().collect();
    // `filter [dev D ingress] protocol P pref N KIND chain N handle 0xN`
    let place = |name: &str| words.iter().position(|word| *word == name);
    let after = |name: &str| place(name).and_then(|at| words.get(at + 1).copied());
    let handle = after("handle")?;
    let mut rule = Flower::default();
    for line in body.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words.as_slice(), rule.actions.last_mut()) {
            (["action", "order", ..], _) => {
                let what = line.split_once(": ").map_or(line, |(_, what)| what);
                rule.actions.push(action(what.trim().to_owned(), Control::among(what)));
            }
            (_, Some(action)) => of_action(action, &words),
            // Before the first action there are keys and flags.
            (["indev", name], None) => rule.indev = Some((*name).to_owned()),
            (words, None) if flags(words) != Flags::default() => {
                rule.flags = rule.flags | flags(words);
                let count =
                    words.iter().position(|word| *word == "in_hw_count").and_then(|at| words.get(at + 1));
                rule.in_hw_count = count.and_then(|count| count.parse().ok()).or(rule.in_hw_count);
            }
            ([name, value @ ..], None) if !value.is_empty() => look_at(&mut rule, name, &value.join(" ")),
            _ => {}
        }
    }
    let kind = place("pref").and_then(|at| words.get(at + 2)).copied().unwrap_or("flower");
    let classifier = match kind {
        "flower" => Classifier::Flower(Box::new(rule)),
        kind => Classifier::Other { kind: kind.to_owned(), actions: rule.actions },
    };
    let filter = Filter {
        place: Place::Saved,
        chain: after("chain").and_then(|chain| chain.parse().ok()).unwrap_or(0),
        priority: after("pref").and_then(|pref| pref.parse().ok()).unwrap_or(0),
        protocol: after("protocol").and_then(protocol_named).unwrap_or(0),
        handle: u32::from_str_radix(handle.trim_start_matches("0x"), 16).unwrap_or(0),
        classifier,
    };
    Some(Saved { filter, text: text.to_owned() })
}

/// The flags that a line consists of.
fn flags(words: &[&str]) -> Flags {
    let named = Flags::NAMES.iter().filter(|(_, name)| words.contains(name));
    named.fold(Flags::default(), |all, (flag, _)| all | *flag)
}

/// Takes in what a line says of an action.
fn of_action(action: &mut Action, words: &[&str]) {
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let behind = |name: &str| words.iter().position(|word| *word == name).and_then(|at| number(at + 1));
    let small = |name: &str| behind(name).and_then(|number| u32::try_from(number).ok());
    let counted =
        |at: usize| Counters { bytes: number(at).unwrap_or(0), packets: number(at + 2).unwrap_or(0) };
    let stats = |action: &mut Action| *action.stats.get_or_insert_default();
    match words {
        ["Sent", "software", ..] => {}
        ["Sent", "hardware", _, "bytes", _, "pkt", ..] => {
            action.stats = Some(Stats { hardware: Some(counted(2)), ..stats(action) });
        }
        ["Sent", _, "bytes", _, "pkt", ..] => {
            action.stats = Some(Stats { total: counted(1), ..stats(action) });
        }
        ["index", ..] => {
            action.index = small("index").unwrap_or(0);
            action.references = small("ref").unwrap_or(1);
            action.bound = small("bind").unwrap_or(1);
            action.installed = behind("installed").map(Duration::from_secs);
            action.used = behind("used").map(Duration::from_secs);
        }
        ["cookie", cookie] => action.cookie = Cookie::parse(cookie),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    const CONNTRACK: &str = "\
filter protocol ip pref 3 flower chain 7 handle 0x2\x20
  dst_mac e4:11:22:33:44:51
  eth_type ipv4
  ip_proto tcp
  ct_state +trk+est
  erspan_opts 1:2:0:0
  in_hw in_hw_count 2
\taction order 1: ct zone 5 nat pipe
\t index 2 ref 1 bind 1 installed 9 sec used 1 sec
\tAction statistics:
\tSent 700 bytes 7 pkt (dropped 0, overlimits 0 requeues 0)\x20
\tSent software 100 bytes 1 pkt
\tSent hardware 600 bytes 6 pkt
\tbacklog 0b 0p requeues 0
\taction order 2: gact action goto chain 8
\t random type none pass val 0
\t index 1 ref 1 bind 1 installed 9 sec used 4 sec
";

    #[test]
    fn a_filter_has_its_parts() {
        let read: Vec<Entry> = Text::new(CONNTRACK.as_bytes()).map(Result::unwrap).collect();
        let [Entry { number: 1, filter: Ok(Some(Saved { filter, text })) }] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(text, CONNTRACK.trim_end());
        assert_eq!((filter.chain, filter.priority, filter.protocol, filter.handle), (7, 3, 0x0800, 2));
        assert_eq!((filter.in_hardware(), filter.used()), (Some(true), Some(Duration::from_secs(1))));
        let rule = filter.flower().unwrap();
        assert!(rule.has_conntrack() && rule.key(Key::CtState).is_some());
        assert_eq!((rule.matches.len(), rule.unread.len(), rule.in_hw_count), (4, 1, Some(2)));
        let words: Vec<_> = rule.words().collect();
        assert!(words.contains(&("ip_proto".to_owned(), "tcp".to_owned())), "{words:?}");
        assert!(words.contains(&("erspan_opts".to_owned(), "1:2:0:0".to_owned())), "{words:?}");
        let split = filter.counters();
        assert_eq!((split.hardware.packets, split.software.packets), (6, 1));
        let controls: Vec<_> = rule.actions.iter().map(|action| action.control).collect();
        assert_eq!(controls, [Control::Pipe, Control::GotoChain(8)]);
        // What is shown is read as the same again.
        let again =
            Text::new(filter.to_string().as_bytes()).next().unwrap().unwrap().filter.unwrap().unwrap();
        assert_eq!(again.filter, *filter);
    }

    #[test]
    fn a_kind_without_keys_keeps_what_it_does() {
        let text = "filter protocol all pref 1 matchall chain 0 handle 0x1 \n  not_in_hw\n\taction order 1:  police 0x1 rate 1Mbit\n\tSent 5 bytes 1 pkt (dropped 0)\n";
        let read = Text::new(text.as_bytes()).next().unwrap().unwrap().filter.unwrap().unwrap().filter;
        assert_eq!((read.in_hardware(), read.counters().total().packets), (None, 1));
        assert_eq!(read.actions()[0].kind.name(), "police");
    }
}
