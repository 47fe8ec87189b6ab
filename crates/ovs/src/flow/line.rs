//! The first tier: where the parts of a line are.

use super::Used;
use super::text::{Items, closing, group};
/// A line of a dump, cut into its parts; nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowLine<'a> {
    /// The whole line.
    pub text: &'a str,
    /// The flow's identity, with `-m`: a UUID.
    pub ufid: Option<&'a str>,
    /// The key: attributes between commas.
    pub key: &'a str,
    /// Packets that it was for.
    pub packets: u64,
    /// Their bytes. The kernel counts them from the Ethernet header on, tc from the network header on.
    pub bytes: u64,
    /// How long ago the last of them was.
    pub used: Used,
    /// TCP flags that were seen, a letter each: `SF.`.
    pub flags: Option<&'a str>,
    /// `yes` or `partial`; absent without `-m`, and where the flow is not offloaded.
    pub offloaded: Option<&'a str>,
    /// The layer that forwards: `ovs`, `tc`, `dpdk`; absent without `-m`.
    pub dp: Option<&'a str>,
    /// What this version does not know and that stands before the actions, with the comma before it.
    pub other: &'a str,
    /// The actions, between commas.
    pub actions: &'a str,
    /// What the datapath says besides.
    pub extra: Option<&'a str>,
}

/// Why a line is no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {why}")]
pub struct BadLine {
    /// Where, in bytes from 1.
    pub column: usize,
    /// What is missing or wrong there.
    pub why: &'static str,
}

impl<'a> FlowLine<'a> {
    /// Finds the parts of a line.
    ///
    /// # Errors
    /// [`BadLine`] where it is cut short or no flow at all.
    pub fn scan(text: &'a str) -> Result<Self, BadLine> {
        let mut scan = Scan { text, at: 0 };
        let ufid = scan.ufid()?;
        let key = scan.key()?;
        let packets = scan.counter("packets:", "`packets:` with a number is missing")?;
        let bytes = scan.counter(", bytes:", "`, bytes:` with a number is missing")?;
        let used = scan.used()?;
        let flags = scan.word(", flags:");
        let offloaded = scan.word(", offloaded:");
        let dp = scan.word(", dp:");
        let other = scan.other()?;
        let (actions, extra) = scan.actions()?;
        Ok(Self { text, ufid, key, packets, bytes, used, flags, offloaded, dp, other, actions, extra })
    }

    /// The key's attributes, each with its name and what stands in its parentheses. What is no attribute has no
    /// content.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        Items::of(self.key).map(|item| match group(item) {
            Some((name, content)) => (name, Some(content)),
            None => (item, None),
        })
    }

    /// The actions, one by one.
    pub fn each_action(&self) -> impl Iterator<Item = &'a str> {
        Items::of(self.actions)
    }
}

/// A line, and how much of it is done.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn bad<T>(&self, why: &'static str) -> Result<T, BadLine> {
        Err(BadLine { column: self.at + 1, why })
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(prefix.as_bytes());
        self.at += if found { prefix.len() } else { 0 };
        found
    }

    fn ufid(&mut self) -> Result<Option<&'a str>, BadLine> {
        if !self.skip("ufid:") {
            return Ok(None);
        }
        match self.rest().get(..36) {
            Some(ufid) if is_uuid(ufid.as_bytes()) => {
                self.at += 36;
                if self.skip(", ") { Ok(Some(ufid)) } else { self.bad("`, ` is missing after the UFID") }
            }
            _ => self.bad("no UFID"),
        }
    }

    /// Attributes as far as `, packets:`, which is left to come.
    fn key(&mut self) -> Result<&'a str, BadLine> {
        let (begin, bytes) = (self.at, self.text.as_bytes());
        loop {
            let Some(next) = memchr::memchr2(b'(', b' ', &bytes[self.at..]) else {
                return self.bad("an attribute or `, packets:` is missing");
            };
            self.at += next;
            if bytes[self.at] == b'(' {
                let Some(end) = closing(&bytes[self.at + 1..]) else {
                    return self.bad("this parenthesis is not closed");
                };
                self.at += end + 2;
            } else if bytes[self.at + 1..].starts_with(b"packets:") && bytes[..self.at].ends_with(b",") {
                let end = self.at - 1;
                self.at += 1;
                return if end > begin { Ok(&self.text[begin..end]) } else { self.bad("the key is missing") };
            } else {
                self.at += 1;
            }
        }
    }

    fn counter(&mut self, name: &str, why: &'static str) -> Result<u64, BadLine> {
        if !self.skip(name) {
            return self.bad(why);
        }
        match self.digits() {
            Some(number) => Ok(number),
            None => self.bad(why),
        }
    }

    /// A number as it is printed: without a leading zero.
    fn digits(&mut self) -> Option<u64> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || (length > 1 && rest[0] == b'0') {
            return None;
        }
        let number = rest[..length]
            .iter()
            .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
        self.at += length;
        Some(number)
    }

    /// `never`, or seconds with three places.
    fn used(&mut self) -> Result<Used, BadLine> {
        const WHY: &str = "`, used:` with `never` or seconds (`0.510s`) is missing";
        if !self.skip(", used:") {
            return self.bad(WHY);
        }
        if self.skip("never") {
            return Ok(Used::Never);
        }
        let negative = self.skip("-");
        let milliseconds = self.digits().zip(self.places()).and_then(|(seconds, places)| {
            i64::try_from(seconds.checked_mul(1000)?.checked_add(places)?).ok()
        });
        match milliseconds {
            // The clock that was asked later may be behind.
            Some(milliseconds) if negative && milliseconds > 0 => Ok(Used::Ago(-milliseconds)),
            Some(milliseconds) if !negative => Ok(Used::Ago(milliseconds)),
            _ => self.bad(WHY),
        }
    }

    /// `.510s`
    fn places(&mut self) -> Option<u64> {
        let &[b'.', a, b, c, b's', ..] = &self.text.as_bytes()[self.at..] else { return None };
        self.at += 5;
        [a, b, c].iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    }

    /// What follows `name` as far as the next comma.
    fn word(&mut self, name: &str) -> Option<&'a str> {
        if !self.skip(name) {
            return None;
        }
        let rest = self.rest();
        let word = &rest[..memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len())];
        self.at += word.len();
        Some(word)
    }

    /// What comes before the actions.
    fn other(&mut self) -> Result<&'a str, BadLine> {
        const ACTIONS: &str = ", actions:";
        if self.skip(ACTIONS) {
            return Ok("");
        }
        let rest = self.rest();
        match memchr::memmem::find(rest.as_bytes(), ACTIONS.as_bytes()) {
            Some(end) if rest.starts_with(", ") => {
                self.at += end + ACTIONS.len();
                Ok(&rest[..end])
            }
            _ => self.bad("`, actions:` is missing"),
        }
    }

    fn actions(&mut self) -> Result<(&'a str, Option<&'a str>), BadLine> {
        const EXTRA: &str = ", dp-extra-info:";
        let rest = self.rest();
        let (actions, extra) = match memchr::memchr(b' ', rest.as_bytes()) {
            // Actions seldom have a space in them.
            Some(_) => match rest.split_once(EXTRA) {
                Some((actions, extra)) => (actions, Some(extra)),
                None => (rest, None),
            },
            None => (rest, None),
        };
        if actions.is_empty() {
            return self.bad("the actions are missing");
        }
        let mut open = 0_usize;
        for at in memchr::memchr2_iter(b'(', b')', actions.as_bytes()) {
            if actions.as_bytes()[at] == b'(' {
                open += 1;
            } else if open == 0 {
                self.at += at;
                return self.bad("this parenthesis closes nothing");
            } else {
                open -= 1;
            }
        }
        self.at += actions.len();
        if open > 0 { self.bad("the actions end within parentheses") } else { Ok((actions, extra)) }
    }
}

