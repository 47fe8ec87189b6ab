//! Reads actions from the attributes of a filter.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use vdpa_hw::IfIndex;
use vdpa_netlink::{Attribute, Attributes, Malformed};

use super::{Action, ActionKind, Control, Cookie, Nat, PeditKey, TunnelKey, VlanChange};
use crate::{Counters, HwStats, Stats};

const TCA_ACT_KIND: u16 = 1;
const TCA_ACT_OPTIONS: u16 = 2;
const TCA_ACT_STATS: u16 = 4;
const TCA_ACT_COOKIE: u16 = 6;
const TCA_ACT_HW_STATS: u16 = 8;
const TCA_ACT_USED_HW_STATS: u16 = 9;

const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_BASIC_HW: u16 = 7;
const TCA_STATS_PKT64: u16 = 8;

/// Where a kind's own parameters begin: behind `tc_gen`.
const REST: usize = 20;

/// The actions of a filter (`TCA_FLOWER_ACT`): one nest for each, in order.
pub(crate) fn actions(list: Attributes<'_>) -> Result<Vec<Action>, Malformed> {
    list.into_iter().map(|one| action(one?.nest())).collect()
}

fn action(attributes: Attributes<'_>) -> Result<Action, Malformed> {
    let name = attributes.require(TCA_ACT_KIND, "TCA_ACT_KIND")?.string();
    let options = attributes.find(TCA_ACT_OPTIONS)?.map_or(Attributes::new(&[]), |options| options.nest());
    let (kind, parameters, times) = kind(&name, options)?;
    let mut action = Action::new(kind, Control::Pipe);
    if let Some(Parameters { control, index, references, bound }) = parameters {
        action = Action { control, index, references, bound, ..action };
    }
    if let Some(times) = times {
        // struct tcf_t: install, lastuse, expires, firstuse, in ticks of a hundredth of a second.
        let ago = |at: usize| times.payload().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        let ago =
            |at| ago(at).map(|bytes| Duration::from_millis(u64::from_ne_bytes(bytes).saturating_mul(10)));
        (action.installed, action.used) = (ago(0), ago(8));
    }
    action.stats = attributes.find(TCA_ACT_STATS)?.map(|stats| read_stats(stats.nest())).transpose()?;
    action.cookie = attributes.find(TCA_ACT_COOKIE)?.map(|cookie| Cookie(cookie.payload().to_vec()));
    action.hw_stats = attributes.find(TCA_ACT_HW_STATS)?.and_then(hw_stats);
    action.used_hw_stats = attributes.find(TCA_ACT_USED_HW_STATS)?.and_then(hw_stats);
    Ok(action)
}

/// A bit field of 32 bits: value and selector. No bit is "not counted"; both bits, "any", say nothing.
fn hw_stats(attribute: Attribute<'_>) -> Option<HwStats> {
    let [value, ..] = attribute.payload() else { return None };
    match value {
        0 => Some(HwStats::Disabled),
        1 => Some(HwStats::Immediate),
        2 => Some(HwStats::Delayed),
        _ => None,
    }
}

fn read_stats(attributes: Attributes<'_>) -> Result<Stats, Malformed> {
    let mut stats = Stats::default();
    let mut hardware_last = false;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind() {
            TCA_STATS_BASIC => (stats.total, hardware_last) = (counters(attribute)?, false),
            TCA_STATS_BASIC_HW => (stats.hardware, hardware_last) = (Some(counters(attribute)?), true),
            // It follows the one of which 32 bits for packets were too few (`___gnet_stats_copy_basic`).
            TCA_STATS_PKT64 => match &mut stats.hardware {
                Some(hardware) if hardware_last => hardware.packets = attribute.u64()?,
                _ => stats.total.packets = attribute.u64()?,
            },
            TCA_STATS_QUEUE => {
                let word = |at| u32_at(attribute, at);
                (stats.qlen, stats.backlog, stats.drops) = (word(0)?, word(4)?, word(8)?);
                (stats.requeues, stats.overlimits) = (word(12)?, word(16)?);
            }
            _ => {}
        }
    }
    Ok(stats)
}

/// `struct gnet_stats_basic`: bytes, then packets.
fn counters(attribute: Attribute<'_>) -> Result<Counters, Malformed> {
    let bytes = attribute.payload().get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    let bytes = bytes.ok_or_else(|| short(attribute, 16))?;
    Ok(Counters { bytes, packets: u64::from(u32_at(attribute, 8)?) })
}

