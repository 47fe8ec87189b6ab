//! The MAC of a VF for which the host file gives none.

use vdpa_hw::{MacAddress, VfIndex};

/// A VF's MAC where the host file gives none: locally administered, the same at every boot, and
/// different for each VF of each port (FNV-1a of the port's permanent address and the index).
pub(super) fn derived_mac(permanent: MacAddress, index: VfIndex) -> MacAddress {
    let bytes = permanent.octets().into_iter().chain(index.get().to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [mut octets @ .., _, _] = hash.to_be_bytes();
    octets[0] = octets[0] & 0xfc | 0x02;
    MacAddress::new(octets)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn derived_macs_are_stations_and_differ_by_port_and_vf() {
        let ports = ["0c:42:a1:fa:18:a2", "0c:42:a1:fa:18:a3"].map(|mac| mac.parse::<MacAddress>().unwrap());
        let macs: BTreeSet<_> = ports
            .iter()
            .flat_map(|port| VfIndex::first(127).map(|index| derived_mac(*port, index)))
            .collect();
        assert_eq!(macs.len(), 254);
        assert!(macs.iter().all(|mac| mac.is_station() && mac.octets()[0] & 2 != 0));
        // Stable across versions of this program: a VM's lease depends on it.
        assert_eq!(derived_mac(ports[0], VfIndex::new(0)).to_string(), "7a:76:2f:d3:5a:bb");
    }
}
