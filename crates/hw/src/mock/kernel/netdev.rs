//! Network devices are registered, named, set and taken away.

use vdpa_netlink::Errno;

use super::Outcome;
use crate::link::VfChange;
use crate::mock::{EswitchMode, Netdev, NetdevRole, SimPf, SimRole, State};
use crate::nouns::{IfIndex, MacAddress, NetdevName, PciAddress, Vf};

/// Administrative VF attributes: `do_setvfinfo` in `net/core/rtnetlink.c`; mlx5 refuses multicast, and in
/// switchdev mode trust and spoof checking (`esw/legacy.c`), after it has set the MAC; ice only trust
/// (`ice_set_vf_trust`).
pub fn set_vf(state: &mut State, vf: Vf, change: VfChange) -> Outcome {
    let is_ice = state
        .functions
        .get(&vf.pf)
        .is_some_and(|function| function.driver.as_ref().is_some_and(|driver| driver.as_str() == "ice"));
    let pf = state.pf_mut(vf.pf).ok_or(Errno::ENODEV)?;
    let switchdev = pf.eswitch.mode == EswitchMode::Switchdev;
    let settings = pf.vfs.get_mut(&vf.index).ok_or(Errno::EINVAL)?;
    if change.mac.is_some_and(MacAddress::is_multicast) {
        return Err(Errno::EINVAL.into());
    }
    settings.mac = change.mac.unwrap_or(settings.mac);
    if switchdev && (change.trust.is_some() || change.spoofchk.is_some() && !is_ice) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    settings.trust = change.trust.unwrap_or(settings.trust);
    settings.spoofchk = change.spoofchk.unwrap_or(settings.spoofchk);
    Ok(())
}

/// `IFF_UP`.
pub fn set_up(state: &mut State, link: IfIndex, up: bool) -> Outcome {
    state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?.up = up;
    Ok(())
}

/// ethtool's hw-tc-offload; EOPNOTSUPP with "bit name not found" is for unknown features, a device
/// without it just leaves it off (veth: errno 0, ACTIVE empty).
pub fn set_tc_offload(state: &mut State, link: IfIndex, on: bool) -> Outcome<bool> {
    let ignored =
        state.functions.values().any(|f| matches!(&f.role, SimRole::Pf(pf) if pf.profile.ignores_tc_offload));
    let in_use = super::traffic::has_card_flows(state, link);
    let netdev = state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?;
    // `set_feature_hw_tc` in mlx5's en_main.c, which counts the flows of the whole eswitch; the log has it as "Active
    // offloaded tc filters, can't turn hw_tc_offload off". mlx5 asks for its uplink only; here a representor is asked
    // too, as on the lab's card: who gets it right for both gets it right for one.
    if in_use && !on && netdev.tc_offload == Some(true) {
        return Err(Errno::EINVAL.into());
    }
    match &mut netdev.tc_offload {
        Some(active) if !ignored => {
            *active = on;
            Ok(on)
        }
        _ => Ok(false),
    }
}

/// What ovs-vswitchd does to network devices that become, or cease to be, its ports.
///
/// `ports` are the names of all of them; `offload` says whether hw-offload is in force. The ingress qdisc that
/// it puts on a port stays when the port goes (seen with 3.1.0).
pub fn set_ovs_ports(state: &mut State, ports: &[String], offload: bool) {
    for netdev in state.netdevs.values_mut() {
        netdev.ovs_port = ports.iter().any(|port| port == netdev.name.as_str());
        netdev.ingress_qdisc |= netdev.ovs_port && offload;
    }
    super::traffic::expire_flows(state);
}

/// Open vSwitch's service is restarted: cards that are said to lose hw-tc-offload over it do.
pub fn ovs_restarts(state: &mut State) {
    let forgetful: Vec<PciAddress> = state
        .functions
        .iter()
        .filter_map(|(address, function)| {
            matches!(&function.role, SimRole::Pf(pf) if pf.profile.loses_tc_offload_at_restart)
                .then_some(*address)
        })
        .collect();
    for netdev in state.netdevs.values_mut() {
        match netdev.role {
            NetdevRole::Uplink(pf) | NetdevRole::Representor(Vf { pf, .. }) if forgetful.contains(&pf) => {
                netdev.tc_offload = Some(false);
            }
            _ => {}
        }
    }
}

