//! What mlx5 lets be set, and what it refuses, other than the mode itself.
//!
//! Sources are files of Linux 5.10 to 6.18; the messages are theirs, with the name of the module that
//! `NL_SET_ERR_MSG_MOD` puts in front.

use vdpa_hw::mock::kernel::Outcome;
use vdpa_hw::mock::{EswitchMode, Inline, NetdevRole, SimParam, State as Simulated};
use vdpa_hw::{MacAddress, PciAddress, Vf};
use vdpa_netlink::{Errno, Refusal};

use crate::{EncapMode, InlineMode, ParamMode, ParamValue};

/// `mlx5_devlink_eswitch_inline_mode_set` in mlx5's `eswitch_offloads.c`: `ConnectX-5` and later need no
/// inline header (`MLX5_CAP_INLINE_MODE_NOT_REQUIRED`) and take no other mode.
pub(super) fn set_inline(state: &mut Simulated, pf: PciAddress, inline: InlineMode) -> Outcome {
    if inline != InlineMode::None {
        return Err(Refusal::because(Errno::EOPNOTSUPP, "mlx5_core: Inline mode can't be set"));
    }
    state.pf_mut(pf).ok_or(Errno::ENODEV)?.eswitch.inline = Inline::None;
    Ok(())
}

/// `mlx5_devlink_eswitch_encap_mode_set` in mlx5's `eswitch_offloads.c`. The machine counts no flows: an
/// uplink on which OVS offloads stands for some.
pub(super) fn set_encap(state: &mut Simulated, address: PciAddress, encap: EncapMode) -> Outcome {
    let flows = state.netdevs.values().any(|n| n.role == NetdevRole::Uplink(address) && n.ingress_qdisc);
    let pf = state.pf_mut(address).ok_or(Errno::ENODEV)?;
    let wanted = encap == EncapMode::Basic;
    if pf.eswitch.encap == wanted {
        return Ok(());
    }
    if pf.eswitch.mode == EswitchMode::Switchdev && flows {
        return Err(Refusal::because(
            Errno::EOPNOTSUPP,
            "mlx5_core: Can't set encapsulation when flows are configured",
        ));
    }
    pf.eswitch.encap = wanted;
    Ok(())
}

/// `devlink_port_function_hw_addr_set` in `net/devlink/port.c` refuses groups;
/// `mlx5_devlink_port_fn_hw_addr_set` stores the address where `ip link set … vf N mac` does.
pub(super) fn set_function_mac(state: &mut Simulated, vf: Vf, mac: MacAddress) -> Outcome {
    if mac.is_multicast() {
        return Err(Refusal::because(Errno::EINVAL, "Non-unicast hardware address unsupported"));
    }
    let pf = state.pf_mut(vf.pf).ok_or(Errno::ENODEV)?;
    pf.vfs.get_mut(&vf.index).ok_or(Errno::EINVAL)?.mac = mac;
    Ok(())
}

/// `devlink_nl_param_set_doit` in `net/devlink/param.c` and the parameter's own check.
pub(super) fn set_param(
    state: &mut Simulated,
    address: PciAddress,
    name: &str,
    mode: ParamMode,
    value: &ParamValue,
) -> Outcome {
    // A parameter that the driver has not registered: devlink_param_get_from_info finds none.
    let pf = state.pf_mut(address).ok_or(Errno::EINVAL)?;
    let switchdev = pf.eswitch.mode == EswitchMode::Switchdev;
    let param = pf.params.get_mut(name).ok_or(Errno::EINVAL)?;
    match (param, mode, value) {
        (SimParam::Runtime(now), ParamMode::Runtime, ParamValue::Text(wanted)) => {
            steering_mode_is_allowed(wanted, switchdev)?;
            now.clone_from(wanted);
        }
        (SimParam::Driverinit(now), ParamMode::Driverinit, ParamValue::Bool(wanted)) => *now = *wanted,
        // The type of a value is checked before its mode; a mode that is not supported is EOPNOTSUPP.
        (SimParam::Runtime(_), _, ParamValue::Text(_))
        | (SimParam::Driverinit(_), _, ParamValue::Bool(_)) => {
            return Err(Errno::EOPNOTSUPP.into());
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// `mlx5_fs_mode_validate` in mlx5's `fs_core.c`.
fn steering_mode_is_allowed(mode: &str, switchdev: bool) -> Outcome {
    match mode {
        "smfs" if switchdev => Err(Refusal::because(
            Errno::EOPNOTSUPP,
            "mlx5_core: Software managed steering is not supported when eswitch offloads enabled.",
        )),
        "dmfs" | "smfs" => Ok(()),
        _ => Err(Refusal::because(
            Errno::EINVAL,
            "mlx5_core: Bad parameter: supported values are [\"dmfs\", \"smfs\"]",
        )),
    }
}
