//! What a card keeps over power cycles is set, and comes into force.

use std::collections::BTreeMap;

use vdpa_netlink::Errno;

use super::Outcome;
use crate::firmware::{NUM_OF_VFS, SRIOV_EN, SettingName, Value};
use crate::mock::{SimSetting, State};
use crate::nouns::PciAddress;

/// `mstconfig set`: changes what counts from the next boot on, and nothing else ("Please reboot machine to load new
/// configurations"). What the firmware does not have or allow is written in none of its settings.
pub fn set_settings(state: &mut State, card: PciAddress, values: &BTreeMap<SettingName, Value>) -> Outcome {
    let nv = state.nv.get_mut(&card).ok_or(Errno::ENODEV)?;
    if nv.locked_down
        || values.keys().any(|name| nv.settings.get(name).is_none_or(|setting| setting.read_only))
    {
        return Err(Errno::EPERM.into());
    }
    for (name, value) in values {
        if let Some(setting) = nv.settings.get_mut(name) {
            setting.next = as_kept(setting, value);
        }
    }
    Ok(())
}

/// The firmware keeps numbers; their words are the tool's (`printValue` in `mlxcfg_ui.cpp`).
fn as_kept(setting: &SimSetting, asked: &Value) -> Value {
    let known = [&setting.default, &setting.current, &setting.next].into_iter().find(|value| value.is(asked));
    let is_truth = |value: &Value| *value == Value::truth(true) || *value == Value::truth(false);
    match (known, asked.number()) {
        (Some(known), _) => known.clone(),
        (None, Some(number)) if is_truth(&setting.default) => Value::truth(number != 0),
        (None, Some(number)) => Value::Number(number),
        (None, None) => asked.clone(),
    }
}

/// `mstconfig reset`: the defaults count from the next boot on; for all settings where none is named.
pub fn reset_settings(state: &mut State, card: PciAddress, names: &[SettingName]) -> Outcome {
    let nv = state.nv.get_mut(&card).ok_or(Errno::ENODEV)?;
    if nv.locked_down {
        return Err(Errno::EPERM.into());
    }
    for (_, setting) in nv.settings.iter_mut().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        setting.next = setting.default.clone();
    }
    Ok(())
}

/// `mstfwreset -l 3`: what counts from the next boot on is in force, and each port has as many VFs as that says.
///
/// Refused while a port of the card has VFs (SR-IOV network operator #904). Nothing of ours asks for it: it is what
/// somebody does meanwhile.
pub fn reset_firmware(state: &mut State, card: PciAddress) -> Outcome {
    let ports: Vec<PciAddress> = state
        .functions
        .keys()
        .copied()
        .filter(|address| address.first_function() == card && state.pf(*address).is_some())
        .collect();
    if ports.iter().any(|port| state.pf(*port).is_some_and(|pf| pf.num_vfs > 0)) {
        return Err(Errno::EBUSY.into());
    }
    let nv = state.nv.get_mut(&card).ok_or(Errno::ENODEV)?;
    for setting in nv.settings.values_mut() {
        setting.current = setting.next.clone();
    }
    let vfs = if nv.current(SRIOV_EN) == Some(1) { nv.current(NUM_OF_VFS).unwrap_or(0) } else { 0 };
    for port in ports {
        if let Some(pf) = state.pf_mut(port) {
            pf.total_vfs = u16::try_from(vfs).unwrap_or(u16::MAX);
        }
    }
    Ok(())
}
