//! The reasons for which a card does not forward a flow.

use std::fmt;

use serde::Serialize;
use vdpa_hw::PciAddress;

/// A reason, with what shows that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// The eswitch of the port's card is in legacy mode.
    EswitchLegacy {
        /// The card.
        pf: PciAddress,
    },
    /// Open vSwitch is not asked to offload.
    HwOffloadOff {
        /// What `hw-offload` reads.
        value: Option<String>,
    },
    /// Open vSwitch is asked to offload and does not.
    HwOffloadNotInForce,
    /// Packets come from one of the host's own devices.
    InternalSource {
        /// The device.
        port: String,
    },
    /// Packets come in by a device that is no port of a card's switch.
    NotOnCard {
        /// The device.
        port: String,
    },
    /// The port has no place for filters.
    NoIngressQdisc {
        /// The port.
        port: String,
    },
    /// The port does not hand rules to its card.
    #[serde(rename = "hw-tc-offload-off")]
    TcOffloadOff {
        /// The port.
        port: String,
    },
    /// Packets are for one of the host's own devices.
    InternalDestination {
        /// The device.
        port: String,
    },
    /// Packets are for a device that is no port of the same switch.
    OtherSwitch {
        /// The device.
        port: String,
    },
    /// Open vSwitch keeps its rules from the card.
    SkipHw,
    /// Open vSwitch keeps its rules from the kernel, and conntrack is the kernel's.
    SkipSwConntrack,
    /// The flow looks at something that Open vSwitch cannot put in a rule.
    UnsupportedKey {
        /// What it looks at, as the flow has it.
        key: String,
    },
    /// The flow does something that Open vSwitch cannot put in a rule.
    UnsupportedAction {
        /// What it does, as the flow has it.
        action: String,
    },
    /// The flow that leads to this one is not offloaded.
    ChainNotInTc {
        /// The id by which it leads here.
        recirculation: u32,
    },
    /// The flow comes back for another look, and the kernel cannot tell tc from where.
    RecirculationNotShared {
        /// What ovs-vswitchd logged.
        said: String,
    },
    /// The card's driver did not take the rule.
    DriverRefused {
        /// The port.
        port: String,
        /// What ovs-vswitchd logged of it.
        said: Option<String>,
        /// The command that asks the driver once more, and hears its words.
        ask: Option<String>,
    },
    /// The rule is in the card, and ICMP that conntrack has seen is not.
    IcmpUnderConntrack,
    /// The rule is in the card, and connections are not yet, or never will be.
    ConntrackInSoftware,
    /// The rule is in the card, and the kernel forwards packets all the same.
    SoftwareAllTheSame {
        /// How many, while it was measured.
        packets: u64,
    },
    /// Open vSwitch did not make a rule, and logged why.
    OvsRefused {
        /// The line.
        said: String,
    },
    /// None that is known.
    Unknown {
        /// Who forwards.
        forwarder: super::Forwarder,
    },
}

/// A kind of reason: its name, when it holds, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name in `--json`.
    pub name: &'static str,
    /// When it holds.
    pub when: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! kinds {
    ($($pattern:pat => $name:literal, $when:literal, $remedy:literal;)+) => {
        /// Every kind, in the order in which they are looked for: the first that holds is told.
        pub const KINDS: &[Kind] = &[$(Kind { name: $name, when: $when, remedy: $remedy }),+];

        impl Reason {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $($pattern => Kind { name: $name, when: $when, remedy: $remedy },)+
                }
            }
        }
    };
}

