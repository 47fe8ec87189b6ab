//! What is: the part of a switch that this crate speaks about.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    BridgeName, PortKey, PortName, Setting, VlanId,
    ovsdb::{Atom, Row, Value},
};

/// One consistent look at a switch, as seen from one bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The bridge asked about, if it exists.
    pub bridge: Option<BridgeState>,
    /// The netdevs on other bridges, by name.
    pub elsewhere: BTreeMap<String, Elsewhere>,
    /// `other_config:hw-offload` of the switch as it reads; absent is not the same as `false`. What is *in
    /// force* is not in the database: ovs-vswitchd turns offload on when the key becomes `true` and never off
    /// again before it is restarted (`netdev_set_flow_api_enabled`, lib/netdev-offload.c).
    pub hw_offload: Option<String>,
    /// The switch's other settings: `other_config` without `hw-offload`.
    #[serde(default)]
    pub other_config: BTreeMap<String, String>,
    /// What `hw-offload` read before we set it ([`HW_OFFLOAD_TAG`](crate::HW_OFFLOAD_TAG)); `None` where what it reads
    /// is not ours.
    #[serde(default)]
    pub hw_offload_before: Option<Setting>,
    /// The other settings that are ours, with what each read before we set it.
    #[serde(default)]
    pub config_before: BTreeMap<String, Setting>,
    /// The other bridges that we have made or that have ports of ours.
    #[serde(default)]
    pub ours_elsewhere: BTreeSet<BridgeName>,
    /// Versions of what runs.
    pub versions: Versions,
    /// The configuration number last asked for.
    pub next_cfg: i64,
    /// The number ovs-vswitchd has reached; less than `next_cfg` while it is behind, or stopped.
    pub cur_cfg: i64,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeState {
    /// Whose it is, by the tag in its row.
    pub owner: Owner,
    /// `netdev` for the userspace datapath; empty or `system` for the kernel's.
    pub datapath_type: String,
    /// Our ports on it, by key and then by name. Two rows with one key are possible if a person made one.
    pub ports: Vec<PortState>,
    /// The netdevs of everybody else's ports, without the bridge's own local port.
    pub foreign_ports: BTreeSet<String>,
}

/// Who made a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// We did: the row's `external_ids` hold [`OWNER_TAG`](crate::OWNER_TAG).
    Ours,
    /// Somebody else.
    Foreign,
}

/// A port of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortState {
    /// The key it was added under.
    pub key: PortKey,
    /// The netdev.
    pub name: PortName,
    /// Its `OpenFlow` port number: -1 if ovs-vswitchd could not open it, absent if it has not looked yet.
    pub ofport: Option<i64>,
    /// Why ovs-vswitchd could not open it, in its words.
    pub error: Option<String>,
    /// Whether the netdev is up; absent while ovs-vswitchd does not know.
    pub admin_up: Option<bool>,
    /// Whether its link is up; absent while ovs-vswitchd does not know.
    pub link_up: Option<bool>,
    /// What else its rows hold.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
}

/// What somebody has set in the rows of a port of ours: a VLAN tag, a policer, `external_ids` of theirs. It stays
/// with the port's key when the port gets another netdev, and comes back when the port does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Columns of the Port row that are not as by default, without our tags and what ovs-vswitchd writes.
    #[serde(default, skip_serializing_if = "Row::is_empty")]
    pub port: Row,
    /// The same of its Interface row.
    #[serde(default, skip_serializing_if = "Row::is_empty")]
    pub interface: Row,
}

/// The column of a Port row that has its VLAN.
pub(crate) const VLAN: &str = "tag";

/// The columns of a Port row, and of an Interface row, that a [`glance`](crate::Vswitch::glance) brings.
pub(crate) const GLANCED: [&[&str]; 2] = [&[VLAN], &["type", "options"]];

