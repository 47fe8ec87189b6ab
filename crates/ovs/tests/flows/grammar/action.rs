//! Actions: `format_odp_action`.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;

use super::key::{attribute, geneve};
use super::values::{ethernet, exact, hex, hexadecimal, ipv4, ipv6, plain, port, prefixed};
use super::{Text, all, fields, group, word};

pub(super) fn actions() -> Text {
    let some = |one: Text| vec(one, 1..4).prop_map(|all| all.join(",")).boxed();
    let sample =
        |(n, inner): (u32, String)| format!("sample(sample={}.{}%,actions({inner}))", n / 10, n % 10);
    let nested = leaf().prop_recursive(3, 12, 3, move |inner| {
        let inner = some(inner);
        prop_oneof![
            group("clone", inner.clone()),
            inner.clone().prop_map(|inner| format!("dec_ttl(le_1({inner}))")),
            (0..=1000_u32, inner.clone()).prop_map(sample),
            (any::<u16>(), inner.clone(), inner)
                .prop_map(|(bytes, more, less)| format!("check_pkt_len(size={bytes},gt({more}),le({less}))")),
        ]
    });
    some(nested.boxed())
}

/// An action that has no others in it.
fn leaf() -> Text {
    let ct = ct().prop_map(|ct| if ct.is_empty() { "ct".to_owned() } else { format!("ct({ct})") });
    Union::new([
        port(),
        word("drop"),
        word("pop_eth"),
        word("pop_vlan"),
        word("pop_nsh()"),
        word("ct_clear"),
        word("ct(commit,nat)"),
        ct.boxed(),
        group("lb_output", plain(32)),
        group("trunc", plain(32)),
        group("recirc", exact(32, hex)),
        group("meter", plain(32)),
        group("hash", group("l4", plain(32))),
        group("hash", group("sym_l4", plain(32))),
        group("set", attribute()),
        push(),
        group("pop_mpls", all([("eth_type=", prefixed(16))])),
        group("tnl_pop", port()),
        group("psample", all([("group=", plain(32)), ("cookie=", prefixed(64))])),
        tunnel_push(),
        userspace(),
    ])
    .boxed()
}

fn push() -> Text {
    let label = all([
        ("label=", plain(20)),
        ("tc=", plain(3)),
        ("ttl=", plain(8)),
        ("bos=", plain(1)),
        ("eth_type=", prefixed(16)),
    ]);
    let base = all([
        ("flags=", plain(8)),
        ("ttl=", plain(8)),
        ("mdtype=", plain(8)),
        ("np=", plain(8)),
        ("spi=", prefixed(24)),
        ("si=", plain(8)),
    ]);
    let metadata = prop_oneof![
        all([("c1=", prefixed(32)), ("c2=", prefixed(32)), ("c3=", prefixed(32)), ("c4=", prefixed(32))]),
        all([("md2=", exact(64, hex))]),
    ];
    let nsh = (base, metadata).prop_map(|(base, metadata)| format!("{base},{metadata}"));
    let vlan = fields([
        ("tpid=", exact(16, |n| format!("{n:#06x}"))),
        ("vid=", plain(12)),
        ("pcp=", plain(3)),
        ("cfi=", word("0")),
    ]);
    Union::new([
        group("push_eth", all([("src=", ethernet()), ("dst=", ethernet())])),
        group("push_vlan", vlan),
        group("push_mpls", label.clone()),
        group("add_mpls", label),
        group("push_nsh", nsh.boxed()),
    ])
    .boxed()
}

fn ct() -> Text {
    fields([
        ("commit", word("")),
        ("force_commit", word("")),
        ("zone=", plain(16)),
        ("mark=", hexadecimal(32)),
        ("label=", hexadecimal(128)),
        ("helper=", word("ftp")),
        ("timeout=", word("ovs_tp_1_tcp4")),
        ("nat(", nat()),
    ])
}

