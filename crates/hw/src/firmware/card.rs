//! Which functions are one card, and how many VFs it should be made for.

use crate::nouns::PciAddress;
use crate::pci::{Function, Role};

/// The most VFs that mlx5 firmware takes for a port.
const MOST: u16 = 127;
/// Fewer are not worth a reboot.
const FEWEST: u16 = 8;

/// The PFs of the card that `pf` belongs to, in the order of its ports.
///
/// Ports of one card are functions of one device; a number of VFs, and most settings, is one for all of them.
pub fn functions_of_card(functions: &[Function], pf: PciAddress) -> Vec<PciAddress> {
    let vendor = functions.iter().find(|function| function.address == pf).map(|function| function.id.vendor);
    let of_card = |function: &&Function| {
        function.address.first_function() == pf.first_function()
            && Some(function.id.vendor) == vendor
            // Also one without the SR-IOV capability: firmware hides it where `SRIOV_EN` is off.
            && !matches!(function.role, Role::Vf(_))
    };
    let mut found: Vec<PciAddress> =
        functions.iter().filter(of_card).map(|function| function.address).collect();
    if !found.contains(&pf) {
        found.push(pf);
    }
    found.sort_unstable();
    found
}

/// What to set `NUM_OF_VFS` to for a card whose ports are to have these many VFs: enough for the port with the most,
/// and room for twice as many, so that the next VFs cost no reboot (pitfall 27).
pub fn vfs_with_headroom(ports: impl IntoIterator<Item = u16>) -> u16 {
    let most = ports.into_iter().max().unwrap_or(0);
    most.saturating_mul(2).checked_next_power_of_two().unwrap_or(MOST).clamp(FEWEST, MOST).max(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pitfall 27: `NUM_OF_VFS` is one number for both ports, and every change of it costs a reboot.
    #[test]
    fn the_port_with_the_most_vfs_counts_and_there_is_room_for_more() {
        assert_eq!(vfs_with_headroom([2, 6]), 16);
        assert_eq!(vfs_with_headroom([1]), 8);
        assert_eq!(vfs_with_headroom([64, 3]), 127);
        assert_eq!(vfs_with_headroom([200]), 200);
        assert_eq!(vfs_with_headroom([]), 8);
    }
}
