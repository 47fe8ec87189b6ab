//! What a host file says of firmware settings, held against the cards: statements about what counts from the next boot
//! on, and what it takes until it does.
//!
//! A firmware setting is a statement like any other but for two things. It is made true only with `setup --firmware`,
//! since it outlives everything else that `setup` does. And being true it is not yet in force: where it was written, or
//! where VFs are asked for that the firmware in force does not allow, the rest waits for a reset or reboot, which is
//! named and left to whoever runs the host.

mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use vdpa_hw::firmware::{
    Activation, Keeper, NUM_OF_VFS, Need, PF_NUM_OF_VF_VALID, SRIOV_EN, Setting, SettingName, Value,
    functions_of_card, vfs_with_headroom,
};
use vdpa_hw::{Function, PciAddress};

use crate::config::{Nic, NvWanted, Place};
use crate::error::Error;
use crate::host::Host;
use crate::plan::{Change, reads};
use crate::step::Step;
use crate::view::View;

pub use ledger::Ledger;

/// What the host file says of the firmware of its cards.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What is asked for, card by card (by its first function), in the order of names.
    cards: BTreeMap<PciAddress, Asked>,
}

/// What is asked for of one card.
#[derive(Debug, Clone, Default)]
struct Asked {
    settings: BTreeMap<SettingName, (Value, Option<Place>)>,
}

impl Wanted {
    /// Brings together what is said of the ports of each card: one set of settings is for all of them.
    ///
    /// # Errors
    /// [`Error::FirmwareConflict`] where the ports of one card are to have one setting differently. `NUM_OF_VFS` is the
    /// exception: the port that needs the most counts (pitfall 27).
    pub fn of(nics: &[(PciAddress, &Nic)]) -> Result<Self, Error> {
        let mut cards: BTreeMap<PciAddress, Asked> = BTreeMap::new();
        for (pf, nic) in nics {
            let card = pf.first_function();
            let ports = nics.iter().filter(|(other, _)| other.first_function() == card);
            let vfs = || ports.clone().map(|(_, nic)| u16::try_from(nic.vfs.len()).unwrap_or(u16::MAX));
            for (name, wanted) in &nic.firmware {
                let value = match wanted {
                    NvWanted::Exactly(value) => value.clone(),
                    NvWanted::Headroom => Value::Number(vfs_with_headroom(vfs()).into()),
                };
                let place = nic.places.firmware.get(name).cloned();
                let settings = &mut cards.entry(card).or_default().settings;
                match settings.get_mut(name) {
                    None => drop(settings.insert(name.clone(), (value, place))),
                    Some((other, _)) if other.is(&value) => {}
                    Some((other, _)) if name.as_str() == NUM_OF_VFS && other.number() < value.number() => {
                        *other = value;
                    }
                    Some(_) if name.as_str() == NUM_OF_VFS => {}
                    Some((other, _)) => {
                        let conflict = Error::FirmwareConflict {
                            card,
                            name: name.clone(),
                            values: [other.clone(), value],
                        };
                        return Err(conflict.at(place.as_ref()));
                    }
                }
            }
        }
        Ok(Self { cards })
    }

    /// Whether `vfs` VFs of `pf` come with what is asked for of its firmware, once that is in force.
    pub fn allows(&self, pf: PciAddress, vfs: u16) -> bool {
        let number = |name: &str| {
            let asked = &self.cards.get(&pf.first_function())?.settings;
            asked.iter().find(|(key, _)| key.as_str() == name).and_then(|(_, (value, _))| value.number())
        };
        number(NUM_OF_VFS).is_some_and(|number| number >= u64::from(vfs)) && number(SRIOV_EN) != Some(0)
    }

