//! Management devices: where vDPA devices can be made.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use vdpa_hw::PciAddress;
use vdpa_netlink::{Attributes, Malformed, Message, Request, Tlvs};

use super::features::Features;
use super::wire::{attribute as at, command};

/// A management device by its handle, as iproute2 writes it: `pci/0000:43:00.2`, or `vdpasim_net` where
/// it is on no bus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MgmtDevName {
    bus: Option<String>,
    device: String,
}

/// A management device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MgmtDev {
    /// Its handle.
    pub name: MgmtDevName,
    /// The kinds of devices it makes: bit n is virtio device id n; 1 is net, 2 is block.
    pub classes: u64,
    /// How many virtqueues a device of it can have.
    pub max_vqs: Option<u32>,
    /// The virtio features that its devices can have.
    pub features: Option<Features>,
}

impl MgmtDevName {
    /// The management device of a PCI function.
    pub fn of_pci(function: PciAddress) -> Self {
        Self { bus: Some("pci".into()), device: function.to_string() }
    }

    /// The PCI function it belongs to, if it is one's.
    pub fn pci(&self) -> Option<PciAddress> {
        if self.bus.as_deref() == Some("pci") { self.device.parse().ok() } else { None }
    }

    pub(super) fn write(&self) -> Tlvs {
        let tlvs = match &self.bus {
            Some(bus) => Tlvs::new().string(at::VDPA_ATTR_MGMTDEV_BUS_NAME, bus),
            None => Tlvs::new(),
        };
        tlvs.string(at::VDPA_ATTR_MGMTDEV_DEV_NAME, &self.device)
    }

    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, Malformed> {
        let bus = attributes.find(at::VDPA_ATTR_MGMTDEV_BUS_NAME)?.map(|bus| bus.string());
        let device =
            attributes.require(at::VDPA_ATTR_MGMTDEV_DEV_NAME, "VDPA_ATTR_MGMTDEV_DEV_NAME")?.string();
        Ok(Self { bus, device })
    }
}

impl MgmtDev {
    /// `VIRTIO_ID_NET`.
    const NET: u32 = 1;

    /// Whether it makes network devices.
    pub fn makes_net_devices(&self) -> bool {
        self.classes().any(|class| class == Self::NET)
    }

    /// The virtio device ids of what it makes, in ascending order.
    pub fn classes(&self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(|class| self.classes >> class & 1 != 0)
    }

    pub(super) fn list() -> Request {
        Request::new(command::VDPA_CMD_MGMTDEV_GET, "list the vDPA management devices")
    }

    pub(super) fn request(name: &MgmtDevName) -> Request {
        Request::new(command::VDPA_CMD_MGMTDEV_GET, format!("look up the vDPA management device {name}"))
            .with(name.write())
    }

    /// One answer to [`MgmtDev::list`] or [`MgmtDev::request`]: `vdpa_mgmtdev_fill` in `drivers/vdpa/vdpa.c`.
    pub(super) fn read(message: &Message) -> Result<Self, Malformed> {
        let attributes = message.attributes();
        Ok(Self {
            name: MgmtDevName::read(attributes)?,
            classes: attributes
                .require(at::VDPA_ATTR_MGMTDEV_SUPPORTED_CLASSES, "VDPA_ATTR_MGMTDEV_SUPPORTED_CLASSES")?
                .u64()?,
            max_vqs: attributes.find(at::VDPA_ATTR_DEV_MGMTDEV_MAX_VQS)?.map(|a| a.u32()).transpose()?,
            features: attributes
                .find(at::VDPA_ATTR_DEV_SUPPORTED_FEATURES)?
                .map(|a| a.u64().map(Features))
                .transpose()?,
        })
    }
}

impl fmt::Display for MgmtDevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bus {
            Some(bus) => write!(f, "{bus}/{}", self.device),
            None => f.write_str(&self.device),
        }
    }
}

impl FromStr for MgmtDevName {
    type Err = vdpa_hw::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bus, device) = match text.split_once('/') {
            Some((bus, device)) => (Some(bus), device),
            None => (None, text),
        };
        let sound = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && c != '/');
        if bus.is_none_or(sound) && sound(device) {
            return Ok(Self { bus: bus.map(str::to_owned), device: device.to_owned() });
        }
        Err(vdpa_hw::ParseError {
            noun: "a vDPA management device",
            text: text.to_owned(),
            why: "write it as `vdpa mgmtdev show` does: pci/0000:43:00.2",
        })
    }
}

super::device::serde_as_text!(MgmtDevName);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_management_device_is_read_with_and_without_a_bus() {
        let pci =
            Tlvs::new().string(1, "pci").string(2, "0000:43:00.2").u64(3, 2).u32(15, 257).u64(16, 1 << 32);
        let pci = MgmtDev::read(&Message::new(1, &pci)).unwrap();
        assert_eq!(pci.name.to_string(), "pci/0000:43:00.2");
        assert_eq!(pci.name.pci().unwrap().to_string(), "0000:43:00.2");
        assert_eq!((pci.max_vqs, pci.features), (Some(257), Some(Features(1 << 32))));
        assert!(pci.makes_net_devices());
        // Kernels before 5.17 say nothing of queues and features.
        let old = Tlvs::new().string(2, "vdpasim_blk").u64(3, 4);
        let old = MgmtDev::read(&Message::new(1, &old)).unwrap();
        assert_eq!((old.name.to_string().as_str(), old.name.pci(), old.max_vqs), ("vdpasim_blk", None, None));
        assert!(!old.makes_net_devices());
    }

    #[test]
    fn a_handle_is_written_as_iproute2_writes_it() {
        let handle: MgmtDevName = "pci/0000:43:00.2".parse().unwrap();
        assert_eq!(handle.write(), Tlvs::new().string(1, "pci").string(2, "0000:43:00.2"));
        assert_eq!(handle, MgmtDevName::of_pci("0000:43:00.2".parse().unwrap()));
        for bad in ["", "/", "pci/", "/x", "a b", "pci/a/b"] {
            assert!(bad.parse::<MgmtDevName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn handles_round_trip(text in "([a-z]{1,9}/)?[a-z0-9_.:-]{1,20}") {
            let name: MgmtDevName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text);
            let read = MgmtDevName::read(Message::new(0, &name.write()).attributes()).unwrap();
            prop_assert_eq!(read, name);
        }
    }
}
