//! The rules by which the simulated machine changes: what the kernel does, refuses, and does late.
//!
//! Each rule names its evidence. A rule without a refusal is one that the kernel has not either.

use vdpa_netlink::{Errno, Refusal};

use super::state::{
    Coming, EswitchMode, Netdev, NetdevRole, SimFunction, SimPf, SimRole, SimVf, State, VfSettings,
};
use crate::nouns::{DriverName, IfIndex, MacAddress, NetdevName, PciAddress, PciId, Vf, VfIndex};

/// The result of an operation on the machine.
pub type Outcome<T = ()> = Result<T, Refusal>;

/// Milliseconds from a bind to the network device: a fraction of a second on `ConnectX` cards.
const NETDEV_MS: u64 = 150;
/// Milliseconds that udev takes for one network device.
const UDEV_MS: u64 = 60;

/// `sriov_numvfs`: `sriov_numvfs_store` in `drivers/pci/pci-sysfs.c` (iov.c).
pub fn set_vf_count(state: &mut State, address: PciAddress, count: u16) -> Outcome {
    let held = vfs_of(state, address).any(|vf| state.holders.contains_key(&vf));
    let pf = state.pf_mut(address).ok_or(Errno::ENOENT)?;
    if count > pf.total_vfs {
        return Err(Errno::ERANGE.into());
    }
    if count == pf.num_vfs {
        return Ok(());
    }
    if count != 0 && pf.num_vfs != 0 {
        return Err(Errno::EBUSY.into());
    }
    if count == 0 && held {
        // vfio_pci holds a reference; mlx5 waits for ever. No kernel answers here: refusing is ours, so that a
        // test that takes a VF from a VM fails.
        return Err(Errno::EBUSY.into());
    }
    let (vf_ms, switchdev) = (pf.profile.vf_ms, pf.eswitch.mode == EswitchMode::Switchdev);
    pf.num_vfs = count;
    if count == 0 {
        remove_vfs(state, address);
        return Ok(());
    }
    pf.vfs = VfIndex::first(count).map(|index| (index, VfSettings::fresh())).collect();
    for index in VfIndex::first(count) {
        let vf = Vf { pf: address, index };
        let after = vf_ms * (u64::from(index.get()) + 1);
        state.later(after, Coming::Vf(vf));
        if switchdev {
            let netdev = representor(state, vf);
            state.later(after, Coming::Netdev(Box::new(netdev)));
        }
    }
    Ok(())
}

/// `sriov_drivers_autoprobe`.
pub fn set_autoprobe(state: &mut State, address: PciAddress, on: bool) -> Outcome {
    state.pf_mut(address).ok_or(Errno::ENOENT)?.autoprobe = on;
    Ok(())
}

/// Bind with `driver_override` set for the time of the bind, which is how a VF is bound while autoprobe
/// is off (`pci_device_can_probe` in `drivers/pci/pci-driver.c`).
pub fn bind(state: &mut State, address: PciAddress, driver: &DriverName) -> Outcome {
    if !state.drivers.contains(driver) {
        return Err(Errno::ENODEV.into());
    }
    let function = state.functions.get(&address).ok_or(Errno::ENODEV)?;
    if function.driver.is_some() {
        return Err(Errno::EBUSY.into());
    }
    probe(state, address, driver.clone());
    Ok(())
}

/// `drivers/NAME/unbind`; unbinding what is not bound is ENODEV (`unbind_store` in `drivers/base/bus.c`).
pub fn unbind(state: &mut State, address: PciAddress) -> Outcome {
    if state.holders.contains_key(&address) {
        return Err(Errno::EBUSY.into());
    }
    let function = state.functions.get_mut(&address).ok_or(Errno::ENODEV)?;
    function.driver.take().ok_or(Errno::ENODEV)?;
    if let SimRole::Vf(sim) = &mut function.role {
        sim.effective_mac = None;
        let role = NetdevRole::VfNetdev(sim.vf);
        drop_netdevs(state, |netdev| netdev.role == role);
    }
    state.vdpa.retain(|_, device| device.parent != address);
    Ok(())
}

