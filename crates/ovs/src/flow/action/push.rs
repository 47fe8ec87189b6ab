//! Headers that go in, and out.

use crate::flow::fields::{Always, fields};
use crate::flow::notation::{Decimal, FourDigits, Plain, Prefixed};
use crate::flow::{Bytes, EthAddr};

fields! {
    /// An Ethernet header.
    pub struct PushEth {
        /// From.
        "src=" src: EthAddr = Always<Plain>,
        /// To.
        "dst=" dst: EthAddr = Always<Plain>,
    }
}

fields! {
    /// A VLAN tag.
    pub struct PushVlan {
        /// Its Ethernet type, where that is not 0x8100.
        "tpid=" tpid: Option<u16> = FourDigits,
        /// The VLAN.
        "vid=" vid: Option<u16> = Decimal,
        /// Its priority.
        "pcp=" pcp: Option<u8> = Decimal,
        /// 0 where the bit that says that there is a tag is not set.
        "cfi=" cfi: Option<u8> = Decimal,
    }
}

fields! {
    /// An MPLS label.
    pub struct PushMpls {
        /// The label.
        "label=" label: u32 = Always<Decimal>,
        /// The traffic class.
        "tc=" tc: u8 = Always<Decimal>,
        /// Time to live.
        "ttl=" ttl: u8 = Always<Decimal>,
        /// Whether it is the lowest.
        "bos=" bos: u8 = Always<Decimal>,
        /// The Ethernet type of what comes out.
        "eth_type=" eth_type: u16 = Always<Prefixed>,
    }
}

fields! {
    /// An MPLS label that goes.
    pub struct PopMpls {
        /// The Ethernet type of what comes out.
        "eth_type=" eth_type: u16 = Always<Prefixed>,
    }
}

fields! {
    /// A network service header (RFC 8300).
    pub struct NshHeader {
        /// Its flags.
        "flags=" flags: u8 = Always<Decimal>,
        /// Time to live.
        "ttl=" ttl: u8 = Always<Decimal>,
        /// The type of its metadata.
        "mdtype=" metadata_type: u8 = Always<Decimal>,
        /// What comes next.
        "np=" next_protocol: u8 = Always<Decimal>,
        /// The service path.
        "spi=" path: u32 = Always<Prefixed>,
        /// The place on it.
        "si=" index: u8 = Always<Decimal>,
        /// Metadata of type 1.
        "c1=" c1: Option<u32> = Prefixed,
        /// Metadata of type 1.
        "c2=" c2: Option<u32> = Prefixed,
        /// Metadata of type 1.
        "c3=" c3: Option<u32> = Prefixed,
        /// Metadata of type 1.
        "c4=" c4: Option<u32> = Prefixed,
        /// Metadata of type 2.
        "md2=" md2: Option<Bytes> = Plain,
    }
}
