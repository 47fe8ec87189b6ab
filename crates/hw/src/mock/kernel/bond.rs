//! Bonds, and what a card makes of them.

use vdpa_netlink::{Errno, Refusal};

use super::Outcome;
use super::netdev::{plain, register};
use crate::bond::BondMode;
use crate::mock::{EswitchMode, Netdev, NetdevRole, SimBond, State};
use crate::nouns::{IfIndex, MacAddress, NetdevName, PciAddress};

/// `RTM_NEWLINK` of kind bond; EEXIST for a name that is taken (`rtnl_newlink` in `net/core/rtnetlink.c`).
pub fn add_bond(state: &mut State, name: &NetdevName, mode: BondMode) -> Outcome<IfIndex> {
    if state.netdevs.values().any(|netdev| netdev.name == *name) {
        return Err(Errno::EEXIST.into());
    }
    let bond = Some(SimBond { mode, ours: true });
    Ok(register(state, Netdev { bond, ..plain(name.as_str(), MacAddress::ZERO) }))
}

/// `RTM_DELLINK`: the members are let go first (`bond_uninit` in `drivers/net/bonding/bond_main.c`).
pub fn remove_bond(state: &mut State, bond: IfIndex) -> Outcome {
    let members: Vec<IfIndex> = members(state, bond).map(|(index, _)| index).collect();
    for member in members {
        release(state, member);
    }
    state.netdevs.remove(&bond).map(|_| ()).ok_or_else(|| Errno::ENODEV.into())
}

/// `IFLA_MASTER`: `bond_enslave` wants the device down, and brings it up; `__bond_release_one` leaves it down and
/// gives it its own MAC back (`drivers/net/bonding/bond_main.c`).
pub fn set_master(state: &mut State, link: IfIndex, bond: Option<IfIndex>) -> Outcome {
    let Some(bond) = bond else {
        state.netdevs.get(&link).ok_or(Errno::ENODEV)?;
        release(state, link);
        return Ok(());
    };
    let first = members(state, bond).map(|(_, member)| member.mac).next();
    state.netdevs.get(&bond).filter(|netdev| netdev.bond.is_some()).ok_or(Errno::EINVAL)?;
    let member = state.netdevs.get_mut(&link).ok_or(Errno::ENODEV)?;
    if member.up {
        return Err(Refusal::because(Errno::EPERM, "Device can not be enslaved while up"));
    }
    (member.up, member.master, member.mac) = (true, Some(bond), first.unwrap_or(member.mac));
    let mac = member.mac;
    if let Some(bond) = state.netdevs.get_mut(&bond) {
        bond.mac = mac;
    }
    Ok(())
}

/// Whether the card's ports are one: both uplinks and nothing else in a bond of a mode that can be, in switchdev
/// mode (`mlx5_handle_changeupper_event` and `mlx5_lag_check_prereq` in mlx5's `lag/lag.c`).
pub fn is_bonded_in_hardware(state: &State, pf: PciAddress) -> bool {
    let Some(bond) = state.netdev_with(NetdevRole::Uplink(pf)).and_then(|(_, uplink)| uplink.master) else {
        return false;
    };
    let can_be = state.netdevs.get(&bond).and_then(|bond| bond.bond).is_some_and(|bond| {
        matches!(bond.mode, BondMode::ActiveBackup | BondMode::BalanceXor | BondMode::Lacp)
    });
    let is_ready = |member: &Netdev| match member.role {
        NetdevRole::Uplink(pf) => {
            state.pf(pf).is_some_and(|pf| pf.eswitch.mode == EswitchMode::Switchdev && !pf.profile.holds_lag)
        }
        _ => false,
    };
    can_be && members(state, bond).count() == 2 && members(state, bond).all(|(_, member)| is_ready(member))
}

fn members(state: &State, bond: IfIndex) -> impl Iterator<Item = (IfIndex, &Netdev)> {
    let is_member = move |netdev: &Netdev| netdev.master == Some(bond);
    state.netdevs.iter().filter(move |(_, netdev)| is_member(netdev)).map(|(index, netdev)| (*index, netdev))
}

fn release(state: &mut State, link: IfIndex) {
    let own = |state: &State, role| match role {
        NetdevRole::Uplink(pf) => state.pf(pf).map(|pf| pf.permanent_mac),
        _ => None,
    };
    let mac = state.netdevs.get(&link).and_then(|member| own(state, member.role));
    if let Some(member) = state.netdevs.get_mut(&link).filter(|member| member.master.is_some()) {
        (member.up, member.master, member.mac) = (false, None, mac.unwrap_or(member.mac));
    }
}