/// Administrative VF attributes: `do_setvfinfo` in `net/core/rtnetlink.c`; mlx5 refuses multicast.
pub fn set_vf(state: &mut State, vf: Vf, change: crate::link::VfChange) -> Outcome {
    let pf = state.pf_mut(vf.pf).ok_or(Errno::ENODEV)?;
    let settings = pf.vfs.get_mut(&vf.index).ok_or(Errno::EINVAL)?;
    if change.mac.is_some_and(MacAddress::is_multicast) {
        return Err(Errno::EINVAL.into());
    }
    settings.mac = change.mac.unwrap_or(settings.mac);
    settings.trust = change.trust.unwrap_or(settings.trust);
    settings.spoofchk = change.spoofchk.unwrap_or(settings.spoofchk);
    Ok(())
}

/// `IFF_UP`.
pub fn set_up(state: &mut State, link: IfIndex, up: bool) -> Outcome {
    state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?.up = up;
    Ok(())
}

/// `devlink dev eswitch set … mode`: `mlx5_devlink_eswitch_mode_set`.
///
/// The PF's network device goes and an uplink representor comes, down, with another index (pitfall 6).
pub fn set_eswitch_mode(state: &mut State, address: PciAddress, mode: EswitchMode) -> Outcome {
    let any_bound = vfs_of(state, address).any(|vf| state.functions[&vf].driver.is_some());
    let bridged = state.netdevs.values().any(|n| n.role == NetdevRole::Uplink(address) && n.ingress_qdisc);
    let pf = state.pf_mut(address).ok_or(Errno::ENODEV)?;
    if pf.eswitch.mode == mode {
        return Ok(());
    }
    let profile = &pf.profile;
    match mode {
        EswitchMode::Switchdev => {
            if let Some(text) = &profile.refuses_switchdev {
                return Err(Refusal::because(Errno::EOPNOTSUPP, text.clone()));
            }
            if profile.refuses_switchdev_without_vfs && pf.num_vfs == 0 {
                return Err(Refusal::because(
                    Errno::EINVAL,
                    "Can't set offloads mode, SRIOV legacy not enabled",
                ));
            }
            if profile.refuses_switchdev_with_bound_vfs && any_bound {
                return Err(Refusal::because(Errno::EBUSY, "Unbind all VFs first"));
            }
        }
        EswitchMode::Legacy => {
            if profile.refuses_legacy_when_bridged && bridged {
                return Err(Refusal::because(Errno::EBUSY, "Can't change mode, E-Switch is busy"));
            }
        }
    }
    pf.eswitch.mode = mode;
    let (count, vf_ms) = (pf.num_vfs, pf.profile.vf_ms);
    let replaced = state.netdev_with(NetdevRole::Uplink(address)).map(|(_, netdev)| netdev.clone());
    drop_netdevs(state, |netdev| match netdev.role {
        NetdevRole::Uplink(pf) => pf == address,
        NetdevRole::Representor(vf) => vf.pf == address,
        NetdevRole::VfNetdev(_) | NetdevRole::Other => false,
    });
    if let Some(old) = replaced {
        let uplink = Netdev { up: false, ovs_port: false, ingress_qdisc: false, uses: Vec::new(), ..old };
        let uplink = renamed_by_udev(uplink);
        state.later(NETDEV_MS, Coming::Netdev(Box::new(uplink)));
    }
    if mode == EswitchMode::Switchdev {
        for index in VfIndex::first(count) {
            let netdev = representor(state, Vf { pf: address, index });
            let after = NETDEV_MS + vf_ms * (u64::from(index.get()) + 1) / 4;
            state.later(after, Coming::Netdev(Box::new(netdev)));
        }
    }
    Ok(())
}

