//! vDPA devices: what they are called, what they are made of, who drives them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::{MacAddress, Vf};
use vdpa_netlink::{Attributes, Malformed, Message, Refusal, Request, Tlvs};

use super::features::Features;
use super::mgmtdev::MgmtDevName;
use super::wire::{attribute as at, command};
use crate::dpdk::slug;

/// Serializes a noun as the text it displays as, and reads it back through `FromStr`.
macro_rules! serde_as_text {
    ($noun:ty) => {
        impl serde::Serialize for $noun {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $noun {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use serde_as_text;

/// The name of a vDPA device: a name on the vdpa bus and so of a directory in sysfs, 1 to 255 bytes without control
/// characters or `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// How all our names begin. A device whose name does not is not ours.
    const OURS: &str = "vdpa-vf-";

    /// The name that we give the device of this VF: `vdpa-vf-0000-43-00.0-vf0`.
    pub fn of_vf(vf: Vf) -> Self {
        Self(format!("{}{}", Self::OURS, slug(vf)))
    }

    /// Whether we gave this name.
    pub fn is_ours(&self) -> bool {
        self.0.starts_with(Self::OURS)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let name = attributes.require(at::VDPA_ATTR_DEV_NAME, "VDPA_ATTR_DEV_NAME")?.string();
        name.parse().map_err(|_| Malformed::Value {
            kind: at::VDPA_ATTR_DEV_NAME,
            name: "VDPA_ATTR_DEV_NAME",
            value: name,
        })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DeviceName {
    type Err = vdpa_hw::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let visible = text.chars().all(|c| !c.is_control() && c != '/');
        if (1..=255).contains(&text.len()) && visible && !matches!(text, "." | "..") {
            return Ok(Self(text.to_owned()));
        }
        Err(vdpa_hw::ParseError {
            noun: "a vDPA device name",
            text: text.to_owned(),
            why: "1 to 255 bytes without `/` or control characters",
        })
    }
}

serde_as_text!(DeviceName);

/// A driver of the vdpa bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusDriver {
    /// For virtual machines: /dev/vhost-vdpa-N.
    VhostVdpa,
    /// For the host itself and its containers: a virtio device.
    VirtioVdpa,
}

impl BusDriver {
    /// The driver's name below /sys/bus/vdpa/drivers, which is its module's too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VhostVdpa => "vhost_vdpa",
            Self::VirtioVdpa => "virtio_vdpa",
        }
    }
}

impl fmt::Display for BusDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A vDPA device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VdpaDevice {
    /// Its name.
    pub name: DeviceName,
    /// The management device that made it.
    pub mgmtdev: MgmtDevName,
    /// Its virtio device id: 1 is net, 2 is block.
    pub class: u32,
    /// Its vendor's PCI id (15b3 is Mellanox/NVIDIA), 0 for the simulator.
    pub vendor: u32,
    /// How many virtqueues it has.
    pub max_vqs: u32,
    /// How many descriptors a virtqueue of it can have.
    pub max_vq_size: u16,
    /// How many it must have; kernels before 5.18 do not say.
    pub min_vq_size: Option<u16>,
}

/// A vDPA device to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    /// The name it shall have.
    pub name: DeviceName,
    /// Who is to make it.
    pub mgmtdev: MgmtDevName,
    /// Its MAC; left out, the driver's choice.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes, 68 at least; left out, the driver's choice.
    pub mtu: Option<u16>,
    /// How many queue pairs it is to have at most; left out, the driver's choice.
    pub max_vqp: Option<u16>,
    /// The features it is to offer; left out, all that its management device has. Since kernel 6.1.
    pub features: Option<Features>,
}

/// How a device was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The kernel's refusal of the queue pair limit, if the device had to be made without one.
    pub without_max_vqp: Option<Refusal>,
}

impl NewDevice {
    /// A device with the driver's own choices.
    pub fn new(name: DeviceName, mgmtdev: MgmtDevName) -> Self {
        Self { name, mgmtdev, mac: None, mtu: None, max_vqp: None, features: None }
    }

    pub(super) fn request(&self) -> Request {
        let intent = format!("make the vDPA device {} on {}", self.name, self.mgmtdev);
        Request::new(command::VDPA_CMD_DEV_NEW, intent).with(self.write())
    }

