//! The filters of this host: the one part of this crate that touches it.

mod read;

use async_trait::async_trait;
use vdpa_hw::IfIndex;
use vdpa_netlink::{Malformed, RouteMessage, Tlvs};

use crate::error::{Error, Result};
use crate::tc::{SlowPath, Tc};
use crate::{Chain, Direction, Filter, Hook};

/// The filters of the network namespace that the calling thread is in, asked by rtnetlink.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

const RTM_GETQDISC: u16 = 38;
const RTM_GETTFILTER: u16 = 46;
const RTM_GETSTATS: u16 = 94;
const RTM_GETCHAIN: u16 = 102;

/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and the same of egress: an ingress qdisc takes the first for itself.
const PARENT: [(Direction, u32); 2] = [(Direction::Ingress, 0xffff_fff2), (Direction::Egress, 0xffff_fff3)];

#[async_trait]
impl Tc for Kernel {
    async fn hooks(&self) -> Result<Vec<Hook>> {
        let intent = "list the qdiscs";
        let messages = about(RTM_GETQDISC, IfIndex(0), 0).dump(intent).await?;
        let hooks = messages.iter().filter_map(|message| read::hook(message).transpose());
        hooks.collect::<Result<_, _>>().map_err(unreadable(intent))
    }

    async fn filters(&self, link: IfIndex, direction: Direction) -> Result<Vec<Filter>> {
        if !self.has(link, direction).await? {
            return Ok(Vec::new());
        }
        let intent = format!("list the {direction} filters of network device {link}");
        let messages = about(RTM_GETTFILTER, link, parent(direction)).dump(&intent).await?;
        let filters = messages.iter().filter_map(|message| read::filter(message, direction).transpose());
        filters.collect::<Result<_, _>>().map_err(unreadable(&intent))
    }

    async fn chains(&self, link: IfIndex, direction: Direction) -> Result<Vec<Chain>> {
        if !self.has(link, direction).await? {
            return Ok(Vec::new());
        }
        let intent = format!("list the {direction} chains of network device {link}");
        let messages = about(RTM_GETCHAIN, link, parent(direction)).dump(&intent).await?;
        messages.iter().map(read::chain).collect::<Result<_, _>>().map_err(unreadable(&intent))
    }

    async fn slow_path(&self, link: IfIndex) -> Result<Option<SlowPath>> {
        let intent = format!("read the statistics of network device {link}");
        // struct if_stats_msg: family, pad, ifindex, and which statistics are wanted.
        let header =
            [[0; 4], link.0.to_ne_bytes(), (1u32 << (read::OFFLOAD_XSTATS - 1)).to_ne_bytes()].concat();
        let messages = RouteMessage::new(RTM_GETSTATS, &header, &Tlvs::new()).request(&intent).await?;
        let Some(message) = messages.first() else { return Ok(None) };
        read::slow_path(message).map_err(unreadable(&intent))
    }
}

impl Kernel {
    /// Whether the device has filters of this direction at all: asked for its egress filters, an ingress qdisc
    /// answers with those of ingress (`ingress_tcf_block` in `net/sched/sch_ingress.c` takes any class).
    async fn has(&self, link: IfIndex, direction: Direction) -> Result<bool> {
        if direction == Direction::Ingress {
            return Ok(true);
        }
        Ok(self.hooks().await?.iter().any(|hook| hook.link == link && hook.has(direction)))
    }
}

fn parent(direction: Direction) -> u32 {
    PARENT.iter().find(|(of, _)| *of == direction).map_or(0, |(_, parent)| *parent)
}

/// A request with a `struct tcmsg`: family, device, handle, parent, info.
fn about(kind: u16, link: IfIndex, parent: u32) -> RouteMessage {
    let header: Vec<u8> =
        [0, link.0, 0, parent, 0].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
    RouteMessage::new(kind, &header, &Tlvs::new())
}

fn unreadable(intent: &str) -> impl Fn(Malformed) -> Error + '_ {
    move |malformed| Error::Netlink(vdpa_netlink::Error::malformed(intent, malformed))
}
