//! The real [`Links`]: rtnetlink, and udev's records of network devices.
//!
//! | file | its job |
//! |---|---|
//! | `socket.rs` | the two sockets and the thread they live on |
//! | `wire.rs` | messages as bytes |
//! | `record.rs` | reads a network device |
//! | `counters.rs` | reads what a device has counted |
//! | `vf.rs` | reads and writes what a PF keeps for its VFs |
//! | `uses.rs` | how the host's own traffic uses a device |
//! | `wait.rs` | waits for devices and their names |
//! | `parent.rs` | which PCI function a device belongs to, where sysfs has to say |
//! | `bond.rs` | bonds |
//! | `udev.rs` | what udev has done with a device |
//!
//! # Why not the `rtnetlink` crate
//! Its connection, `netlink-proto`, is ours too. Its messages are not, for three reasons that were met
//! in version 0.24 with `netlink-packet-route` 0.34: a message of which one attribute cannot be parsed is
//! dropped with a log line, so that a listing lacks a device and a request waits for ever; trust and
//! spoofchk of -1 ("the driver does not say") are read as "off"; and neither the mark of an interrupted
//! listing (`NLM_F_DUMP_INTR`) nor the error with which one broke off reaches the caller. What is needed
//! of rtnetlink is a dozen attributes.

mod bond;
mod counters;
mod parent;
mod record;
mod socket;
mod udev;
mod uses;
mod vf;
mod wait;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join3;
use tokio::sync::Mutex;
use vdpa_netlink::{Errno, Tlvs};

use self::parent::Parents;
use self::record::Record;
use self::socket::Rtnl;
use self::udev::Udev;
use self::wait::Sought;
use self::wire::{
    IFF_UP, Message, RTM_GETADDR, RTM_GETLINK, RTM_GETQDISC, RTM_GETROUTE, RTM_SETLINK, UNSPEC, malformed,
};
use crate::bond::{Bond, BondMode};
use crate::counters::LinkCounters;
use crate::error::{Error, Result};
use crate::link::{Link, Links, ManagementUse, VfAttributes, VfChange};
use crate::nouns::{IfIndex, NetdevName, PciAddress, VfIndex};

/// The network devices of the network namespace that this process runs in.
///
/// Costs nothing until it is used; then two sockets and one thread, however many tasks use it.
#[derive(Debug)]
pub struct RtnlLinks {
    rtnl: Rtnl,
    udev: Udev,
    parents: Parents,
    asked: AtomicU64,
    latest: Mutex<Snapshot>,
}

/// By what one device is asked for.
enum By {
    Index(IfIndex),
    Name(NetdevName),
}

/// A listing of all devices.
#[derive(Debug, Default)]
struct Snapshot {
    /// It was begun after this many had asked for one.
    serves: u64,
    records: Arc<Vec<Record>>,
}

