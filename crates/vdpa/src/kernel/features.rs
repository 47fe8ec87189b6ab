//! Virtio feature bits, and what iproute2 calls them.

use serde::{Deserialize, Serialize};

/// Virtio features, one a bit: `include/uapi/linux/virtio_net.h`, `virtio_config.h`, `virtio_ring.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Features(pub u64);

/// The bits that mean the same for every kind of device: `VIRTIO_TRANSPORT_F_START` and `_END`.
const TRANSPORT: std::ops::RangeInclusive<u32> = 28..=41;

/// Names of bits that mean the same for every kind of device.
const TRANSPORT_NAMES: &[(u32, &str)] = &[
    (28, "RING_INDIRECT_DESC"),
    (29, "RING_EVENT_IDX"),
    (32, "VERSION_1"),
    (33, "ACCESS_PLATFORM"),
    (34, "RING_PACKED"),
    (35, "IN_ORDER"),
    (36, "ORDER_PLATFORM"),
    (37, "SR_IOV"),
    (38, "NOTIFICATION_DATA"),
];

/// Names of a network device's bits.
const NET_NAMES: &[(u32, &str)] = &[
    (0, "CSUM"),
    (1, "GUEST_CSUM"),
    (2, "CTRL_GUEST_OFFLOADS"),
    (3, "MTU"),
    (5, "MAC"),
    (7, "GUEST_TSO4"),
    (8, "GUEST_TSO6"),
    (9, "GUEST_ECN"),
    (10, "GUEST_UFO"),
    (11, "HOST_TSO4"),
    (12, "HOST_TSO6"),
    (13, "HOST_ECN"),
    (14, "HOST_UFO"),
    (15, "MRG_RXBUF"),
    (16, "STATUS"),
    (17, "CTRL_VQ"),
    (18, "CTRL_RX"),
    (19, "CTRL_VLAN"),
    (20, "CTRL_RX_EXTRA"),
    (21, "GUEST_ANNOUNCE"),
    (22, "MQ"),
    (23, "CTRL_MAC_ADDR"),
    (24, "NOTIFY_ON_EMPTY"),
    (27, "ANY_LAYOUT"),
    (57, "HASH_REPORT"),
    (60, "RSS"),
    (61, "RSC_EXT"),
    (62, "STANDBY"),
    (63, "SPEED_DUPLEX"),
];

impl Features {
    /// `VIRTIO_NET_F_CTRL_VQ`: there is a control queue.
    pub const CTRL_VQ: Self = Self(1 << 17);

    /// Whether all of `others` are among them.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Their bits in ascending order.
    pub fn bits(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |bit| self.0 >> bit & 1 != 0)
    }

    /// What iproute2 6.15 calls a bit of a device of `class` (a virtio device id); `None` for those that it shows as a
    /// number, which it does for all that virtio has got since.
    pub fn name(bit: u32, class: u32) -> Option<&'static str> {
        let names = if TRANSPORT.contains(&bit) {
            TRANSPORT_NAMES
        } else if class == 1 {
            NET_NAMES
        } else {
            return None;
        };
        names.iter().find(|(known, _)| *known == bit).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_have_the_names_of_the_kernels_headers() {
        let headers: String = ["virtio_net.h", "virtio_config.h", "virtio_ring.h"]
            .map(|header| std::fs::read_to_string(format!("/usr/include/linux/{header}")).unwrap())
            .concat();
        let ours = NET_NAMES.iter().map(|(bit, name)| (bit, name, "VIRTIO_NET_F_"));
        let ours = ours.chain(TRANSPORT_NAMES.iter().map(|(bit, name)| (bit, name, "VIRTIO_F_")));
        let mut found = 0;
        for (bit, name, prefix) in ours {
            for prefix in [prefix, "VIRTIO_F_", "VIRTIO_"] {
                // Some are for the drivers and not in every header: what is there has to agree.
                let definition = format!("#define {prefix}{name}");
                let Some(line) = headers.lines().find(|line| {
                    line.strip_prefix(&definition).is_some_and(|rest| rest.starts_with([' ', '\t']))
                }) else {
                    continue;
                };
                let value = line.split_whitespace().nth(2).unwrap();
                assert_eq!(value, bit.to_string(), "{line}");
                found += 1;
            }
        }
        assert!(found > 25, "{found} of them were found in the headers");
    }

    #[test]
    fn a_bit_has_its_name_by_the_kind_of_device() {
        assert_eq!(Features::name(5, 1), Some("MAC"));
        assert_eq!((Features::name(5, 2), Features::name(33, 2)), (None, Some("ACCESS_PLATFORM")));
        assert_eq!((Features::name(40, 1), Features::name(53, 1)), (None, None));
        let features = Features(1 << 17 | 1 << 63);
        assert_eq!(features.bits().collect::<Vec<_>>(), [17, 63]);
        assert!(features.contains(Features::CTRL_VQ) && !Features(0).contains(Features::CTRL_VQ));
    }
}
