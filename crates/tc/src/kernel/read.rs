//! Reads messages about qdiscs, chains and filters: a `struct tcmsg`, then attributes.
//!
//! Source: `include/uapi/linux/rtnetlink.h`, `pkt_cls.h`, `pkt_sched.h`, `if_link.h`.

use vdpa_hw::IfIndex;
use vdpa_netlink::{Attributes, Malformed, RouteMessage};

use crate::tc::SlowPath;
use crate::{
    Chain, Classifier, Direction, Filter, Flags, Flower, Hook, Match, Place, QdiscKind, Unread, action,
};

/// The length of `struct tcmsg`.
pub(super) const HEADER: usize = 20;
/// `TCM_IFINDEX_MAGIC_BLOCK`: the filter is of a shared block, whose number stands for the parent.
const BLOCK: u32 = 0xffff_ffff;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_INGRESS_BLOCK: u16 = 13;
const TCA_EGRESS_BLOCK: u16 = 14;

const TCA_FLOWER_CLASSID: u16 = 1;
const TCA_FLOWER_INDEV: u16 = 2;
const TCA_FLOWER_ACT: u16 = 3;
const TCA_FLOWER_FLAGS: u16 = 22;
const TCA_FLOWER_IN_HW_COUNT: u16 = 86;
const NO_KEYS: [u16; 5] =
    [TCA_FLOWER_CLASSID, TCA_FLOWER_INDEV, TCA_FLOWER_ACT, TCA_FLOWER_FLAGS, TCA_FLOWER_IN_HW_COUNT];

/// `IFLA_STATS_LINK_OFFLOAD_XSTATS`.
pub(super) const OFFLOAD_XSTATS: u16 = 4;
/// `IFLA_OFFLOAD_XSTATS_CPU_HIT`: a `struct rtnl_link_stats64`.
const CPU_HIT: u16 = 1;

/// The device of the message, if it tells of a qdisc where filters for its packets can stand.
pub(super) fn hook(message: &RouteMessage) -> Result<Option<Hook>, Malformed> {
    let attributes = message.attributes(HEADER);
    let kind = match attributes.require(TCA_KIND, "TCA_KIND")?.string().as_str() {
        "ingress" => QdiscKind::Ingress,
        "clsact" => QdiscKind::Clsact,
        _ => return Ok(None),
    };
    let block = |kind| attributes.find(kind)?.map(|block| block.u32()).transpose();
    Ok(Some(Hook {
        link: IfIndex(message.u32(4)?),
        kind,
        ingress_block: block(TCA_INGRESS_BLOCK)?,
        egress_block: block(TCA_EGRESS_BLOCK)?,
    }))
}

/// The chain of the message: `TCA_KIND` is that of its template.
pub(super) fn chain(message: &RouteMessage) -> Result<Chain, Malformed> {
    let attributes = message.attributes(HEADER);
    let index = attributes.require(TCA_CHAIN, "TCA_CHAIN")?.u32()?;
    Ok(Chain { index, template: attributes.find(TCA_KIND)?.is_some() })
}

/// The filter of the message; `None` for the head of its priority, which the kernel lists too
/// (`tcf_chain_dump` in `net/sched/cls_api.c`).
pub(super) fn filter(message: &RouteMessage, direction: Direction) -> Result<Option<Filter>, Malformed> {
    let attributes = message.attributes(HEADER);
    let (handle, info) = (message.u32(8)?, message.u32(16)?);
    let Some(options) = attributes.find(TCA_OPTIONS)? else { return Ok(None) };
    let place = match message.u32(4)? {
        BLOCK => Place::Block(message.u32(12)?),
        index => Place::Link(IfIndex(index), direction),
    };
    let kind = attributes.require(TCA_KIND, "TCA_KIND")?.string();
    let classifier = match kind.as_str() {
        "flower" => Classifier::Flower(Box::new(flower(options.nest())?)),
        _ => Classifier::Other { kind, actions: Vec::new() },
    };
    let [high, low] = [info >> 16, info & 0xffff].map(|half| u16::try_from(half).unwrap_or(0));
    Ok(Some(Filter {
        place,
        chain: attributes.find(TCA_CHAIN)?.map_or(Ok(0), |chain| chain.u32())?,
        priority: high,
        protocol: u16::from_be(low),
        handle,
        classifier,
    }))
}

fn flower(options: Attributes<'_>) -> Result<Flower, Malformed> {
    let (matches, unread) = Match::read(options, &NO_KEYS)?;
    let number = |kind| options.find(kind)?.map(|attribute| attribute.u32()).transpose();
    Ok(Flower {
        matches,
        unread: unread.into_iter().map(Unread::Attribute).collect(),
        indev: options.find(TCA_FLOWER_INDEV)?.map(|name| name.string()),
        class_id: number(TCA_FLOWER_CLASSID)?,
        flags: Flags(number(TCA_FLOWER_FLAGS)?.unwrap_or(0)),
        in_hw_count: number(TCA_FLOWER_IN_HW_COUNT)?,
        actions: options
            .find(TCA_FLOWER_ACT)?
            .map_or(Ok(Vec::new()), |list| action::read::actions(list.nest()))?,
    })
}

/// What the CPU has seen of a device, where its driver tells.
pub(super) fn slow_path(message: &RouteMessage) -> Result<Option<SlowPath>, Malformed> {
    /// The length of `struct if_stats_msg`.
    const HEADER: usize = 12;
    let Some(offload) = message.attributes(HEADER).find(OFFLOAD_XSTATS)? else { return Ok(None) };
    let Some(stats) = offload.nest().find(CPU_HIT)? else { return Ok(None) };
    // struct rtnl_link_stats64 begins with rx_packets and tx_packets.
    let number = |at: usize| stats.payload().get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    let number = |at| number(at).map(u64::from_ne_bytes);
    Ok(number(0).zip(number(8)).map(|(rx_packets, tx_packets)| SlowPath { rx_packets, tx_packets }))
}
