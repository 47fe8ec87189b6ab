//! The switch changes its mode.

use vdpa_netlink::{Errno, Refusal};

use super::netdev::{drop_netdevs, renamed_by_udev, representor};
use super::pci::vfs_of;
use super::{NETDEV_MS, Outcome};
use crate::mock::{Coming, EswitchMode, Netdev, NetdevRole, State};
use crate::nouns::{PciAddress, Vf, VfIndex};

/// `devlink dev eswitch set … mode`: `mlx5_devlink_eswitch_mode_set`.
///
/// The PF's network device goes and an uplink representor comes, down, with another index (seen with os-net-config, which waits for it).
pub fn set_eswitch_mode(state: &mut State, address: PciAddress, mode: EswitchMode) -> Outcome {
    let any_bound = vfs_of(state, address).any(|vf| state.functions[&vf].driver.is_some());
    let bridged = state
        .netdevs
        .values()
        .any(|n| n.role == NetdevRole::Uplink(address) && n.ovs_port && n.ingress_qdisc);
    let pf = state.pf_mut(address).ok_or(Errno::ENODEV)?;
    if pf.eswitch.mode == mode {
        return Ok(());
    }
    let profile = &pf.profile;
    if profile.refuses_mode_with_vfs && pf.num_vfs > 0 {
        return Err(Refusal::because(
            Errno::EOPNOTSUPP,
            "ice: Changing eswitch mode is allowed only if there is no VFs created",
        ));
    }
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
    // The ports go, and their rates with them (`devl_rate_leaf_destroy` in `net/devlink/rate.c`).
    pf.vfs.values_mut().for_each(|vf| vf.rate_mbps = (0, 0));
    let (count, vf_ms) = (pf.num_vfs, pf.profile.vf_ms);
    let replaced = state.netdev_with(NetdevRole::Uplink(address)).map(|(_, netdev)| netdev.clone());
    let permanent = state.pf(address).map(|pf| pf.permanent_mac);
    drop_netdevs(state, |netdev| match netdev.role {
        NetdevRole::Uplink(pf) => pf == address,
        NetdevRole::Representor(vf) => vf.pf == address,
        NetdevRole::VfNetdev(_) | NetdevRole::Other => false,
    });
    if let Some(old) = replaced {
        let uplink = Netdev {
            up: false,
            ovs_port: false,
            ingress_qdisc: false,
            uses: Vec::new(),
            master: None,
            mac: permanent.unwrap_or(old.mac),
            ..old
        };
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