impl RtnlLinks {
    /// The devices of this host, with udev's files below `root`: `/` unless in a test or a container.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            rtnl: Rtnl::default(),
            udev: Udev::new(root.clone()),
            parents: Parents::new(root),
            asked: AtomicU64::new(0),
            latest: Mutex::default(),
        }
    }

    /// All devices as they are now: as a listing shows them that was begun after this was called.
    ///
    /// Whoever asks while a listing is under way shares the next one, so that 64 tasks that wait for 64 VFs
    /// make the kernel list them twice and not 64 times.
    async fn look(&self) -> Result<Arc<Vec<Record>>> {
        let ticket = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut latest = self.latest.lock().await;
        if latest.serves > ticket {
            return Ok(Arc::clone(&latest.records));
        }
        let serves = self.asked.load(Ordering::SeqCst);
        let records = Arc::new(self.list_links().await?);
        *latest = Snapshot { serves, records: Arc::clone(&records) };
        Ok(records)
    }

    async fn list_links(&self) -> Result<Vec<Record>> {
        let everything = Message::about_link(RTM_GETLINK, IfIndex(0), &Tlvs::new());
        let messages = self.rtnl.list(everything, "list the network devices").await?;
        let mut records = Vec::with_capacity(messages.len());
        for message in &messages {
            records.extend(Record::read(message).map_err(malformed("a message about a network device"))?);
        }
        self.parents.complete(&mut records);
        records.sort_by_key(|record| record.link.index);
        Ok(records)
    }

    /// One device as it is now; `None` where there is none.
    async fn one(&self, by: &By) -> Result<Option<Link>> {
        let request = match by {
            By::Index(index) => Message::about_link(RTM_GETLINK, *index, &Tlvs::new()),
            By::Name(name) => {
                let name = Tlvs::new().string(record::IFLA_IFNAME, name.as_str());
                Message::about_link(RTM_GETLINK, IfIndex(0), &name)
            }
        };
        let messages = match self.rtnl.ask(request, "look at a network device").await {
            Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::ENODEV => return Ok(None),
            messages => messages?,
        };
        let mut records = Vec::new();
        for message in &messages {
            records.extend(Record::read(message).map_err(malformed("a message about a network device"))?);
        }
        self.parents.complete(&mut records);
        Ok(records.pop().map(|record| record.link))
    }

    /// The device's name, for an error; its number where it has gone.
    async fn name(&self, link: IfIndex) -> String {
        let found = self.look().await.ok();
        let record =
            found.as_ref().and_then(|records| records.iter().find(|record| record.link.index == link));
        record.map_or_else(|| format!("network device {link}"), |record| record.link.name.to_string())
    }

    /// Sends a request about one device; the intent is made from its name if it fails.
    async fn change(
        &self,
        link: IfIndex,
        request: Message,
        intent: impl FnOnce(&str) -> String,
    ) -> Result<Vec<Message>> {
        match self.rtnl.ask(request, "change a network device").await {
            Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::ENODEV => Err(Error::NoLink(link)),
            Err(Error::Refused { refusal, .. }) => {
                Err(Error::Refused { intent: intent(&self.name(link).await), refusal })
            }
            Err(Error::Permission { .. }) => {
                Err(Error::Permission { intent: intent(&self.name(link).await) })
            }
            answer => answer,
        }
    }
}

impl Default for RtnlLinks {
    fn default() -> Self {
        Self::new("/")
    }
}

#[async_trait]
impl Links for RtnlLinks {
    async fn links(&self) -> Result<Vec<Link>> {
        Ok(self.look().await?.iter().map(|record| record.link.clone()).collect())
    }

    async fn set_up(&self, link: IfIndex, up: bool) -> Result<()> {
        let flags = if up { IFF_UP } else { 0 };
        let request = Message::about_link_flags(RTM_SETLINK, link, flags, IFF_UP, &Tlvs::new());
        self.change(link, request, |name| format!("bring {name} {}", if up { "up" } else { "down" })).await?;
        Ok(())
    }

    async fn vf_attributes(&self, pf: IfIndex) -> Result<BTreeMap<VfIndex, VfAttributes>> {
        let answer = self.change(pf, vf::get(pf), |name| format!("read the VFs of {name}")).await?;
        let message = answer.first().ok_or(Error::NoLink(pf))?;
        vf::read(message).map_err(malformed("a message about VFs"))
    }

    async fn set_vf_attributes(&self, pf: IfIndex, vf: VfIndex, change: VfChange) -> Result<()> {
        for (request, what) in vf::set(pf, vf, change) {
            self.change(pf, request, |name| format!("set VF {vf} of {name}: {what}")).await?;
        }
        Ok(())
    }

    async fn bonds(&self) -> Result<Vec<Bond>> {
        Ok(bond::bonds(&self.look().await?))
    }

    async fn add_bond(&self, name: &NetdevName, mode: BondMode) -> Result<IfIndex> {
        self.make_bond(name, mode).await
    }

    async fn remove_bond(&self, bond: IfIndex) -> Result<()> {
        self.change(bond, bond::remove(bond), |name| format!("remove the bond {name}")).await?;
        Ok(())
    }

    async fn set_master(&self, link: IfIndex, bond: Option<IfIndex>) -> Result<()> {
        let intent = |name: &str| match bond {
            Some(_) => format!("put {name} into its bond"),
            None => format!("take {name} out of its bond"),
        };
        self.change(link, bond::set_master(link, bond), intent).await?;
        Ok(())
    }

    async fn counters(&self, link: IfIndex) -> Result<LinkCounters> {
        let answer =
            self.change(link, counters::get(link), |name| format!("read the counters of {name}")).await?;
        let message = answer.first().ok_or(Error::NoLink(link))?;
        counters::read(message).map_err(malformed("a message about counters"))
    }

