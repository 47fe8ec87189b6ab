//! The statements about Open vSwitch: the bridge with its ports, and hardware offload.

use std::collections::BTreeSet;

use super::bond::ResolvedBond;
use super::nic::ResolvedNic;
use super::{SWITCH, Stages};
use crate::step::{Device, Step};

/// Every card's representors and its uplink are ports of the bridge; of a bond, it is the bond and not the uplinks.
pub(super) fn add(
    stages: &mut Stages,
    bridge: &vdpa_ovs::BridgeName,
    nics: &[ResolvedNic],
    bonds: &[ResolvedBond],
) {
    let is_bonded = |nic: &&ResolvedNic| bonds.iter().any(|bond| bond.uplinks.contains(&nic.pf));
    let uplinks = nics.iter().filter(|nic| !is_bonded(nic)).map(|nic| Device::Uplink(nic.pf));
    let representors =
        nics.iter().flat_map(|nic| nic.vfs.iter().map(|spec| Device::Representor(nic.vf(spec))));
    let ports: BTreeSet<Device> =
        uplinks.chain(bonds.iter().filter_map(ResolvedBond::device)).chain(representors).collect();
    stages[SWITCH].push(Step::Bridge { name: bridge.clone(), exists: true, ports: ports.clone() });
    let (value, in_force) = (Some("true".to_owned()), ports.clone());
    stages[SWITCH].push(Step::HwOffload { bridge: bridge.clone(), value, ports, in_force });
}

/// The VLANs of VFs.
pub(super) fn add_vlans(stages: &mut Stages, bridge: &vdpa_ovs::BridgeName, nics: &[ResolvedNic]) {
    for (nic, spec) in nics.iter().flat_map(|nic| nic.vfs.iter().map(move |spec| (nic, spec))) {
        let vlan = |vlan| Step::Vlan { bridge: bridge.clone(), vf: nic.vf(spec), vlan: Some(vlan) };
        stages[SWITCH].extend(spec.vlan.map(vlan));
    }
}
