//! What becomes of a flow's packets.

mod ct;
mod header;
mod push;
mod userspace;

pub use self::{
    ct::{Ct, Nat, NatDirection, NatRange, NatTarget},
    header::{
        GreBase, HeaderErspan, HeaderEth, HeaderGeneve, HeaderGre, HeaderGtpu, HeaderIpv4, HeaderIpv6,
        HeaderSrv6, HeaderUdp, HeaderVxlan, TunnelHeader, TunnelPush,
    },
    push::{NshHeader, PopMpls, PushEth, PushMpls, PushVlan},
    userspace::{Controller, FlowSample, Ipfix, Sflow, Userspace},
};

use std::{fmt, str::FromStr};

use super::fields::{Content as _, fields};
use super::notation::{Decimal, Hex, Notation, Plain, number};
use super::text::{DEEPEST, Items, group, prints_as};
use super::{Attribute, Bytes, Port};

/// Actions, in the order in which they are carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actions(
    /// The actions.
    pub Vec<Action>,
);

/// An action: `OVS_ACTION_ATTR_*`, linux/openvswitch.h.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet leaves by a port.
    Output(Port),
    /// It is dropped.
    Drop,
    /// It leaves by a port of a bond, by its hash.
    LbOutput(u32),
    /// What leaves next is cut to so many bytes.
    Trunc(u32),
    /// It goes through the datapath once more, with this id.
    Recirc(u32),
    /// A meter may drop it.
    Meter(u32),
    /// A hash over it is put in `dp_hash`.
    Hash(Hash),
    /// A header, or what is kept beside the packet, is set; by its mask.
    Set(Box<Attribute>),
    /// An Ethernet header goes before it.
    PushEth(PushEth),
    /// The Ethernet header goes.
    PopEth,
    /// A VLAN tag goes in.
    PushVlan(PushVlan),
    /// The VLAN tag goes.
    PopVlan,
    /// An MPLS label goes in.
    PushMpls(PushMpls),
    /// An MPLS label goes in, also before an Ethernet header.
    AddMpls(PushMpls),
    /// The MPLS label goes.
    PopMpls(PopMpls),
    /// A network service header goes before it.
    PushNsh(Box<NshHeader>),
    /// The network service header goes.
    PopNsh,
    /// Conntrack sees it.
    Ct(Box<Ct>),
    /// What conntrack said is forgotten.
    CtClear,
    /// The headers of a tunnel go before it.
    TunnelPush(Box<TunnelPush>),
    /// The headers of a tunnel go, and it comes in by this port.
    TunnelPop(Port),
    /// ovs-vswitchd gets it.
    Userspace(Box<Userspace>),
    /// Some of the packets: these actions as well.
    Sample(Sample),
    /// Who listens by psample gets it.
    Psample(Psample),
    /// A copy: these actions.
    Clone(Actions),
    /// One or the other, by its length.
    CheckPacketLength(CheckPacketLength),
    /// Time to live is one less; where that is the end of it, these actions.
    DecTtl(Actions),
    /// What this version does not know, as it came.
    Other(String),
}

fields! {
    /// How `dp_hash` is made; the number is where it begins.
    pub struct Hash {
        /// Over L4, each direction for itself.
        "l4(" l4: Option<u32> = Decimal,
        /// Over L4, both directions alike.
        "sym_l4(" symmetric_l4: Option<u32> = Decimal,
    }
}

fields! {
    /// A sample for psample.
    pub struct Psample {
        /// The group that listens.
        "group=" group: Option<u32> = Decimal,
        /// What is handed on with it.
        "cookie=" cookie: Option<Bytes> = Plain,
    }
}

/// Actions for some of the packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// For how many, in tenths of a per cent.
    pub per_mille: u32,
    /// The actions.
    pub actions: Actions,
}

/// Actions by a packet's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckPacketLength {
    /// The length in bytes.
    pub bytes: u16,
    /// The actions for what is longer.
    pub longer: Actions,
    /// The actions for what is not.
    pub others: Actions,
}

impl Actions {
    /// Whatever stands behind `actions:`. Text is never refused: what is not known stays text.
    pub fn of(text: &str) -> Self {
        Self::within(text, 0)
    }

    fn within(text: &str, depth: u8) -> Self {
        Self(Items::of(text).map(|item| Action::of(item, depth)).collect())
    }

    /// The actions, and those in them.
    pub fn all(&self) -> Vec<&Action> {
        self.0.iter().flat_map(|action| std::iter::once(action).chain(action.inner())).collect()
    }

    /// The ports that packets leave by, whatever becomes of them before.
    pub fn outputs(&self) -> Vec<&Port> {
        self.all()
            .into_iter()
            .filter_map(|action| match action {
                Action::Output(port) => Some(port),
                _ => None,
            })
            .collect()
    }
}

impl Action {
    fn inner(&self) -> Vec<&Action> {
        match self {
            Self::Sample(sample) => sample.actions.all(),
            Self::Clone(actions) | Self::DecTtl(actions) => actions.all(),
            Self::CheckPacketLength(check) => [check.longer.all(), check.others.all()].concat(),
            _ => Vec::new(),
        }
    }

    /// Whatever stands between two commas.
    fn of(item: &str, depth: u8) -> Self {
        let known = match group(item) {
            Some((name, content)) => Self::known(name, content, depth),
            None => Self::word(item),
        };
        match known {
            Some(known) if prints_as(&known, item) => known,
            _ => Self::Other(item.to_owned()),
        }
    }

