//! What packets a flow is for: the key, with its mask.

mod nsh;
mod packet;
mod tunnel;

pub use self::{
    nsh::Nsh,
    packet::{
        Arp, CtTuple4, CtTuple6, Eth, Icmp, Ipv4, Ipv6, Mpls, MplsLabel, Nd, NdExtensions, PacketType, Ports,
        Vlan,
    },
    tunnel::{Bytes, Erspan, Gbp, GeneveOption, GeneveOptions, Gtpu, Tunnel, VxlanOptions},
};

use std::fmt;

use super::fields::Nested;
use super::notation::{FourDigits, Hex, Notation, Plain};
use super::text::{DEEPEST, Items, group, prints_as};
use super::{CtState, Flags, Masked, Port, TcpFlags};

/// A flow's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key(
    /// Its attributes, in their order.
    pub Vec<Attribute>,
);

/// Declares the attributes that have a name, a content of one type, and a notation for it.
macro_rules! attributes {
    ($($(#[$doc:meta])* $variant:ident($type:ty) = $name:literal $notation:ty;)*) => {
        /// An attribute of a key: `OVS_KEY_ATTR_*`, linux/openvswitch.h.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Attribute {
            $($(#[$doc])* $variant($type),)*
            /// The VLAN's payload: what stands behind the tag.
            Encap(Key),
            /// What this version does not know, as it came.
            Other(String),
        }

        impl Attribute {
            /// The attribute's name in text: `eth`. What is not known has none.
            pub fn name(&self) -> Option<&'static str> {
                Some(match self {
                    $(Self::$variant(_) => $name,)*
                    Self::Encap(_) => "encap",
                    Self::Other(_) => return None,
                })
            }

            fn known(name: &str, content: &str) -> Option<Self> {
                Some(match name {
                    $($name => Self::$variant(<$notation as Notation<$type>>::read(content)?),)*
                    _ => return None,
                })
            }
        }

        impl fmt::Display for Attribute {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(content) => {
                        f.write_str(concat!($name, "("))?;
                        <$notation as Notation<$type>>::write(content, f)?;
                        f.write_str(")")
                    })*
                    Self::Encap(key) => write!(f, "encap({key})"),
                    Self::Other(text) => f.write_str(text),
                }
            }
        }
    };
}

attributes! {
    /// The packet's priority, for queueing.
    SkbPriority(Masked<u32>) = "skb_priority" Hex;
    /// The packet's mark.
    SkbMark(Masked<u32>) = "skb_mark" Hex;
    /// What conntrack says of it.
    CtState(Flags<CtState>) = "ct_state" Nested;
    /// The conntrack zone.
    CtZone(Masked<u16>) = "ct_zone" Hex;
    /// The connection's mark.
    CtMark(Masked<u32>) = "ct_mark" Hex;
    /// The connection's label.
    CtLabel(Masked<u128>) = "ct_label" Hex;
    /// The connection's first packet, IPv4.
    CtTuple4(CtTuple4) = "ct_tuple4" Nested;
    /// The connection's first packet, IPv6.
    CtTuple6(Box<CtTuple6>) = "ct_tuple6" Nested;
    /// How often it has been through the datapath, and why: 0 at first.
    RecircId(Masked<u32>) = "recirc_id" Hex;
    /// A hash over the packet.
    DpHash(Masked<u32>) = "dp_hash" Hex;
    /// The tunnel it came out of, or is to go into.
    Tunnel(Box<Tunnel>) = "tunnel" Nested;
    /// The port it came in by.
    InPort(Port) = "in_port" Plain;
    /// What it begins with, where that is not Ethernet.
    PacketType(PacketType) = "packet_type" Nested;
    /// Ethernet addresses.
    Eth(Eth) = "eth" Nested;
    /// The VLAN tag.
    Vlan(Vlan) = "vlan" Nested;
    /// The Ethernet type.
    EthType(Masked<u16>) = "eth_type" FourDigits;
    /// MPLS labels.
    Mpls(Mpls) = "mpls" Nested;
    /// The IPv4 header.
    Ipv4(Ipv4) = "ipv4" Nested;
    /// The IPv6 header.
    Ipv6(Box<Ipv6>) = "ipv6" Nested;
    /// TCP ports.
    Tcp(Ports) = "tcp" Nested;
    /// TCP flags.
    TcpFlags(Flags<TcpFlags>) = "tcp_flags" Nested;
    /// UDP ports.
    Udp(Ports) = "udp" Nested;
    /// SCTP ports.
    Sctp(Ports) = "sctp" Nested;
    /// `ICMPv4`.
    Icmp(Icmp) = "icmp" Nested;
    /// `ICMPv6`.
    Icmpv6(Icmp) = "icmpv6" Nested;
    /// ARP.
    Arp(Arp) = "arp" Nested;
    /// `ICMPv6` neighbour discovery.
    Nd(Box<Nd>) = "nd" Nested;
    /// More of it.
    NdExtensions(NdExtensions) = "nd_ext" Nested;
    /// The network service header (RFC 8300).
    Nsh(Nsh) = "nsh" Nested;
}

impl Attribute {
    /// Whatever stands between two commas.
    pub(super) fn of(item: &str, depth: u8) -> Self {
        let known = group(item).and_then(|(name, content)| match name {
            "encap" if depth < DEEPEST => Some(Self::Encap(Key::within(content, depth + 1))),
            _ => Self::known(name, content),
        });
        match known {
            Some(known) if prints_as(&known, item) => known,
            _ => Self::Other(item.to_owned()),
        }
    }
}

impl Key {
    /// Whatever stands before the statistics. Text is never refused: what is not known stays text.
    pub fn of(text: &str) -> Self {
        Self::within(text, 0)
    }

    fn within(text: &str, depth: u8) -> Self {
        Self(Items::of(text).map(|item| Attribute::of(item, depth)).collect())
    }

    /// The port that packets come in by.
    pub fn in_port(&self) -> Option<&Port> {
        self.0.iter().find_map(|attribute| match attribute {
            Attribute::InPort(port) => Some(port),
            _ => None,
        })
    }

    /// How often packets have been through the datapath, and why: 0 at first.
    pub fn recirc_id(&self) -> Option<u32> {
        self.0.iter().find_map(|attribute| match attribute {
            Attribute::RecircId(id) => Some(id.value),
            _ => None,
        })
    }

    /// The attributes, and those behind VLAN tags.
    pub fn all(&self) -> Vec<&Attribute> {
        self.0
            .iter()
            .flat_map(|attribute| match attribute {
                Attribute::Encap(key) => std::iter::once(attribute).chain(key.all()).collect(),
                _ => vec![attribute],
            })
            .collect()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(nth, attribute)| write!(f, "{}{attribute}", if nth > 0 { "," } else { "" }))
    }
}
