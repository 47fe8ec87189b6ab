//! The kinds of actions, and what each says.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vdpa_hw::IfIndex;

/// What an action does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Nothing but its control: `gact`.
    Generic,
    /// Sends the packet, or a copy, out of a device or as if it had come in by it: `mirred`.
    Mirred {
        /// The device.
        to: IfIndex,
        /// Whether a copy goes.
        mirror: bool,
        /// Whether it is as if it came in by the device: how Open vSwitch reaches internal ports.
        ingress: bool,
    },
    /// Changes VLAN tags: `vlan`.
    Vlan(VlanChange),
    /// Sets or takes away what a tunnel device needs to know: `tunnel_key`.
    TunnelKey(TunnelKey),
    /// Changes header fields: `pedit`.
    Pedit(Vec<PeditKey>),
    /// Has conntrack look at the packet: `ct`.
    Conntrack {
        /// The zone.
        zone: Option<u16>,
        /// Whether the connection is remembered.
        commit: bool,
        /// Whether an entry of the other direction is replaced.
        force: bool,
        /// Whether the packet forgets what conntrack said of it.
        clear: bool,
        /// Mark and mask.
        mark: Option<(u32, u32)>,
        /// Address translation.
        nat: Option<Nat>,
    },
    /// Computes checksums anew: `csum`. The bits are `TCA_CSUM_UPDATE_FLAG_*`.
    Csum(u32),
    /// Changes what the kernel keeps beside the packet: `skbedit`.
    SkbEdit {
        /// Mark and mask.
        mark: Option<(u32, u32)>,
        /// Priority.
        priority: Option<u32>,
        /// Queue.
        queue: Option<u16>,
        /// Packet type: 0 is this host.
        ptype: Option<u16>,
    },
    /// Drops what is too much: `police`.
    Police {
        /// Bytes a second.
        rate: u64,
        /// Packets a second.
        packet_rate: Option<u64>,
        /// The largest packet, in bytes.
        mtu: u32,
    },
    /// Another kind, by its name.
    Other(String),
    /// What tc(8) wrote of an action of a saved filter, what comes after it too.
    Saved(String),
}

/// Which way addresses are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nat {
    /// As the connection has it.
    Established,
    /// The source is changed.
    Source,
    /// The destination is changed.
    Destination,
}

/// A change of VLAN tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VlanChange {
    /// Takes the outermost tag away.
    Pop,
    /// Adds a tag.
    Push {
        /// VLAN.
        id: u16,
        /// Its Ethernet type.
        protocol: u16,
        /// Priority.
        priority: u8,
    },
    /// Changes the outermost tag.
    Modify {
        /// VLAN.
        id: u16,
    },
    /// Another, by its number (`TCA_VLAN_ACT_*`).
    Other(u32),
}

/// What a tunnel device needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelKey {
    /// Takes it away.
    Release,
    /// Sets it.
    Set {
        /// Key (VXLAN's VNI).
        id: Option<u32>,
        /// Source address.
        source: Option<IpAddr>,
        /// Destination address.
        destination: Option<IpAddr>,
        /// Destination port.
        port: Option<u16>,
        /// Time to live.
        ttl: Option<u8>,
        /// Type of service.
        tos: Option<u8>,
        /// Whether the checksum is left out.
        no_csum: bool,
    },
}

/// A change of 32 bits of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeditKey {
    /// The header (`enum pedit_header_type`): 0 network, 1 Ethernet, 2 IPv4, 3 IPv6, 4 TCP, 5 UDP.
    pub header: u16,
    /// Where in it, in bytes.
    pub offset: u32,
    /// The bits that stay.
    pub mask: u32,
    /// What is set or added.
    pub value: u32,
    /// Whether it is added.
    pub add: bool,
}

impl ActionKind {
    /// Its name in tc(8).
    pub fn name(&self) -> &str {
        match self {
            Self::Generic => "gact",
            Self::Mirred { .. } => "mirred",
            Self::Vlan(_) => "vlan",
            Self::TunnelKey(_) => "tunnel_key",
            Self::Pedit(_) => "pedit",
            Self::Conntrack { .. } => "ct",
            Self::Csum(_) => "csum",
            Self::SkbEdit { .. } => "skbedit",
            Self::Police { .. } => "police",
            Self::Other(name) => name,
            Self::Saved(words) => words.split(' ').next().unwrap_or_default(),
        }
    }