    /// The statements about what counts from the next boot on.
    ///
    /// `NUM_OF_VFS` is a least: what is there and more is headroom. It means something only where the card has VFs at
    /// all (`SRIOV_EN`), and not a number for each PF (`PF_NUM_OF_VF_VALID`), which go with it.
    ///
    /// # Errors
    /// [`vdpa_hw::Error::NoSetting`] with its place for a setting that the card does not have.
    pub async fn statements(&self, view: &View<'_>) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for (card, asked) in &self.cards {
            let mut settings = asked.settings.clone();
            if settings.keys().any(|name| name.as_str() == NUM_OF_VFS) {
                for (implied, on) in [(SRIOV_EN, true), (PF_NUM_OF_VF_VALID, false)] {
                    let Ok(name) = implied.parse() else { continue };
                    settings.entry(name).or_insert_with(|| (Value::truth(on), None));
                }
            }
            let vfs = settings.keys().find(|name| name.as_str() == NUM_OF_VFS).cloned();
            view.will_ask(settings.keys().map(|name| (*card, name.clone())));
            let keeper_of_vfs = match &vfs {
                Some(name) => view.firmware(*card, name).await?.map(|setting| setting.keeper),
                None => None,
            };
            for (name, (value, place)) in settings {
                let setting = view.firmware(*card, &name).await?;
                let implied = !asked.settings.contains_key(&name);
                let Some(setting) = setting else {
                    if implied {
                        continue;
                    }
                    let missing = vdpa_hw::Error::NoSetting { pf: *card, name };
                    return Err(Error::Hw(missing).at(place.as_ref()));
                };
                // The kernel keeps a number for each PF where the firmware can, and sets what goes with it.
                let of_kernel = name.as_str() == PF_NUM_OF_VF_VALID && keeper_of_vfs == Some(Keeper::Devlink);
                if implied && (of_kernel || next_is(&setting, &value)) {
                    continue;
                }
                let enough = name.as_str() == NUM_OF_VFS
                    && setting.next.as_ref().and_then(Value::number) >= value.number();
                let value = if enough { setting.next.clone().unwrap_or(value) } else { value };
                steps.push(Step::Firmware { card: *card, name, value });
            }
        }
        Ok(steps)
    }
}

/// Whether this is what counts from the next boot on.
fn next_is(setting: &Setting, value: &Value) -> bool {
    setting.next.as_ref().is_some_and(|next| next.is(value))
}

/// A setting that is as it is wanted from the next boot on, and otherwise now.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// The card, by its first function.
    pub card: PciAddress,
    /// The setting.
    pub name: SettingName,
    /// What is in force.
    pub current: Value,
    /// What counts from the next boot on.
    pub next: Value,
}

impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { card, name, current, next } = self;
        write!(f, "{name} of {card} is {current} now and {next} from the next boot on")
    }
}

/// Which of the statements are true, and not in force.
///
/// # Errors
/// A layer's error where the firmware cannot be asked.
pub async fn pending(view: &View<'_>, steps: &[Step]) -> Result<Vec<Pending>, Error> {
    let mut pending = Vec::new();
    for step in steps {
        let Step::Firmware { card, name, value } = step else { continue };
        let Some(setting) = view.firmware(*card, name).await? else { continue };
        if let (Some(current), Some(next)) = (setting.current.clone(), setting.next.clone())
            && next.is(value)
            && !current.is(&next)
        {
            pending.push(Pending { card: *card, name: name.clone(), current, next });
        }
    }
    Ok(pending)
}

/// What each setting that is to change is and should be, for an error.
pub fn differences(changes: &[Change]) -> Vec<String> {
    let line = |change: &&Change| {
        let now = reads(change.now.as_ref());
        format!("{}: {now}, and is to be {}", change.wanted.subject(), change.wanted.value())
    };
    changes.iter().filter(|change| !change.holds()).map(|change| line(&change)).collect()
}

/// What it takes until the firmware of `card` is as it is set, in words: what has to go before, and what to type.
pub async fn what_it_takes(host: &Host, card: PciAddress) -> String {
    explained(card, &activation(host, card).await, &ports_with_vfs(host, card).await)
}

/// What it takes, as far as it can be found out.
pub async fn activation(host: &Host, card: PciAddress) -> Activation {
    host.firmware.activation(card).await.unwrap_or_else(|error| Activation::reboot(error.to_string()))
}

/// Pitfall 26: a reset fails while a port of the card has VFs; pitfall 28: nothing is reset or rebooted by this program.
pub fn explained(card: PciAddress, activation: &Activation, busy: &[PciAddress]) -> String {
    let mut text = format!("{card} needs {activation}");
    if activation.need == Need::Reset && !busy.is_empty() {
        let ports = busy.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let _ = write!(
            text,
            "; before it, the VFs of {ports} have to go (`vdpa teardown`); a reboot does it too"
        );
    }
    text
}

