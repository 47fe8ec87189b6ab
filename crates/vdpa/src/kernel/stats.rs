//! What a driver counts for a virtqueue (`vdpa dev vstats show`).

use serde::Serialize;
use vdpa_netlink::{Malformed, Message, Request, Tlvs};

use super::device::DeviceName;
use super::features::Features;
use super::wire::{attribute as at, command};

/// What a driver counts for one virtqueue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueStats {
    /// Whose virtqueue it is.
    pub name: DeviceName,
    /// The virtqueue's index.
    pub queue: u32,
    /// How many queue pairs the device has, where the kernel says it.
    pub max_vqp: Option<u16>,
    /// The features that the guest's driver accepted.
    pub negotiated_features: Features,
    /// The counters, in the driver's order.
    pub counters: Vec<VendorCounter>,
}

/// A counter of a virtqueue, as the driver names it; mlx5 has `received_desc` and `completed_desc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VendorCounter {
    /// The driver's name for it.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl QueueStats {
    pub(super) fn request(name: &DeviceName, queue: u32) -> Request {
        let tlvs = Tlvs::new()
            .string(at::VDPA_ATTR_DEV_NAME, name.as_str())
            .u32(at::VDPA_ATTR_DEV_QUEUE_INDEX, queue);
        Request::new(command::VDPA_CMD_DEV_VSTATS_GET, format!("read the counters of {name} queue {queue}"))
            .with(tlvs)
    }

    /// The answer: `vdpa_dev_vendor_stats_fill` in `drivers/vdpa/vdpa.c`. Each counter is a name followed by its
    /// value, flat among the other attributes (`mlx5_get_vendor_vq_stats` in `drivers/vdpa/mlx5/net/mlx5_vnet.c`).
    pub(super) fn read(message: &Message) -> Result<Self, Malformed> {
        let attributes = message.attributes();
        let (mut counters, mut named) = (Vec::new(), None);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind() {
                at::VDPA_ATTR_DEV_VENDOR_ATTR_NAME => named = Some(attribute.string()),
                at::VDPA_ATTR_DEV_VENDOR_ATTR_VALUE => {
                    if let Some(name) = named.take() {
                        counters.push(VendorCounter { name, value: attribute.u64()? });
                    }
                }
                _ => {}
            }
        }
        let features = attributes.find(at::VDPA_ATTR_DEV_NEGOTIATED_FEATURES)?;
        Ok(Self {
            name: DeviceName::read(attributes)?,
            queue: attributes.require(at::VDPA_ATTR_DEV_QUEUE_INDEX, "VDPA_ATTR_DEV_QUEUE_INDEX")?.u32()?,
            max_vqp: attributes.find(at::VDPA_ATTR_DEV_NET_CFG_MAX_VQP)?.map(|a| a.u16()).transpose()?,
            negotiated_features: Features(features.map(|a| a.u64()).transpose()?.unwrap_or_default()),
            counters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_with_the_values_behind_them() {
        let answer = Tlvs::new().string(4, "vdpa0").u64(14, 1 << 17).u32(17, 1).string(18, "received_desc");
        let answer = answer.u64(19, 7).string(18, "completed_desc").u64(19, 5);
        let stats = QueueStats::read(&Message::new(7, &answer)).unwrap();
        assert_eq!((stats.queue, stats.max_vqp, stats.negotiated_features), (1, None, Features::CTRL_VQ));
        let counters: Vec<_> = stats.counters.iter().map(|c| (c.name.as_str(), c.value)).collect();
        assert_eq!(counters, [("received_desc", 7), ("completed_desc", 5)]);
    }
}