/// What is set of some columns of a row, none of which is a number by default.
pub(crate) fn glanced(row: &Row, columns: &[&str]) -> Row {
    let mut set = Row::new();
    for column in columns {
        let value = row.get(column).filter(|value| match value {
            Value::Atom(Atom::String(text)) => !text.is_empty(),
            Value::Atom(_) => true,
            Value::Set(elements) => !elements.is_empty(),
            Value::Map(pairs) => !pairs.is_empty(),
        });
        if let Some(value) = value {
            set.set(column, value.clone());
        }
    }
    set
}

/// Where a netdev is that is not on the bridge asked about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The bridge.
    pub bridge: String,
    /// Our key for it, if we put it there.
    pub key: Option<PortKey>,
}

/// What the database says of the running switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Open vSwitch, `3.1.0`, as the service's start script recorded it (ovs-ctl(8)): absent where another script
    /// starts it. The daemon's own word is `version` on its [control socket](crate::Unixctl).
    pub ovs: Option<String>,
    /// DPDK, if this build of ovs-vswitchd has it.
    pub dpdk: Option<String>,
    /// Whether DPDK is initialized in ovs-vswitchd.
    pub dpdk_initialized: bool,
    /// The types of interfaces that it knows now: those of DPDK once that is initialized, a vendor's own among them
    /// (`dpdkvdpa`).
    #[serde(default)]
    pub interface_types: BTreeSet<String>,
}

impl Observation {
    /// Our ports on the bridge asked about.
    pub fn ports(&self) -> &[PortState] {
        self.bridge.as_ref().map_or(&[], |bridge| &bridge.ports)
    }

    /// Our port on the bridge asked about that has this key.
    pub fn port(&self, key: &PortKey) -> Option<&PortState> {
        self.ports().iter().find(|port| port.key == *key)
    }

    /// Whether the bridge asked about exists and is ours.
    pub fn is_ours(&self) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| bridge.owner == Owner::Ours)
    }

    /// Whether the netdev is on the bridge asked about, through whoever's port.
    pub fn carries(&self, name: &PortName) -> bool {
        self.bridge.as_ref().is_some_and(|bridge| {
            bridge.foreign_ports.contains(name.as_str()) || bridge.ports.iter().any(|port| port.name == *name)
        })
    }

    /// Whether `hw-offload` reads as true to ovs-vswitchd, which compares without case
    /// (`smap_get_bool`, lib/smap.c).
    pub fn hw_offload_configured(&self) -> bool {
        self.hw_offload.as_ref().is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether ovs-vswitchd has taken up everything that was asked of it.
    pub fn is_applied(&self) -> bool {
        self.cur_cfg >= self.next_cfg
    }
}

impl Settings {
    /// Whether there is nothing but defaults.
    pub fn is_empty(&self) -> bool {
        self.port.is_empty() && self.interface.is_empty()
    }

    /// The VLAN that the port is an access port of; `None` where it carries all of them.
    pub fn vlan(&self) -> Option<VlanId> {
        let tag = self.port.get(VLAN)?.atom()?.as_integer()?;
        VlanId::new(u16::try_from(tag).ok()?).ok()
    }

    /// Those that a glance brings.
    #[cfg(feature = "mock")]
    pub(crate) fn glanced(&self) -> Self {
        let [port, interface] = GLANCED;
        Self { port: glanced(&self.port, port), interface: glanced(&self.interface, interface) }
    }

    /// The same with another VLAN.
    pub(crate) fn with_vlan(&self, vlan: Option<VlanId>) -> Self {
        let mut settings = self.clone();
        match vlan {
            Some(vlan) => settings.port.set(VLAN, i64::from(vlan.get())),
            None => drop(settings.port.remove(VLAN)),
        }
        settings
    }
}

impl PortState {
    /// The VLAN that it is an access port of; `None` where it carries all of them.
    pub fn vlan(&self) -> Option<VlanId> {
        self.settings.vlan()
    }

    /// Whether ovs-vswitchd has the port open.
    pub fn works(&self) -> bool {
        self.error.is_none() && self.ofport.is_some_and(|ofport| ofport >= 0)
    }
}