/// `tc qdisc del … ingress`: EINVAL where there is none (`tc_get_qdisc` in `net/sched/sch_api.c`).
pub fn remove_ingress_qdisc(state: &mut State, link: IfIndex) -> Outcome {
    let netdev = state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?;
    if !std::mem::take(&mut netdev.ingress_qdisc) {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}

/// Stands for the random MAC that a driver gives a VF without one: the same each time, so that a simulated
/// host can be compared.
pub(super) fn random_mac(vf: Vf) -> MacAddress {
    let [high, low] = vf.index.get().to_be_bytes();
    MacAddress::new([0x02, 0x5e, 0x00, 0x00, high, low])
}

/// A representor as its driver registers it; udev renames it if the name fits.
pub(super) fn representor(state: &State, vf: Vf) -> Netdev {
    let base = state.pf(vf.pf).map(|pf| pf.netdev.to_string()).unwrap_or_default();
    let netdev = Netdev {
        role: NetdevRole::Representor(vf),
        tc_offload: Some(false),
        ..plain(&format!("{base}_{}", vf.index), random_mac(vf))
    };
    let ruled = state.representor_names.get(&vf.pf).and_then(|names| names.get(usize::from(vf.index.get())));
    let netdev = renamed_by_udev(netdev);
    Netdev { udev_name: ruled.cloned().or(netdev.udev_name), ..netdev }
}

/// What udev's rules say of the representors of a PF: it counts for those that come (`ACTION!="add"` leaves the others
/// as they are).
pub fn set_representor_names(state: &mut State, pf: PciAddress, names: Vec<NetdevName>) -> Outcome {
    if names.is_empty() {
        state.representor_names.remove(&pf);
    } else {
        state.representor_names.insert(pf, names);
    }
    Ok(())
}

pub(super) fn plain(name: &str, mac: MacAddress) -> Netdev {
    Netdev {
        // A name too long for the kernel leaves the driver's own (`dev_valid_name` in `net/core/dev.c`).
        name: name.parse().unwrap_or_else(|_| fallback_name()),
        udev_name: None,
        role: NetdevRole::Other,
        up: false,
        mac,
        tc_offload: None,
        ingress_qdisc: false,
        ovs_port: false,
        uses: Vec::new(),
        bond: None,
        master: None,
    }
}

fn fallback_name() -> NetdevName {
    "eth%d".parse().unwrap_or_else(|_| unreachable!("eth%d is a valid name"))
}

/// The device as the kernel first shows it: `ethN`, until udev has renamed it.
pub(super) fn renamed_by_udev(netdev: Netdev) -> Netdev {
    Netdev { udev_name: Some(netdev.name.clone()), name: fallback_name(), ..netdev }
}

pub(super) fn register(state: &mut State, mut netdev: Netdev) -> IfIndex {
    state.next_ifindex = state.next_ifindex.max(1) + 1;
    let index = IfIndex(state.next_ifindex);
    if netdev.name == fallback_name() {
        let free = (0..).find_map(|n| {
            let name: NetdevName = format!("eth{n}").parse().ok()?;
            state.netdevs.values().all(|other| other.name != name).then_some(name)
        });
        netdev.name = free.unwrap_or_else(fallback_name);
    }
    state.netdevs.insert(index, netdev);
    index
}

/// A device whose VF or mode has gone in the meantime is never registered.
pub(super) fn still_wanted(state: &State, netdev: &Netdev) -> bool {
    let bound =
        |vf: Vf| state.vf_address(vf).is_some_and(|address| state.functions[&address].driver.is_some());
    let switchdev = |pf| state.pf(pf).is_some_and(|pf: &SimPf| pf.eswitch.mode == EswitchMode::Switchdev);
    let duplicate =
        state.netdevs.values().any(|other| other.role == netdev.role && netdev.role != NetdevRole::Other);
    !duplicate
        && match netdev.role {
            NetdevRole::VfNetdev(vf) => bound(vf),
            NetdevRole::Representor(vf) => {
                switchdev(vf.pf) && state.pf(vf.pf).is_some_and(|pf| vf.index.get() < pf.num_vfs)
            }
            NetdevRole::Uplink(_) | NetdevRole::Other => true,
        }
}

pub(super) fn drop_netdevs(state: &mut State, gone: impl Fn(&Netdev) -> bool) {
    state.netdevs.retain(|_, netdev| !gone(netdev));
}
