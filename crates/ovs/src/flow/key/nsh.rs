//! The network service header (RFC 8300).

use crate::flow::Masked;
use crate::flow::fields::fields;
use crate::flow::notation::{Byte, EightDigits};

fields! {
    /// A network service header: `nsh(flags=0,ttl=63,mdtype=1,np=4,spi=0x1,si=255,c1=0x0,…)`.
    pub struct Nsh {
        /// Its flags.
        "flags=" flags: Option<Masked<u8>> = Byte,
        /// Time to live.
        "ttl=" ttl: Option<Masked<u8>> = Byte,
        /// The type of its metadata.
        "mdtype=" metadata_type: Option<Masked<u8>> = Byte,
        /// What comes next.
        "np=" next_protocol: Option<Masked<u8>> = Byte,
        /// The service path.
        "spi=" path: Option<Masked<u32>> = EightDigits,
        /// The place on it.
        "si=" index: Option<Masked<u8>> = Byte,
        /// Metadata.
        "c1=" c1: Option<Masked<u32>> = EightDigits,
        /// Metadata.
        "c2=" c2: Option<Masked<u32>> = EightDigits,
        /// Metadata.
        "c3=" c3: Option<Masked<u32>> = EightDigits,
        /// Metadata.
        "c4=" c4: Option<Masked<u32>> = EightDigits,
    }
}
