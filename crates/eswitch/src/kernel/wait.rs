//! Waiting for representors: on what devlink and rtnetlink announce, not by looking again and again.

use std::time::Duration;

use tokio::time::Instant;
use vdpa_netlink::{LinkEvents, Notifications};

use super::Kernel;
use crate::error::Result;
use crate::{DevlinkHandle, Eswitch, Representors, devlink};

/// Announcements come in bursts, one for each port and netdev: this much quiet ends a burst, and one
/// look is enough for all of it.
const BURST: Duration = Duration::from_millis(2);

/// Looks at the representors now and after each burst of announcements, until `enough` or `limit`, and
/// returns what was seen last.
pub(super) async fn until(
    kernel: &Kernel,
    device: &DevlinkHandle,
    limit: Duration,
    enough: impl Fn(&Representors) -> bool + Send,
) -> Result<Representors> {
    let deadline = Instant::now() + limit;
    // Listening starts before the first look: what comes in between is not missed.
    let mut ports = devlink::FAMILY.subscribe(devlink::GROUP).await?;
    let mut links = LinkEvents::listen()?;
    loop {
        let seen = kernel.representors(device).await?;
        if enough(&seen) {
            return Ok(seen);
        }
        let _waiting =
            tracing::debug_span!("eswitch.await_representors", waits_for = "kernel", %device, ?seen);
        if tokio::time::timeout_at(deadline, announcement(&mut ports, &mut links)).await.is_err() {
            return Ok(seen);
        }
        while tokio::time::timeout(BURST, announcement(&mut ports, &mut links)).await.is_ok()
            && Instant::now() < deadline
        {}
    }
}

/// Returns when something was announced, or lost, which is as good a reason to look.
async fn announcement(ports: &mut Notifications, links: &mut LinkEvents) {
    tokio::select! {
        port = ports.next() => if let Err(error) = port { tracing::debug!(%error, "devlink"); },
        link = links.next() => if let Err(error) = link { tracing::debug!(%error, "rtnetlink"); },
    }
}
