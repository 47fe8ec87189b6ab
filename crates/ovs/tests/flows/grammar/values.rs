//! Values in their formats.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Text, word};

/// `%#x`
pub(super) fn hex(number: u128) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

/// A number of so many bits, small ones and all bits more often than chance has them.
fn number(bits: u32) -> BoxedStrategy<u128> {
    let all = u128::MAX >> (128 - bits);
    prop_oneof![Just(0), Just(all), 0..=all.min(9), 0..=all].boxed()
}

/// `value` or `value/mask`, each in its format.
pub(super) fn masked(bits: u32, value: fn(u128) -> String, mask: fn(u128) -> String) -> Text {
    (number(bits), proptest::option::of(number(bits)))
        .prop_map(move |(number, bits)| {
            value(number) + &bits.map(|bits| format!("/{}", mask(bits))).unwrap_or_default()
        })
        .boxed()
}

pub(super) fn decimal(bits: u32) -> Text {
    masked(bits, |n| n.to_string(), hex)
}

pub(super) fn hexadecimal(bits: u32) -> Text {
    masked(bits, hex, hex)
}

pub(super) fn exact(bits: u32, format: fn(u128) -> String) -> Text {
    number(bits).prop_map(format).boxed()
}

pub(super) fn plain(bits: u32) -> Text {
    exact(bits, |n| n.to_string())
}

pub(super) fn prefixed(bits: u32) -> Text {
    exact(bits, |n| format!("{n:#x}"))
}

pub(super) fn one_or_masked(one: &Text) -> Text {
    (one.clone(), proptest::option::of(one.clone()))
        .prop_map(|(value, mask)| value + &mask.map(|mask| format!("/{mask}")).unwrap_or_default())
        .boxed()
}

pub(super) fn ethernet() -> Text {
    any::<[u8; 6]>().prop_map(|bytes| bytes.map(|byte| format!("{byte:02x}")).join(":")).boxed()
}

pub(super) fn ipv4() -> Text {
    any::<[u8; 4]>().prop_map(|bytes| bytes.map(|byte| byte.to_string()).join(".")).boxed()
}

/// As `inet_ntop` of glibc writes them.
pub(super) fn ipv6() -> Text {
    select(&[
        "::",
        "::1",
        "fe80::1",
        "ff02::1:ff00:2",
        "ffff:ffff:ffff:ffff::",
        "2001:db8:1:2:3:4:5:6",
        "::10.0.0.1",
        "::ffff:192.0.2.1",
        "64:ff9b::c000:201",
        "1:0:2::3",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

pub(super) fn port() -> Text {
    let name = "[a-z][a-z0-9_.-]{0,14}".prop_filter("an action", |name| {
        !["drop", "ct", "ct_clear", "pop_eth", "pop_vlan"].contains(&name.as_str())
    });
    prop_oneof![plain(16), name].boxed()
}

pub(super) fn fragment() -> Text {
    select(&["no", "first", "later"]).prop_map(str::to_owned).boxed()
}

/// `+a-b`, `a|b`, `0`, `0/0`.
pub(super) fn flags(names: &'static [&'static str]) -> Text {
    let some = || subsequence(names.to_vec(), 1..=names.len());
    let signed = |(names, set): (Vec<&str>, u16)| {
        let sign = |nth| if set >> nth & 1 == 0 { "-" } else { "+" };
        names.iter().enumerate().flat_map(|(nth, name)| [sign(nth), name]).collect::<String>()
    };
    prop_oneof![
        word("0"),
        word("0/0"),
        some().prop_map(|names| names.join("|")),
        (some(), any::<u16>()).prop_map(signed),
    ]
    .boxed()
}
