//! The firmware settings that the kernel has a devlink parameter for.
//!
//! mlx5 lists `enable_sriov` and `total_vfs` from Linux 6.18 on; they need neither a program nor access to the card's
//! configuration space, which a locked kernel refuses. Source: `drivers/net/ethernet/mellanox/mlx5/core/lib/nv_param.c`.
//!
//! They are permanent parameters: what devlink shows is what counts from the next reset on, and neither what is in force
//! nor the default.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use vdpa_hw::firmware::{
    Activation, Card, Firmware, Keeper, NUM_OF_VFS, Need, SRIOV_EN, Setting, SettingName, Settings, Value,
    functions_of_card,
};
use vdpa_hw::{Error, Pci, PciAddress, Result};

use crate::{DevlinkHandle, Eswitch, Param, ParamMode, ParamValue};

/// Settings, and the parameters that stand for them.
///
/// `total_vfs` is a PF's own number: where the firmware can keep one for each PF, the kernel writes `PF_NUM_OF_VF` and
/// sets `PF_NUM_OF_VF_VALID`, and otherwise `NUM_OF_VFS` (`mlx5_devlink_total_vfs_set`). Set on every port of a card, it
/// means what `NUM_OF_VFS` does.
const SETTINGS: [(&str, &str); 2] = [(SRIOV_EN, "enable_sriov"), (NUM_OF_VFS, "total_vfs")];

/// Firmware settings by devlink; a card whose driver has no such parameters has none.
#[derive(Clone)]
pub struct DevlinkFirmware {
    eswitch: Arc<dyn Eswitch>,
    pci: Arc<dyn Pci>,
}

impl DevlinkFirmware {
    /// Those that `eswitch` lists; `pci` knows the ports of a card.
    pub fn new(eswitch: Arc<dyn Eswitch>, pci: Arc<dyn Pci>) -> Self {
        Self { eswitch, pci }
    }

    /// The permanent parameters that stand for settings.
    async fn params(&self, pf: PciAddress) -> Result<Vec<(SettingName, Param)>> {
        let params = match self.eswitch.params(&DevlinkHandle::from(pf)).await {
            Ok(params) => params,
            // No driver, one without devlink, or one without parameters.
            Err(crate::Error::NoDevice(_) | crate::Error::Refused { .. }) => Vec::new(),
            Err(error) => return Err(in_hw(error)),
        };
        let known = SETTINGS.into_iter().filter_map(|(name, param)| {
            let found = params.iter().find(|found| found.name == param)?;
            found
                .values
                .contains_key(&ParamMode::Permanent)
                .then(|| Some((name.parse().ok()?, found.clone())))?
        });
        Ok(known.collect())
    }

    async fn ports(&self, pf: PciAddress) -> Result<Vec<PciAddress>> {
        Ok(functions_of_card(&self.pci.functions().await?, pf))
    }
}

#[async_trait]
impl Firmware for DevlinkFirmware {
    async fn settings(&self, pf: PciAddress, names: &[SettingName]) -> Result<Settings> {
        let params = self.params(pf).await?;
        let asked = params.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let settings = asked.map(|(name, param)| Setting {
            name,
            default: None,
            current: None,
            next: param.values.get(&ParamMode::Permanent).map(value),
            read_only: false,
            keeper: Keeper::Devlink,
        });
        let card = Card { device: Some(pf.to_string()), ..Card::default() };
        Ok(Settings { card, settings: settings.collect(), not_asked: None })
    }