/// Whether this is how Open vSwitch writes a UUID: `UUID_FMT`, include/openvswitch/uuid.h.
fn is_uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "ufid:ca5bbede-9afb-466a-890c-09aa6ad9b22c, skb_priority(0/0),in_port(eth0),encap(eth_type(0x0800)\
        ,ipv4(frag=no)), packets:4, bytes:336, used:0.744s, flags:SP., offloaded:partial, dp:ovs, pace:3, \
        actions:ct(commit,nat(src=10.0.0.1)),recirc(0x1), dp-extra-info:miniflow_bits(5,1)";

    #[test]
    fn every_part_is_found() {
        let line = FlowLine::scan(FULL).unwrap();
        assert_eq!(line.ufid, Some("ca5bbede-9afb-466a-890c-09aa6ad9b22c"));
        assert_eq!(line.key, "skb_priority(0/0),in_port(eth0),encap(eth_type(0x0800),ipv4(frag=no))");
        assert_eq!((line.packets, line.bytes, line.used), (4, 336, Used::Ago(744)));
        assert_eq!((line.flags, line.offloaded, line.dp), (Some("SP."), Some("partial"), Some("ovs")));
        assert_eq!((line.other, line.actions), (", pace:3", "ct(commit,nat(src=10.0.0.1)),recirc(0x1)"));
        assert_eq!(line.extra, Some("miniflow_bits(5,1)"));
        let names: Vec<_> = line.attributes().collect();
        assert_eq!(names[1], ("in_port", Some("eth0")));
        assert_eq!(names[2].0, "encap");
        assert_eq!(line.each_action().collect::<Vec<_>>(), ["ct(commit,nat(src=10.0.0.1))", "recirc(0x1)"]);
    }

    #[test]
    fn a_line_that_is_cut_short_is_bad() {
        let actions = FULL.find("ct(commit").unwrap();
        let nat = FULL.find(",recirc").unwrap();
        // At the end of an action nobody can tell.
        for end in (0..=actions).chain(actions + 3..nat).chain([FULL.find("0x1)").unwrap()]) {
            assert!(FlowLine::scan(&FULL[..end]).is_err(), "{}", &FULL[..end]);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_column() {
        let why = |text| FlowLine::scan(text).unwrap_err().to_string();
        assert_eq!(why(""), "column 1: an attribute or `, packets:` is missing");
        assert_eq!(why("ufid:xyz, in_port(1)"), "column 6: no UFID");
        assert_eq!(why("in_port(1,eth()"), "column 8: this parenthesis is not closed");
        assert_eq!(why("in_port(1), packets:x"), "column 21: `packets:` with a number is missing");
        assert_eq!(
            why("in_port(1), packets:18446744073709551616, bytes:0"),
            "column 21: `packets:` with a number is missing"
        );
        assert_eq!(
            why("in_port(1), packets:0, bytes:0, used:never, actions:"),
            "column 53: the actions are missing"
        );
        assert_eq!(
            why("in_port(1), packets:0, bytes:0, used:never, actions:1)"),
            "column 54: this parenthesis closes nothing"
        );
        assert_eq!(why(", packets:0, bytes:0, used:never, actions:1"), "column 3: the key is missing");
    }
}
