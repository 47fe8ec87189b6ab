//! Devices and what they say of themselves. Source: `net/devlink/dev.c`.

use vdpa_netlink::{Attributes, Malformed, Request};

use super::naming;
use super::numbers::attribute::{
    DEVLINK_ATTR_INFO_BOARD_SERIAL_NUMBER, DEVLINK_ATTR_INFO_DRIVER_NAME, DEVLINK_ATTR_INFO_SERIAL_NUMBER,
    DEVLINK_ATTR_INFO_VERSION_FIXED, DEVLINK_ATTR_INFO_VERSION_NAME, DEVLINK_ATTR_INFO_VERSION_RUNNING,
    DEVLINK_ATTR_INFO_VERSION_STORED, DEVLINK_ATTR_INFO_VERSION_VALUE,
};
use super::numbers::command::{DEVLINK_CMD_GET, DEVLINK_CMD_INFO_GET};
use crate::{DevlinkHandle, Info};

/// Asks for every device (a dump).
pub(crate) fn list() -> Request {
    Request::new(DEVLINK_CMD_GET, "list the devlink devices")
}

/// Asks what a device says of itself.
pub(crate) fn info(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_INFO_GET, format!("read the versions of {device}")).with(naming(device))
}

/// Reads what a device says of itself.
pub(crate) fn read_info(attributes: Attributes<'_>) -> Result<Info, Malformed> {
    let mut info = Info::default();
    for attribute in attributes {
        let attribute = attribute?;
        let versions = match attribute.kind() {
            DEVLINK_ATTR_INFO_DRIVER_NAME => {
                info.driver = Some(attribute.string());
                continue;
            }
            DEVLINK_ATTR_INFO_SERIAL_NUMBER => {
                info.serial = Some(attribute.string());
                continue;
            }
            DEVLINK_ATTR_INFO_BOARD_SERIAL_NUMBER => {
                info.board_serial = Some(attribute.string());
                continue;
            }
            DEVLINK_ATTR_INFO_VERSION_FIXED => &mut info.versions.fixed,
            DEVLINK_ATTR_INFO_VERSION_RUNNING => &mut info.versions.running,
            DEVLINK_ATTR_INFO_VERSION_STORED => &mut info.versions.stored,
            _ => continue,
        };
        let version = attribute.nest();
        let name = version.require(DEVLINK_ATTR_INFO_VERSION_NAME, "DEVLINK_ATTR_INFO_VERSION_NAME")?;
        let value = version.require(DEVLINK_ATTR_INFO_VERSION_VALUE, "DEVLINK_ATTR_INFO_VERSION_VALUE")?;
        versions.insert(name.string(), value.string());
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_netlink::Tlvs;

    /// As the lab's pretend card says it (`devlink dev info`).
    #[test]
    fn versions_are_read_by_kind() {
        let version = |name, value| Tlvs::new().string(103, name).string(104, value);
        let answer = Tlvs::new()
            .string(1, "pci")
            .string(2, "0000:01:00.0")
            .string(98, "mlx5_core")
            .nest(100, &version("fw.psid", "MT_0000000359"))
            .nest(101, &version("fw.version", "22.39.1002"))
            .nest(102, &version("fw.version", "22.40.1000"));
        let info = read_info(Attributes::new(answer.as_bytes())).unwrap();
        assert_eq!(info.driver.as_deref(), Some("mlx5_core"));
        assert_eq!((info.firmware(), info.psid()), (Some("22.39.1002"), Some("MT_0000000359")));
        assert_eq!(info.versions.stored["fw.version"], "22.40.1000");
        assert_eq!(info.serial, None);
    }
}
