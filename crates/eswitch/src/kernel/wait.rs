//! Waiting for representors: on what devlink announces, not by looking again and again.
//!
//! ```text
//!   look ── enough ─────────────► the representors
//!    ▼                                 ▲
//!   listen ─► look ── enough ──────────┘
//!              ▲  └── not yet ─► announced: a port with its netdev ─► added to what was seen
//!              │                                                          │      │
//!              └────────── enough now, lost, or nothing for a while ──────┘      └─► next
//! ```
//!
//! The first look spares a socket where they are there already: opening and closing one that listens waits until nobody is
//! in the middle of an announcement (`netlink_table_grab()` in `net/netlink/af_netlink.c`), 12 ms on a CPU that is shared with udev.
//!
//! Each look lists every port there is. What is announced is added up instead, so that the VFs of a card, which come
//! one by one over a minute, cost a few looks and not one each.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vdpa_netlink::{LinkEvents, Message, Notifications};

use super::Kernel;
use crate::devlink::numbers::command::DEVLINK_CMD_PORT_NEW;
use crate::error::Result;
use crate::{DevlinkHandle, Eswitch, Flavour, Port, Representor, Representors, devlink};

/// How long nothing may be announced before it is looked at all the same: drivers without ports for their VFs
/// announce none.
const LOOK_ANYWAY: Duration = Duration::from_millis(500);

/// Waits until `enough` representors are there or `limit` is over, and returns what was seen last.
pub(super) async fn until(
    kernel: &Kernel,
    device: &DevlinkHandle,
    limit: Duration,
    enough: impl Fn(&Representors) -> bool + Send,
) -> Result<Representors> {
    let deadline = Instant::now() + limit;
    let seen = kernel.representors(device).await?;
    if enough(&seen) {
        return Ok(seen);
    }
    // Listening starts before the next look: what comes in between is not missed.
    let mut news =
        News { ports: devlink::FAMILY.subscribe(devlink::GROUP).await?, links: LinkEvents::listen()? };
    loop {
        let mut seen = kernel.representors(device).await?;
        if enough(&seen) || Instant::now() >= deadline {
            return Ok(seen);
        }
        let _waiting =
            tracing::debug_span!("eswitch.await_representors", waits_for = "kernel", %device, ?seen);
        while let Ok(heard) = timeout_at(deadline.min(Instant::now() + LOOK_ANYWAY), news.next(device)).await
        {
            match heard {
                Heard::Port(port) => note(&mut seen, *port),
                // Where no VF has a port, its netdev is all there is to be heard of.
                Heard::Link if !seen.vfs.is_empty() => {}
                Heard::Link | Heard::Lost => break,
            }
            if enough(&seen) {
                break;
            }
        }
    }
}

/// What is heard while waiting.
struct News {
    ports: Notifications,
    links: LinkEvents,
}

enum Heard {
    /// A port of the device's, as it is now.
    Port(Box<Port>),
    /// Some network device has come or changed.
    Link,
    /// Something was missed.
    Lost,
}

impl News {
    async fn next(&mut self, device: &DevlinkHandle) -> Heard {
        loop {
            tokio::select! {
                message = self.ports.next() => match message {
                    Ok(message) => if let Some(port) = port_of(&message, device) {
                        return Heard::Port(Box::new(port));
                    },
                    Err(error) => {
                        tracing::debug!(%error, "devlink");
                        return Heard::Lost;
                    }
                },
                link = self.links.next() => match link {
                    Ok(()) => return Heard::Link,
                    Err(error) => {
                        tracing::debug!(%error, "rtnetlink");
                        return Heard::Lost;
                    }
                },
            }
        }
    }
}

/// The port that a message announces, if it is one of the device's.
fn port_of(message: &Message, device: &DevlinkHandle) -> Option<Port> {
    if message.command() != DEVLINK_CMD_PORT_NEW || devlink::device(message.attributes()).ok()? != *device {
        return None;
    }
    devlink::port::read(message.attributes()).ok()
}

/// Adds a port to what was seen.
fn note(seen: &mut Representors, port: Port) {
    let vf = port.local_vf();
    let Some((index, name)) = port.netdev else { return };
    let representor = Representor { index, name };
    match (vf, port.flavour) {
        (Some(vf), _) => drop(seen.vfs.insert(vf, representor)),
        (None, Some(Flavour::Physical)) => seen.uplink = Some(representor),
        _ => {}
    }
}
