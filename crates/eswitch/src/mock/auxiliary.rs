//! What mlx5 makes of a VF by the VF's own parameters, and when it is made anew.
//!
//! Sources are files of Linux 6.12.

use std::collections::BTreeSet;

use vdpa_hw::PciAddress;
use vdpa_hw::mock::kernel::{self, Outcome};
use vdpa_hw::mock::{Driverinit, SimRole, SimVf, State as Simulated};
use vdpa_netlink::{Errno, Refusal};

use crate::{Auxiliaries, Auxiliary, Reload, ReloadAction};

/// The parameters of a VF that are simulated: of a VF that mlx5 has, on a kernel from Linux 5.15 on, and `enable_vnet`
/// where the firmware emulates virtio queues (`mlx5_devlink_auxdev_params_register` in mlx5's `devlink.c`,
/// `mlx5_vnet_supported` in its `dev.c`).
pub(super) fn vf_params(
    state: &Simulated,
    address: PciAddress,
) -> impl Iterator<Item = (&'static str, Driverinit)> + use<> {
    let vf = driven_vf(state, address);
    let profile = vf.and_then(|vf| state.pf(vf.vf.pf)).map(|pf| &pf.profile);
    let has_params = profile.is_some_and(|profile| !profile.lacks_enable_params);
    let has_vnet = has_params && profile.is_some_and(|profile| profile.has_vdpa);
    let eth = vf.filter(|_| has_params).map(|vf| (Auxiliary::Eth.param(), vf.eth));
    let vnet = vf.filter(|_| has_vnet).map(|vf| (Auxiliary::Vnet.param(), vf.vnet));
    eth.into_iter().chain(vnet)
}

/// The parameter of this name, to be changed.
pub(super) fn vf_param_mut<'a>(
    state: &'a mut Simulated,
    address: PciAddress,
    name: &str,
) -> Option<&'a mut Driverinit> {
    vf_params(state, address).find(|(known, _)| *known == name)?;
    match &mut state.functions.get_mut(&address)?.role {
        SimRole::Vf(vf) => Some(if name == Auxiliary::Eth.param() { &mut vf.eth } else { &mut vf.vnet }),
        SimRole::Pf(_) | SimRole::Plain => None,
    }
}

/// The VF at `address` while mlx5 has it.
pub(super) fn driven_vf(state: &Simulated, address: PciAddress) -> Option<SimVf> {
    let function = state.functions.get(&address)?;
    let is_mlx5 = function.driver.as_ref().is_some_and(|driver| driver.as_str() == "mlx5_core");
    match function.role {
        SimRole::Vf(vf) if is_mlx5 => Some(vf),
        _ => None,
    }
}

/// `mlx5_rescan_drivers_locked` in mlx5's `dev.c`: what is supported and enabled, while the driver is up.
pub(super) fn all(state: &Simulated, address: PciAddress) -> Auxiliaries {
    let Some(vf) = driven_vf(state, address) else {
        return [Auxiliary::Eth, Auxiliary::Rdma].into();
    };
    let has_vdpa = state.pf(vf.vf.pf).is_some_and(|pf| pf.profile.has_vdpa);
    let mut found = Auxiliaries::new();
    if !vf.down {
        found.insert(Auxiliary::Rdma);
        found.extend(vf.eth.in_force.then_some(Auxiliary::Eth));
        found.extend((vf.vnet.in_force && has_vdpa).then_some(Auxiliary::Vnet));
    }
    found
}

/// `devlink_nl_reload_doit` in `net/devlink/dev.c`, in its order; what the driver does is the machine's.
pub(super) fn reload(
    state: &mut Simulated,
    address: PciAddress,
    reload: Reload,
) -> Outcome<BTreeSet<ReloadAction>> {
    let is_reinit = reload.action == ReloadAction::DriverReinit;
    if reload.no_reset && is_reinit {
        // `devlink_reload_invalid_combinations`.
        return Err(Refusal::because(Errno::EINVAL, "Requested limit is invalid for this action"));
    }
    if !is_reinit {
        if driven_vf(state, address).is_some() {
            // `mlx5_devlink_reload_down`: only PFs have `fw_reset`.
            let text = "mlx5_core: FW activate is unsupported for this function";
            return Err(Refusal::because(Errno::EOPNOTSUPP, text));
        }
        // `mlx5_devlink_reload_fw_activate`: the machine's firmware is reset by its tools only.
        return Err(Refusal::because(Errno::EINVAL, "mlx5_core: FW activate requires reboot"));
    }
    kernel::reload(state, address)?;
    Ok([ReloadAction::DriverReinit].into())
}
