//! What mlx5 lets be set, and what it refuses, other than the mode itself.
//!
//! Sources are files of Linux 5.10 to 6.18; the messages are theirs, with the name of the module that
//! `NL_SET_ERR_MSG_MOD` puts in front.

use vdpa_hw::firmware::{NUM_OF_VFS, SRIOV_EN, SettingName, Value};
use vdpa_hw::mock::kernel::{Outcome, set_settings};
use vdpa_hw::mock::{Driverinit, EswitchMode, Inline, NetdevRole, SimParam, State as Simulated};
use vdpa_hw::{MacAddress, PciAddress, Vf, VfIndex};
use vdpa_netlink::{Errno, Refusal};

use super::auxiliary::vf_param_mut;
use crate::{EncapMode, InlineMode, Param, ParamMode, ParamValue, Rate};

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

/// `devlink_nl_rate_set_doit` in `net/devlink/rate.c`: a port has rates while it is there. mlx5's
/// `esw_qos_devlink_rate_to_mbps` refuses what the cable cannot carry, here 100 Gbit/s.
pub(super) fn set_rate(state: &mut Simulated, pf: PciAddress, port: u32, rate: Rate) -> Outcome {
    const SPEED_MBPS: u32 = 100_000;
    let pf = state.pf_mut(pf).ok_or(Errno::ENODEV)?;
    let switchdev = pf.eswitch.mode == EswitchMode::Switchdev;
    let vf = port.checked_sub(1).and_then(|index| u16::try_from(index).ok()).map(VfIndex::new);
    let kept = vf.and_then(|vf| pf.vfs.get_mut(&vf)).filter(|_| switchdev).ok_or(Errno::ENODEV)?;
    if rate.min_mbps.max(rate.max_mbps) > SPEED_MBPS {
        return Err(Refusal::because(Errno::EINVAL, "mlx5_core: TX rate value exceed link maximum speed"));
    }
    kept.rate_mbps = (rate.min_mbps, rate.max_mbps);
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
    if let Some((setting, value)) = permanent(state, address, name, mode, value)? {
        return set_settings(state, address.first_function(), &[(setting, value)].into());
    }
    if let Some(driverinit) = vf_param_mut(state, address, name) {
        return set_driverinit(driverinit, mode, value);
    }
    // A parameter that the driver has not registered: devlink_param_get_from_info finds none.
    let pf = state.pf_mut(address).ok_or(Errno::EINVAL)?;
    let switchdev = pf.eswitch.mode == EswitchMode::Switchdev;
    let in_the_way = pf.profile.refuses_steering_with_vfs && pf.num_vfs > 0;
    let param = pf.params.get_mut(name).ok_or(Errno::EINVAL)?;
    match (param, mode, value) {
        (SimParam::Runtime(now), ParamMode::Runtime, ParamValue::Text(wanted)) => {
            steering_mode_is_allowed(wanted, switchdev)?;
            if in_the_way {
                // The vendor's own driver (SR-IOV network operator, netplan #608); its words are not known here.
                return Err(Errno::EOPNOTSUPP.into());
            }
            now.clone_from(wanted);
        }
        (SimParam::Driverinit(driverinit), ..) => return set_driverinit(driverinit, mode, value),
        // The type of a value is checked before its mode; a mode that is not supported is EOPNOTSUPP.
        (SimParam::Runtime(_), _, ParamValue::Text(_)) => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// The value counts from the next reload on, and is what devlink shows from now on (`__devlink_nl_cmd_param_set_doit`
/// and `devlink_nl_param_fill` in `net/devlink/param.c`).
fn set_driverinit(driverinit: &mut Driverinit, mode: ParamMode, value: &ParamValue) -> Outcome {
    match (mode, value) {
        (ParamMode::Driverinit, ParamValue::Bool(wanted)) => driverinit.set = *wanted,
        (_, ParamValue::Bool(_)) => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(())
}

/// What stands for a firmware setting, with its type and when it holds (`mlx5_nv_param_devlink_params` in mlx5's
/// `lib/nv_param.c`, Linux 6.18).
const PERMANENT: [(&str, &str, ParamValue); 2] =
    [("enable_sriov", SRIOV_EN, ParamValue::Bool(false)), ("total_vfs", NUM_OF_VFS, ParamValue::U32(0))];

/// The parameters that stand for firmware settings; the machine's card keeps no number of VFs for each PF.
pub(super) fn permanent_params(state: &Simulated, address: PciAddress) -> Vec<Param> {
    let listed = state.pf(address).is_some_and(|pf| pf.profile.has_permanent_params);
    let nv = state.nv.get(&address.first_function()).filter(|_| listed);
    let param = |(name, setting, kind): (&str, &str, ParamValue)| {
        let next = nv?.settings.get(&setting.parse::<SettingName>().ok()?)?.next.number()?;
        let value = match kind {
            ParamValue::Bool(_) => ParamValue::Bool(next != 0),
            _ => ParamValue::U32(u32::try_from(next).ok()?),
        };
        Some(Param { name: name.to_owned(), generic: true, values: [(ParamMode::Permanent, value)].into() })
    };
    PERMANENT.into_iter().filter_map(param).collect()
}

/// The firmware setting that `name` stands for, and what it is to be; `None` where it stands for none.
fn permanent(
    state: &Simulated,
    address: PciAddress,
    name: &str,
    mode: ParamMode,
    value: &ParamValue,
) -> Outcome<Option<(SettingName, Value)>> {
    let listed = permanent_params(state, address).into_iter().any(|param| param.name == name);
    let Some((_, setting, kind)) = PERMANENT.into_iter().find(|(param, ..)| listed && *param == name) else {
        return Ok(None);
    };
    let value = match (kind, value) {
        (ParamValue::Bool(_), ParamValue::Bool(on)) => Value::truth(*on),
        (ParamValue::U32(_), ParamValue::U32(number)) => Value::Number((*number).into()),
        _ => return Err(Errno::EINVAL.into()),
    };
    if mode != ParamMode::Permanent {
        return Err(Errno::EOPNOTSUPP.into());
    }
    Ok(setting.parse().ok().map(|setting| (setting, value)))
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
