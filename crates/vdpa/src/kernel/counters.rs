//! What a driver counts for a virtqueue (`vdpa dev vstats show`).

use serde::Serialize;
use vdpa_netlink::{Malformed, Message, Request, Tlvs};

use super::device::DeviceName;
use super::wire::{attribute as at, command};

/// A counter of a virtqueue, as the driver names it; mlx5 has `received_desc` and `completed_desc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VendorCounter {
    /// The driver's name for it.
    pub name: String,
    /// Its value.
    pub value: u64,
}

impl VendorCounter {
    pub(super) fn request(name: &DeviceName, queue: u32) -> Request {
        let tlvs = Tlvs::new()
            .string(at::VDPA_ATTR_DEV_NAME, name.as_str())
            .u32(at::VDPA_ATTR_DEV_QUEUE_INDEX, queue);
        Request::new(command::VDPA_CMD_DEV_VSTATS_GET, format!("read the counters of {name} queue {queue}"))
            .with(tlvs)
    }

    /// All counters of an answer: each is a name followed by its value, flat among the other attributes
    /// (`mlx5_get_vendor_vq_stats` in `drivers/vdpa/mlx5/net/mlx5_vnet.c`).
    pub(super) fn read_all(message: &Message) -> Result<Vec<Self>, Malformed> {
        let (mut counters, mut named) = (Vec::new(), None);
        for attribute in message.attributes() {
            let attribute = attribute?;
            match attribute.kind() {
                at::VDPA_ATTR_DEV_VENDOR_ATTR_NAME => named = Some(attribute.string()),
                at::VDPA_ATTR_DEV_VENDOR_ATTR_VALUE => {
                    if let Some(name) = named.take() {
                        counters.push(Self { name, value: attribute.u64()? });
                    }
                }
                _ => {}
            }
        }
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_with_the_values_behind_them() {
        let answer = Tlvs::new().string(4, "vdpa0").u32(17, 1).string(18, "received_desc").u64(19, 7);
        let answer = answer.string(18, "completed_desc").u64(19, 5);
        let counters = VendorCounter::read_all(&Message::new(7, &answer)).unwrap();
        let counters: Vec<_> = counters.iter().map(|c| (c.name.as_str(), c.value)).collect();
        assert_eq!(counters, [("received_desc", 7), ("completed_desc", 5)]);
    }
}
