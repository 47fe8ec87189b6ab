//! A driver is loaded again on a device that it has: `devlink dev reload`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::ParseError;

use crate::mode::words;

words! {
    /// What a reload does (`enum devlink_reload_action`).
    ReloadAction: u8, "a devlink reload action" {
        /// The driver's parts are taken down and made again, with the parameters of
        /// [`ParamMode::Driverinit`](crate::ParamMode::Driverinit) as they are set by then.
        DriverReinit = 1 "driver_reinit",
        /// Firmware that is stored in the card is activated, and the driver's parts are made again.
        FwActivate = 2 "fw_activate",
    }
}

/// A reload to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// What it is to do.
    pub action: ReloadAction,
    /// Whether it must do without a reset, without taking the link down, without losing what is configured
    /// (`DEVLINK_RELOAD_LIMIT_NO_RESET`). Only firmware can be activated so.
    pub no_reset: bool,
}

impl Reload {
    /// The driver's parts are taken down and made again.
    pub const DRIVER: Self = Self { action: ReloadAction::DriverReinit, no_reset: false };
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = if self.no_reset { " limit no_reset" } else { "" };
        write!(f, "action {}{limit}", self.action)
    }
}
