//! What Open vSwitch makes of the packets of the simulated machine: flows, and who forwards them.

use serde::{Deserialize, Serialize};

use crate::nouns::{IfIndex, MacAddress};

/// A flow: packets from one port to another, between two addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimFlow {
    /// Its number; stands for a UFID.
    pub id: u32,
    /// The port that packets come in by.
    pub from: IfIndex,
    /// The port that they leave by.
    pub to: IfIndex,
    /// Source address.
    pub source: MacAddress,
    /// Destination address.
    pub destination: MacAddress,
    /// Ethernet type.
    pub eth_type: u16,
    /// Who forwards.
    pub forwarder: Forwarder,
    /// What the card has forwarded: packets and bytes.
    pub hardware: (u64, u64),
    /// What the kernel has: packets and bytes.
    pub software: (u64, u64),
    /// When the last packet came.
    pub used_ms: u64,
}

/// Who forwards the packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarder {
    /// The card: tc has the rule, and the card took it.
    Card,
    /// The kernel's tc: the card did not take it.
    Tc,
    /// The kernel module of Open vSwitch: tc does not have it.
    Datapath,
}

/// Packets that went through the host's CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuHits {
    /// The card gave them up to the representor.
    pub rx: u64,
    /// The host sent them through it.
    pub tx: u64,
}

/// Some packets that somebody sends.
#[derive(Debug, Clone, Copy)]
pub struct Packets {
    /// The port of the switch that they come in by.
    pub from: IfIndex,
    /// The port that they are for.
    pub to: IfIndex,
    /// Source address.
    pub source: MacAddress,
    /// Destination address.
    pub destination: MacAddress,
    /// Ethernet type.
    pub eth_type: u16,
    /// How many.
    pub count: u64,
    /// Their length in bytes, without the Ethernet header.
    pub length: u64,
}
