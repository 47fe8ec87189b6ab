//! The rules by which the simulated machine changes: what the kernel does, refuses, and does late.
//!
//! Each rule names its evidence. A rule without a refusal is one that the kernel has not either.

mod bond;
mod eswitch;
mod firmware;
mod netdev;
mod pci;
mod reload;
mod traffic;

use vdpa_netlink::Refusal;

use super::{Coming, State};

pub use bond::{add_bond, is_bonded_in_hardware, remove_bond, set_master};
pub use eswitch::set_eswitch_mode;
pub use firmware::{reset_firmware, reset_settings, set_settings};
pub use netdev::{
    ovs_restarts, remove_ingress_qdisc, set_ovs_ports, set_representor_names, set_tc_offload, set_up, set_vf,
};
pub use pci::{bind, pull_out, set_autoprobe, set_vf_count, unbind};
pub use reload::reload;
pub use traffic::forward;

/// The result of an operation on the machine.
pub type Outcome<T = ()> = Result<T, Refusal>;

/// Milliseconds from a bind to the network device: a fraction of a second on `ConnectX` cards.
const NETDEV_MS: u64 = 150;
/// Milliseconds that udev takes for one network device.
const UDEV_MS: u64 = 60;

/// Lets something happen that was on its way.
pub(super) fn happen(state: &mut State, coming: Coming) {
    match coming {
        Coming::Vf(vf) => pci::vf_appears(state, vf),
        Coming::Netdev(netdev) => {
            if netdev::still_wanted(state, &netdev) {
                let index = netdev::register(state, *netdev);
                state.later(UDEV_MS, Coming::Name(index));
            }
        }
        Coming::Name(index) => {
            let Some(name) = state.netdevs.get_mut(&index).and_then(|netdev| netdev.udev_name.take()) else {
                return;
            };
            // A name that another device has cannot be taken (EEXIST, `dev_change_name`): the kernel's own stays.
            let is_taken = state.netdevs.values().any(|other| other.name == name);
            if let Some(netdev) = state.netdevs.get_mut(&index).filter(|_| !is_taken) {
                netdev.name = name;
            }
        }
    }
}