    /// The attributes in the order in which iproute2 sends them.
    pub(super) fn write(&self) -> Tlvs {
        let mut tlvs = self.mgmtdev.write().string(at::VDPA_ATTR_DEV_NAME, self.name.as_str());
        if let Some(mac) = self.mac {
            tlvs = tlvs.bytes(at::VDPA_ATTR_DEV_NET_CFG_MACADDR, &mac.octets());
        }
        if let Some(mtu) = self.mtu {
            tlvs = tlvs.u16(at::VDPA_ATTR_DEV_NET_CFG_MTU, mtu);
        }
        if let Some(pairs) = self.max_vqp {
            tlvs = tlvs.u16(at::VDPA_ATTR_DEV_NET_CFG_MAX_VQP, pairs);
        }
        if let Some(Features(features)) = self.features {
            tlvs = tlvs.u64(at::VDPA_ATTR_DEV_FEATURES, features);
        }
        tlvs
    }
}

impl VdpaDevice {
    pub(super) fn list() -> Request {
        Request::new(command::VDPA_CMD_DEV_GET, "list the vDPA devices")
    }

    pub(super) fn look_up(name: &DeviceName) -> Request {
        Request::new(command::VDPA_CMD_DEV_GET, format!("look up the vDPA device {name}"))
            .with(Tlvs::new().string(at::VDPA_ATTR_DEV_NAME, name.as_str()))
    }

    pub(super) fn deletion(name: &DeviceName) -> Request {
        Request::new(command::VDPA_CMD_DEV_DEL, format!("delete the vDPA device {name}"))
            .with(Tlvs::new().string(at::VDPA_ATTR_DEV_NAME, name.as_str()))
    }

    /// One answer to [`VdpaDevice::list`]: `vdpa_dev_fill` in `drivers/vdpa/vdpa.c`.
    pub(super) fn read(message: &Message) -> Result<Self, Malformed> {
        let attributes = message.attributes();
        let u32_of = |kind, name| attributes.require(kind, name)?.u32();
        Ok(Self {
            name: DeviceName::read(attributes)?,
            mgmtdev: MgmtDevName::read(attributes)?,
            class: u32_of(at::VDPA_ATTR_DEV_ID, "VDPA_ATTR_DEV_ID")?,
            vendor: u32_of(at::VDPA_ATTR_DEV_VENDOR_ID, "VDPA_ATTR_DEV_VENDOR_ID")?,
            max_vqs: u32_of(at::VDPA_ATTR_DEV_MAX_VQS, "VDPA_ATTR_DEV_MAX_VQS")?,
            max_vq_size: attributes
                .require(at::VDPA_ATTR_DEV_MAX_VQ_SIZE, "VDPA_ATTR_DEV_MAX_VQ_SIZE")?
                .u16()?,
            min_vq_size: attributes.find(at::VDPA_ATTR_DEV_MIN_VQ_SIZE)?.map(|a| a.u16()).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_names_are_known_as_ours() {
        let ours = DeviceName::of_vf("0000:43:00.0/vf0".parse().unwrap());
        assert_eq!(ours.as_str(), "vdpa-vf-0000-43-00.0-vf0");
        assert!(ours.is_ours());
        assert_eq!(ours.to_string().parse::<DeviceName>().unwrap(), ours);
        assert!(!"vdpa0".parse::<DeviceName>().unwrap().is_ours());
        for bad in ["", ".", "..", "a/b", "a\nb", &"x".repeat(256)] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_device_is_read() {
        let answer = Tlvs::new().string(2, "vdpasim_net").string(4, "vdpa0").u32(5, 1).u32(6, 0).u32(7, 3);
        let answer = answer.u16(8, 256).u16(9, 0);
        let device = VdpaDevice::read(&Message::new(3, &answer)).unwrap();
        assert_eq!(device.name.as_str(), "vdpa0");
        assert_eq!((device.class, device.max_vqs, device.max_vq_size), (1, 3, 256));
        assert_eq!(device.min_vq_size, Some(0));
        let unnamed = Tlvs::new().string(2, "vdpasim_net").string(4, "");
        assert!(matches!(VdpaDevice::read(&Message::new(3, &unnamed)), Err(Malformed::Value { .. })));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let message = Message::new(3, &Tlvs::new().string(4, "vdpa0").bytes(2, &bytes));
            let _ = VdpaDevice::read(&message);
            let _ = super::super::MgmtDev::read(&message);
        }
    }
}
