//! A driver is loaded again on a function that it has: `devlink dev reload`.

use vdpa_netlink::{Errno, Refusal};

use super::eswitch::set_eswitch_mode;
use super::pci::{vf_is_taken_down, vf_netdev_comes};
use super::{Outcome, is_bonded_in_hardware};
use crate::mock::{EswitchMode, NetdevRole, SimFunction, SimParam, SimRole, SimVf, State};
use crate::nouns::{MacAddress, PciAddress, Vf};

/// `devlink_reload` in `net/devlink/dev.c`: down, the new values of parameters, up. What the driver had made is made
/// again, a network device with another index; a VF's representor is the PF's driver's, and stays.
pub fn reload(state: &mut State, address: PciAddress) -> Outcome {
    let function = state.functions.get(&address).ok_or(Errno::ENODEV)?;
    let pf = match &function.role {
        SimRole::Vf(sim) => sim.vf.pf,
        SimRole::Pf(_) => address,
        SimRole::Plain => return Err(Errno::ENODEV.into()),
    };
    let profile = state.pf(pf).ok_or(Errno::ENODEV)?.profile.clone();
    if let Some(text) = profile.refuses_reload {
        return Err(Refusal::because(Errno::EOPNOTSUPP, text));
    }
    let sim = match &function.role {
        SimRole::Vf(sim) => *sim,
        _ => return reload_pf(state, address),
    };
    vf_is_taken_down(state, sim.vf, address);
    let reloaded = match state.functions.get_mut(&address) {
        Some(SimFunction { role: SimRole::Vf(sim), .. }) => {
            sim.eth.reload();
            sim.vnet.reload();
            // `mlx5_load_one` failed, and nothing is there until the next reload.
            sim.down = profile.fails_reload;
            *sim
        }
        _ => sim,
    };
    if profile.fails_reload {
        return Err(Errno::EIO.into());
    }
    if reloaded.eth.in_force {
        vf_netdev_comes(state, reloaded.vf, mac_of(state, &reloaded));
    }
    Ok(())
}

/// `mlx5_devlink_reload_down` and `mlx5_eswitch_disable` of Linux 6.12: refused while its ports are one with another's
/// in hardware, and otherwise its switch is in legacy mode afterwards. Where there are VFs, the kernel remarks that a
/// "reload while VFs are present is unfavorable", and does it.
fn reload_pf(state: &mut State, address: PciAddress) -> Outcome {
    if is_bonded_in_hardware(state, address) {
        return Err(Refusal::because(Errno::EOPNOTSUPP, "mlx5_core: reload is unsupported in Lag mode"));
    }
    let pf = state.pf_mut(address).ok_or(Errno::ENODEV)?;
    for param in pf.params.values_mut() {
        if let SimParam::Driverinit(value) = param {
            value.reload();
        }
    }
    // A network device anew is what a change of the mode brings, too: there and back where there is nothing to change.
    if pf.eswitch.mode == EswitchMode::Legacy {
        pf.eswitch.mode = EswitchMode::Switchdev;
    }
    for netdev in state.netdevs.values_mut().filter(|netdev| netdev.role == NetdevRole::Uplink(address)) {
        netdev.ovs_port = false;
    }
    set_eswitch_mode(state, address, EswitchMode::Legacy)
}

/// The MAC that a VF takes when it is brought up: what its PF keeps for it, as when it is probed.
fn mac_of(state: &State, sim: &SimVf) -> MacAddress {
    let kept = |vf: Vf| state.pf(vf.pf)?.vfs.get(&vf.index).map(|kept| kept.mac);
    let kept = kept(sim.vf).filter(|mac| *mac != MacAddress::ZERO);
    kept.or(sim.effective_mac).unwrap_or(MacAddress::ZERO)
}
