//! Attributes that are a packet's headers, and what conntrack knows of the first one.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::flow::fields::{Always, Content, fields};
use crate::flow::notation::{Decimal, DecimalBare, DecimalPrefixed, Hex, Inet6, Plain, Prefixed};
use crate::flow::text::Items;
use crate::flow::{EthAddr, Fragment, Masked};

fields! {
    /// Ethernet addresses: `eth(src=…,dst=…)`.
    pub struct Eth {
        /// From.
        "src=" src: Option<Masked<EthAddr>> = Plain,
        /// To.
        "dst=" dst: Option<Masked<EthAddr>> = Plain,
    }
}

fields! {
    /// A VLAN tag: `vlan(vid=7,pcp=0)`.
    pub struct Vlan {
        /// The VLAN.
        "vid=" vid: Option<Masked<u16>> = DecimalPrefixed,
        /// Its priority.
        "pcp=" pcp: Option<Masked<u8>> = DecimalPrefixed,
        /// 0 where there is no tag.
        "cfi=" cfi: Option<u8> = Decimal,
    }
}

fields! {
    /// What a packet begins with: `packet_type(ns=1,id=0x800)`.
    pub struct PacketType {
        /// The name space.
        "ns=" ns: Option<Masked<u16>> = Decimal,
        /// The type in it.
        "id=" id: Option<Masked<u16>> = Hex,
    }
}

fields! {
    /// An IPv4 header.
    pub struct Ipv4 {
        /// From.
        "src=" src: Option<Masked<Ipv4Addr>> = Plain,
        /// To.
        "dst=" dst: Option<Masked<Ipv4Addr>> = Plain,
        /// The protocol.
        "proto=" proto: Option<Masked<u8>> = Decimal,
        /// DSCP and ECN.
        "tos=" tos: Option<Masked<u8>> = Hex,
        /// Time to live.
        "ttl=" ttl: Option<Masked<u8>> = Decimal,
        /// Whether it is a fragment.
        "frag=" frag: Option<Fragment> = Plain,
    }
}

fields! {
    /// An IPv6 header.
    pub struct Ipv6 {
        /// From.
        "src=" src: Option<Masked<Ipv6Addr>> = Inet6,
        /// To.
        "dst=" dst: Option<Masked<Ipv6Addr>> = Inet6,
        /// The flow label.
        "label=" label: Option<Masked<u32>> = Hex,
        /// The protocol.
        "proto=" proto: Option<Masked<u8>> = Decimal,
        /// DSCP and ECN.
        "tclass=" tclass: Option<Masked<u8>> = Hex,
        /// The hop limit.
        "hlimit=" hlimit: Option<Masked<u8>> = Decimal,
        /// Whether it is a fragment.
        "frag=" frag: Option<Fragment> = Plain,
    }
}

fields! {
    /// The ports of TCP, UDP or SCTP.
    pub struct Ports {
        /// From.
        "src=" src: Option<Masked<u16>> = Decimal,
        /// To.
        "dst=" dst: Option<Masked<u16>> = Decimal,
    }
}

fields! {
    /// ICMP, of either version of IP.
    pub struct Icmp {
        /// The type.
        "type=" kind: Option<Masked<u8>> = Decimal,
        /// The code.
        "code=" code: Option<Masked<u8>> = Decimal,
    }
}

fields! {
    /// An ARP packet.
    pub struct Arp {
        /// Who asks or answers.
        "sip=" sip: Option<Masked<Ipv4Addr>> = Plain,
        /// Who is asked for.
        "tip=" tip: Option<Masked<Ipv4Addr>> = Plain,
        /// 1 asks, 2 answers.
        "op=" op: Option<Masked<u16>> = Decimal,
        /// The sender's Ethernet address.
        "sha=" sha: Option<Masked<EthAddr>> = Plain,
        /// The target's Ethernet address.
        "tha=" tha: Option<Masked<EthAddr>> = Plain,
    }
}

fields! {
    /// Neighbour discovery.
    pub struct Nd {
        /// Who is asked for.
        "target=" target: Option<Masked<Ipv6Addr>> = Inet6,
        /// The sender's Ethernet address.
        "sll=" sll: Option<Masked<EthAddr>> = Plain,
        /// The target's Ethernet address.
        "tll=" tll: Option<Masked<EthAddr>> = Plain,
    }
}

fields! {
    /// More of neighbour discovery.
    pub struct NdExtensions {
        /// The reserved word.
        "nd_reserved=" reserved: Option<u32> = Prefixed,
        /// The type of its options.
        "nd_options_type=" options_type: Option<Masked<u8>> = Decimal,
    }
}

fields! {
    /// The first packet of a connection, IPv4.
    pub struct CtTuple4 {
        /// From.
        "src=" src: Option<Masked<Ipv4Addr>> = Plain,
        /// To.
        "dst=" dst: Option<Masked<Ipv4Addr>> = Plain,
        /// The protocol.
        "proto=" proto: Option<Masked<u8>> = Decimal,
        /// From this port.
        "tp_src=" src_port: Option<Masked<u16>> = Decimal,
        /// To this port.
        "tp_dst=" dst_port: Option<Masked<u16>> = Decimal,
    }
}

fields! {
    /// The first packet of a connection, IPv6.
    pub struct CtTuple6 {
        /// From.
        "src=" src: Option<Masked<Ipv6Addr>> = Inet6,
        /// To.
        "dst=" dst: Option<Masked<Ipv6Addr>> = Inet6,
        /// The protocol.
        "proto=" proto: Option<Masked<u8>> = Decimal,
        /// From this port.
        "src_port=" src_port: Option<Masked<u16>> = Decimal,
        /// To this port.
        "dst_port=" dst_port: Option<Masked<u16>> = Decimal,
    }
}

fields! {
    /// An MPLS label: `label=100,tc=0,ttl=64,bos=1`.
    pub struct MplsLabel {
        /// The label.
        "label=" label: Masked<u32> = Always<DecimalPrefixed>,
        /// The traffic class.
        "tc=" tc: Masked<u8> = Always<DecimalBare>,
        /// Time to live.
        "ttl=" ttl: Masked<u8> = Always<DecimalPrefixed>,
        /// Whether it is the lowest.
        "bos=" bos: Masked<u8> = Always<DecimalBare>,
    }
}

/// MPLS labels, the outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mpls(
    /// The labels.
    pub Vec<MplsLabel>,
);

impl Content for Mpls {
    fn read(text: &str) -> Option<Self> {
        // Each label has four fields.
        let items: Vec<&str> = Items::of(text).collect();
        items.chunks(4).map(|label| MplsLabel::read(&label.join(","))).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Mpls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(nth, label)| write!(f, "{}{label}", if nth > 0 { "," } else { "" }))
    }
}
