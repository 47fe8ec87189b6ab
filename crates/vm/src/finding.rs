//! What does not fit between an interface, a domain and the host that it is to run on.

mod weight;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use vdpa_hw::platform::PageSize;
use vdpa_hw::{MacAddress, PciAddress, Vf};

use crate::check::MAX_QUEUES;
use crate::{DomainName, Version};

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It works, and could work better.
    Advice,
    /// It works less well than it could, or not yet.
    Warning,
    /// It cannot work.
    Error,
}

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The MAC is one that no station may have.
    NoStation(MacAddress),
    /// Another interface of the domain has the MAC.
    DuplicateMac {
        /// The MAC.
        mac: MacAddress,
        /// The other interface, as the user would look for it.
        other: String,
    },
    /// Another interface of the domain is served by the same socket or device.
    SourceTaken {
        /// The socket or device.
        source: PathBuf,
        /// The other interface.
        other: String,
    },
    /// Another device of the domain has the PCI address.
    AddressTaken {
        /// The address in the guest.
        address: PciAddress,
        /// The other device.
        other: String,
    },
    /// The path cannot be a Unix socket's or a device's.
    Path {
        /// The path.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// A ring has a size that virtio-net does not allow.
    RingSize {
        /// `rx` or `tx`.
        ring: &'static str,
        /// Its slots.
        size: u16,
    },
    /// More queue pairs than a virtio device can have.
    TooManyQueues(u16),
    /// The domain says itself that its memory is not to be shared.
    PrivateMemory(&'static str),
    /// More queue pairs than the guest has CPUs to serve them.
    QueuesOverVcpus {
        /// Queue pairs.
        queues: u16,
        /// vCPUs.
        vcpus: u16,
    },
    /// A NIC in `<qemu:commandline>` has fewer interrupt vectors than its queues need, so that they share one.
    Vectors {
        /// The argument.
        argument: String,
        /// Its vectors.
        vectors: u32,
        /// Its queue pairs.
        queues: u32,
    },
    /// The domain's hard limit is less than what QEMU locks of its memory.
    HardLimit {
        /// The limit in KiB.
        limit_kib: u64,
        /// What is locked, in KiB.
        needed_kib: u64,
        /// For how many devices.
        devices: u64,
    },
    /// The domain pins its vCPUs already, and otherwise.
    PinnedAlready,
    /// This libvirt does not know something that is needed.
    OldLibvirt {
        /// What.
        what: &'static str,
        /// From which version on it is known.
        since: Version,
        /// The version there is.
        libvirt: Version,
    },
    /// The domain's vCPUs float, while the card is on one node.
    Unpinned {
        /// The card's node.
        node: u16,
        /// CPUs of that node that nobody is pinned to, one for each vCPU.
        proposal: Vec<u32>,
    },
    /// The host has fewer huge pages free than the domain's memory takes.
    NoHugePages {
        /// Their size.
        size: PageSize,
        /// How many are needed.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// The card's node has fewer huge pages free than the domain's memory takes; the host has enough.
    FarHugePages {
        /// Their size.
        size: PageSize,
        /// The node.
        node: u16,
        /// How many are needed.
        needed: u64,
        /// How many are free on the node.
        free: u64,
    },
    /// The card has another MAC for the VF: what is sent to the guest's does not reach it.
    MacDiffers {
        /// The MAC that the guest is to have.
        mac: MacAddress,
        /// The VF.
        vf: Vf,
        /// Its administrative MAC.
        administrative: MacAddress,
    },
    /// The socket or device is not there, yet or any more.
    Missing(PathBuf),
    /// Something else is where the socket or device should be.
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it has to be: `a socket`.
        wanted: &'static str,
    },
    /// QEMU's user may not use the socket.
    Unreachable {
        /// The user.
        user: String,
        /// The file or directory that keeps it out.
        place: PathBuf,
        /// What it may not do there: `enter`, `write to`.
        may_not: &'static str,
        /// The file's mode, owner and group.
        mode: String,
    },
    /// SELinux would keep QEMU away by this label.
    Label {
        /// The file.
        path: PathBuf,
        /// Its label.
        label: String,
        /// The type it should have.
        wanted: &'static str,
    },
    /// A start waits, without end, for somebody at the socket.
    StartWaits(PathBuf),
    /// A start fails, because nobody listens at the socket.
    StartFails(PathBuf),
    /// QEMU is to listen at the socket, and somebody else does.
    SocketHeld {
        /// The socket.
        socket: PathBuf,
        /// Who, where it can be told: `dpdk-vdpa (4711)`.
        by: Option<String>,
    },
    /// Another domain uses the socket or device.
    HeldByDomain {
        /// The socket or device.
        source: PathBuf,
        /// The domain.
        domain: DomainName,
        /// Whether it runs.
        active: bool,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStation(mac) => write!(f, "{mac} is no address a guest can have"),
            Self::DuplicateMac { mac, other } => write!(f, "{mac} is already the MAC of {other}"),
            Self::SourceTaken { source, other } => write!(f, "{} already serves {other}", source.display()),
            Self::AddressTaken { address, other } => write!(f, "{address} in the guest is where {other} is"),
            Self::Path { path, why } => write!(f, "`{}` cannot be used: {why}", path.display()),
            Self::RingSize { ring, size } => {
                write!(f, "a ring ({ring}) of {size} slots is not possible: 256, 512 or 1024 are")
            }
            Self::TooManyQueues(queues) => {
                write!(f, "{queues} queue pairs are more than virtio-net's {MAX_QUEUES}")
            }
            Self::PrivateMemory(place) => write!(f, "the domain's memory is not shared: {place}"),
            Self::QueuesOverVcpus { queues, vcpus } => {
                write!(f, "{queues} queue pairs for {vcpus} vCPUs: the guest uses {vcpus}")
            }
            Self::Vectors { argument, vectors, queues } => write!(
                f,
                "{vectors} interrupt vectors for {queues} queue pairs, which need {}: `{argument}` of <qemu:commandline>",
                2 * queues + 2
            ),
            Self::HardLimit { limit_kib, needed_kib, devices } => write!(
                f,
                "the domain's hard limit of {limit_kib} KiB is less than the {needed_kib} KiB that QEMU locks for {}",
                count(*devices, "vhost-vdpa device")
            ),
            Self::PinnedAlready => write!(f, "the domain pins its vCPUs already"),
            Self::OldLibvirt { what, since, libvirt } => {
                write!(f, "{what} needs libvirt {since}, and this is {libvirt}")
            }
            Self::Unpinned { node, .. } => write!(
                f,
                "the domain's vCPUs run on any CPU, and the card is on node {node}: traffic crosses between nodes"
            ),
            Self::NoHugePages { size, needed, free } => write!(
                f,
                "the domain's memory takes {needed} huge pages of {size}, and {free} are free: it will not start"
            ),
            Self::FarHugePages { size, node, needed, free } => write!(
                f,
                "the domain's memory takes {needed} huge pages of {size}, and {free} are free on node {node}, where the card is"
            ),
            Self::MacDiffers { mac, vf, administrative } => {
                write!(f, "the card has {administrative} for VF {vf}, and the guest would have {mac}")
            }
            Self::Missing(path) => write!(f, "{} is not there", path.display()),
            Self::WrongKind { path, wanted } => write!(f, "{} is not {wanted}", path.display()),
            Self::Unreachable { user, place, may_not, mode } => {
                write!(f, "QEMU's user {user} may not {may_not} {} ({mode})", place.display())
            }
            Self::Label { path, label, wanted } => write!(
                f,
                "SELinux keeps QEMU from {}: its label is {label}, and {wanted} is needed",
                path.display()
            ),
            Self::StartWaits(socket) => {
                write!(f, "`virsh start` will wait for somebody at {}, without end", socket.display())
            }
            Self::StartFails(socket) => {
                write!(f, "nobody listens at {}: `virsh start` will fail", socket.display())
            }
            Self::SocketHeld { socket, by } => write!(
                f,
                "QEMU is to listen at {}, and {} does",
                socket.display(),
                by.as_deref().unwrap_or("another process")
            ),
            Self::HeldByDomain { source, domain, active } => write!(
                f,
                "{} {} domain `{domain}`",
                source.display(),
                if *active { "is in use by the running" } else { "is what it is to be for, too:" }
            ),
        }
    }
}

impl std::error::Error for Finding {}

fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
