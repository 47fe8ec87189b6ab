//! Packets to measure by: sent by us from one end to another, or whoever else's.
//!
//! | file | its job |
//! |---|---|
//! | `end.rs` | where packets are sent from: a network namespace, a device |
//! | `icmp.rs` | echo requests and their replies |
//! | `tcp.rs` | a stream, and an end that sends it back |
//! | `simulated.rs` | packets of a simulated host |

mod end;
mod icmp;
mod simulated;
mod tcp;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

pub use end::End;
pub use simulated::SimulatedTraffic;
pub(crate) use simulated::{dump, ports};

use crate::error::Error;

/// From one packet to the next: 20 a second.
const INTERVAL: Duration = Duration::from_millis(50);

/// Packets to be sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where from.
    pub from: End,
    /// Where to.
    pub to: IpAddr,
    /// By TCP to this port, which we open at `sink` where that is given; echo requests otherwise.
    pub tcp: Option<u16>,
    /// Where `to` is, for TCP.
    pub sink: Option<End>,
}

/// What has been sent, and what came back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Packets sent (of TCP: pieces of the stream).
    pub sent: u64,
    /// Answers that came back.
    pub received: u64,
}

impl Progress {
    /// What has been added since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { sent: self.sent - before.sent, received: self.received - before.received }
    }
}

/// Who sends packets on a host.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Begins to send; without a plan, others do.
    ///
    /// # Errors
    /// [`Error::Traffic`] where nothing can be sent.
    async fn start(&self, plan: Option<&Plan>) -> Result<Box<dyn Flowing>, Error>;
}

/// Packets that flow until it is dropped.
#[async_trait]
pub trait Flowing: Send + Sync {
    /// Lets them flow for a while, and tells how many have been sent since the beginning.
    ///
    /// # Errors
    /// [`Error::Traffic`] where nothing could be sent.
    async fn flow_for(&mut self, time: Duration) -> Result<Progress, Error>;
}

/// Packets of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealTraffic;

#[async_trait]
impl Traffic for RealTraffic {
    async fn start(&self, plan: Option<&Plan>) -> Result<Box<dyn Flowing>, Error> {
        let Some(plan) = plan else { return Ok(Box::new(Others)) };
        let shared = Arc::new(Shared::default());
        if let (Some(port), Some(sink)) = (plan.tcp, &plan.sink) {
            tcp::serve(sink, plan.to, port, Arc::clone(&shared)).await?;
        }
        match plan.tcp {
            Some(port) => tcp::stream(plan, port, Arc::clone(&shared)).await?,
            None => icmp::ping(plan, Arc::clone(&shared)).await?,
        }
        Ok(Box::new(Ours { shared }))
    }
}

/// Whoever else sends something.
struct Others;

#[async_trait]
impl Flowing for Others {
    async fn flow_for(&mut self, time: Duration) -> Result<Progress, Error> {
        tokio::time::sleep(time).await;
        Ok(Progress::default())
    }
}

/// What a thread that sends has in common with whoever asked for it.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
    failed: std::sync::Mutex<Option<String>>,
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, why: String) {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(why);
    }
}

struct Ours {
    shared: Arc<Shared>,
}

#[async_trait]
impl Flowing for Ours {
    async fn flow_for(&mut self, time: Duration) -> Result<Progress, Error> {
        tokio::time::sleep(time).await;
        let failed = self.shared.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match failed {
            Some(why) => Err(Error::Traffic { why }),
            None => Ok(Progress {
                sent: self.shared.sent.load(Ordering::Relaxed),
                received: self.shared.received.load(Ordering::Relaxed),
            }),
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
