//! What is to be: a change to a bridge, its ports and hardware offload, made in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{BridgeName, Error, Observation, Owner, PortKey, PortName, Settings, VlanId, owned};

/// A statement about a bridge that [`Vswitch::apply`](crate::Vswitch::apply) makes true. What it does not speak
/// about is left as it is.
///
/// ```
/// # use vdpa_ovs::{BridgeName, Change, PortKey, PortName};
/// # fn main() -> Result<(), vdpa_ovs::Error> {
/// let bridge: BridgeName = "ovs-sriov".parse()?;
/// let ports = [("0000:43:00.0/uplink".parse()?, "enp67s0f0np0".parse()?)];
/// let change = Change::to(bridge).present().exactly(ports).hw_offload("true");
/// # let _ = change; Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The bridge.
    pub bridge: BridgeName,
    /// Whether it is to exist.
    pub presence: Presence,
    /// Which of our ports it is to have. Other people's ports are never touched; a netdev that is on the bridge
    /// through one of theirs counts as being there.
    pub ports: Ports,
    /// The bridge's datapath: `netdev` for the userspace one, which DPDK ports need. A bridge of somebody else's with
    /// another is refused, one of ours gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapath_type: Option<String>,
    /// `other_config:hw-offload` of the whole switch.
    pub hw_offload: Setting,
    /// Other keys of the whole switch's `other_config`: `dpdk-init`, `dpdk-extra`. Where `dpdk-init` is asked for, DPDK
    /// has to come up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Setting>,
    /// Netdevs that need not come up: a port that was recorded and broken before is restored as just that.
    pub may_fail: BTreeSet<PortName>,
    /// What else a port's rows are to hold if it has to be added. One that only changes its netdev keeps what
    /// its rows hold, unless this says otherwise. A port that has another type or other options than this says is
    /// added anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<PortKey, Settings>,
    /// The VLANs that ports of ours are to be access ports of, or none (`tag` of the Port row). A port that is
    /// neither there nor asked for is passed over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vlans: BTreeMap<PortKey, Option<VlanId>>,
}

/// Whether a bridge is to exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// As it is.
    #[default]
    AsIs,
    /// It is to exist. A missing one is made with our tag; an existing one is used whoever made it.
    Present,
    /// It is not to exist. Only a bridge with our tag and without other people's ports is deleted.
    Absent,
}

/// Which ports of ours a bridge is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// As they are.
    #[default]
    AsIs,
    /// These and no others of ours.
    Exactly(BTreeMap<PortKey, PortName>),
    /// These with, those (`None`) without; further ones as they are.
    Edit(BTreeMap<PortKey, Option<PortName>>),
}

/// What a setting is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Whatever it reads.
    #[default]
    AsIs,
    /// This text.
    Set(String),
    /// Nothing: the key is not there.
    Unset,
}

impl Change {
    /// A change that changes nothing yet.
    pub fn to(bridge: BridgeName) -> Self {
        Self {
            bridge,
            presence: Presence::AsIs,
            ports: Ports::AsIs,
            datapath_type: None,
            hw_offload: Setting::AsIs,
            config: BTreeMap::new(),
            may_fail: BTreeSet::new(),
            settings: BTreeMap::new(),
            vlans: BTreeMap::new(),
        }
    }

    /// The change that brings a bridge back to what was observed: our ports and only those, with what their rows
    /// held, the bridge's existence, `hw-offload` to the letter.
    ///
    /// A bridge of somebody else's that has gone since is not made again, and one that was missing is deleted
    /// only if it is ours.
    pub fn restoring(bridge: BridgeName, before: &Observation) -> Self {
        let presence = match &before.bridge {
            None => Presence::Absent,
            Some(state) if state.owner == Owner::Ours => Presence::Present,
            Some(_) => Presence::AsIs,
        };
        let ports = match presence {
            Presence::Absent => Ports::AsIs,
            _ => Ports::Exactly(
                before.ports().iter().map(|port| (port.key.clone(), port.name.clone())).collect(),
            ),
        };
        let broken = before.ports().iter().filter(|port| !port.works());
        let may_fail = broken.map(|port| port.name.clone()).collect();
        let hw_offload = before.hw_offload.clone().map_or(Setting::Unset, Setting::Set);
        let set = before.ports().iter().map(|port| (port.key.clone(), port.settings.clone()));
        let vlans = before.ports().iter().map(|port| (port.key.clone(), port.vlan())).collect();
        let datapath_type = before.bridge.as_ref().filter(|_| presence == Presence::Present);
        let datapath_type = datapath_type.map(|state| state.datapath_type.clone());
        // Other keys were ours or were not; those that were read again as they did.
        let read = |key: &String| before.other_config.get(key).cloned().map_or(Setting::Unset, Setting::Set);
        let config = before.config_before.keys().map(|key| (key.clone(), read(key))).collect();
        let settings = set.collect();
        Self { bridge, presence, ports, datapath_type, hw_offload, config, may_fail, settings, vlans }
    }