    async fn set(&self, pf: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need> {
        for port in self.ports(pf).await? {
            let params: BTreeMap<SettingName, Param> = self.params(port).await?.into_iter().collect();
            for (name, asked) in values {
                let no_setting = || Error::NoSetting { pf: port, name: name.clone() };
                let param = params.get(name).ok_or_else(no_setting)?;
                let now = param.values.get(&ParamMode::Permanent).ok_or_else(no_setting)?;
                if value(now).is(asked) {
                    continue;
                }
                let stays = || Error::SettingStays {
                    pf: port,
                    name: name.clone(),
                    asked: asked.clone(),
                    next: Some(value(now)),
                };
                let wanted = as_param(now, asked).ok_or_else(stays)?;
                let device = DevlinkHandle::from(port);
                self.eswitch
                    .set_param(&device, &param.name, ParamMode::Permanent, &wanted)
                    .await
                    .map_err(in_hw)?;
            }
        }
        Ok(Need::Nothing)
    }

    /// The kernel knows no defaults of these before Linux 6.19.
    async fn reset(&self, pf: PciAddress, _: &[SettingName]) -> Result<Need> {
        Err(Error::NoFirmwareTool { intent: format!("reset the firmware settings of {pf}") })
    }

    async fn activation(&self, pf: PciAddress) -> Result<Activation> {
        let command = format!("devlink dev reload {} action fw_activate", DevlinkHandle::from(pf));
        Ok(Activation { need: Need::Reset, level: None, command: Some(command), why: None })
    }
}

fn value(param: &ParamValue) -> Value {
    match param {
        ParamValue::Bool(on) => Value::truth(*on),
        ParamValue::U8(number) => Value::Number((*number).into()),
        ParamValue::U16(number) => Value::Number((*number).into()),
        ParamValue::U32(number) => Value::Number((*number).into()),
        ParamValue::U64(number) => Value::Number(*number),
        ParamValue::Text(text) => Value::Word(text.clone()),
    }
}

/// What is asked for, in the type that the parameter has; `None` where it does not fit.
fn as_param(now: &ParamValue, asked: &Value) -> Option<ParamValue> {
    Some(match now {
        ParamValue::Bool(_) => ParamValue::Bool(match asked.number()? {
            0 => false,
            1 => true,
            _ => return None,
        }),
        ParamValue::U8(_) => ParamValue::U8(asked.number()?.try_into().ok()?),
        ParamValue::U16(_) => ParamValue::U16(asked.number()?.try_into().ok()?),
        ParamValue::U32(_) => ParamValue::U32(asked.number()?.try_into().ok()?),
        ParamValue::U64(_) => ParamValue::U64(asked.number()?),
        ParamValue::Text(_) => ParamValue::Text(asked.to_string()),
    })
}

/// A refusal of devlink in the words of the trait's own layer.
fn in_hw(error: crate::Error) -> Error {
    match error {
        crate::Error::Permission { intent } => Error::Permission { intent },
        crate::Error::Refused { intent, refusal } => Error::Refused { intent, refusal },
        other => Error::Io {
            intent: "ask devlink for firmware settings".to_owned(),
            source: io::Error::other(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_hw::mock::{Machine, hosts};

    fn address(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    fn firmware(machine: &Machine) -> DevlinkFirmware {
        DevlinkFirmware::new(Arc::new(machine.clone()), Arc::new(machine.clone()))
    }

    #[tokio::test]
    async fn a_kernel_without_these_parameters_has_no_settings() {
        let machine = Machine::new(hosts::host_105());
        let settings = firmware(&machine).settings(address("0000:43:00.0"), &[]).await.unwrap();
        assert_eq!(settings.settings, []);
    }

    /// Pitfall 27: a number of VFs is for both ports.
    #[tokio::test]
    async fn a_number_of_vfs_is_set_on_every_port_and_read_as_the_tools_tell_it() {
        let machine = Machine::new(hosts::host_105());
        for port in ["0000:43:00.0", "0000:43:00.1"] {
            machine.meddle(|state| state.pf_mut(address(port)).unwrap().profile.has_permanent_params = true);
        }
        let (firmware, pf) = (firmware(&machine), address("0000:43:00.1"));
        let before = firmware.settings(pf, &[]).await.unwrap();
        let told: Vec<_> =
            before.settings.iter().map(|s| (s.name.as_str(), s.next.clone().unwrap().to_string())).collect();
        assert_eq!(told, [("SRIOV_EN", "True(1)".to_owned()), ("NUM_OF_VFS", "8".to_owned())]);

        let values = [(NUM_OF_VFS, Value::Number(16)), (SRIOV_EN, Value::truth(true))];
        let values = values.map(|(name, value)| (name.parse().unwrap(), value)).into();
        firmware.set(pf, &values).await.unwrap();
        // The tools' settings are the same.
        let tools = Firmware::settings(&machine, pf, &[NUM_OF_VFS.parse().unwrap()]).await.unwrap();
        assert_eq!(tools.settings[0].next, Some(Value::Number(16)));
        assert_eq!(tools.settings[0].current, Some(Value::Number(8)));
    }

    #[test]
    fn a_value_has_the_parameters_type_or_is_none() {
        assert_eq!(as_param(&ParamValue::Bool(false), &Value::Number(1)), Some(ParamValue::Bool(true)));
        assert_eq!(as_param(&ParamValue::Bool(false), &Value::Number(2)), None);
        assert_eq!(as_param(&ParamValue::U16(0), &Value::Number(70_000)), None);
        assert_eq!(as_param(&ParamValue::U32(0), &Value::Word("many".into())), None);
    }
}
