//! What a card of the simulated machine keeps over power cycles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::firmware::{NUM_OF_VFS, PF_NUM_OF_VF_VALID, SRIOV_EN, SettingName, UCTX_EN, Value};

/// The settings of a card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimNv {
    /// The settings by name.
    pub settings: BTreeMap<SettingName, SimSetting>,
    /// The kernel lets nobody at them, as with Secure Boot.
    #[serde(default)]
    pub locked_down: bool,
}

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimSetting {
    /// What it was made with.
    pub default: Value,
    /// What is in force.
    pub current: Value,
    /// What counts from the next boot on.
    pub next: Value,
    /// Whether it cannot be set.
    #[serde(default)]
    pub read_only: bool,
}

impl SimNv {
    /// A dual-port `ConnectX-6` Dx whose ports were made to have `vfs` VFs each; the names, and what they are by
    /// default, are those of `mstconfig -e query`.
    pub fn connectx(vfs: u16) -> Self {
        let settings = [
            (NUM_OF_VFS, Value::Number(0), Value::Number(vfs.into())),
            (SRIOV_EN, Value::truth(false), Value::truth(vfs > 0)),
            (UCTX_EN, Value::truth(true), Value::truth(true)),
            (PF_NUM_OF_VF_VALID, Value::truth(false), Value::truth(false)),
            ("NUM_OF_PF", Value::Number(2), Value::Number(2)),
            ("NUM_VF_MSIX", Value::Number(11), Value::Number(11)),
            ("LINK_TYPE_P1", ethernet(), ethernet()),
            ("LINK_TYPE_P2", ethernet(), ethernet()),
            ("MEMIC_BAR_SIZE", Value::Number(0), Value::Number(0)),
        ];
        let settings = settings.into_iter().filter_map(|(name, default, current)| {
            let read_only = name == "MEMIC_BAR_SIZE";
            Some((name.parse().ok()?, SimSetting { default, next: current.clone(), current, read_only }))
        });
        Self { settings: settings.collect(), locked_down: false }
    }

    /// The number that a setting is or stands for, now.
    pub(super) fn current(&self, name: &str) -> Option<u64> {
        self.settings
            .iter()
            .find(|(key, _)| key.as_str() == name)
            .and_then(|(_, setting)| setting.current.number())
    }
}

fn ethernet() -> Value {
    Value::Named { name: "ETH".to_owned(), number: 2 }
}