    /// The bridge is to exist.
    #[must_use]
    pub fn present(mut self) -> Self {
        self.presence = Presence::Present;
        self
    }

    /// The bridge is not to exist.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.presence = Presence::Absent;
        self
    }

    /// The bridge is to have these ports of ours and no others.
    #[must_use]
    pub fn exactly(mut self, ports: impl IntoIterator<Item = (PortKey, PortName)>) -> Self {
        self.ports = Ports::Exactly(ports.into_iter().collect());
        self
    }

    /// The bridge is to have this port; others as they are.
    #[must_use]
    pub fn with_port(self, key: PortKey, name: PortName) -> Self {
        self.edit(key, Some(name))
    }

    /// The bridge is not to have this port of ours; others as they are.
    #[must_use]
    pub fn without_port(self, key: PortKey) -> Self {
        self.edit(key, None)
    }

    /// `other_config:hw-offload` is to read this text.
    #[must_use]
    pub fn hw_offload(mut self, value: &str) -> Self {
        self.hw_offload = Setting::Set(value.to_owned());
        self
    }

    /// `other_config:hw-offload` is not to be there.
    #[must_use]
    pub fn hw_offload_unset(mut self) -> Self {
        self.hw_offload = Setting::Unset;
        self
    }

    /// The port of ours with this key is to be an access port of this VLAN, or carry all.
    #[must_use]
    pub fn vlan(mut self, key: PortKey, vlan: Option<VlanId>) -> Self {
        self.vlans.insert(key, vlan);
        self
    }

    /// What the rows of a port that is added are to hold besides.
    pub(crate) fn settled(&self, key: &PortKey, settings: Option<&Settings>) -> Settings {
        let settings = settings.cloned().unwrap_or_default();
        self.vlans.get(key).map_or_else(|| settings.clone(), |vlan| settings.with_vlan(*vlan))
    }

    /// A key of the switch's `other_config` is to read this text, or not to be there.
    #[must_use]
    pub fn config(mut self, key: &str, value: Option<&str>) -> Self {
        let setting = value.map_or(Setting::Unset, |value| Setting::Set(value.to_owned()));
        self.config.insert(key.to_owned(), setting);
        self
    }

    /// The bridge is to have this datapath: `netdev`, or `system` for the kernel's.
    #[must_use]
    pub fn datapath_type(mut self, kind: &str) -> Self {
        self.datapath_type = Some(kind.to_owned());
        self
    }

    /// Every key of `other_config` that the change speaks about, with what it is to read.
    pub(crate) fn settings_of_switch(&self) -> impl Iterator<Item = (&str, &Setting)> {
        let others = self.config.iter().map(|(key, setting)| (key.as_str(), setting));
        std::iter::once((owned::HW_OFFLOAD, &self.hw_offload)).chain(others)
    }

    /// Whether DPDK is to be up (`dpdk_init` in OVS's `lib/dpdk.c`).
    pub(crate) fn wants_dpdk(&self) -> bool {
        let wanted = |value: &str| ["true", "try"].iter().any(|word| value.eq_ignore_ascii_case(word));
        matches!(self.config.get("dpdk-init"), Some(Setting::Set(value)) if wanted(value))
    }

    /// Whether a port that is there with these settings has the type and the options that are asked for, or nobody
    /// asks.
    pub(crate) fn suits(&self, key: &PortKey, now: &Settings) -> bool {
        self.settings.get(key).is_none_or(|wanted| {
            ["type", "options"].iter().all(|column| {
                wanted.interface.get(column).is_none_or(|value| now.interface.get(column) == Some(value))
            })
        })
    }

    /// The ports asked for, with their keys.
    pub fn wanted(&self) -> BTreeMap<&PortKey, &PortName> {
        match &self.ports {
            _ if self.presence == Presence::Absent => BTreeMap::new(),
            Ports::AsIs => BTreeMap::new(),
            Ports::Exactly(ports) => ports.iter().collect(),
            Ports::Edit(ports) => {
                ports.iter().filter_map(|(key, name)| Some((key, name.as_ref()?))).collect()
            }
        }
    }

    /// Whether a port of ours with this key and name is to stay.
    pub fn keeps(&self, key: &PortKey, name: &PortName) -> bool {
        match &self.ports {
            _ if self.presence == Presence::Absent => false,
            Ports::AsIs => true,
            Ports::Exactly(ports) => ports.get(key) == Some(name),
            Ports::Edit(ports) => ports.get(key).is_none_or(|wanted| wanted.as_ref() == Some(name)),
        }
    }

    /// Refuses a change that no switch could take.
    pub fn check(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::from([self.bridge.as_str()]);
        for name in self.wanted().into_values() {
            if !seen.insert(name.as_str()) {
                return Err(Error::DuplicatePort { port: name.clone(), bridge: self.bridge.clone() });
            }
        }
        Ok(())
    }

    /// Turns `Exactly` into the edits it means, so that further edits add to it.
    fn edit(mut self, key: PortKey, name: Option<PortName>) -> Self {
        match &mut self.ports {
            Ports::AsIs => self.ports = Ports::Edit(BTreeMap::from([(key, name)])),
            Ports::Edit(ports) => drop(ports.insert(key, name)),
            Ports::Exactly(ports) => match name {
                Some(name) => drop(ports.insert(key, name)),
                None => drop(ports.remove(&key)),
            },
        }
        self
    }
}

