//! Keys: `format_odp_key_attr__`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::values::{
    decimal, ethernet, exact, flags, fragment, hex, hexadecimal, ipv4, ipv6, masked, one_or_masked, plain,
    port, prefixed,
};
use super::{Text, all, fields, group, word};

pub(super) fn key() -> Text {
    let attributes = || vec(attribute(), 1..6).prop_map(|attributes| attributes.join(","));
    (attributes(), proptest::option::of(attributes()))
        .prop_map(|(outer, inner)| outer + &inner.map(|inner| format!(",encap({inner})")).unwrap_or_default())
        .boxed()
}

/// An attribute of a key, also as it stands in `set(…)`.
pub(super) fn attribute() -> Text {
    prop_oneof![metadata(), conntrack(), tunnel(), link(), network(), transport()].boxed()
}

fn metadata() -> Text {
    let number = |name| group(name, hexadecimal(32));
    Union::new([
        number("skb_priority"),
        number("skb_mark"),
        number("recirc_id"),
        number("dp_hash"),
        group("in_port", port()),
        group("packet_type", fields([("ns=", decimal(16)), ("id=", hexadecimal(16))])),
    ])
    .boxed()
}

fn conntrack() -> Text {
    let state =
        prop_oneof![flags(&["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"]), hexadecimal(8)];
    let tuple4 = fields([
        ("src=", one_or_masked(&ipv4())),
        ("dst=", one_or_masked(&ipv4())),
        ("proto=", decimal(8)),
        ("tp_src=", decimal(16)),
        ("tp_dst=", decimal(16)),
    ]);
    let tuple6 = fields([
        ("src=", one_or_masked(&ipv6())),
        ("dst=", one_or_masked(&ipv6())),
        ("proto=", decimal(8)),
        ("src_port=", decimal(16)),
        ("dst_port=", decimal(16)),
    ]);
    Union::new([
        group("ct_state", state.boxed()),
        group("ct_zone", hexadecimal(16)),
        group("ct_mark", hexadecimal(32)),
        group("ct_label", hexadecimal(128)),
        group("ct_tuple4", tuple4),
        group("ct_tuple6", tuple6),
    ])
    .boxed()
}

/// Options of Geneve's, with masks or without.
pub(super) fn geneve(masks: bool) -> Text {
    let [class, kind, data] =
        [16, 8, 64].map(|bits| if masks { hexadecimal(bits) } else { exact(bits, hex) });
    let length = if masks { decimal(8) } else { plain(8) };
    let option = all([("class=", class), ("type=", kind), ("len=", length), ("", data)]);
    vec(option.prop_map(|option| format!("{{{option}}}")), 1..3).prop_map(|options| options.concat()).boxed()
}

fn tunnel() -> Text {
    let erspan =
        [("ver=", decimal(8)), ("idx=", hexadecimal(32)), ("dir=", decimal(8)), ("hwid=", hexadecimal(8))];
    group(
        "tunnel",
        fields([
            ("tun_id=", masked(64, |n| format!("{n:#x}"), hex)),
            ("src=", one_or_masked(&ipv4())),
            ("dst=", one_or_masked(&ipv4())),
            ("ipv6_src=", one_or_masked(&ipv6())),
            ("ipv6_dst=", one_or_masked(&ipv6())),
            ("tos=", hexadecimal(8)),
            ("ttl=", decimal(8)),
            ("tp_src=", decimal(16)),
            ("tp_dst=", decimal(16)),
            ("vxlan(", group("gbp", fields([("id=", decimal(16)), ("flags=", hexadecimal(8))]))),
            ("geneve(", geneve(true)),
            ("erspan(", fields(erspan)),
            ("gtpu(", fields([("flags=", hexadecimal(8)), ("msgtype=", decimal(8))])),
            ("flags(", flags(&["df", "csum", "key", "oam"])),
        ]),
    )
}

fn link() -> Text {
    let digits: fn(u128) -> String = |n| n.to_string();
    let prefix: fn(u128) -> String = |n| format!("{n:#x}");
    let bare: fn(u128) -> String = |n| format!("{n:x}");
    let four: fn(u128) -> String = |n| format!("{n:#06x}");
    let addresses = |src, dst| fields([(src, one_or_masked(&ethernet())), (dst, one_or_masked(&ethernet()))]);
    let vlan =
        [("vid=", masked(12, digits, prefix)), ("pcp=", masked(3, digits, prefix)), ("cfi=", word("0"))];
    let label = all([
        ("label=", masked(20, digits, prefix)),
        ("tc=", masked(3, digits, bare)),
        ("ttl=", masked(8, digits, prefix)),
        ("bos=", masked(1, digits, bare)),
    ]);
    let arp = [
        ("sip=", one_or_masked(&ipv4())),
        ("tip=", one_or_masked(&ipv4())),
        ("op=", decimal(16)),
        ("sha=", one_or_masked(&ethernet())),
        ("tha=", one_or_masked(&ethernet())),
    ];
    Union::new([
        group("eth", addresses("src=", "dst=")),
        group("vlan", fields(vlan)),
        group("eth_type", masked(16, four, four)),
        group("mpls", vec(label, 1..4).prop_map(|labels| labels.join(",")).boxed()),
        group("arp", fields(arp)),
        nsh(),
    ])
    .boxed()
}

fn nsh() -> Text {
    let both = |(value, mask): (u8, u8)| format!("{value:#04x}/{mask:#04x}");
    let byte = || prop_oneof![plain(8), any::<(u8, u8)>().prop_map(both)].boxed();
    let word = || masked(32, |n| format!("{n:#x}"), |n| format!("{n:#010x}"));
    group(
        "nsh",
        fields([
            ("flags=", byte()),
            ("ttl=", byte()),
            ("mdtype=", byte()),
            ("np=", byte()),
            ("spi=", word()),
            ("si=", byte()),
            ("c1=", word()),
            ("c2=", word()),
            ("c3=", word()),
            ("c4=", word()),
        ]),
    )
}

fn network() -> Text {
    let ipv4 = [
        ("src=", one_or_masked(&ipv4())),
        ("dst=", one_or_masked(&ipv4())),
        ("proto=", decimal(8)),
        ("tos=", hexadecimal(8)),
        ("ttl=", decimal(8)),
        ("frag=", fragment()),
    ];
    let ipv6_header = [
        ("src=", one_or_masked(&ipv6())),
        ("dst=", one_or_masked(&ipv6())),
        ("label=", hexadecimal(20)),
        ("proto=", decimal(8)),
        ("tclass=", hexadecimal(8)),
        ("hlimit=", decimal(8)),
        ("frag=", fragment()),
    ];
    let nd = [
        ("target=", one_or_masked(&ipv6())),
        ("sll=", one_or_masked(&ethernet())),
        ("tll=", one_or_masked(&ethernet())),
    ];
    Union::new([
        group("ipv4", fields(ipv4)),
        group("ipv6", fields(ipv6_header)),
        group("nd", fields(nd)),
        group("nd_ext", fields([("nd_reserved=", prefixed(32)), ("nd_options_type=", decimal(8))])),
    ])
    .boxed()
}

fn transport() -> Text {
    let ports = |name| group(name, fields([("src=", decimal(16)), ("dst=", decimal(16))]));
    let icmp = |name| group(name, fields([("type=", decimal(8)), ("code=", decimal(8))]));
    let names = &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
    Union::new([
        ports("tcp"),
        ports("udp"),
        ports("sctp"),
        group("tcp_flags", flags(names)),
        icmp("icmp"),
        icmp("icmpv6"),
    ])
    .boxed()
}
