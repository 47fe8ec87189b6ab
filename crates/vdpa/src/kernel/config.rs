//! What a vDPA network device shows its guest.

use serde::Serialize;
use vdpa_hw::MacAddress;
use vdpa_netlink::{Malformed, Message, Request, Tlvs};

use super::device::DeviceName;
use super::features::Features;
use super::wire::{VDPA_CMD_DEV_ATTR_SET, attribute as at, command};

/// The configuration of a vDPA device, as far as its driver gives it.
///
/// The kernel leaves out what goes with a feature that the device does not have
/// (`vdpa_dev_net_config_fill` in `drivers/vdpa/vdpa.c`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Whose it is.
    pub name: DeviceName,
    /// The device's virtio device id: 1 is net, 2 is block.
    pub class: u32,
    /// The MAC, with `VIRTIO_NET_F_MAC`.
    pub mac: Option<MacAddress>,
    /// The MTU in bytes, with `VIRTIO_NET_F_MTU`.
    pub mtu: Option<u16>,
    /// How many queue pairs there are at most, with `VIRTIO_NET_F_MQ`.
    pub max_vqp: Option<u16>,
    /// Status bits, with `VIRTIO_NET_F_STATUS`: bit 0 is "link up", bit 1 "announce".
    pub status: Option<u16>,
    /// The features that the device offers; kernels before 6.1 do not say.
    pub features: Option<Features>,
    /// The features that the guest's driver accepted; absent until it has.
    pub negotiated_features: Option<Features>,
}

impl Config {
    pub(super) fn list() -> Request {
        Request::new(command::VDPA_CMD_DEV_CONFIG_GET, "read the configurations of the vDPA devices")
    }

    pub(super) fn request(name: &DeviceName) -> Request {
        Request::new(command::VDPA_CMD_DEV_CONFIG_GET, format!("read the configuration of {name}"))
            .with(Tlvs::new().string(at::VDPA_ATTR_DEV_NAME, name.as_str()))
    }

    /// The request that gives a device another MAC: what may be set is what the kernel knows to set, and that is the
    /// MAC alone (`vdpa_dev_net_device_attr_set` in `drivers/vdpa/vdpa.c`).
    pub(super) fn change(name: &DeviceName, mac: MacAddress) -> Request {
        let tlvs = Tlvs::new()
            .string(at::VDPA_ATTR_DEV_NAME, name.as_str())
            .bytes(at::VDPA_ATTR_DEV_NET_CFG_MACADDR, &mac.octets());
        Request::new(VDPA_CMD_DEV_ATTR_SET, format!("set the MAC of {name} to {mac}")).with(tlvs)
    }

    pub(super) fn read(message: &Message) -> Result<Self, Malformed> {
        let attributes = message.attributes();
        let u16_of = |kind| attributes.find(kind)?.map(|attribute| attribute.u16()).transpose();
        let features =
            |kind| attributes.find(kind)?.map(|attribute| attribute.u64().map(Features)).transpose();
        let mac = attributes.find(at::VDPA_ATTR_DEV_NET_CFG_MACADDR)?;
        Ok(Self {
            name: DeviceName::read(attributes)?,
            class: attributes.require(at::VDPA_ATTR_DEV_ID, "VDPA_ATTR_DEV_ID")?.u32()?,
            mac: mac.map(|mac| mac.array("a MAC address")).transpose()?.map(MacAddress::new),
            mtu: u16_of(at::VDPA_ATTR_DEV_NET_CFG_MTU)?,
            max_vqp: u16_of(at::VDPA_ATTR_DEV_NET_CFG_MAX_VQP)?,
            status: u16_of(at::VDPA_ATTR_DEV_NET_STATUS)?,
            features: features(at::VDPA_ATTR_DEV_FEATURES)?,
            negotiated_features: features(at::VDPA_ATTR_DEV_NEGOTIATED_FEATURES)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_leaves_out_is_absent() {
        let mac = [0xe4, 0x11, 0x22, 0x33, 0x55, 0x60];
        let answer = Tlvs::new().string(4, "vdpa0").u32(5, 1).bytes(10, &mac).u16(13, 1500).u16(11, 1);
        let config = Config::read(&Message::new(6, &answer)).unwrap();
        assert_eq!(config.mac, Some(MacAddress::new(mac)));
        assert_eq!((config.mtu, config.max_vqp, config.status), (Some(1500), None, Some(1)));
        let short = Tlvs::new().bytes(10, &mac[..5]);
        assert!(Config::read(&Message::new(6, &short)).is_err());
    }
}
