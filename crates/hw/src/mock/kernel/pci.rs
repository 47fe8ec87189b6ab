//! VFs come and go, drivers bind and unbind.

use vdpa_netlink::Errno;

use super::netdev::{drop_netdevs, plain, random_mac, renamed_by_udev, representor};
use super::{NETDEV_MS, Outcome};
use crate::mock::{Coming, EswitchMode, Netdev, NetdevRole, SimFunction, SimRole, SimVf, State, VfSettings};
use crate::nouns::{DriverName, MacAddress, PciAddress, PciId, Vf, VfIndex};

/// `sriov_numvfs`: `sriov_numvfs_store` in `drivers/pci/iov.c`, refusal by refusal in its order.
pub fn set_vf_count(state: &mut State, address: PciAddress, count: u16) -> Outcome {
    let held = vfs_of(state, address).any(|vf| state.holders.contains_key(&vf));
    let driven = state.functions.get(&address).is_some_and(|function| function.driver.is_some());
    let pf = state.pf_mut(address).ok_or(Errno::ENOENT)?;
    if count > pf.total_vfs {
        return Err(Errno::ERANGE.into());
    }
    if count == pf.num_vfs {
        return Ok(());
    }
    if !driven {
        return Err(Errno::ENOENT.into());
    }
    if count != 0 && pf.num_vfs != 0 {
        return Err(Errno::EBUSY.into());
    }
    if count == 0 && held {
        // The kernel would wait for the holder without limit (vfio_unregister_group_dev, vhost_vdpa_remove):
        // it is the real `Pci` that refuses before it asks.
        return Err(Errno::EBUSY.into());
    }
    let (vf_ms, switchdev) = (pf.profile.vf_ms, pf.eswitch.mode == EswitchMode::Switchdev);
    if pf.profile.hangs_at_vf_count {
        pf.stuck = true;
        return Ok(());
    }
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
    if let SimRole::Pf(pf) = &state.functions[&address].role {
        let uplink = Netdev {
            role: NetdevRole::Uplink(address),
            tc_offload: Some(false),
            ..plain(pf.netdev.as_str(), pf.permanent_mac)
        };
        state.later(NETDEV_MS, Coming::Netdev(Box::new(renamed_by_udev(uplink))));
    }
    Ok(())
}

/// `drivers/NAME/unbind`; unbinding what is not bound is ENODEV (`unbind_store` in `drivers/base/bus.c`).
///
/// A PF takes its VFs and its switch mode with it (`mlx5_sriov_detach`, `mlx5_eswitch_disable`).
pub fn unbind(state: &mut State, address: PciAddress) -> Outcome {
    let held = |function| state.holders.contains_key(&function);
    if held(address) || vfs_of(state, address).any(held) {
        // As in `set_vf_count`: the real `Pci` refuses before the kernel waits.
        return Err(Errno::EBUSY.into());
    }
    let function = state.functions.get_mut(&address).ok_or(Errno::ENODEV)?;
    function.driver.take().ok_or(Errno::ENODEV)?;
    let role = match &mut function.role {
        SimRole::Vf(sim) => {
            sim.effective_mac = None;
            Some(NetdevRole::VfNetdev(sim.vf))
        }
        SimRole::Pf(pf) => {
            pf.num_vfs = 0;
            pf.eswitch.mode = EswitchMode::Legacy;
            remove_vfs(state, address);
            Some(NetdevRole::Uplink(address))
        }
        SimRole::Plain => None,
    };
    drop_netdevs(state, |netdev| Some(netdev.role) == role);
    // What the driver was still to register: a bind that follows brings its own, with the MAC of that time.
    state.agenda.retain(|(_, coming)| !matches!(coming, Coming::Netdev(netdev) if Some(netdev.role) == role));
    state.vdpa.retain(|_, device| device.parent != address);
    Ok(())
}

