//! Flows for people: a row each, and how many there were.

use std::io::Write as _;

use anstyle::AnsiColor;
use vdpa_ovs::flow::{FlowLine, Used};
use vdpa_tc::saved::Saved;

use super::json::{actions, decimal, in_hardware, key, offloaded, seconds};
use super::reading::Show;
use crate::report::count;

/// The columns. Their widths are fixed: what is shown is forgotten before the next flow is read.
const HEADING: &str = "OFFLOADED  DP         PACKETS           BYTES       USED  FLOW\n";

/// A row a flow.
pub(super) struct Table {
    colours: bool,
    /// How many flows are offloaded, in part, and not, and of how many the dump does not say.
    flows: [u64; 4],
    packets: [u64; 4],
    /// The flow that is written.
    flow: String,
}

impl Table {
    /// An empty one.
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, flows: [0; 4], packets: [0; 4], flow: String::new() }
    }
}

/// What stands before the flow itself.
struct Row<'a> {
    offloaded: Option<&'a str>,
    dp: &'a str,
    packets: u64,
    bytes: u64,
    used: Used,
}

impl Table {
    /// Counts a flow, and adds all of its row but the flow.
    fn begin(&mut self, row: &Row<'_>, out: &mut Vec<u8>) {
        if self.flows == [0; 4] {
            out.extend_from_slice(HEADING.as_bytes());
        }
        let (kind, colour) = match row.offloaded {
            Some("yes") => (0, Some(AnsiColor::Green)),
            Some("partial") => (1, Some(AnsiColor::Yellow)),
            Some("no") => (2, Some(AnsiColor::Red)),
            _ => (3, None),
        };
        self.flows[kind] += 1;
        self.packets[kind] = self.packets[kind].saturating_add(row.packets);
        let word = row.offloaded.unwrap_or("-");
        match colour.filter(|_| self.colours).map(AnsiColor::on_default) {
            Some(style) => drop(write!(out, "{style}{word:<9}{style:#}")),
            None => left(word, 9, out),
        }
        out.extend_from_slice(b"  ");
        left(row.dp, 5, out);
        right(13, out, |out| decimal(row.packets, out));
        right(16, out, |out| decimal(row.bytes, out));
        right(11, out, |out| match row.used {
            Used::Never => out.extend_from_slice(b"never"),
            used @ Used::Ago(_) => {
                seconds(used, out);
                out.push(b's');
            }
        });
        out.extend_from_slice(b"  ");
    }
}

impl Show for Table {
    fn flow(&mut self, _: u64, flow: &FlowLine<'_>, out: &mut Vec<u8>) {
        let row = Row {
            offloaded: offloaded(flow),
            dp: flow.dp.unwrap_or("-"),
            packets: flow.packets,
            bytes: flow.bytes,
            used: flow.used,
        };
        self.begin(&row, out);
        self.flow.clear();
        flow.brief_key(&mut self.flow);
        out.extend_from_slice(self.flow.as_bytes());
        out.extend_from_slice(" → ".as_bytes());
        out.extend_from_slice(flow.actions.as_bytes());
        out.push(b'\n');
    }

    fn filter(&mut self, _: u64, Saved { filter, .. }: &Saved, out: &mut Vec<u8>) {
        let counted = filter.counters().total();
        let ago = |used: std::time::Duration| Used::Ago(i64::try_from(used.as_millis()).unwrap_or(i64::MAX));
        let row = Row {
            offloaded: in_hardware(filter),
            dp: "tc",
            packets: counted.packets,
            bytes: counted.bytes,
            used: filter.used().map_or(Used::Never, ago),
        };
        self.begin(&row, out);
        let key: Vec<String> = key(filter).iter().map(|(name, value)| format!("{name} {value}")).collect();
        drop(writeln!(out, "{} → {}", key.join(", "), actions(filter).join(", ")));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let all = count(self.flows.iter().sum::<u64>(), "flow");
        let packets = |kind: usize| count(self.packets[kind], "packet");
        let [yes, partial, no, silent] = self.flows;
        let mut parts = Vec::new();
        if yes + partial + no > 0 {
            parts.push(format!("{yes} offloaded ({})", packets(0)));
            if partial > 0 {
                parts.push(format!("{partial} in part ({})", packets(1)));
            }
            parts.push(format!("{no} not ({})", packets(2)));
        }
        if silent > 0 {
            parts.push(format!("{silent} of which the dump does not say, as with `-m` ({})", packets(3)));
        }
        let colon = if parts.is_empty() { "" } else { ": " };
        drop(writeln!(out, "{all}{colon}{}", parts.join(", ")));
    }
}

fn left(text: &str, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.resize(out.len() + width.saturating_sub(text.len()), b' ');
}

/// Puts what `write` adds at the right of so many columns, with a space before it at least.
fn right(width: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.resize(begin + width, b' ');
    write(out);
    let length = out.len() - begin - width;
    let end = out.len();
    if length < width {
        out.copy_within(end - length..end, begin + width - length);
        out.truncate(begin + width);
    } else {
        out.copy_within(end - length..end, begin + 1);
        out.truncate(begin + 1 + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> String {
        let (mut table, mut out) = (Table::new(false), Vec::new());
        for line in lines {
            table.flow(1, &FlowLine::scan(line).unwrap(), &mut out);
        }
        table.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_says_what_people_want_to_know() {
        let shown = table(&[
            "ufid:ca5bbede-9afb-466a-890c-09aa6ad9b22c, recirc_id(0),in_port(eth0),eth(dst=00:00:00:00:00:00/00:00:00:00:00:00),\
             eth_type(0x0800), packets:4, bytes:336, used:0.744s, offloaded:yes, dp:tc, actions:eth2",
            "recirc_id(0x2),in_port(1), packets:18446744073709551615, bytes:18446744073709551615, used:never, dp:ovs, actions:drop",
        ]);
        let expected = "\
OFFLOADED  DP         PACKETS           BYTES       USED  FLOW
yes        tc               4             336     0.744s  in_port(eth0),eth_type(0x0800) → eth2
no         ovs   18446744073709551615 18446744073709551615      never  recirc_id(0x2),in_port(1) → drop
2 flows: 1 offloaded (4 packets), 1 not (18446744073709551615 packets)
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_dump_without_more_says_nothing_of_offload() {
        let shown = table(&["in_port(1), packets:1, bytes:60, used:never, actions:2"]);
        assert!(
            shown.ends_with("1 flow: 1 of which the dump does not say, as with `-m` (1 packet)\n"),
            "{shown}"
        );
        assert_eq!(table(&[]), "0 flows\n");
    }
}
