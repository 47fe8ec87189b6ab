//! What a domain gets for one VF.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vdpa_hw::MacAddress;

/// The network interface that a domain has for one VF: what libvirt's `<interface>` says of it.
///
/// Source: <https://libvirt.org/formatdomain.html#network-interfaces>.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The MAC the guest sees; the VF's administrative MAC has to be the same.
    pub mac: MacAddress,
    /// Where the guest's queues are served.
    pub source: Source,
    /// Queue pairs. libvirt gives the device 2N + 2 MSI-X vectors for N of them.
    pub queues: NonZeroU16,
    /// Slots in each receive ring, 256 to 1024 and a power of two; `None` is QEMU's 256.
    pub rx_ring: Option<u16>,
    /// Slots in each transmit ring, as [`rx_ring`](Self::rx_ring).
    pub tx_ring: Option<u16>,
    /// Whether each virtqueue's doorbell has a page of its own, so that it can be mapped to the card.
    pub page_per_vq: bool,
}

impl Interface {
    /// An interface with one queue pair and QEMU's defaults.
    pub fn new(mac: MacAddress, source: Source) -> Self {
        Self { mac, source, queues: NonZeroU16::MIN, rx_ring: None, tx_ring: None, page_per_vq: false }
    }

    /// Whether the domain's memory has to be shared with another process for it.
    pub fn needs_shared_memory(&self) -> bool {
        matches!(self.source, Source::VhostUser { .. })
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mac, self.source)?;
        if self.queues.get() > 1 {
            write!(f, ", {} queues", self.queues)?;
        }
        for (ring, name) in [(self.rx_ring, "rx"), (self.tx_ring, "tx")] {
            if let Some(size) = ring {
                write!(f, ", {name} ring {size}")?;
            }
        }
        if self.page_per_vq {
            write!(f, ", page per vq")?;
        }
        Ok(())
    }
}

/// Where the guest's queues are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A datapath process speaks vhost-user over a Unix socket.
    VhostUser {
        /// The socket: an absolute path of at most 107 bytes.
        socket: PathBuf,
        /// QEMU's part at it.
        role: Role,
    },
    /// The kernel's vDPA bus: `/dev/vhost-vdpa-N`.
    Vdpa {
        /// The character device.
        device: PathBuf,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VhostUser { socket, role: Role::Server } => {
                write!(f, "{} (QEMU listens)", socket.display())
            }
            Self::VhostUser { socket, role: Role::Client { reconnect: None } } => socket.display().fmt(f),
            Self::VhostUser { socket, role: Role::Client { reconnect: Some(seconds) } } => {
                write!(f, "{} (reconnects after {seconds} s)", socket.display())
            }
            Self::Vdpa { device } => device.display().fmt(f),
        }
    }
}

/// QEMU's part at a vhost-user socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// QEMU connects; the datapath made the socket and listens.
    ///
    /// Without `reconnect` a start fails at once where nobody listens; with it the start waits until
    /// somebody does (seen with libvirt 9.0 and QEMU 7.2): start the datapath first.
    Client {
        /// Seconds between tries to connect again after the datapath went away; `None`: it does not try.
        reconnect: Option<u32>,
    },
    /// QEMU makes the socket and listens; the domain starts when the datapath has connected.
    Server,
}