/// ethtool's hw-tc-offload; EOPNOTSUPP with "bit name not found" is for unknown features, a device
/// without it just leaves it off (veth: errno 0, ACTIVE empty).
pub fn set_tc_offload(state: &mut State, link: IfIndex, on: bool) -> Outcome<bool> {
    let ignored =
        state.functions.values().any(|f| matches!(&f.role, SimRole::Pf(pf) if pf.profile.ignores_tc_offload));
    let netdev = state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?;
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
/// `ports` are the names of all of them; `offload` says whether hw-offload is in force.
pub fn set_ovs_ports(state: &mut State, ports: &[String], offload: bool) {
    for netdev in state.netdevs.values_mut() {
        netdev.ovs_port = ports.iter().any(|port| port == netdev.name.as_str());
        netdev.ingress_qdisc = netdev.ovs_port && offload;
    }
}

/// Lets something happen that was on its way.
pub(super) fn happen(state: &mut State, coming: Coming) {
    match coming {
        Coming::Vf(vf) => vf_appears(state, vf),
        Coming::Netdev(netdev) => {
            if still_wanted(state, &netdev) {
                let index = register(state, *netdev);
                state.later(UDEV_MS, Coming::Name(index));
            }
        }
        Coming::Name(index) => {
            if let Some(netdev) = state.netdevs.get_mut(&index)
                && let Some(name) = netdev.udev_name.take()
            {
                netdev.name = name;
            }
        }
    }
}

impl VfSettings {
    fn fresh() -> Self {
        Self { mac: MacAddress::ZERO, trust: false, spoofchk: false }
    }
}

fn vfs_of(state: &State, pf: PciAddress) -> impl Iterator<Item = PciAddress> + '_ {
    state.functions.iter().filter_map(move |(address, function)| match function.role {
        SimRole::Vf(sim) if sim.vf.pf == pf => Some(*address),
        _ => None,
    })
}

fn vf_appears(state: &mut State, vf: Vf) {
    let Some(pf) = state.pf(vf.pf) else { return };
    if vf.index.get() >= pf.num_vfs {
        return;
    }
    let offset = pf.first_vf_offset + pf.vf_stride * vf.index.get();
    let Some(address) = vf.pf.offset_by(offset) else { return };
    let (autoprobe, parent) = (pf.autoprobe, &state.functions[&vf.pf]);
    let function = SimFunction {
        // ConnectX Family mlx5Gen Virtual Function.
        id: PciId { vendor: parent.id.vendor, device: 0x101e },
        driver: None,
        driver_override: None,
        numa_node: parent.numa_node,
        iommu_group: parent.iommu_group.map(|group| group + 100 + u32::from(vf.index.get())),
        role: SimRole::Vf(SimVf { vf, effective_mac: None }),
    };
    let driver = parent.driver.clone();
    state.functions.insert(address, function);
    if let (true, Some(driver)) = (autoprobe, driver) {
        probe(state, address, driver);
    }
}

/// A driver takes a function; a VF takes its administrative MAC with it (pitfall 21).
fn probe(state: &mut State, address: PciAddress, driver: DriverName) {
    let makes_netdev = driver.as_str() == "mlx5_core";
    let Some(function) = state.functions.get_mut(&address) else { return };
    function.driver = Some(driver);
    let SimRole::Vf(SimVf { vf, .. }) = function.role else { return };
    let admin = state.pf(vf.pf).and_then(|pf| pf.vfs.get(&vf.index)).map_or(MacAddress::ZERO, |vf| vf.mac);
    let mac = if admin == MacAddress::ZERO { random_mac(vf) } else { admin };
    if let Some(SimFunction { role: SimRole::Vf(sim), .. }) = state.functions.get_mut(&address) {
        sim.effective_mac = Some(mac);
    }
    if makes_netdev {
        let base = state.pf(vf.pf).map(|pf| pf.netdev.to_string()).unwrap_or_default();
        let netdev = Netdev { role: NetdevRole::VfNetdev(vf), ..plain(&format!("{base}v{}", vf.index), mac) };
        let netdev = renamed_by_udev(netdev);
        state.later(NETDEV_MS, Coming::Netdev(Box::new(netdev)));
    }
}

