//! The network devices of the simulated machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::kernel;
use super::machine::Machine;
use super::pci::refused;
use super::{EswitchMode, Netdev, NetdevRole, SimBond, SimRole, State};
use crate::bond::{Bond, BondMode};
use crate::counters::LinkCounters;
use crate::error::{Error, Result};
use crate::link::{Link, Links, ManagementUse, VfAttributes, VfChange};
use crate::nouns::{IfIndex, NetdevName, PciAddress, Vf, VfIndex};

#[async_trait]
impl Links for Machine {
    async fn links(&self) -> Result<Vec<Link>> {
        self.tally("links");
        Ok(self.observe(|state| {
            state.netdevs.iter().map(|(index, netdev)| shown(state, *index, netdev)).collect()
        }))
    }

    async fn set_up(&self, link: IfIndex, up: bool) -> Result<()> {
        let name = self.name(link)?;
        self.operate("link", &name, |state| kernel::set_up(state, link, up))
            .map_err(refused(format!("bring {name} {}", if up { "up" } else { "down" })))
    }

    async fn vf_attributes(&self, pf: IfIndex) -> Result<BTreeMap<VfIndex, VfAttributes>> {
        self.tally("vf_attributes");
        let pf = self.pf_of(pf)?;
        Ok(self.observe(|state| {
            let settings = state.pf(pf).map(|pf| &pf.vfs).into_iter().flatten();
            settings
                .map(|(index, vf)| {
                    (*index, VfAttributes { mac: vf.mac, trust: Some(vf.trust), spoofchk: Some(vf.spoofchk) })
                })
                .collect()
        }))
    }

    async fn set_vf_attributes(&self, pf: IfIndex, vf: VfIndex, change: VfChange) -> Result<()> {
        let name = self.name(pf)?;
        let vf = Vf { pf: self.pf_of(pf)?, index: vf };
        self.operate("vf", &vf, |state| kernel::set_vf(state, vf, change))
            .map_err(refused(format!("set the attributes of VF {} through {name}", vf.index)))
    }

    async fn counters(&self, link: IfIndex) -> Result<LinkCounters> {
        self.observe(|state| {
            let passed = state.passed.get(&link).copied().unwrap_or_default();
            state.netdevs.contains_key(&link).then_some(passed)
        })
        .ok_or(Error::NoLink(link))
    }

    async fn management_uses(&self, link: IfIndex) -> Result<Vec<ManagementUse>> {
        self.observe(|state| state.netdevs.get(&link).map(|netdev| netdev.uses.clone()))
            .ok_or(Error::NoLink(link))
    }

    async fn bonds(&self) -> Result<Vec<Bond>> {
        self.tally("bonds");
        Ok(self.observe(|state| {
            let members = |bond: IfIndex| {
                let of_it = state.netdevs.iter().filter(move |(_, netdev)| netdev.master == Some(bond));
                of_it.map(|(index, _)| *index).collect()
            };
            let bond = |(index, netdev): (&IfIndex, &Netdev)| {
                let SimBond { mode, ours } = netdev.bond?;
                let (index, name) = (*index, netdev.name.clone());
                Some(Bond { index, name, mode: Some(mode), ours, members: members(index) })
            };
            state.netdevs.iter().filter_map(bond).collect()
        }))
    }

    async fn add_bond(&self, name: &NetdevName, mode: BondMode) -> Result<IfIndex> {
        self.operate("bond", name, |state| kernel::add_bond(state, name, mode))
            .map_err(refused(format!("make the bond {name}")))
    }

    async fn remove_bond(&self, bond: IfIndex) -> Result<()> {
        let name = self.name(bond)?;
        self.operate("bond", &name, |state| kernel::remove_bond(state, bond))
            .map_err(refused(format!("remove the bond {name}")))
    }

    async fn set_master(&self, link: IfIndex, bond: Option<IfIndex>) -> Result<()> {
        let name = self.name(link)?;
        let verb = if bond.is_some() { "put" } else { "take" };
        self.operate("master", &name, |state| kernel::set_master(state, link, bond)).map_err(refused(
            format!("{verb} {name} {} its bond", if bond.is_some() { "into" } else { "out of" }),
        ))
    }

    async fn with_ingress_qdisc(&self) -> Result<BTreeSet<IfIndex>> {
        self.tally("qdiscs");
        Ok(self.observe(|state| {
            state.netdevs.iter().filter(|(_, netdev)| netdev.ingress_qdisc).map(|(index, _)| *index).collect()
        }))
    }

