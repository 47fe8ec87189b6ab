//! Flows as Open vSwitch could print them, generated from its grammar: `format_odp_key_attr__`, `format_odp_action` and
//! what they call, in lib/odp-util.c. Nothing here is shared with the code under test.

mod action;
mod key;
mod values;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

type Text = BoxedStrategy<String>;

fn word(text: &'static str) -> Text {
    Just(text.to_owned()).boxed()
}

/// A field with what stands before its value, and a parenthesis that closes where that opens one.
fn field(name: &str, value: &str) -> String {
    format!("{name}{value}{}", if name.ends_with('(') { ")" } else { "" })
}

/// Some of the fields, in their order.
fn fields<const N: usize>(all: [(&'static str, Text); N]) -> Text {
    let text = |(name, value): (&'static str, Text)| value.prop_map(move |value| field(name, &value)).boxed();
    subsequence(all.into_iter().map(text).collect::<Vec<_>>(), 0..=N)
        .prop_flat_map(|fields| fields)
        .prop_map(|fields| fields.join(","))
        .boxed()
}

/// All of the fields.
fn all<const N: usize>(all: [(&'static str, Text); N]) -> Text {
    let (names, values): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let text = move |values: Vec<String>| {
        names.iter().zip(values).map(|(name, value)| field(name, &value)).collect::<Vec<_>>().join(",")
    };
    values.prop_map(text).boxed()
}

fn group(name: &'static str, content: Text) -> Text {
    content.prop_map(move |content| format!("{name}({content})")).boxed()
}

/// A line of a dump.
pub(crate) fn flow() -> Text {
    let ufid = proptest::option::of("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
        .prop_map(|ufid| ufid.map(|ufid| format!("ufid:{ufid}, ")).unwrap_or_default());
    let used = prop_oneof![
        word("never"),
        (any::<u32>(), 0..1000_u32).prop_map(|(seconds, places)| format!("{seconds}.{places:03}s")).boxed(),
        word("-0.001s"),
    ];
    let rest = (
        select(&["", ", flags:SFPR.", ", flags:S[200]"]),
        select(&["", ", offloaded:yes", ", offloaded:partial"]),
        select(&["", ", dp:tc", ", dp:ovs", ", dp:dpdk", ", dp:ovs, hue:7"]),
        select(&["", ", dp-extra-info:miniflow_bits(5,1)"]),
    );
    (ufid, key::key(), any::<u64>(), any::<u64>(), used, rest, action::actions())
        .prop_map(|(ufid, key, packets, bytes, used, (flags, offloaded, dp, extra), actions)| {
            let stats = format!("packets:{packets}, bytes:{bytes}, used:{used}{flags}{offloaded}{dp}");
            format!("{ufid}{key}, {stats}, actions:{actions}{extra}")
        })
        .boxed()
}