    fn word(item: &str) -> Option<Self> {
        // What no name of a port has: `dev_valid_name`, net/core/dev.c, and what odp-util prints of broken actions.
        let no_name = |c: char| c.is_whitespace() || matches!(c, '/' | ':' | '(' | ')' | '<');
        Some(match item {
            "drop" => Self::Drop,
            "pop_eth" => Self::PopEth,
            "pop_vlan" => Self::PopVlan,
            "ct" => Self::Ct(Box::new(Ct::read("")?)),
            "ct_clear" => Self::CtClear,
            _ if item.is_empty() || item.contains(no_name) => return None,
            port => Self::Output(Plain::read(port)?),
        })
    }

    fn known(name: &str, content: &str, depth: u8) -> Option<Self> {
        let inner = |text: &str| (depth < DEEPEST).then(|| Actions::within(text, depth + 1));
        Some(match name {
            "lb_output" => Self::LbOutput(number(content)?),
            "trunc" => Self::Trunc(number(content)?),
            "recirc" => Self::Recirc(number(content)?),
            "meter" => Self::Meter(number(content)?),
            "hash" => Self::Hash(Hash::read(content)?),
            "set" => Self::Set(Box::new(Attribute::of(content, DEEPEST))),
            "push_eth" => Self::PushEth(PushEth::read(content)?),
            "push_vlan" => Self::PushVlan(PushVlan::read(content)?),
            "push_mpls" => Self::PushMpls(PushMpls::read(content)?),
            "add_mpls" => Self::AddMpls(PushMpls::read(content)?),
            "pop_mpls" => Self::PopMpls(PopMpls::read(content)?),
            "push_nsh" => Self::PushNsh(Box::new(NshHeader::read(content)?)),
            "pop_nsh" => Self::PopNsh,
            "ct" => Self::Ct(Box::new(Ct::read(content)?)),
            "tnl_push" => Self::TunnelPush(Box::new(TunnelPush::read(content)?)),
            "tnl_pop" => Self::TunnelPop(Plain::read(content)?),
            "userspace" => Self::Userspace(Box::new(Userspace::read(content)?)),
            "psample" => Self::Psample(Psample::read(content)?),
            "clone" => Self::Clone(inner(content)?),
            "dec_ttl" => Self::DecTtl(inner(within(content, "le_1(")?)?),
            "sample" => {
                let (percent, actions) = content.split_once(',')?;
                let per_mille = tenths(percent.strip_prefix("sample=")?.strip_suffix('%')?)?;
                Self::Sample(Sample { per_mille, actions: inner(within(actions, "actions(")?)? })
            }
            "check_pkt_len" => {
                let mut items = Items::of(content);
                let bytes = number(items.next()?.strip_prefix("size=")?)?;
                let longer = inner(within(items.next()?, "gt(")?)?;
                let others = inner(within(items.next()?, "le(")?)?;
                Self::CheckPacketLength(CheckPacketLength { bytes, longer, others })
            }
            _ => return None,
        })
    }
}

/// What stands between `before` and a parenthesis that closes.
fn within<'a>(item: &'a str, before: &str) -> Option<&'a str> {
    item.strip_prefix(before)?.strip_suffix(')')
}

/// `50.0` in tenths.
fn tenths(text: &str) -> Option<u32> {
    let (whole, tenth) = text.split_once('.')?;
    u32::from_str(whole).ok()?.checked_mul(10)?.checked_add(u32::from_str(tenth).ok()?)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(port) => port.fmt(f),
            Self::Drop => f.write_str("drop"),
            Self::LbOutput(bond) => write!(f, "lb_output({bond})"),
            Self::Trunc(bytes) => write!(f, "trunc({bytes})"),
            Self::Recirc(id) => {
                f.write_str("recirc(")?;
                <Hex as Notation<u32>>::write(id, f)?;
                f.write_str(")")
            }
            Self::Meter(id) => write!(f, "meter({id})"),
            Self::Hash(hash) => write!(f, "hash({hash})"),
            Self::Set(attribute) => write!(f, "set({attribute})"),
            Self::PushEth(header) => write!(f, "push_eth({header})"),
            Self::PopEth => f.write_str("pop_eth"),
            Self::PushVlan(tag) => write!(f, "push_vlan({tag})"),
            Self::PopVlan => f.write_str("pop_vlan"),
            Self::PushMpls(label) => write!(f, "push_mpls({label})"),
            Self::AddMpls(label) => write!(f, "add_mpls({label})"),
            Self::PopMpls(next) => write!(f, "pop_mpls({next})"),
            Self::PushNsh(header) => write!(f, "push_nsh({header})"),
            Self::PopNsh => f.write_str("pop_nsh()"),
            Self::Ct(ct) => match ct.to_string() {
                content if content.is_empty() => f.write_str("ct"),
                content => write!(f, "ct({content})"),
            },
            Self::CtClear => f.write_str("ct_clear"),
            Self::TunnelPush(push) => write!(f, "tnl_push({push})"),
            Self::TunnelPop(port) => write!(f, "tnl_pop({port})"),
            Self::Userspace(userspace) => write!(f, "userspace({userspace})"),
            Self::Sample(Sample { per_mille, actions }) => {
                write!(f, "sample(sample={}.{}%,actions({actions}))", per_mille / 10, per_mille % 10)
            }
            Self::Psample(sample) => write!(f, "psample({sample})"),
            Self::Clone(actions) => write!(f, "clone({actions})"),
            Self::CheckPacketLength(CheckPacketLength { bytes, longer, others }) => {
                write!(f, "check_pkt_len(size={bytes},gt({longer}),le({others}))")
            }
            Self::DecTtl(actions) => write!(f, "dec_ttl(le_1({actions}))"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(nth, action)| write!(f, "{}{action}", if nth > 0 { "," } else { "" }))
    }
}