/// The ports of the card that have VFs now.
pub async fn ports_with_vfs(host: &Host, card: PciAddress) -> Vec<PciAddress> {
    let functions = host.pci.functions().await.unwrap_or_default();
    let ports = functions_of_card(&functions, card);
    let has_vfs = |function: &&Function| function.sriov().is_some_and(|sriov| sriov.num_vfs > 0);
    functions.iter().filter(has_vfs).map(|f| f.address).filter(|address| ports.contains(address)).collect()
}

/// The card that a statement about firmware is about.
pub fn card(step: &Step) -> Option<PciAddress> {
    if let Step::Firmware { card, .. } = step { Some(*card) } else { None }
}

/// The cards that statements about firmware are about.
pub fn cards<'a>(steps: impl IntoIterator<Item = &'a Step>) -> BTreeSet<PciAddress> {
    steps.into_iter().filter_map(card).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn wanted(first: &str, second: &str) -> Result<Wanted, Error> {
        let text = format!(
            "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 3\nfirmware = {{ {first} }}\n\
             [[nic]]\npci = \"0000:43:00.1\"\nvfs = 5\nfirmware = {{ {second} }}\n"
        );
        let file = parse(std::path::Path::new("host.toml"), &text).unwrap();
        let addresses = ["0000:43:00.0", "0000:43:00.1"].map(|text| text.parse().unwrap());
        Wanted::of(&addresses.into_iter().zip(&file.nics).collect::<Vec<_>>())
    }

    fn number(wanted: &Wanted, name: &str) -> Option<u64> {
        wanted.cards.values().next()?.settings.get(&name.parse::<SettingName>().ok()?)?.0.number()
    }

    /// Pitfall 27: one number for both ports, the greater; and room for more where none is given.
    #[test]
    fn the_port_with_the_most_vfs_counts() {
        let both = wanted("NUM_OF_VFS = 8", "NUM_OF_VFS = 16").unwrap();
        assert_eq!((both.cards.len(), number(&both, NUM_OF_VFS)), (1, Some(16)));
        assert_eq!(number(&wanted("NUM_OF_VFS = 16", "NUM_OF_VFS = 8").unwrap(), NUM_OF_VFS), Some(16));
        assert_eq!(number(&wanted("NUM_OF_VFS = \"auto\"", "").unwrap(), NUM_OF_VFS), Some(16));
        let pf = "0000:43:00.1".parse().unwrap();
        assert!(both.allows(pf, 16) && !both.allows(pf, 17));
    }

    #[test]
    fn two_ports_of_a_card_cannot_have_one_setting_differently() {
        let error = wanted("UCTX_EN = true", "UCTX_EN = false").unwrap_err();
        assert!(error.is_usage());
        assert_eq!(
            error.to_string(),
            "UCTX_EN of the card 0000:43:00.0 is to be True(1) for one port and False(0) for another"
        );
        assert!(error.details()[0].contains("host.toml:8:"), "{:?}", error.details());
        assert!(wanted("UCTX_EN = true", "UCTX_EN = 1").is_ok());
    }

    /// Pitfall 26: a reset does not work while there are VFs on either port.
    #[test]
    fn a_reset_that_vfs_stand_in_the_way_of_says_so() {
        let card: PciAddress = "0000:43:00.0".parse().unwrap();
        let command = Some("mstfwreset -d 0000:43:00.0 -l 3 -y reset".to_owned());
        let reset = Activation { need: Need::Reset, level: None, command, why: None };
        assert_eq!(
            explained(card, &reset, &["0000:43:00.1".parse().unwrap()]),
            "0000:43:00.0 needs a firmware reset: `mstfwreset -d 0000:43:00.0 -l 3 -y reset`; before it, the VFs of \
             0000:43:00.1 have to go (`vdpa teardown`); a reboot does it too"
        );
        assert_eq!(
            explained(card, &Activation::reboot("no tool"), &[card]),
            "0000:43:00.0 needs a reboot (no tool)"
        );
    }
}
