//! What each part is called, what is said of it, and how well it is: the same in every picture.

use vdpa_eswitch::Mode;

use super::{Bridge, Card, Datapath, DatapathKind, Offload, Port, VfPart, Vm};

/// How well a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It does its part in the hardware's datapath.
    Good,
    /// It is there.
    Plain,
    /// It works, and in software.
    Slow,
    /// It does not work.
    Bad,
}

impl Tone {
    /// Every tone with its word, for legends and classes.
    pub(super) const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Good, "good", "offloaded, or ready for it"),
        (Self::Slow, "slow", "works in software"),
        (Self::Bad, "bad", "does not work"),
        (Self::Plain, "plain", "there, and not part of it"),
    ];

    /// Its word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Slow => "slow",
            Self::Bad => "bad",
        }
    }
}

/// What is said of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// What it is.
    pub(super) title: String,
    /// What is said of it.
    pub(super) detail: String,
    /// How well it is.
    pub(super) tone: Tone,
}

impl Label {
    fn new(title: impl Into<String>, detail: impl Into<String>, tone: Tone) -> Self {
        Self { title: title.into(), detail: detail.into(), tone }
    }
}

impl Bridge {
    pub(super) fn label(&self) -> Label {
        let offload = if self.hw_offload { "hw-offload on" } else { "hw-offload off" };
        let others = match self.other_ports.len() {
            0 => String::new(),
            n => format!(", {}", crate::report::count(n, "other port")),
        };
        let datapath = if self.userspace { "userspace datapath, " } else { "" };
        let tone = if self.hw_offload { Tone::Good } else { Tone::Slow };
        Label::new(self.name.to_string(), format!("{datapath}{offload}{others}"), tone)
    }
}

impl Card {
    pub(super) fn label(&self) -> Label {
        let mode = self.mode.map_or_else(|| "no eswitch".to_owned(), |mode| mode.to_string());
        let driver = self.driver.as_ref().map_or_else(|| "no driver".to_owned(), ToString::to_string);
        let node = self.numa_node.map(|node| format!(", NUMA node {node}")).unwrap_or_default();
        let detail = format!("{driver}, {mode}, {} of {} VFs{node}", self.vfs.len(), self.total_vfs);
        let tone = if self.mode == Some(Mode::Switchdev) { Tone::Good } else { Tone::Plain };
        Label::new(self.pf.to_string(), detail, tone)
    }
}

impl Port {
    pub(super) fn label(&self) -> Label {
        let up = if self.up { "up" } else { "down" };
        let dpdk = self.bridged.as_ref().and_then(|bridged| bridged.dpdk.as_ref());
        let up = dpdk.map_or_else(|| up.to_owned(), |port| format!("{up}, {} {}", port.kind, port.name));
        let (offload, tone) = match (self.offload, self.up) {
            (Offload::InForce, _) if dpdk.is_some() => ("hw-offload on", Tone::Good),
            (Offload::Off, _) if dpdk.is_some() => ("software forwards", Tone::Slow),
            (Offload::InForce, true) => ("offload in force", Tone::Good),
            (Offload::InForce, false) => ("offload in force", Tone::Slow),
            (Offload::Off, _) if self.tc_offload == Some(false) => ("hw-tc-offload off", Tone::Slow),
            (Offload::Off, _) => ("offload not in force", Tone::Slow),
            (Offload::Unbridged, _) => ("on no bridge", Tone::Plain),
            (Offload::Broken, _) => {
                let error = self.bridged.as_ref().and_then(|bridged| bridged.error.as_deref());
                return Label::new(
                    self.netdev.to_string(),
                    format!("{up}, {}", error.unwrap_or("not open")),
                    Tone::Bad,
                );
            }
        };
        Label::new(self.netdev.to_string(), format!("{up}, {offload}"), tone)
    }
}

impl VfPart {
    pub(super) fn label(&self) -> Label {
        let mac = self.mac.filter(|mac| *mac != vdpa_hw::MacAddress::ZERO);
        let mac = mac.map(|mac| format!(", {mac}")).unwrap_or_default();
        let driver =
            self.driver.as_ref().map_or_else(|| ", no driver".to_owned(), |driver| format!(", {driver}"));
        Label::new(format!("VF {}", self.index), format!("{}{mac}{driver}", self.address), Tone::Plain)
    }
}

impl Datapath {
    pub(super) fn label(&self) -> Label {
        let title = match self.kind {
            DatapathKind::Dpdk => "dpdk-vdpa",
            DatapathKind::Kernel => "kernel vDPA",
            DatapathKind::OvsDpdk => "OVS-DPDK",
        };
        let detail = self.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default();
        let tone = match (self.serves, self.state.as_str()) {
            // Its packets are copied by Open vSwitch's threads.
            (true, "dpdkvhostuserclient") => Tone::Slow,
            (true, _) => Tone::Good,
            (false, "failed") => Tone::Bad,
            (false, _) => Tone::Slow,
        };
        Label::new(title, format!("{}{detail}", self.state), tone)
    }
}

impl Vm {
    pub(super) fn label(&self) -> Label {
        let running = if self.running { "running" } else { "shut off" };
        let detail = format!("{running}, {}", crate::report::count(self.queues, "queue pair"));
        Label::new(self.domain.to_string(), detail, if self.running { Tone::Good } else { Tone::Plain })
    }
}