/// What every kind begins its parameters with (`tc_gen`).
struct Parameters {
    index: u32,
    control: Control,
    references: u32,
    bound: u32,
}

impl Parameters {
    fn read(attribute: Attribute<'_>) -> Result<Self, Malformed> {
        let word = |at| u32_at(attribute, at);
        Ok(Self { index: word(0)?, control: word(8)?.into(), references: word(12)?, bound: word(16)? })
    }
}

type Read<'a> = (ActionKind, Option<Parameters>, Option<Attribute<'a>>);

/// What the options of a kind say. Each kind has numbers of its own for parameters and times.
fn kind<'a>(name: &str, options: Attributes<'a>) -> Result<Read<'a>, Malformed> {
    let (times, parameters) = match name {
        "csum" | "ct" => (2, 1),
        _ => (1, 2),
    };
    match name {
        "police" => return police(options),
        "pedit" => return pedit(options),
        _ => {}
    }
    let found = options.find(parameters)?;
    let times = options.find(times)?;
    let Some(found) = found else { return Ok((ActionKind::Other(name.to_owned()), None, times)) };
    let kind = match name {
        "gact" => ActionKind::Generic,
        "mirred" => {
            let way = u32_at(found, REST)?;
            let to = IfIndex(u32_at(found, REST + 4)?);
            // TCA_EGRESS_REDIR 1, TCA_EGRESS_MIRROR 2, TCA_INGRESS_REDIR 3, TCA_INGRESS_MIRROR 4
            ActionKind::Mirred { to, mirror: way % 2 == 0, ingress: way > 2 }
        }
        "vlan" => ActionKind::Vlan(vlan(u32_at(found, REST)?, options)?),
        "tunnel_key" => ActionKind::TunnelKey(tunnel_key(u32_at(found, REST)?, options)?),
        "ct" => conntrack(options)?,
        "csum" => ActionKind::Csum(u32_at(found, REST)?),
        "skbedit" => ActionKind::SkbEdit {
            priority: number(options, 3)?,
            queue: short_number(options, 4)?,
            mark: number(options, 5)?
                .map(|mark| Ok((mark, number(options, 8)?.unwrap_or(u32::MAX))))
                .transpose()?,
            ptype: short_number(options, 7)?,
        },
        other => ActionKind::Other(other.to_owned()),
    };
    Ok((kind, Some(Parameters::read(found)?), times))
}

