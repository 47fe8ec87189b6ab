//! devlink's messages: how each request is written and each answer read. No I/O.
//!
//! One file an area, as the kernel has them below `net/devlink/`. Every request names its device by
//! `DEVLINK_ATTR_BUS_NAME` and `DEVLINK_ATTR_DEV_NAME`, and every answer says whose it is.

#[cfg(all(test, target_endian = "little"))]
mod captured;
pub(crate) mod dev;
pub(crate) mod numbers;
pub(crate) mod param;
pub(crate) mod port;
pub(crate) mod rate;
pub(crate) mod reload;
pub(crate) mod switch;

use vdpa_netlink::{Attributes, Family, Malformed, Message, Tlvs};

use crate::DevlinkHandle;
use numbers::attribute::{DEVLINK_ATTR_BUS_NAME, DEVLINK_ATTR_DEV_NAME};

/// `DEVLINK_GENL_NAME`.
pub(crate) const FAMILY: Family = Family::new("devlink");
/// `DEVLINK_GENL_MCGRP_CONFIG_NAME`: what becomes of devices, ports and parameters.
pub(crate) const GROUP: &str = "config";

/// The attributes that name the device.
fn naming(device: &DevlinkHandle) -> Tlvs {
    Tlvs::new().string(DEVLINK_ATTR_BUS_NAME, device.bus()).string(DEVLINK_ATTR_DEV_NAME, device.name())
}

/// The device that a message is about.
pub(crate) fn device(attributes: Attributes<'_>) -> Result<DevlinkHandle, Malformed> {
    let bus = attributes.require(DEVLINK_ATTR_BUS_NAME, "DEVLINK_ATTR_BUS_NAME")?.string();
    let name = attributes.require(DEVLINK_ATTR_DEV_NAME, "DEVLINK_ATTR_DEV_NAME")?.string();
    DevlinkHandle::new(&bus, &name).map_err(|error| Malformed::Value {
        kind: DEVLINK_ATTR_DEV_NAME,
        name: "DEVLINK_ATTR_DEV_NAME",
        value: error.text,
    })
}

/// What `read` finds in those messages of a listing that are about the device.
///
/// Listings are asked for whole and picked from here: kernels before 6.6 list every device whatever
/// the request names.
pub(crate) fn of_device<T>(
    messages: &[Message],
    wanted: &DevlinkHandle,
    read: impl Fn(Attributes<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut found = Vec::new();
    for message in messages {
        if device(message.attributes())? == *wanted {
            found.push(read(message.attributes())?);
        }
    }
    Ok(found)
}

/// An error for a number that the kernel's header does not have where it stands.
fn unknown(kind: u16, name: &'static str) -> impl Fn(u64) -> Malformed {
    move |value| Malformed::Value { kind, name, value: value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_picked_by_device() {
        let message = |bus, name| Message::new(3, &Tlvs::new().string(1, bus).string(2, name));
        let messages = [message("pci", "0000:43:00.0"), message("netdevsim", "netdevsim1")];
        let wanted = "netdevsim/netdevsim1".parse().unwrap();
        assert_eq!(of_device(&messages, &wanted, device), Ok(vec![wanted.clone()]));
        let broken = [Message::new(3, &Tlvs::new().string(1, "pci"))];
        assert_eq!(
            of_device(&broken, &wanted, device),
            Err(Malformed::Absent { kind: 2, name: "DEVLINK_ATTR_DEV_NAME" })
        );
        let odd = [message("pci", "a b")];
        assert!(of_device(&odd, &wanted, device).is_err());
    }
}

/// The numbers against the headers of linux-libc-dev.
#[cfg(all(test, feature = "daemon"))]
mod header {
    use super::numbers::{attribute, command, function};
    use crate::uapi::check;

    #[test]
    fn every_number_is_the_headers() {
        check("/usr/include/linux/devlink.h", &[command::TABLE, attribute::TABLE, function::TABLE].concat());
    }
}