impl VfSettings {
    fn fresh() -> Self {
        Self { mac: MacAddress::ZERO, trust: false, spoofchk: false, rate_mbps: (0, 0) }
    }
}

pub(super) fn vfs_of(state: &State, pf: PciAddress) -> impl Iterator<Item = PciAddress> + '_ {
    state.functions.iter().filter_map(move |(address, function)| match function.role {
        SimRole::Vf(sim) if sim.vf.pf == pf => Some(*address),
        _ => None,
    })
}

pub(super) fn vf_appears(state: &mut State, vf: Vf) {
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
        role: SimRole::Vf(SimVf::new(vf)),
    };
    let driver = parent.driver.clone();
    state.functions.insert(address, function);
    if let (true, Some(driver)) = (autoprobe, driver) {
        // ice's VFs belong to a driver of their own.
        let driver = if driver.as_str() == "ice" { "iavf".parse().unwrap_or(driver) } else { driver };
        probe(state, address, driver);
    }
}

/// A driver takes a function; a VF takes its administrative MAC with it (`sriov-cni` #232).
fn probe(state: &mut State, address: PciAddress, driver: DriverName) {
    let makes_netdev = matches!(driver.as_str(), "mlx5_core" | "iavf");
    let Some(function) = state.functions.get_mut(&address) else { return };
    function.driver = Some(driver);
    let SimRole::Vf(SimVf { vf, .. }) = function.role else { return };
    let admin = state.pf(vf.pf).and_then(|pf| pf.vfs.get(&vf.index)).map_or(MacAddress::ZERO, |vf| vf.mac);
    let ignored = state.pf(vf.pf).is_some_and(|pf| pf.profile.ignores_mac);
    let mac = if admin == MacAddress::ZERO || ignored { random_mac(vf) } else { admin };
    if let Some(SimFunction { role: SimRole::Vf(sim), .. }) = state.functions.get_mut(&address) {
        // Parameters are a driver's, and as new with it (`mlx5_devlink_params_register` in mlx5's `devlink.c`).
        *sim = SimVf { effective_mac: Some(mac), ..SimVf::new(vf) };
    }
    if makes_netdev {
        vf_netdev_comes(state, vf, mac);
    }
}

/// A VF's driver makes its network device.
pub(super) fn vf_netdev_comes(state: &mut State, vf: Vf, mac: MacAddress) {
    let base = state.pf(vf.pf).map(|pf| pf.netdev.to_string()).unwrap_or_default();
    let netdev = Netdev { role: NetdevRole::VfNetdev(vf), ..plain(&format!("{base}v{}", vf.index), mac) };
    let netdev = renamed_by_udev(netdev);
    state.later(NETDEV_MS, Coming::Netdev(Box::new(netdev)));
}

/// What a VF's driver has made of it goes: its network device, also one that is on its way, and its vDPA device
/// (`vdpa_mgmtdev_unregister` in `drivers/vdpa/vdpa.c`).
pub(super) fn vf_is_taken_down(state: &mut State, vf: Vf, address: PciAddress) {
    let role = NetdevRole::VfNetdev(vf);
    state.vdpa.retain(|_, device| device.parent != address);
    drop_netdevs(state, |netdev| netdev.role == role);
    state.agenda.retain(|(_, coming)| !matches!(coming, Coming::Netdev(netdev) if netdev.role == role));
}

/// A card is pulled out, or falls off the bus: its functions go with everything that hangs on them
/// (`pci_stop_and_remove_bus_device` in `drivers/pci/remove.c`).
pub fn pull_out(state: &mut State, card: PciAddress) {
    remove_vfs(state, card);
    drop_netdevs(state, |netdev| netdev.role == NetdevRole::Uplink(card));
    let is_uplink =
        |coming: &Coming| matches!(coming, Coming::Netdev(netdev) if netdev.role == NetdevRole::Uplink(card));
    state.agenda.retain(|(_, coming)| !is_uplink(coming));
    state.functions.remove(&card);
    state.holders.remove(&card);
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
