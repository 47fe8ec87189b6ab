//! What a device says of itself: `devlink dev info`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The driver, serial numbers and versions of a device. What the driver does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The kernel driver.
    pub driver: Option<String>,
    /// The device's serial number.
    pub serial: Option<String>,
    /// The board's serial number.
    pub board_serial: Option<String>,
    /// The versions of its parts.
    pub versions: Versions,
}

impl Info {
    /// The firmware that is running (`fw.version`, or the older `fw`): `22.39.1002`.
    pub fn firmware(&self) -> Option<&str> {
        let running = &self.versions.running;
        ["fw.version", "fw", "fw.mgmt"].iter().find_map(|name| running.get(*name)).map(String::as_str)
    }

    /// The parameter-set id of the board (`fw.psid`): `MT_0000000359`.
    pub fn psid(&self) -> Option<&str> {
        self.versions.fixed.get("fw.psid").map(String::as_str)
    }
}

/// Versions by the name of the part: `Documentation/networking/devlink/devlink-info.rst`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of parts that cannot be updated.
    pub fixed: BTreeMap<String, String>,
    /// Running now.
    pub running: BTreeMap<String, String>,
    /// In flash: running after the next reset.
    pub stored: BTreeMap<String, String>,
}
