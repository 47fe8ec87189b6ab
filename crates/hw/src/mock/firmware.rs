//! The firmware settings of the simulated machine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use vdpa_netlink::Refusal;

use super::kernel;
use super::machine::Machine;
use super::nv::SimNv;
use crate::error::{Error, Result};
use crate::firmware::{
    Activation, Card, Complaint, Firmware, Keeper, Need, Objection, ResetLevel, Setting, SettingName,
    Settings, Value,
};
use crate::nouns::PciAddress;

#[async_trait]
impl Firmware for Machine {
    async fn settings(&self, pf: PciAddress, names: &[SettingName]) -> Result<Settings> {
        let nv = self.nv(pf, &format!("read the firmware settings of {pf}"))?;
        let asked = nv.settings.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        let settings = asked.map(|(name, setting)| Setting {
            name,
            default: Some(setting.default),
            current: Some(setting.current),
            next: Some(setting.next),
            read_only: setting.read_only,
            keeper: Keeper::Simulated,
        });
        let card = Card {
            device: Some(pf.to_string()),
            kind: Some("ConnectX6DX".to_owned()),
            part: Some("MCX623106AN-CDA_Ax".to_owned()),
            description: Some(
                "ConnectX-6 Dx EN adapter card; 100GbE; Dual-port QSFP56; PCIe 4.0 x16".to_owned(),
            ),
        };
        Ok(Settings { card, settings: settings.collect(), not_asked: None })
    }

    async fn set(&self, pf: PciAddress, values: &BTreeMap<SettingName, Value>) -> Result<Need> {
        let words: Vec<String> =
            values.iter().map(|(name, value)| format!("{name}={}", value.argument())).collect();
        let intent = format!("set {} of {pf}", words.join(" "));
        let nv = self.nv(pf, &intent)?;
        if let Some(name) = values.keys().find(|name| !nv.settings.contains_key(name)) {
            return Err(Error::NoSetting { pf, name: name.clone() });
        }
        let card = pf.first_function();
        self.operate("mstconfig set", &card, |state| kernel::set_settings(state, card, values))
            .map_err(|refusal| refused(&intent, &refusal))?;
        Ok(Need::Nothing)
    }

    async fn reset(&self, pf: PciAddress, names: &[SettingName]) -> Result<Need> {
        let intent = format!("reset the firmware settings of {pf}");
        let nv = self.nv(pf, &intent)?;
        if let Some(name) = names.iter().find(|name| !nv.settings.contains_key(name)) {
            return Err(Error::NoSetting { pf, name: name.clone() });
        }
        let card = pf.first_function();
        self.operate("mstconfig reset", &card, |state| kernel::reset_settings(state, card, names))
            .map_err(|refusal| refused(&intent, &refusal))?;
        Ok(Need::Nothing)
    }

    async fn activation(&self, pf: PciAddress) -> Result<Activation> {
        self.nv(pf, &format!("ask what resets {pf} can do"))?;
        let level =
            ResetLevel { level: 3, description: "Driver restart and PCI reset".to_owned(), supported: true };
        Ok(Activation {
            need: Need::Reset,
            level: Some(level),
            command: Some(format!("mstfwreset -d {pf} -l 3 -y reset")),
            why: None,
        })
    }
}

impl Machine {
    /// What the card of `pf` keeps; a card that keeps nothing, and what is no card, the tools cannot open.
    fn nv(&self, pf: PciAddress, intent: &str) -> Result<SimNv> {
        self.observe(|state| state.pf(pf).and_then(|_| state.nv.get(&pf.first_function())).cloned())
            .ok_or_else(|| complained(intent, Objection::CannotOpen, "Failed to open the device"))
    }
}

/// The tool's words for what the machine refuses.
fn refused(intent: &str, refusal: &Refusal) -> Error {
    match refusal.errno {
        vdpa_netlink::Errno::EPERM => {
            complained(intent, Objection::NotAllowed, "Failed to set configuration: Operation not permitted")
        }
        _ => complained(intent, Objection::Other, &refusal.to_string()),
    }
}

fn complained(intent: &str, objection: Objection, text: &str) -> Error {
    Error::Tool { intent: intent.to_owned(), complaint: Complaint { objection, text: text.to_owned() } }
}
