//! Datapath flows as text: what `ovs-appctl dpctl/dump-flows [-m]` and `ovs-dpctl dump-flows` print.
//!
//! There are two tiers. [`FlowLine`] finds the parts of a line without allocating: it is what a dump of a million
//! flows is read with. [`Flow`] is everything in types, on demand:
//!
//! ```
//! use vdpa_ovs::flow::{Action, Attribute, FlowLine, Port};
//!
//! let text = "recirc_id(0),in_port(eth0),eth(src=6e:05:ac:f0:54:a7,dst=e4:11:22:33:44:51),eth_type(0x0800),\
//!             ipv4(frag=no), packets:4, bytes:336, used:0.744s, offloaded:yes, dp:tc, actions:eth2";
//! let line = FlowLine::scan(text)?;
//! assert_eq!((line.packets, line.offloaded, line.actions), (4, Some("yes"), "eth2"));
//!
//! let flow = line.parse();
//! assert_eq!(flow.key.in_port(), Some(&Port::Name("eth0".into())));
//! assert_eq!(flow.actions.0, [Action::Output(Port::Name("eth2".into()))]);
//! assert_eq!(flow.to_string(), text);
//! # Ok::<_, vdpa_ovs::flow::BadLine>(())
//! ```
//!
//! # Every byte
//!
//! A [`Flow`] prints as the line that it was read from, to the byte. An attribute or an action that this module does
//! not know, or that is written in another way than Open vSwitch writes it, is kept as it came
//! ([`Attribute::Other`], [`Action::Other`]); everything beside it is still in types.
//!
//! The grammar is that of `format_odp_key_attr__` and `format_odp_action`, lib/odp-util.c, and of
//! `format_dpif_flow`, lib/dpctl.c.

mod action;
mod brief;
mod dump;
mod fields;
mod flags;
mod key;
mod line;
mod notation;
mod stats;
mod text;
mod values;

pub use self::{
    action::*,
    dump::{Dump, Entry, LONGEST},
    flags::{CtState, FlagNames, Flags, TcpFlags, TunnelFlags},
    key::*,
    line::{BadLine, FlowLine},
    stats::{Offloaded, Stats, Used},
    values::{EthAddr, Fragment, Masked, Port},
};

use std::{fmt, str::FromStr};

use crate::ovsdb::Uuid;

/// A datapath flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The flow's identity, with `-m`.
    pub ufid: Option<Uuid>,
    /// What packets it is for.
    pub key: Key,
    /// What it has done, and who does it.
    pub stats: Stats,
    /// What becomes of the packets.
    pub actions: Actions,
    /// What the datapath says besides (`dp-extra-info:`), of userspace datapaths with `-m`.
    pub extra: Option<String>,
}

impl FlowLine<'_> {
    /// Everything of the line in types.
    pub fn parse(&self) -> Flow {
        Flow {
            ufid: self.ufid.and_then(|ufid| ufid.parse().ok()),
            key: Key::of(self.key),
            stats: Stats {
                packets: self.packets,
                bytes: self.bytes,
                used: self.used,
                flags: self.flags.map(str::to_owned),
                offloaded: self.offloaded.map(Offloaded::from),
                dp: self.dp.map(str::to_owned),
                other: self.other.to_owned(),
            },
            actions: Actions::of(self.actions),
            extra: self.extra.map(str::to_owned),
        }
    }
}

impl FromStr for Flow {
    type Err = BadLine;

    fn from_str(text: &str) -> Result<Self, BadLine> {
        FlowLine::scan(text).map(|line| line.parse())
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ufid) = self.ufid {
            write!(f, "ufid:{ufid}, ")?;
        }
        write!(f, "{}, {}, actions:{}", self.key, self.stats, self.actions)?;
        self.extra.iter().try_for_each(|extra| write!(f, ", dp-extra-info:{extra}"))
    }
}
