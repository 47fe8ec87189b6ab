//! Datapaths, and a VF's place in a domain, as statements have them.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use vdpa_datapath::dpdk;
use vdpa_hw::MacAddress;

use crate::config::Datapath;

/// A kernel vDPA device as a statement has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelDevice {
    /// Its MAC; `None` where the driver does not say.
    pub mac: Option<MacAddress>,
    /// Its queue pairs, as far as its driver can have more than one.
    pub queues: NonZeroU16,
    /// Whether `vhost_vdpa` is bound to it, so that it has a `/dev/vhost-vdpa-N`.
    pub served: bool,
}

/// A dpdk-vdpa process as a statement has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DpdkProcess {
    /// Which end listens.
    pub mode: dpdk::Mode,
    /// The program.
    pub program: std::path::PathBuf,
    /// Its memory.
    pub memory: dpdk::Memory,
    /// Its CPUs; none, if it may use all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u16>,
    /// Arguments for its vDPA driver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub driver_args: Vec<String>,
    /// Further EAL arguments.
    pub eal_args: Vec<String>,
    /// Whether it serves its socket.
    pub ready: bool,
}

impl fmt::Display for DpdkProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode {
            dpdk::Mode::Server => "server",
            dpdk::Mode::Client => "client",
        })?;
        if !self.cores.is_empty() {
            let cores: Vec<_> = self.cores.iter().map(u16::to_string).collect();
            write!(f, " on CPU {}", cores.join(", "))?;
        }
        f.write_str(if self.ready { ", ready" } else { ", not ready" })
    }
}

/// A VF's interface in a domain as a statement has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wiring {
    /// Who serves its queues.
    pub datapath: Datapath,
    /// The MAC that the guest sees: the VF's own.
    pub mac: MacAddress,
    /// Queue pairs.
    pub queues: NonZeroU16,
    /// Whether it points to where the datapath is now, and is as we write it.
    pub current: bool,
}

impl fmt::Display for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datapath = match self.datapath {
            Datapath::Dpdk => "vhost-user",
            Datapath::OvsDpdk => "vhost-user of Open vSwitch",
            Datapath::Kernel => "vhost-vdpa",
            Datapath::None => "no datapath",
        };
        let stale = if self.current { "" } else { ", out of date" };
        write!(f, "{datapath}, {}, {} queue pairs{stale}", self.mac, self.queues)
    }
}
