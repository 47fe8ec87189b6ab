//! Flows for programs: an object a line.

use std::io::Write as _;

use serde_json::{Map, Value};
use vdpa_ovs::flow::{FlowLine, Used};
use vdpa_tc::saved::Saved;
use vdpa_tc::{Classifier, Cookie, Filter};

use super::reading::Show;

/// An object a line.
pub(super) struct Json;

impl Show for Json {
    fn flow(&mut self, number: u64, flow: &FlowLine<'_>, out: &mut Vec<u8>) {
        // What is not in the line is in no part of it.
        let write = if is_plain(flow.text) { quoted } else { string };
        let optional = |text: Option<&str>, out: &mut Vec<u8>| match text {
            Some(text) => write(text, out),
            None => out.extend_from_slice(b"null"),
        };
        out.extend_from_slice(b"{\"line\":");
        decimal(number, out);
        out.extend_from_slice(b",\"ufid\":");
        optional(flow.ufid, out);
        out.extend_from_slice(b",\"key\":{");
        for (nth, (name, content)) in flow.attributes().enumerate() {
            out.extend_from_slice(if nth > 0 { b"," } else { b"" });
            write(name, out);
            out.push(b':');
            optional(content, out);
        }
        out.extend_from_slice(b"},\"actions\":[");
        for (nth, action) in flow.each_action().enumerate() {
            out.extend_from_slice(if nth > 0 { b"," } else { b"" });
            write(action, out);
        }
        out.extend_from_slice(b"],\"packets\":");
        decimal(flow.packets, out);
        out.extend_from_slice(b",\"bytes\":");
        decimal(flow.bytes, out);
        out.extend_from_slice(b",\"used\":");
        seconds(flow.used, out);
        out.extend_from_slice(b",\"flags\":");
        optional(flow.flags, out);
        out.extend_from_slice(b",\"offloaded\":");
        optional(offloaded(flow), out);
        out.extend_from_slice(b",\"dp\":");
        optional(flow.dp, out);
        out.extend_from_slice(b",\"text\":");
        write(flow.text, out);
        out.extend_from_slice(b"}\n");
    }

    fn filter(&mut self, number: u64, Saved { filter, text }: &Saved, out: &mut Vec<u8>) {
        let counted = filter.counters().total();
        let key: Map<String, Value> =
            key(filter).into_iter().map(|(name, value)| (name, value.into())).collect();
        let object = serde_json::json!({
            "line": number,
            "ufid": filter.cookie().and_then(Cookie::ufid),
            "key": key,
            "actions": actions(filter),
            "packets": counted.packets,
            "bytes": counted.bytes,
            "used": filter.used().map(|ago| ago.as_secs()),
            "flags": null,
            "offloaded": in_hardware(filter),
            "dp": "tc",
            "text": text,
        });
        out.extend_from_slice(object.to_string().as_bytes());
        out.push(b'\n');
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// Whether a card has a filter.
pub(super) fn in_hardware(filter: &Filter) -> Option<&'static str> {
    filter.in_hardware().map(|yes| if yes { "yes" } else { "no" })
}

/// What a filter looks at, in tc's words; of one that is no flower rule, what it is.
pub(super) fn key(filter: &Filter) -> Vec<(String, String)> {
    match &filter.classifier {
        Classifier::Flower(rule) => rule.words().collect(),
        Classifier::Other { kind, .. } => vec![("kind".to_owned(), kind.clone())],
    }
}

/// What a saved filter does, in tc's words.
pub(super) fn actions(filter: &Filter) -> Vec<String> {
    filter.actions().iter().map(|action| action.kind.to_string()).collect()
}

/// Whether a card forwards; nothing where the dump, made without `-m`, does not say.
pub(super) fn offloaded<'a>(flow: &FlowLine<'a>) -> Option<&'a str> {
    flow.offloaded.or_else(|| (flow.ufid.is_some() || flow.dp.is_some()).then_some("no"))
}

/// Seconds since, to the millisecond.
pub(super) fn seconds(used: Used, out: &mut Vec<u8>) {
    let Used::Ago(milliseconds) = used else { return out.extend_from_slice(b"null") };
    if milliseconds < 0 {
        out.push(b'-');
    }
    let all = milliseconds.unsigned_abs();
    decimal(all / 1000, out);
    let places = all % 1000;
    out.push(b'.');
    for place in [places / 100, places / 10 % 10, places % 10] {
        decimal(place, out);
    }
}

/// A number, digit by digit: formatting machinery costs more than all the rest of a line.
pub(super) fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Whether a string has nothing to escape (RFC 8259, section 7), as flows hardly ever have. All bytes are looked at, since
/// that can be done many at a time.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & !is_special(byte))
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// A string that has nothing to escape.
fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Any string.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ if is_special(byte) => drop(write!(out, "\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn object(text: &str) -> Value {
        let mut out = Vec::new();
        Json.flow(7, &FlowLine::scan(text).unwrap(), &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn an_object_has_every_part_of_a_flow() {
        let text = "ufid:ca5bbede-9afb-466a-890c-09aa6ad9b22c, recirc_id(0),in_port(eth0),eth(),ipv4(src=10.0.0.1,frag=no), \
                    packets:18446744073709551615, bytes:0, used:12.040s, flags:SP., offloaded:yes, dp:tc, \
                    actions:ct(commit,zone=5),recirc(0x1)";
        let expected = json!({
            "line": 7,
            "ufid": "ca5bbede-9afb-466a-890c-09aa6ad9b22c",
            "key": { "recirc_id": "0", "in_port": "eth0", "eth": "", "ipv4": "src=10.0.0.1,frag=no" },
            "actions": ["ct(commit,zone=5)", "recirc(0x1)"],
            "packets": u64::MAX, "bytes": 0, "used": 12.04, "flags": "SP.", "offloaded": "yes", "dp": "tc",
            "text": text,
        });
        assert_eq!(object(text), expected);
    }

    #[test]
    fn what_a_dump_does_not_say_is_null_and_what_it_leaves_out_is_no() {
        let short = object("in_port(1), packets:0, bytes:0, used:never, actions:2");
        for name in ["ufid", "used", "flags", "offloaded", "dp"] {
            assert_eq!(short[name], Value::Null, "{name}");
        }
        let full = object("in_port(1), packets:0, bytes:0, used:-0.001s, dp:ovs, actions:2");
        assert_eq!((&full["offloaded"], &full["used"]), (&json!("no"), &json!(-0.001)));
    }

    proptest! {
        #[test]
        fn strings_and_numbers_are_json(text in "\\PC{0,20}|[\"\\\\\u{0}-\u{20}a]{0,9}", number: u64) {
            let mut out = Vec::new();
            string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
            out.clear();
            decimal(number, &mut out);
            prop_assert_eq!(serde_json::from_slice::<u64>(&out).unwrap(), number);
        }
    }
}