    async fn remove_ingress_qdisc(&self, link: IfIndex) -> Result<()> {
        let name = self.name(link)?;
        self.operate("qdisc", &name, |state| kernel::remove_ingress_qdisc(state, link))
            .map_err(refused(format!("remove the ingress qdisc of {name}")))
    }

    async fn netdev_of(&self, parent: PciAddress, limit: Duration) -> Result<Link> {
        let find = |state: &State| {
            let role = match state.functions.get(&parent)?.role {
                SimRole::Vf(vf) => NetdevRole::VfNetdev(vf.vf),
                SimRole::Pf(_) | SimRole::Plain => NetdevRole::Uplink(parent),
            };
            state.netdev_with(role).map(|(index, netdev)| (index, netdev.clone()))
        };
        self.wait(limit, |state| {
            let (index, netdev) = find(state)?;
            netdev.udev_name.is_none().then(|| shown(state, index, &netdev))
        })
        .await
        .ok_or_else(|| Error::Timeout {
            awaited: format!("the network device of {parent}"),
            limit,
            seen: self.observe(|state| match find(state) {
                Some((_, netdev)) => format!("{}, which udev has not named yet", netdev.name),
                None => "none".to_owned(),
            }),
        })
    }

    async fn named(&self, name: &NetdevName, limit: Duration) -> Result<Link> {
        let find = |state: &State| {
            let (index, netdev) = state.netdevs.iter().find(|(_, netdev)| netdev.name == *name)?;
            netdev.udev_name.is_none().then(|| shown(state, *index, netdev))
        };
        self.wait(limit, find).await.ok_or_else(|| Error::Timeout {
            awaited: format!("network device {name}"),
            limit,
            seen: "none".to_owned(),
        })
    }

    async fn settled(&self, links: &[IfIndex], limit: Duration) -> Result<Vec<Link>> {
        let look = |state: &State| -> Option<Result<Vec<Link>>> {
            let mut found = Vec::new();
            for index in links {
                match state.netdevs.get(index) {
                    None => return Some(Err(Error::NoLink(*index))),
                    Some(netdev) if netdev.udev_name.is_some() => return None,
                    Some(netdev) => found.push(shown(state, *index, netdev)),
                }
            }
            Some(Ok(found))
        };
        self.wait(limit, look).await.unwrap_or_else(|| {
            Err(Error::Timeout {
                awaited: "udev's names".to_owned(),
                limit,
                seen: self.observe(|state| {
                    let unnamed = links.iter().filter_map(|index| state.netdevs.get(index));
                    unnamed
                        .filter(|n| n.udev_name.is_some())
                        .map(|n| n.name.to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                }),
            })
        })
    }
}

impl Machine {
    fn name(&self, link: IfIndex) -> Result<String> {
        self.observe(|state| state.netdevs.get(&link).map(|netdev| netdev.name.to_string()))
            .ok_or(Error::NoLink(link))
    }

    fn pf_of(&self, link: IfIndex) -> Result<PciAddress> {
        self.observe(|state| match state.netdevs.get(&link)?.role {
            NetdevRole::Uplink(pf) => Some(pf),
            _ => None,
        })
        .ok_or(Error::NoLink(link))
    }
}

/// The device as rtnetlink shows it. A representor's parent is its PF (since Linux 5.8).
fn shown(state: &State, index: IfIndex, netdev: &Netdev) -> Link {
    let (parent, port, pf) = match netdev.role {
        NetdevRole::Uplink(pf) => (Some(pf), Some(format!("p{}", port_number(pf))), Some(pf)),
        NetdevRole::Representor(vf) => {
            (Some(vf.pf), Some(format!("pf{}vf{}", port_number(vf.pf), vf.index)), Some(vf.pf))
        }
        NetdevRole::VfNetdev(vf) => (state.vf_address(vf), None, None),
        NetdevRole::Other => (None, None, None),
    };
    let switch = pf.and_then(|pf| state.pf(pf)).filter(|pf| pf.eswitch.mode == EswitchMode::Switchdev);
    Link {
        index,
        name: netdev.name.clone(),
        up: netdev.up,
        mac: netdev.mac,
        permanent_mac: match netdev.role {
            NetdevRole::Uplink(pf) => state.pf(pf).map(|pf| pf.permanent_mac),
            _ => None,
        },
        parent,
        master: netdev.master.or(netdev.ovs_port.then_some(OVS_SYSTEM)),
        phys_port_name: switch.and(port),
        phys_switch_id: switch.map(|pf| pf.eswitch.switch_id.clone()),
    }
}

/// The index under which `ovs-system` would be found, which the machine does not show.
const OVS_SYSTEM: IfIndex = IfIndex(1);

fn port_number(pf: PciAddress) -> char {
    pf.to_string().chars().last().unwrap_or('0')
}
