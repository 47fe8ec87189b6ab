//! The tunnel that a packet came out of, or is to go into.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::flow::fields::{Content, Nested, fields};
use crate::flow::notation::{Decimal, Hex, Inet6, Plain, Prefixed};
use crate::flow::{Flags, Masked, TunnelFlags};

fields! {
    /// A tunnel: `tunnel(tun_id=0x5,src=172.16.0.1,dst=172.16.0.2,ttl=64,tp_dst=4789,flags(+key))`.
    pub struct Tunnel {
        /// Its key, VNI or whatever else tells tunnels between the same ends apart.
        "tun_id=" id: Option<Masked<u64>> = Prefixed,
        /// From, IPv4.
        "src=" src: Option<Masked<Ipv4Addr>> = Plain,
        /// To, IPv4.
        "dst=" dst: Option<Masked<Ipv4Addr>> = Plain,
        /// From, IPv6.
        "ipv6_src=" ipv6_src: Option<Masked<Ipv6Addr>> = Inet6,
        /// To, IPv6.
        "ipv6_dst=" ipv6_dst: Option<Masked<Ipv6Addr>> = Inet6,
        /// DSCP and ECN.
        "tos=" tos: Option<Masked<u8>> = Hex,
        /// Time to live.
        "ttl=" ttl: Option<Masked<u8>> = Decimal,
        /// From this port.
        "tp_src=" src_port: Option<Masked<u16>> = Decimal,
        /// To this port.
        "tp_dst=" dst_port: Option<Masked<u16>> = Decimal,
        /// VXLAN's extensions.
        "vxlan(" vxlan: Option<VxlanOptions> = Nested,
        /// Geneve's options.
        "geneve(" geneve: Option<GeneveOptions> = Nested,
        /// ERSPAN's header.
        "erspan(" erspan: Option<Erspan> = Nested,
        /// GTP-U's header.
        "gtpu(" gtpu: Option<Gtpu> = Nested,
        /// What else is said of it.
        "flags(" flags: Option<Flags<TunnelFlags>> = Nested,
    }
}

fields! {
    /// VXLAN's extensions.
    pub struct VxlanOptions {
        /// The group policy.
        "gbp(" gbp: Option<Gbp> = Nested,
    }
}

fields! {
    /// VXLAN's group policy.
    pub struct Gbp {
        /// The group.
        "id=" id: Option<Masked<u16>> = Decimal,
        /// Its flags.
        "flags=" flags: Option<Masked<u8>> = Hex,
    }
}

fields! {
    /// ERSPAN's header: an index in version 1, direction and hardware in version 2.
    pub struct Erspan {
        /// The version.
        "ver=" version: Option<Masked<u8>> = Decimal,
        /// The index.
        "idx=" index: Option<Masked<u32>> = Hex,
        /// The direction.
        "dir=" direction: Option<Masked<u8>> = Decimal,
        /// The hardware.
        "hwid=" hardware: Option<Masked<u8>> = Hex,
    }
}

fields! {
    /// GTP-U's header.
    pub struct Gtpu {
        /// Its flags.
        "flags=" flags: Option<Masked<u8>> = Hex,
        /// The type of the message.
        "msgtype=" message: Option<Masked<u8>> = Decimal,
    }
}

fields! {
    /// An option of Geneve's (RFC 8926, section 3.5).
    pub struct GeneveOption {
        /// Its class.
        "class=" class: Option<Masked<u16>> = Hex,
        /// Its type.
        "type=" kind: Option<Masked<u8>> = Hex,
        /// How many bytes it has.
        "len=" length: Option<Masked<u8>> = Decimal,
        /// The bytes.
        "" data: Option<Masked<Bytes>> = Plain,
    }
}

/// Options of Geneve's: `{class=0x102,type=0x80,len=4,0xa}`, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneveOptions(
    /// The options.
    pub Vec<GeneveOption>,
);

impl Content for GeneveOptions {
    fn read(text: &str) -> Option<Self> {
        let options = text.split_inclusive('}');
        let read = |option: &str| GeneveOption::read(option.strip_prefix('{')?.strip_suffix('}')?);
        options.map(read).collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for GeneveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|option| write!(f, "{{{option}}}"))
    }
}

/// Bytes in hexadecimal without leading zeros, as `ds_put_hex` of lib/dynamic-string.c writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(String);

impl FromStr for Bytes {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hexadecimal = |digits: &str| {
            !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        };
        let sound = text == "0" || text.strip_prefix("0x").is_some_and(hexadecimal);
        if sound { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
