//! An interface as flags describe it.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vdpa_hw::MacAddress;
use vdpa_vm::{Alias, Interface, Role, Source};

use crate::config::ConfigError;
use crate::error::Error;

/// What the interface is to be.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// The MAC that the guest sees; the VF's administrative MAC has to be the same.
    #[arg(long, value_name = "MAC")]
    mac: Option<MacAddress>,
    /// The Unix socket at which a datapath process speaks vhost-user.
    #[arg(long, value_name = "PATH", conflicts_with = "vhostdev", requires = "mac")]
    socket: Option<PathBuf>,
    /// The kernel's vDPA device: /dev/vhost-vdpa-N.
    #[arg(long, value_name = "PATH", requires = "mac")]
    vhostdev: Option<PathBuf>,
    /// Queue pairs.
    #[arg(long, value_name = "N", default_value_t = NonZeroU16::MIN)]
    queues: NonZeroU16,
    /// Slots in each receive ring, 256 to 1024 [default: QEMU's 256].
    #[arg(long, value_name = "SLOTS")]
    rx_ring: Option<u16>,
    /// Slots in each transmit ring, as above.
    #[arg(long, value_name = "SLOTS")]
    tx_ring: Option<u16>,
    /// Keep the doorbells of all virtqueues on one page, so that none can be mapped to the card.
    #[arg(long)]
    no_page_per_vq: bool,
    /// With `--socket`: who makes it, and waits there for the other.
    #[arg(long, value_name = "WHO", default_value = "datapath", requires = "socket")]
    listener: Listener,
    /// With `--socket`: seconds between QEMU's tries to connect again after the datapath went away. With it, the
    /// domain's start waits for the datapath too.
    #[arg(long, value_name = "SECONDS", requires = "socket")]
    reconnect: Option<u32>,
}

/// Who makes a vhost-user socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Listener {
    /// The datapath; QEMU connects.
    Datapath,
    /// QEMU; the datapath connects.
    Qemu,
}

impl Wanted {
    /// Whether an interface is asked for at all.
    pub(super) fn is_asked_for(&self) -> bool {
        self.mac.is_some() || self.socket.is_some() || self.vhostdev.is_some()
    }

    /// The interface.
    pub(super) fn interface(&self) -> Result<Interface, Error> {
        let source = match (&self.socket, &self.vhostdev) {
            (Some(socket), _) => Source::VhostUser { socket: socket.clone(), role: self.role()? },
            (None, Some(device)) => Source::Vdpa { device: device.clone() },
            (None, None) => {
                return Err(usage("an interface without a source", "name its `--socket` or `--vhostdev`"));
            }
        };
        let mac = self.mac.ok_or_else(|| usage("an interface without a MAC", "name its `--mac`"))?;
        Ok(Interface {
            queues: self.queues,
            rx_ring: self.rx_ring,
            tx_ring: self.tx_ring,
            page_per_vq: !self.no_page_per_vq,
            ..Interface::new(mac, source)
        })
    }

    fn role(&self) -> Result<Role, Error> {
        match (self.listener, self.reconnect) {
            (Listener::Datapath, reconnect) => Ok(Role::Client { reconnect }),
            (Listener::Qemu, None) => Ok(Role::Server),
            (Listener::Qemu, Some(_)) => Err(usage(
                "--reconnect where QEMU listens",
                "leave it away: the datapath connects again, or not",
            )),
        }
    }
}

/// Whom the interface is for in this document: the one of ours that has its MAC already is put in its place.
pub(super) fn owner(xml: &str, interface: &Interface) -> Result<Alias, Error> {
    let there = vdpa_vm::xml::with_mac(xml, interface.mac)?;
    Ok(there.unwrap_or_else(|| interface.mac.into()))
}

pub(super) fn usage(message: &str, hint: &str) -> Error {
    let (message, hint) = (message.to_owned(), hint.to_owned());
    ConfigError { message, place: None, hint }.into()
}