/// Stands for the random MAC that a driver gives a VF without one: the same each time, so that a simulated
/// host can be compared.
fn random_mac(vf: Vf) -> MacAddress {
    let [high, low] = vf.index.get().to_be_bytes();
    MacAddress::new([0x02, 0x5e, 0x00, 0x00, high, low])
}

fn remove_vfs(state: &mut State, pf: PciAddress) {
    let gone: Vec<_> = vfs_of(state, pf).collect();
    for address in &gone {
        state.functions.remove(address);
    }
    state.vdpa.retain(|_, device| !gone.contains(&device.parent));
    drop_netdevs(state, |netdev| match netdev.role {
        NetdevRole::Representor(vf) | NetdevRole::VfNetdev(vf) => vf.pf == pf,
        NetdevRole::Uplink(_) | NetdevRole::Other => false,
    });
    state.agenda.retain(|(_, coming)| match coming {
        Coming::Vf(vf) => vf.pf != pf,
        Coming::Netdev(netdev) => {
            !matches!(netdev.role, NetdevRole::Representor(vf) | NetdevRole::VfNetdev(vf) if vf.pf == pf)
        }
        Coming::Name(_) => true,
    });
    if let Some(pf) = state.pf_mut(pf) {
        pf.vfs.clear();
    }
}

/// A representor as its driver registers it; udev renames it if the name fits.
fn representor(state: &State, vf: Vf) -> Netdev {
    let base = state.pf(vf.pf).map(|pf| pf.netdev.to_string()).unwrap_or_default();
    let netdev = Netdev {
        role: NetdevRole::Representor(vf),
        tc_offload: Some(false),
        ..plain(&format!("{base}_{}", vf.index), random_mac(vf))
    };
    renamed_by_udev(netdev)
}

fn plain(name: &str, mac: MacAddress) -> Netdev {
    Netdev {
        // A name too long for the kernel leaves the driver's own (pitfall 19).
        name: name.parse().unwrap_or_else(|_| fallback_name()),
        udev_name: None,
        role: NetdevRole::Other,
        up: false,
        mac,
        tc_offload: None,
        ingress_qdisc: false,
        ovs_port: false,
        uses: Vec::new(),
    }
}

fn fallback_name() -> NetdevName {
    "eth%d".parse().unwrap_or_else(|_| unreachable!("eth%d is a valid name"))
}

/// The device as the kernel first shows it: `ethN`, until udev has renamed it.
fn renamed_by_udev(netdev: Netdev) -> Netdev {
    Netdev { udev_name: Some(netdev.name.clone()), name: fallback_name(), ..netdev }
}