    async fn management_uses(&self, link: IfIndex) -> Result<Vec<ManagementUse>> {
        let addresses = Message::listing(RTM_GETADDR, UNSPEC, uses::ADDRESS_HEADER);
        let (records, addresses, routes) = try_join3(
            self.look(),
            self.rtnl.list(addresses, "list the addresses of this host"),
            self.routes(),
        )
        .await?;
        let record = records.iter().find(|record| record.link.index == link).ok_or(Error::NoLink(link))?;
        let mut found = Vec::new();
        for message in &addresses {
            let address = uses::address(message, link).map_err(malformed("a message about an address"))?;
            found.extend(address.map(ManagementUse::Address));
        }
        for message in &routes {
            if uses::is_default_route(message, link).map_err(malformed("a message about a route"))? {
                found.push(ManagementUse::DefaultRoute);
                break;
            }
        }
        found.extend(uses::above(&records, record));
        Ok(found)
    }

    async fn with_ingress_qdisc(&self) -> Result<BTreeSet<IfIndex>> {
        let all = Message::listing(RTM_GETQDISC, UNSPEC, qdisc::HEADER);
        let messages = self.rtnl.list(all, "list the qdiscs").await?;
        let mut links = BTreeSet::new();
        for message in &messages {
            links.extend(qdisc::ingress_of(message).map_err(malformed("a message about a qdisc"))?);
        }
        Ok(links)
    }

    async fn remove_ingress_qdisc(&self, link: IfIndex) -> Result<()> {
        self.change(link, qdisc::remove_ingress(link), |name| format!("remove the ingress qdisc of {name}"))
            .await?;
        Ok(())
    }

    async fn netdev_of(&self, parent: PciAddress, limit: Duration) -> Result<Link> {
        self.await_netdev(Sought::Parent(parent), limit).await
    }

    async fn named(&self, name: &NetdevName, limit: Duration) -> Result<Link> {
        self.await_netdev(Sought::Name(name), limit).await
    }

    async fn settled(&self, links: &[IfIndex], limit: Duration) -> Result<Vec<Link>> {
        self.await_names(links, limit).await
    }
}

impl RtnlLinks {
    async fn routes(&self) -> Result<Vec<Message>> {
        let mut routes = Vec::new();
        for family in uses::FAMILIES {
            let all = Message::listing(RTM_GETROUTE, family, uses::ROUTE_HEADER);
            match self.rtnl.list(all, "list the routes of this host").await {
                Ok(messages) => routes.extend(messages),
                // A kernel without IPv6.
                Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::EOPNOTSUPP => {}
                Err(error) => return Err(error),
            }
        }
        Ok(routes)
    }
}

/// Queueing disciplines: `RTM_NEWQDISC`.
mod qdisc {
    use vdpa_netlink::Malformed;

    use super::wire::{Message, RTM_DELQDISC};
    use crate::nouns::IfIndex;

    /// The length of `struct tcmsg`.
    pub(super) const HEADER: usize = 20;
    const TCA_KIND: u16 = 1;

    /// `TC_H_INGRESS`, which is `TC_H_CLSACT` too: the parent of both qdiscs (`pkt_sched.h`).
    const TC_H_INGRESS: u32 = 0xffff_fff1;

    /// `tc qdisc del dev … ingress`: a `struct tcmsg` of family, device, handle, parent and info.
    pub(super) fn remove_ingress(link: IfIndex) -> Message {
        let words = [0, link.0, TC_H_INGRESS & 0xffff_0000, TC_H_INGRESS, 0];
        Message { kind: RTM_DELQDISC, body: words.iter().flat_map(|word| word.to_ne_bytes()).collect() }
    }

    /// The device of the message, if it tells of a qdisc where filters for incoming packets can stand.
    pub(super) fn ingress_of(message: &Message) -> Result<Option<IfIndex>, Malformed> {
        let kind = message.attributes(HEADER).require(TCA_KIND, "TCA_KIND")?.string();
        let index = IfIndex(message.u32(4)?);
        Ok(matches!(kind.as_str(), "ingress" | "clsact").then_some(index))
    }
}