    /// Writes it as tc does, on one line; `name` gives devices theirs.
    pub(crate) fn write(&self, f: &mut fmt::Formatter<'_>, name: &dyn Fn(IfIndex) -> String) -> fmt::Result {
        if let Self::Saved(words) = self {
            return f.write_str(words);
        }
        f.write_str(self.name())?;
        match self {
            Self::Generic | Self::Other(_) | Self::Saved(_) => Ok(()),
            Self::Mirred { to, mirror, ingress } => {
                let (way, what) = (
                    if *ingress { "Ingress" } else { "Egress" },
                    if *mirror { "Mirror" } else { "Redirect" },
                );
                write!(f, " ({way} {what} to device {})", name(*to))
            }
            Self::Vlan(VlanChange::Pop) => f.write_str(" pop"),
            Self::Vlan(VlanChange::Push { id, protocol, priority }) => {
                let protocol = crate::show::protocol(*protocol);
                write!(f, " push id {id} protocol {protocol} priority {priority}")
            }
            Self::Vlan(VlanChange::Modify { id }) => write!(f, " modify id {id}"),
            Self::Vlan(VlanChange::Other(number)) => write!(f, " change {number}"),
            Self::TunnelKey(tunnel) => write!(f, " {tunnel}"),
            Self::Pedit(keys) => {
                write!(f, " keys {}", keys.len())?;
                keys.iter().try_for_each(|key| write!(f, ", {key}"))
            }
            Self::Conntrack { zone, commit, force, clear, mark, nat } => {
                let words = [(commit, "commit"), (force, "force"), (clear, "clear")];
                words.iter().filter(|(set, _)| **set).try_for_each(|(_, word)| write!(f, " {word}"))?;
                mark.map_or(Ok(()), |(mark, mask)| write!(f, " mark {mark}/0x{mask:x}"))?;
                zone.map_or(Ok(()), |zone| write!(f, " zone {zone}"))?;
                f.write_str(match nat {
                    None => "",
                    Some(Nat::Established) => " nat",
                    Some(Nat::Source) => " nat src",
                    Some(Nat::Destination) => " nat dst",
                })
            }
            Self::Csum(flags) => {
                const WORDS: [&str; 7] = ["iph", "icmp", "igmp", "tcp", "udp", "udplite", "sctp"];
                let words = WORDS.iter().enumerate().filter(|(bit, _)| flags & 1 << bit != 0);
                write!(f, " ({})", words.map(|(_, word)| *word).collect::<Vec<_>>().join(", "))
            }
            Self::SkbEdit { mark, priority, queue, ptype } => {
                mark.map_or(Ok(()), |(mark, mask)| write!(f, " mark {mark}/0x{mask:x}"))?;
                priority.map_or(Ok(()), |priority| write!(f, " priority {priority}"))?;
                queue.map_or(Ok(()), |queue| write!(f, " queue_mapping {queue}"))?;
                ptype.map_or(Ok(()), |ptype| {
                    if ptype == 0 { f.write_str(" ptype host") } else { write!(f, " ptype {ptype}") }
                })
            }
            Self::Police { rate, packet_rate, mtu } => {
                match packet_rate {
                    Some(packets) => write!(f, " pkts_rate {packets}")?,
                    None => write!(f, " rate {}bit", rate.saturating_mul(8))?,
                }
                write!(f, " mtu {mtu}b")
            }
        }
    }
}

/// As tc writes it, with devices by their numbers.
impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &|index| format!("if{}", index.0))
    }
}

impl fmt::Display for TunnelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Set { id, source, destination, port, ttl, tos, no_csum } = self else {
            return f.write_str("unset");
        };
        f.write_str("set")?;
        source.map_or(Ok(()), |address| write!(f, " src_ip {address}"))?;
        destination.map_or(Ok(()), |address| write!(f, " dst_ip {address}"))?;
        id.map_or(Ok(()), |id| write!(f, " key_id {id}"))?;
        port.map_or(Ok(()), |port| write!(f, " dst_port {port}"))?;
        tos.map_or(Ok(()), |tos| write!(f, " tos 0x{tos:x}"))?;
        ttl.map_or(Ok(()), |ttl| write!(f, " ttl {ttl}"))?;
        f.write_str(if *no_csum { " nocsum" } else { " csum" })
    }
}

impl fmt::Display for PeditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEADERS: [&str; 6] = ["", "eth", "ipv4", "ipv6", "tcp", "udp"];
        let Self { header, offset, mask, value, add } = self;
        let header = HEADERS.get(usize::from(*header)).copied().unwrap_or("?");
        // In network byte order, as the bytes stand in the packet.
        let (value, mask) = (value.to_be(), mask.to_be());
        write!(f, "at {header}+{offset}: {} {value:08x} mask {mask:08x}", if *add { "add" } else { "val" })
    }
}
