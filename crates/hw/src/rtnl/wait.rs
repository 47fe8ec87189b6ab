//! Waiting for network devices: that they come, and that udev has done with them.
//!
//! ```text
//!             ┌────────────── gone ◄─────────────┐
//!             ▼                                  │
//!   listen ─► look ── none ─► news ── ours ─► udev ── done ─► look once more ─► the link
//!                              │  ▲               │
//!                              └──┘ others'       └── limit ─► Timeout, with what was seen
//! ```
//!
//! Listening always comes before looking, so that nothing falls between the two; and what was heard is
//! looked at once more before it is returned, because a mode switch may have replaced it meanwhile.
//!
//! 128 VFs are waited for side by side, each as long as it takes: one that is there is asked for by itself, since a
//! listing has every device of the host, and one for each VF would grow with their square.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::record::Record;
use super::socket::News;
use super::udev::Change;
use super::{By, RtnlLinks};
use crate::error::{Error, Result};
use crate::link::Link;
use crate::nouns::{IfIndex, NetdevName, PciAddress};

/// Which network device is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sought<'a> {
    /// A PCI function's own.
    Parent(PciAddress),
    /// The one of this name.
    Name(&'a NetdevName),
}

impl RtnlLinks {
    /// See [`Links::netdev_of`](crate::Links::netdev_of) and [`Links::named`](crate::Links::named).
    pub(super) async fn await_netdev(&self, sought: Sought<'_>, limit: Duration) -> Result<Link> {
        let deadline = Instant::now() + limit;
        let mut news = self.rtnl.listen().await?;
        loop {
            let mut found = self.seek(sought).await?;
            let waiting = tracing::debug_span!("rtnetlink.await_netdev", waits_for = "kernel", %sought);
            while found.is_none() {
                match timeout_at(deadline, news.recv()).await {
                    Ok(Ok(News::Link(record))) if sought.is(&record.link) => {
                        found = Some(record.link.index);
                    }
                    Ok(Ok(News::Link(_) | News::Gone(_))) => {}
                    Ok(Ok(News::Lost) | Err(RecvError::Lagged(_))) => break,
                    Ok(Err(RecvError::Closed)) => return Err(deaf()),
                    Err(_) => return Err(self.no_netdev(sought, limit).await),
                }
            }
            drop(waiting);
            let Some(index) = found else { continue };
            match self.await_udev(&[index], deadline, limit).await {
                Err(Error::NoLink(_)) => continue, // replaced meanwhile
                done => done?,
            }
            if let Some(link) = self.one(&By::Index(index)).await?.filter(|link| sought.is(link)) {
                return Ok(link);
            }
        }
    }

    /// The device that is sought, if it is there: by the one name that sysfs has for it, or from a listing.
    async fn seek(&self, sought: Sought<'_>) -> Result<Option<IfIndex>> {
        let name = match sought {
            Sought::Parent(parent) => self.parents.only_netdev(parent),
            Sought::Name(name) => Some(name.clone()),
        };
        if let Some(name) = name
            && let Some(link) = self.one(&By::Name(name)).await?.filter(|link| sought.is(link))
        {
            return Ok(Some(link.index));
        }
        Ok(sought.among(&self.look().await?).map(|link| link.index))
    }

    /// See [`Links::settled`](crate::Links::settled).
    pub(super) async fn await_names(&self, links: &[IfIndex], limit: Duration) -> Result<Vec<Link>> {
        self.await_udev(links, Instant::now() + limit, limit).await?;
        let records = self.look().await?;
        let find = |index: &IfIndex| records.iter().find(|record| record.link.index == *index);
        links.iter().map(|index| Ok(find(index).ok_or(Error::NoLink(*index))?.link.clone())).collect()
    }