kinds! {
    Reason::EswitchLegacy { .. } => "eswitch-legacy",
        "the flow's port belongs to a card whose eswitch is in legacy mode: there are no representors to put rules on",
        "`sudo vdpa setup`";
    Reason::HwOffloadOff { .. } => "hw-offload-off",
        "the flow is not in tc, and `other_config:hw-offload` is not `true`",
        "`sudo vdpa setup`, or `ovs-vsctl set Open_vSwitch . other_config:hw-offload=true`";
    Reason::HwOffloadNotInForce => "hw-offload-not-in-force",
        "`hw-offload` is `true` and no port has a qdisc for filters: ovs-vswitchd has not taken it up",
        "restart Open vSwitch: `systemctl restart openvswitch-switch` (openvswitch on RHEL); every bridge loses packets meanwhile";
    Reason::InternalSource { .. } => "internal-source",
        "packets come from a device of the host itself (the bridge's own port), which is no port of the card",
        "nothing, if this is the host's own traffic; let VMs speak through VFs";
    Reason::NotOnCard { .. } => "not-on-card",
        "packets come in by a device without a switch id: a tap, a veth, another kind of card",
        "give the VM a VF, and put the VF's representor on the bridge";
    Reason::NoIngressQdisc { .. } => "no-ingress-qdisc",
        "other ports have a qdisc for filters and the flow's port has none: somebody removed it, or the port came while ovs-vswitchd could not add it (`failed to offload flow: No such file or directory`)",
        "take the port off the bridge and add it again: `sudo vdpa teardown && sudo vdpa setup`";
    Reason::TcOffloadOff { .. } => "hw-tc-offload-off",
        "hw-tc-offload of the flow's port is off: its rules stay in the kernel",
        "`ethtool -K PORT hw-tc-offload on`, then `ovs-appctl revalidator/purge`: a rule that was made before stays as it is";
    Reason::InternalDestination { .. } => "internal-destination",
        "packets leave by a device of the host itself, alone or among others, as what is flooded does",
        "nothing, if it is broadcast or the host's own traffic";
    Reason::OtherSwitch { .. } => "other-switch",
        "packets leave by a device that is not a port of the switch they came in by: another card, a tap, a veth",
        "keep both ends on one card; two ports of a card forward to each other only as a bond (VF LAG)";
    Reason::SkipHw => "skip-hw",
        "`other_config:tc-policy` is `skip_hw`, or the rule has `skip_hw`",
        "`ovs-vsctl remove Open_vSwitch . other_config tc-policy` and restart Open vSwitch";
    Reason::SkipSwConntrack => "skip-sw-conntrack",
        "`tc-policy` is `skip_sw` and the flow uses conntrack, whose new connections need the kernel",
        "`ovs-vsctl remove Open_vSwitch . other_config tc-policy` and restart Open vSwitch";
    Reason::UnsupportedKey { .. } => "unsupported-key",
        "the flow is not in tc, and looks at something for which Open vSwitch has no flower key",
        "write OpenFlow rules that do not look at it";
    Reason::UnsupportedAction { .. } => "unsupported-action",
        "the flow is not in tc, and does something for which Open vSwitch has no tc action (sampling, user space, hashing)",
        "turn off what asks for it: sFlow, IPFIX, mirrors, `select` groups, a controller";
    Reason::ChainNotInTc { .. } => "chain-not-in-tc",
        "packets come to the flow by a recirculation, and the flow that leads here is not in tc",
        "look at the flow with `recirc` of the same id first";
    Reason::RecirculationNotShared { .. } => "recirculation-not-shared",
        "the flow is not in tc, uses conntrack or comes back for another look (`recirc`), and ovs-vswitchd logged `recirc_id sharing not supported`: the kernel is built without `CONFIG_NET_TC_SKB_EXT`, as Debian's is",
        "use a kernel that has it, or OpenFlow rules that do not come back: `ct(commit)` without `table=`";
    Reason::DriverRefused { .. } => "driver-refused",
        "the rule is in tc with `not_in_hw`: the card's driver was asked and said no",
        "type the `tc filter add … skip_sw verbose` that is shown: it asks the driver once more, and prints its words";
    Reason::IcmpUnderConntrack => "icmp-under-conntrack",
        "the rule is `in_hw`, uses conntrack, and ICMP passes in software: conntrack offloads TCP and UDP alone",
        "verify with TCP: `vdpa verify --tcp PORT`";
    Reason::ConntrackInSoftware => "conntrack-in-software",
        "the rule is `in_hw`, uses conntrack, and packets pass in software: a connection is offloaded after it is established, and while the flow table has room",
        "verify with a longer stream; `sysctl net.netfilter.nf_conntrack_max`, `nf_flow_table` loaded";
    Reason::SoftwareAllTheSame { .. } => "software-all-the-same",
        "the rule is `in_hw` and its software counter rises: packets come up to the kernel before or beside the rule",
        "look for other rules of the same port with a lower `pref`, or in other chains, that are not in hardware";
    Reason::OvsRefused { .. } => "ovs-refused",
        "the flow is not in tc, and ovs-vswitchd logged what it could not offload",
        "see the line; `ovs-appctl vlog/set netdev_offload_tc:file:dbg dpif_netlink:file:dbg` logs more";
    Reason::Unknown { .. } => "unknown",
        "none of the above",
        "`ovs-appctl vlog/set netdev_offload_tc:file:dbg dpif_netlink:file:dbg`, then once more";
}

