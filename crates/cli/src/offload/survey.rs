//! One look at everything that a flow's fate depends on.

use std::collections::BTreeMap;

use vdpa_eswitch::{DevlinkHandle, Mode};
use vdpa_hw::{IfIndex, Link, PciAddress};
use vdpa_ovs::flow::Flow;
use vdpa_ovs::{BridgeName, Observation};
use vdpa_tc::{Direction, Filter, SlowPath};

use super::joined::{Index, Joined};
use crate::error::Error;
use crate::host::Host;

/// What a look at the host has found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// The ports of the datapath, by the names of their network devices.
    pub ports: BTreeMap<String, Port>,
    /// The flows of the datapath, as they were listed.
    pub flows: Vec<Flow>,
    /// The filters on ingress of the ports, and on egress of internal ones, where Open vSwitch puts theirs.
    pub filters: Vec<(String, Filter)>,
    /// `hw-offload` and `tc-policy`.
    pub observation: Observation,
    /// Eswitch modes of the cards that have ports.
    pub modes: BTreeMap<PciAddress, Mode>,
    /// What ovs-vswitchd logged of flows that it could not offload.
    pub complaints: Vec<String>,
}

/// A port of the datapath.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Port {
    /// Its device's index; absent where it has none (a tunnel).
    pub index: Option<IfIndex>,
    /// Whether it is one of the host's own.
    pub internal: bool,
    /// Whether it is of the bridge that was asked about.
    pub on_bridge: bool,
    /// The PCI function it belongs to.
    pub parent: Option<PciAddress>,
    /// The switch it is a port of, in switchdev mode.
    pub switch: Option<String>,
    /// Whether filters can stand there.
    pub hooked: bool,
    /// hw-tc-offload; absent where the device does not belong to a card.
    pub tc_offload: Option<bool>,
    /// What it had of the host's CPU.
    pub slow_path: Option<SlowPath>,
}

impl Survey {
    /// Looks at `host`; whose ports `bridge` has is told of each port.
    ///
    /// # Errors
    /// A layer's error where the host cannot be looked at.
    pub async fn of(host: &Host, bridge: &BridgeName) -> Result<Self, Error> {
        let observation = host.vswitch.glance(bridge).await?;
        let flows = host.datapath.flows().await?;
        let (links, hooks) = (host.links.links().await?, host.tc.hooks().await?);
        let offloading = host.eswitch.tc_offloads().await?;
        let mut survey = Self { flows, observation, ..Self::default() };
        for port in host.datapath.ports().await? {
            let link = links.iter().find(|link| link.name.as_str() == port.name);
            let mut seen = survey.port(&port, link, bridge);
            if let Some(link) = link {
                let direction = if seen.internal { Direction::Egress } else { Direction::Ingress };
                seen.hooked = hooks.iter().any(|hook| hook.link == link.index && hook.has(direction));
                if seen.hooked {
                    let filters = host.tc.filters(link.index, direction).await?;
                    survey.filters.extend(filters.into_iter().map(|filter| (port.name.clone(), filter)));
                }
                if seen.parent.is_some() {
                    seen.tc_offload = Some(offloading.contains(&link.index));
                    seen.slow_path = host.tc.slow_path(link.index).await?;
                }
            }
            if let Some(pf) = seen.parent
                && !survey.modes.contains_key(&pf)
                && let Ok(state) = host.eswitch.state(&DevlinkHandle::from(pf)).await
            {
                survey.modes.insert(pf, state.mode);
            }
            survey.ports.insert(port.name, seen);
        }
        survey.complaints = host.datapath.complaints().await?;
        Ok(survey)
    }

    fn port(&self, port: &vdpa_ovs::DatapathPort, link: Option<&Link>, bridge: &BridgeName) -> Port {
        let ours = self.observation.bridge.as_ref().is_some_and(|state| {
            state.foreign_ports.contains(&port.name)
                || state.ports.iter().any(|ours| ours.name.as_str() == port.name)
        });
        Port {
            index: link.map(|link| link.index),
            internal: port.is_internal(),
            on_bridge: ours || port.name == bridge.as_str(),
            parent: link.and_then(|link| link.parent),
            switch: link.and_then(|link| link.phys_switch_id.clone()),
            ..Port::default()
        }
    }

    /// Each flow with the filter that Open vSwitch made of it.
    pub fn joined(&self) -> Vec<Joined<'_>> {
        let filters = Index::of(&self.filters);
        self.flows.iter().map(|flow| Joined::of(flow, &filters)).collect()
    }

    /// The name of a port by its device's index, or that index where it is no port's.
    pub fn name_of(&self, index: IfIndex) -> String {
        let found = self.ports.iter().find(|(_, port)| port.index == Some(index));
        found.map_or_else(|| format!("if{}", index.0), |(name, _)| name.clone())
    }

    /// Whether ovs-vswitchd acts by `hw-offload`: it puts a qdisc on every port then, and only then.
    pub fn in_force(&self) -> bool {
        self.ports.values().any(|port| port.hooked)
    }
}