/// `pedit` keeps its keys under 2, or under 4 where 5 says of which header each is.
fn pedit(options: Attributes<'_>) -> Result<Read<'_>, Malformed> {
    const TM: u16 = 1;
    const PARMS: u16 = 2;
    const PARMS_EX: u16 = 4;
    const KEYS_EX: u16 = 5;
    let times = options.find(TM)?;
    let found = match options.find(PARMS_EX)? {
        Some(extended) => Some(extended),
        None => options.find(PARMS)?,
    };
    let Some(found) = found else { return Ok((ActionKind::Other("pedit".to_owned()), None, times)) };
    let count = usize::from(found.payload().get(20).copied().unwrap_or(0));
    let mut keys = Vec::with_capacity(count);
    for at in (0..count).map(|n| 24 + n * 24) {
        let word = |n: usize| u32_at(found, at + n * 4);
        keys.push(PeditKey { header: 0, mask: word(0)?, value: word(1)?, offset: word(2)?, add: false });
    }
    if let Some(extended) = options.find(KEYS_EX)? {
        for (key, extended) in keys.iter_mut().zip(extended.nest()) {
            let extended = extended?.nest();
            key.header = short_number(extended, 1)?.unwrap_or(0);
            key.add = short_number(extended, 2)? == Some(1);
        }
    }
    Ok((ActionKind::Pedit(keys), Some(Parameters::read(found)?), times))
}

fn police(options: Attributes<'_>) -> Result<Read<'_>, Malformed> {
    const TBF: u16 = 1;
    const TM: u16 = 6;
    const RATE64: u16 = 8;
    const PKTRATE64: u16 = 10;
    let times = options.find(TM)?;
    let Some(found) = options.find(TBF)? else {
        return Ok((ActionKind::Other("police".to_owned()), None, times));
    };
    // struct tc_police: index, action, limit, burst, mtu, two struct tc_ratespec of 12 bytes, refcnt, bindcnt.
    let word = |at| u32_at(found, at);
    let rate = match options.find(RATE64)? {
        Some(rate) => rate.u64()?,
        None => u64::from(word(28)?),
    };
    let packet_rate = options.find(PKTRATE64)?.map(|rate| rate.u64()).transpose()?;
    let parameters =
        Parameters { index: word(0)?, control: word(4)?.into(), references: word(44)?, bound: word(48)? };
    Ok((ActionKind::Police { rate, packet_rate, mtu: word(16)? }, Some(parameters), times))
}

fn vlan(change: u32, options: Attributes<'_>) -> Result<VlanChange, Malformed> {
    const PUSH_ID: u16 = 3;
    const PUSH_PROTOCOL: u16 = 4;
    const PUSH_PRIORITY: u16 = 6;
    let id = short_number(options, PUSH_ID)?.unwrap_or(0);
    Ok(match change {
        1 => VlanChange::Pop,
        2 => VlanChange::Push {
            id,
            protocol: options
                .find(PUSH_PROTOCOL)?
                .map_or(Ok(0), |p| p.array("a u16").map(u16::from_be_bytes))?,
            priority: options.find(PUSH_PRIORITY)?.map_or(Ok(0), |priority| priority.u8())?,
        },
        3 => VlanChange::Modify { id },
        other => VlanChange::Other(other),
    })
}

fn tunnel_key(action: u32, options: Attributes<'_>) -> Result<TunnelKey, Malformed> {
    if action != 1 {
        return Ok(TunnelKey::Release);
    }
    let address = |v4: u16, v6: u16| -> Result<Option<IpAddr>, Malformed> {
        if let Some(address) = options.find(v4)? {
            return Ok(Some(Ipv4Addr::from(address.array::<4>("an IPv4 address")?).into()));
        }
        let v6 = options.find(v6)?.map(|address| address.array::<16>("an IPv6 address")).transpose()?;
        Ok(v6.map(|bytes| Ipv6Addr::from(bytes).into()))
    };
    let be32 = |a: Attribute<'_>| a.array("a u32").map(u32::from_be_bytes);
    let be16 = |a: Attribute<'_>| a.array("a u16").map(u16::from_be_bytes);
    Ok(TunnelKey::Set {
        source: address(3, 5)?,
        destination: address(4, 6)?,
        id: options.find(7)?.map(be32).transpose()?,
        port: options.find(9)?.map(be16).transpose()?,
        no_csum: options.find(10)?.map_or(Ok(0), |flag| flag.u8())? == 1,
        tos: options.find(12)?.map(|tos| tos.u8()).transpose()?,
        ttl: options.find(13)?.map(|ttl| ttl.u8()).transpose()?,
    })
}

fn conntrack(options: Attributes<'_>) -> Result<ActionKind, Malformed> {
    let flags = short_number(options, 3)?.unwrap_or(0);
    let has = |bit: u16| flags & 1 << bit != 0;
    let mark =
        number(options, 5)?.map(|mark| Ok((mark, number(options, 6)?.unwrap_or(u32::MAX)))).transpose()?;
    let nat = match (has(3), has(4), has(5)) {
        (true, true, _) => Some(Nat::Source),
        (true, _, true) => Some(Nat::Destination),
        (true, false, false) => Some(Nat::Established),
        (false, _, _) => None,
    };
    let zone = short_number(options, 4)?;
    Ok(ActionKind::Conntrack { zone, commit: has(0), force: has(1), clear: has(2), mark, nat })
}

fn number(options: Attributes<'_>, kind: u16) -> Result<Option<u32>, Malformed> {
    options.find(kind)?.map(|attribute| attribute.u32()).transpose()
}

fn short_number(options: Attributes<'_>, kind: u16) -> Result<Option<u16>, Malformed> {
    options.find(kind)?.map(|attribute| attribute.u16()).transpose()
}

fn u32_at(attribute: Attribute<'_>, at: usize) -> Result<u32, Malformed> {
    let bytes = attribute.payload().get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_ne_bytes).ok_or_else(|| short(attribute, at + 4))
}

fn short(attribute: Attribute<'_>, size: usize) -> Malformed {
    let length = attribute.payload().len();
    Malformed::Size { kind: attribute.kind(), length, wanted: "a structure", size }
}