impl Setting {
    /// What the setting will read, given what it reads.
    pub fn over<'a>(&'a self, now: Option<&'a str>) -> Option<&'a str> {
        match self {
            Self::AsIs => now,
            Self::Set(value) => Some(value),
            Self::Unset => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BridgeState, PortState};

    fn change() -> Change {
        Change::to("br0".parse().unwrap())
    }

    fn key(text: &str) -> PortKey {
        text.parse().unwrap()
    }

    fn name(text: &str) -> PortName {
        text.parse().unwrap()
    }

    #[test]
    fn one_netdev_under_two_keys_is_refused() {
        let twice = change().with_port(key("a"), name("eth0")).with_port(key("b"), name("eth0"));
        assert_eq!(twice.check().unwrap_err().to_string(), "eth0 is asked for twice on bridge br0");
        assert!(change().with_port(key("a"), name("br0")).check().is_err());
        assert!(change().with_port(key("a"), name("eth0")).with_port(key("b"), name("eth1")).check().is_ok());
    }

    #[test]
    fn an_edit_leaves_other_ports_alone_and_exactly_does_not() {
        let edit = change().with_port(key("a"), name("eth0")).without_port(key("b"));
        assert!(edit.keeps(&key("a"), &name("eth0")) && !edit.keeps(&key("a"), &name("eth9")));
        assert!(!edit.keeps(&key("b"), &name("eth1")) && edit.keeps(&key("c"), &name("eth2")));
        let exactly = change().exactly([(key("a"), name("eth0"))]);
        assert!(exactly.keeps(&key("a"), &name("eth0")) && !exactly.keeps(&key("c"), &name("eth2")));
    }

    #[test]
    fn restoring_asks_for_what_was_there_and_no_more() {
        let bridge: BridgeName = "br0".parse().unwrap();
        let nothing = Change::restoring(bridge.clone(), &Observation::default());
        assert_eq!((nothing.presence, nothing.hw_offload), (Presence::Absent, Setting::Unset));
        let port = |key: &str, ofport| PortState {
            key: key.parse().unwrap(),
            name: key.parse().unwrap(),
            ofport,
            error: None,
            admin_up: None,
            link_up: None,
            settings: Settings::default(),
        };
        let before = Observation {
            bridge: Some(BridgeState {
                owner: Owner::Foreign,
                datapath_type: String::new(),
                ports: vec![port("a", Some(1)), port("b", Some(-1))],
                foreign_ports: BTreeSet::new(),
            }),
            hw_offload: Some("false".to_owned()),
            ..Observation::default()
        };
        let change = Change::restoring(bridge, &before);
        assert_eq!(change.presence, Presence::AsIs);
        assert_eq!(change.hw_offload, Setting::Set("false".to_owned()));
        assert_eq!(change.wanted().len(), 2);
        assert_eq!(change.may_fail, BTreeSet::from([name("b")]));
    }

    #[test]
    fn a_change_survives_json() {
        let change = change().present().with_port(key("0000:43:00.0/vf0"), name("eth0")).hw_offload_unset();
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
    }
}