fn nat() -> Text {
    let dash = |last: Option<String>| last.map(|last| format!("-{last}")).unwrap_or_default();
    let ports = (any::<u16>(), proptest::option::of(any::<u16>()))
        .prop_map(move |(first, last)| format!(":{first}{}", dash(last.map(|last| last.to_string()))));
    let v4 = (ipv4(), proptest::option::of(ipv4()), proptest::option::of(ports))
        .prop_map(move |(first, last, ports)| format!("={first}{}{}", dash(last), ports.unwrap_or_default()));
    let v6 =
        (ipv6(), ipv6(), any::<u16>()).prop_map(|(first, last, port)| format!("=[{first}]-[{last}]:{port}"));
    let v6_alone = ipv6().prop_map(|address| format!("={address}"));
    let range = prop_oneof![word(""), v4, v6, v6_alone];
    (select(&["src", "dst"]), range, subsequence(vec![",persistent", ",hash", ",random"], 0..=3))
        .prop_map(|(direction, range, how)| format!("{direction}{range}{}", how.concat()))
        .boxed()
}

fn userspace() -> Text {
    let controller = all([
        ("reason=", plain(16)),
        ("dont_send=", plain(1)),
        ("continuation=", plain(1)),
        ("recirc_id=", plain(32)),
        ("rule_cookie=", exact(64, hex)),
        ("controller_id=", plain(16)),
        ("max_len=", plain(16)),
    ]);
    let sample = all([
        ("probability=", plain(16)),
        ("collector_set_id=", plain(32)),
        ("obs_domain_id=", plain(32)),
        ("obs_point_id=", plain(32)),
        ("output_port=", port()),
    ]);
    let note = prop_oneof![
        word(""),
        group(",controller", controller),
        (sample, select(&["", ",ingress", ",egress"]))
            .prop_map(|(text, way)| format!(",flow_sample({text}{way})")),
        word(",slow_path(cfm,bfd)"),
        word(",sFlow(vid=7,pcp=3,output=80)"),
        port().prop_map(|port| format!(",ipfix(output_port={port})")),
        word(",userdata(0102030405)"),
    ];
    let (actions, tunnel) = (select(&["", ",actions"]), select(&["", ",tunnel_out_port=vxlan_sys"]));
    (plain(32), note, actions, tunnel)
        .prop_map(|(pid, note, actions, tunnel)| format!("userspace(pid={pid}{note}{actions}{tunnel})"))
        .boxed()
}

fn tunnel_push() -> Text {
    let udp = "udp(src=0,dst=4789,csum=0x0),";
    let geneve =
        (select(&["", "oam,", "crit,", "oam,crit,"]), prefixed(24), proptest::option::of(geneve(false)));
    let payload = prop_oneof![
        (prefixed(32), prefixed(24))
            .prop_map(move |(flags, vni)| format!("{udp}vxlan(flags={flags},vni={vni})")),
        geneve.prop_map(move |(bits, vni, options)| {
            let options = options.map(|options| format!(",options({options})")).unwrap_or_default();
            format!("{udp}geneve({bits}vni={vni}{options})")
        }),
        (prefixed(16), prefixed(32))
            .prop_map(|(flags, key)| format!("gre((flags={flags},proto=0x6558),key={key})")),
        word("erspan(ver=1,sid=0x7,idx=0x3)"),
        word("erspan(ver=2,sid=0x7,dir=1,hwid=0x7)"),
        Just(format!("{udp}gtpu(flags=0x30,msgtype=255,teid=0x7b)")),
        word("srv6(segments_left=1,segs(2001:cafe::90,2001:cafe::91))"),
    ];
    let ip = prop_oneof![
        (ipv4(), ipv4(), exact(8, hex)).prop_map(|(src, dst, tos)| format!(
            "ipv4(src={src},dst={dst},proto=17,tos={tos},ttl=64,frag=0x4000)"
        )),
        (ipv6(), ipv6(), prefixed(8)).prop_map(|(src, dst, class)| {
            format!("ipv6(src={src},dst={dst},label=0,proto=17,tclass={class},hlimit=64)")
        }),
    ];
    (port(), ethernet(), ethernet(), ip, payload, port())
        .prop_map(|(tunnel, dst, src, ip, payload, out)| {
            let eth = format!("eth(dst={dst},src={src},dl_type=0x0800)");
            format!(
                "tnl_push(tnl_port({tunnel}),header(size=50,type=4,{eth},{ip},{payload}),out_port({out}))"
            )
        })
        .boxed()
}
