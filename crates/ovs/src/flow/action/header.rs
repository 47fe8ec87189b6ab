//! The `tnl_push` action: the headers of a tunnel, as userspace datapaths put them before a packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::flow::fields::{Always, Nested, Word, fields};
use crate::flow::notation::{Decimal, FourDigits, Hex, Inet6, Plain, Prefixed};
use crate::flow::{EthAddr, GeneveOptions, Port};

fields! {
    /// The headers of a tunnel go before a packet.
    pub struct TunnelPush {
        /// The tunnel's port.
        "tnl_port(" tunnel: Port = Always<Plain>,
        /// The headers.
        "header(" header: TunnelHeader = Always<Nested>,
        /// The port that the packet leaves by.
        "out_port(" out: Port = Always<Plain>,
    }
}

fields! {
    /// The headers of a tunnel.
    pub struct TunnelHeader {
        /// Their bytes.
        "size=" size: u32 = Always<Decimal>,
        /// The kind of tunnel: `OVS_VPORT_TYPE_*`, linux/openvswitch.h.
        "type=" kind: u32 = Always<Decimal>,
        /// Ethernet.
        "eth(" eth: HeaderEth = Always<Nested>,
        /// IPv4.
        "ipv4(" ipv4: Option<HeaderIpv4> = Nested,
        /// IPv6.
        "ipv6(" ipv6: Option<HeaderIpv6> = Nested,
        /// UDP.
        "udp(" udp: Option<HeaderUdp> = Nested,
        /// VXLAN.
        "vxlan(" vxlan: Option<HeaderVxlan> = Nested,
        /// Geneve.
        "geneve(" geneve: Option<HeaderGeneve> = Nested,
        /// GRE.
        "gre(" gre: Option<HeaderGre> = Nested,
        /// ERSPAN.
        "erspan(" erspan: Option<HeaderErspan> = Nested,
        /// GTP-U.
        "gtpu(" gtpu: Option<HeaderGtpu> = Nested,
        /// Segment routing (RFC 8754).
        "srv6(" srv6: Option<HeaderSrv6> = Nested,
    }
}

fields! {
    /// Ethernet.
    pub struct HeaderEth {
        /// To.
        "dst=" dst: EthAddr = Always<Plain>,
        /// From.
        "src=" src: EthAddr = Always<Plain>,
        /// The Ethernet type.
        "dl_type=" eth_type: u16 = Always<FourDigits>,
    }
}

fields! {
    /// IPv4.
    pub struct HeaderIpv4 {
        /// From.
        "src=" src: Ipv4Addr = Always<Plain>,
        /// To.
        "dst=" dst: Ipv4Addr = Always<Plain>,
        /// The protocol.
        "proto=" proto: u8 = Always<Decimal>,
        /// DSCP and ECN.
        "tos=" tos: u8 = Always<Hex>,
        /// Time to live.
        "ttl=" ttl: u8 = Always<Decimal>,
        /// Flags and offset of fragments.
        "frag=" frag: u16 = Always<Prefixed>,
    }
}

fields! {
    /// IPv6.
    pub struct HeaderIpv6 {
        /// From.
        "src=" src: Ipv6Addr = Always<Inet6>,
        /// To.
        "dst=" dst: Ipv6Addr = Always<Inet6>,
        /// The flow label.
        "label=" label: u32 = Always<Decimal>,
        /// The protocol.
        "proto=" proto: u8 = Always<Decimal>,
        /// DSCP and ECN.
        "tclass=" tclass: u8 = Always<Prefixed>,
        /// The hop limit.
        "hlimit=" hlimit: u8 = Always<Decimal>,
    }
}

fields! {
    /// UDP.
    pub struct HeaderUdp {
        /// From.
        "src=" src: u16 = Always<Decimal>,
        /// To.
        "dst=" dst: u16 = Always<Decimal>,
        /// The checksum; 0 for none.
        "csum=" csum: u16 = Always<Prefixed>,
    }
}

fields! {
    /// VXLAN.
    pub struct HeaderVxlan {
        /// Its flags.
        "flags=" flags: u32 = Always<Prefixed>,
        /// The network.
        "vni=" vni: u32 = Always<Prefixed>,
    }
}

fields! {
    /// Geneve.
    pub struct HeaderGeneve {
        /// It is for the tunnel's ends themselves.
        "oam" oam: bool = Word,
        /// Who does not know its options has to drop it.
        "crit" critical: bool = Word,
        /// The network.
        "vni=" vni: u32 = Always<Prefixed>,
        /// Its options.
        "options(" options: Option<GeneveOptions> = Nested,
    }
}

fields! {
    /// GRE.
    pub struct HeaderGre {
        /// What is always there.
        "(" base: GreBase = Always<Nested>,
        /// The checksum.
        "csum=" csum: Option<u16> = Prefixed,
        /// The key.
        "key=" key: Option<u32> = Prefixed,
        /// The sequence number.
        "seq=" sequence: Option<u32> = Prefixed,
    }
}

fields! {
    /// What GRE always has.
    pub struct GreBase {
        /// What else is there.
        "flags=" flags: u16 = Always<Prefixed>,
        /// What comes next.
        "proto=" proto: u16 = Always<Prefixed>,
    }
}

fields! {
    /// ERSPAN.
    pub struct HeaderErspan {
        /// The version.
        "ver=" version: u8 = Always<Decimal>,
        /// The session.
        "sid=" session: u16 = Always<Prefixed>,
        /// The index, of version 1.
        "idx=" index: Option<u32> = Prefixed,
        /// The direction, of version 2.
        "dir=" direction: Option<u8> = Decimal,
        /// The hardware, of version 2.
        "hwid=" hardware: Option<u8> = Prefixed,
    }
}

fields! {
    /// GTP-U.
    pub struct HeaderGtpu {
        /// Its flags.
        "flags=" flags: u8 = Always<Prefixed>,
        /// The type of the message.
        "msgtype=" message: u8 = Always<Decimal>,
        /// The tunnel.
        "teid=" teid: u32 = Always<Prefixed>,
    }
}

fields! {
    /// Segment routing (RFC 8754).
    pub struct HeaderSrv6 {
        /// How many segments are still to come.
        "segments_left=" segments_left: u8 = Always<Decimal>,
        /// The segments, between commas.
        "segs(" segments: String = Always<Plain>,
    }
}