fn register(state: &mut State, mut netdev: Netdev) -> IfIndex {
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
fn still_wanted(state: &State, netdev: &Netdev) -> bool {
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

fn drop_netdevs(state: &mut State, gone: impl Fn(&Netdev) -> bool) {
    state.netdevs.retain(|_, netdev| !gone(netdev));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Fuse, Lasting, Machine, When, hosts};
    use super::*;
    use crate::link::Links;
    use crate::pci::Pci;

    const LIMIT: Duration = Duration::from_mins(1);

    fn pf() -> PciAddress {
        "0000:43:00.0".parse().unwrap()
    }

    fn refused<T: std::fmt::Debug>(outcome: Outcome<T>) -> Errno {
        outcome.unwrap_err().errno
    }

    #[tokio::test]
    async fn vfs_come_late_and_only_through_zero() {
        let machine = Machine::new(hosts::host_105());
        machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
        assert_eq!(machine.observe(|state| state.now_ms), 800);
        assert_eq!(machine.meddle(|state| refused(set_vf_count(state, pf(), 3))), Errno::EBUSY);
        assert_eq!(machine.meddle(|state| refused(set_vf_count(state, pf(), 9))), Errno::ERANGE);
        machine.set_vf_count(pf(), 0, LIMIT).await.unwrap();
        assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().vfs, []);
    }

    #[tokio::test]
    async fn switchdev_makes_representors_and_another_uplink() {
        let machine = Machine::new(hosts::host_105());
        machine.set_autoprobe(pf(), false).await.unwrap();
        let before = machine.netdev_of(pf(), LIMIT).await.unwrap();
        machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev)).unwrap();
        machine.set_vf_count(pf(), 2, LIMIT).await.unwrap();
        machine.settle().await;
        let uplink = machine.netdev_of(pf(), LIMIT).await.unwrap();
        assert_eq!((before.name, before.up, uplink.up), (uplink.name, true, false));
        assert_ne!(before.index, uplink.index);
        let ports: Vec<_> =
            machine.links().await.unwrap().into_iter().filter_map(|l| l.phys_port_name).collect();
        assert_eq!(ports, ["p0", "pf0vf0", "pf0vf1"]);
    }

    #[tokio::test]
    async fn switchdev_is_refused_while_a_vf_is_bound() {
        let machine = Machine::new(hosts::host_105());
        machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
        let refusal = machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev));
        assert_eq!(refused(refusal), Errno::EBUSY);
        let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
        machine.set_driver(vf, None).await.unwrap();
        machine.meddle(|state| set_eswitch_mode(state, pf(), EswitchMode::Switchdev)).unwrap();
    }

    #[tokio::test]
    async fn an_administrative_mac_takes_effect_at_the_next_bind() {
        let machine = Machine::new(hosts::host_105());
        machine.set_vf_count(pf(), 1, LIMIT).await.unwrap();
        let uplink = machine.netdev_of(pf(), LIMIT).await.unwrap().index;
        let mac: MacAddress = "e4:11:22:33:55:60".parse().unwrap();
        let change = crate::link::VfChange { mac: Some(mac), ..Default::default() };
        machine.set_vf_attributes(uplink, VfIndex::new(0), change).await.unwrap();
        let vf = machine.function(pf()).await.unwrap().sriov().unwrap().vfs[0];
        assert_ne!(machine.netdev_of(vf, LIMIT).await.unwrap().mac, mac);
        machine.set_driver(vf, None).await.unwrap();
        machine.set_driver(vf, "mlx5_core".parse().ok().as_ref()).await.unwrap();
        assert_eq!(machine.netdev_of(vf, LIMIT).await.unwrap().mac, mac);
    }

    #[tokio::test]
    async fn a_fuse_strikes_before_or_after_the_effect() {
        for (when, autoprobe) in [(When::Before, true), (When::After, false)] {
            let machine = Machine::new(hosts::host_105());
            machine.set_fuse(Some(Fuse::new(1, when, Lasting::Once)));
            let error = machine.set_autoprobe(pf(), false).await.unwrap_err();
            assert!(matches!(error, crate::Error::Refused { .. }), "{error}");
            assert_eq!(machine.function(pf()).await.unwrap().sriov().unwrap().autoprobe, autoprobe);
            machine.set_autoprobe(pf(), true).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_lasting_fuse_goes_on_failing() {
        for (lasting, other_works) in [(Lasting::SameOperation, true), (Lasting::Everything, false)] {
            let machine = Machine::new(hosts::host_105());
            machine.set_fuse(Some(Fuse::new(1, When::Before, lasting)));
            for _ in 0..2 {
                assert!(machine.set_autoprobe(pf(), false).await.is_err());
            }
            assert_eq!(machine.set_vf_count(pf(), 1, LIMIT).await.is_ok(), other_works);
        }
    }

    #[test]
    fn a_machine_survives_being_written_down() {
        let text = serde_json::to_string(&hosts::host_105()).unwrap();
        let again: State = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