    /// Returns when udev has done with these devices, or at once where it is not in charge.
    async fn await_udev(&self, links: &[IfIndex], deadline: Instant, limit: Duration) -> Result<()> {
        if !self.udev.is_in_charge() || links.iter().all(|&link| self.udev.has_done_with(link)) {
            return Ok(());
        }
        let mut changes = self.udev.listen(&self.rtnl.background().await?.runtime)?;
        let mut news = self.rtnl.listen().await?;
        let mut waiting: BTreeSet<_> = links.iter().copied().collect();
        waiting.retain(|&link| !self.udev.has_done_with(link));
        if !waiting.is_empty() {
            self.all_exist(&waiting).await?;
        }
        let _waiting = tracing::debug_span!("udev.await", waits_for = "udev", devices = waiting.len());
        while !waiting.is_empty() {
            tokio::select! {
                change = changes.next() => match change {
                    Ok(Change::Of(link)) => if waiting.contains(&link) && self.udev.has_done_with(link) {
                        waiting.remove(&link);
                    },
                    Ok(Change::Some) | Err(RecvError::Lagged(_)) => {
                        waiting.retain(|&link| !self.udev.has_done_with(link));
                    }
                    Err(RecvError::Closed) => return Err(deaf()),
                },
                item = news.recv() => match item {
                    Ok(News::Gone(link)) if waiting.contains(&link) => return Err(Error::NoLink(link)),
                    Ok(News::Link(_) | News::Gone(_)) => {}
                    Ok(News::Lost) | Err(RecvError::Lagged(_)) => self.all_exist(&waiting).await?,
                    Err(RecvError::Closed) => return Err(deaf()),
                },
                () = sleep_until(deadline) => return Err(self.no_names(&waiting, links.len(), limit).await),
            }
        }
        Ok(())
    }

    async fn all_exist(&self, links: &BTreeSet<IfIndex>) -> Result<()> {
        if let (Some(&link), 1) = (links.first(), links.len()) {
            return self.one(&By::Index(link)).await?.map(|_| ()).ok_or(Error::NoLink(link));
        }
        let records = self.look().await?;
        let missing = links.iter().find(|link| records.iter().all(|record| record.link.index != **link));
        missing.map_or(Ok(()), |link| Err(Error::NoLink(*link)))
    }

    async fn no_netdev(&self, sought: Sought<'_>, limit: Duration) -> Error {
        let records = match self.look().await {
            Ok(records) => records,
            Err(error) => return error,
        };
        let near = |record: &&Record| match sought {
            Sought::Parent(parent) => record.link.parent == Some(parent),
            Sought::Name(_) => false,
        };
        let others: Vec<_> = records.iter().filter(near).collect();
        Error::Timeout {
            awaited: sought.to_string(),
            limit,
            seen: match &others[..] {
                [] => "none".to_owned(),
                others => format!("only representors: {}", names(others.iter().copied())),
            },
        }
    }

    async fn no_names(&self, waiting: &BTreeSet<IfIndex>, of: usize, limit: Duration) -> Error {
        let records = match self.look().await {
            Ok(records) => records,
            Err(error) => return error,
        };
        let unnamed = names(records.iter().filter(|record| waiting.contains(&record.link.index)));
        Error::Timeout {
            awaited: "udev's names of network devices".to_owned(),
            limit,
            seen: format!("{} of {of} not yet named: {unnamed}", waiting.len()),
        }
    }
}

impl Sought<'_> {
    fn is(self, link: &Link) -> bool {
        match self {
            // Since Linux 5.8 representors share the PF as their parent (SR-IOV network operator #75).
            Self::Parent(parent) => link.parent == Some(parent) && !link.is_representor(),
            Self::Name(name) => link.name == *name,
        }
    }

    /// The first if a function has several (one a port, on some cards).
    fn among(self, records: &[Record]) -> Option<&Link> {
        let links = records.iter().map(|record| &record.link);
        links.filter(|link| self.is(link)).min_by_key(|link| link.index)
    }
}

impl fmt::Display for Sought<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent(parent) => write!(f, "the network device of {parent}"),
            Self::Name(name) => write!(f, "network device {name}"),
        }
    }
}

fn names<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    records.map(|record| record.link.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn deaf() -> Error {
    Error::io("listen to the host".to_owned(), std::io::ErrorKind::BrokenPipe.into())
}