impl Reason {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        let remedy = self.kind().remedy;
        match self {
            Self::TcOffloadOff { port } => remedy.replace("PORT", port),
            Self::DriverRefused { port, ask: Some(ask), .. } => {
                format!(
                    "`{ask}` shows the driver's words; should it take the rule: `tc filter del dev {port} ingress pref 65535`"
                )
            }
            _ => remedy.to_owned(),
        }
    }
}

/// What holds, with its evidence.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EswitchLegacy { pf } => write!(f, "the eswitch of {pf} is in legacy mode"),
            Self::HwOffloadOff { value } => {
                let value = value.as_ref().map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
                write!(f, "hw-offload of Open vSwitch is {value}")
            }
            Self::HwOffloadNotInForce => f.write_str("hw-offload is set and no port has a qdisc for filters"),
            Self::InternalSource { port } => write!(f, "{port} is the host's own port"),
            Self::NotOnCard { port } => write!(f, "{port} is no port of a card's switch"),
            Self::NoIngressQdisc { port } => write!(f, "{port} has no ingress qdisc"),
            Self::TcOffloadOff { port } => write!(f, "hw-tc-offload of {port} is off"),
            Self::InternalDestination { port } => write!(f, "packets go to {port}, the host's own port"),
            Self::OtherSwitch { port } => {
                write!(f, "packets go to {port}, which is no port of the same switch")
            }
            Self::SkipHw => f.write_str("the rule is kept from the hardware: skip_hw"),
            Self::SkipSwConntrack => f.write_str("tc-policy is skip_sw, and conntrack needs the kernel"),
            Self::UnsupportedKey { key } => write!(f, "tc cannot look at {key}"),
            Self::UnsupportedAction { action } => write!(f, "tc cannot {action}"),
            Self::ChainNotInTc { recirculation } => {
                write!(f, "the flow that leads to recirculation 0x{recirculation:x} is not in tc")
            }
            Self::DriverRefused { port, said, .. } => {
                write!(f, "the driver of {port} did not take the rule: not_in_hw")?;
                said.iter().try_for_each(|said| write!(f, "; ovs-vswitchd: {said}"))
            }
            Self::IcmpUnderConntrack => f.write_str("ICMP that conntrack has seen is not offloaded"),
            Self::ConntrackInSoftware => f.write_str("its connections pass conntrack in software"),
            Self::SoftwareAllTheSame { packets } => {
                write!(f, "the rule is in_hw, and {packets} packets passed in software all the same")
            }
            Self::OvsRefused { said } | Self::RecirculationNotShared { said } => {
                write!(f, "ovs-vswitchd: {said}")
            }
            Self::Unknown { forwarder } => {
                let who = match forwarder {
                    super::Forwarder::Hardware => "the card",
                    super::Forwarder::Tc => "tc in the kernel",
                    super::Forwarder::Datapath => "the kernel module of Open vSwitch",
                };
                write!(f, "{who} forwards, for no reason that is known")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/offload.md has every reason with the words it has here.
    #[test]
    fn the_table_of_the_documentation_is_in_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/offload.md");
        let text = std::fs::read_to_string(path).unwrap();
        let row = |kind: &Kind| format!("| `{}` | {} | {} |", kind.name, kind.when, kind.remedy);
        let wanted: Vec<String> = KINDS.iter().map(row).collect();
        let found: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(found, wanted, "the table should read:\n{}", wanted.join("\n"));
    }

    #[test]
    fn a_remedy_names_the_port() {
        let reason = Reason::TcOffloadOff { port: "eth4".into() };
        assert!(reason.remedy().contains("ethtool -K eth4 "), "{}", reason.remedy());
        let json = serde_json::to_value(&reason).unwrap();
        assert_eq!(json, serde_json::json!({ "reason": "hw-tc-offload-off", "port": "eth4" }));
    }
}
