//! A card's firmware settings: now, and from the next boot on.

use vdpa_hw::firmware::{NUM_OF_VFS, PF_NUM_OF_VF_VALID, SRIOV_EN, Setting, Settings, UCTX_EN, Value};

use super::super::check::Check;
use super::super::evidence::{Card, Evidence};
use super::each_card;
use crate::config::Datapath;

const SOURCE: &str = "devlink dev param, mstconfig query";

/// A check for each setting that VFs need.
pub(super) fn values(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Some(address) = card.address() else { return Vec::new() };
        let settings = match &card.firmware {
            Ok(settings) => settings,
            Err(why) => {
                let check = Check::unknown(&card.name, why, SOURCE);
                return vec![
                    check.remedy(format!("vdpa firmware show --pci {address}; it needs root, and mstflint")),
                ];
            }
        };
        let on = |value: &Value| value.number() == Some(1);
        let mut checks = vec![held(card, settings, SRIOV_EN, "1", on)];
        if evidence.wants(Datapath::Dpdk) || evidence.wants(Datapath::Kernel) {
            checks.push(held(card, settings, UCTX_EN, "1", on));
        }
        // Where each PF has a number of its own, the common one does not count.
        let own =
            settings.get(PF_NUM_OF_VF_VALID).and_then(|setting| setting.current.as_ref()).is_some_and(on);
        let asked = asked(evidence, card);
        if !own && asked > 0 {
            let enough = |value: &Value| value.number().is_some_and(|number| number >= asked);
            checks.push(held(card, settings, NUM_OF_VFS, &asked.to_string(), enough));
        }
        checks
    })
}

/// The most VFs that are asked for on one of the ports of the card: the number is one for all of them.
fn asked(evidence: &Evidence, card: &Card) -> u64 {
    let Some(address) = card.address() else { return 0 };
    let ports = evidence.cards().iter().filter(|other| {
        other.address().is_some_and(|other| other.first_function() == address.first_function())
    });
    let count = |port: &Card| evidence.wanted_vfs().iter().filter(|vf| vf.card == port.name).count();
    ports.map(count).max().and_then(|most| u64::try_from(most).ok()).unwrap_or(0)
}

/// A setting as it is and as it will be, against what it takes.
fn held(card: &Card, settings: &Settings, name: &str, wanted: &str, fits: impl Fn(&Value) -> bool) -> Check {
    let subject = format!("{} {name}", card.name);
    let Some(setting) = settings.get(name) else {
        let reason =
            settings.not_asked.clone().unwrap_or_else(|| "its firmware has no such setting".to_owned());
        return Check::unknown(subject, reason, SOURCE);
    };
    let Setting { current, next, keeper, .. } = setting;
    let shown = |value: Option<&Value>| value.map_or_else(|| "not told".to_owned(), ToString::to_string);
    let fact = format!("{} now, {} from the next boot on", shown(current.as_ref()), shown(next.as_ref()));
    let check = Check::pass(subject, fact, keeper.to_string());
    let set = || {
        let address = card.address().map_or_else(String::new, |address| address.to_string());
        format!("vdpa firmware set --pci {address} {name}={wanted}, then a reboot")
    };
    match (current.as_ref().map(&fits), next.as_ref().map(&fits)) {
        (Some(true) | None, Some(true)) | (Some(true), None) => check,
        (Some(true), Some(false)) => check.warn("it is right only until the next boot").remedy(set()),
        (Some(false), Some(true)) => check
            .fail("what was set counts only from the next boot on")
            .remedy("a reboot, or `vdpa firmware show` for what else will do"),
        (Some(false) | None, Some(false)) | (Some(false), None) => {
            check.fail(format!("{name}={wanted} is needed")).remedy(set())
        }
        (None, None) => Check::unknown(check.subject, "its firmware tells neither value", SOURCE),
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::Role;

    use super::super::super::fixture::{check, checks, healthy, refused};
    use super::*;

    fn of(evidence: &Evidence, name: &str) -> Check {
        let all = checks(evidence, "firmware-values");
        let subject = format!("0000:43:00.0 {name}");
        all.into_iter().find(|check| check.subject == subject).unwrap_or_else(|| panic!("{name}"))
    }

    fn set(evidence: &mut Evidence, name: &str, current: &str, next: &str) {
        let settings = &mut evidence.card().firmware.as_mut().unwrap().settings;
        let setting = settings.iter_mut().find(|setting| setting.name.as_str() == name).unwrap();
        (setting.current, setting.next) = (current.parse().ok(), next.parse().ok());
    }

    /// Pitfall 26: changed values count from the next boot on. Pitfall 30: `UCTX_EN=1` is needed for `DevX`.
    #[test]
    fn a_setting_is_right_now_later_or_not_at_all() {
        let mut evidence = healthy();
        assert!(of(&evidence, "UCTX_EN").passes("now"));
        set(&mut evidence, "UCTX_EN", "True(1)", "False(0)");
        assert!(of(&evidence, "UCTX_EN").warns("only until the next boot"));
        set(&mut evidence, "UCTX_EN", "False(0)", "True(1)");
        assert!(of(&evidence, "UCTX_EN").fails("only from the next boot on"));
        set(&mut evidence, "UCTX_EN", "False(0)", "False(0)");
        assert!(of(&evidence, "UCTX_EN").fails("UCTX_EN=1 is needed"));
        set(&mut evidence, "UCTX_EN", "", "");
        assert!(of(&evidence, "UCTX_EN").is_unknown("neither value"));
        evidence.answers.wanted.as_mut().unwrap().vfs.iter_mut().for_each(|vf| vf.datapath = Datapath::None);
        assert!(checks(&evidence, "firmware-values").iter().all(|check| !check.subject.contains("UCTX_EN")));
    }

    /// Pitfall 27: `NUM_OF_VFS` is one number for both ports: the port with the most VFs counts.
    #[test]
    fn the_number_of_vfs_is_held_against_the_port_with_the_most() {
        let mut evidence = healthy();
        assert!(of(&evidence, "NUM_OF_VFS").passes("8 now"));
        let mut other = evidence.card().clone();
        other.name = "0000:43:00.1".to_owned();
        other.function.as_mut().unwrap().address = "0000:43:00.1".parse().unwrap();
        evidence.answers.cards.as_mut().unwrap().push(other);
        let vfs = &mut evidence.answers.wanted.as_mut().unwrap().vfs;
        let vf = vfs[1].clone();
        vfs.extend((0..12).map(|index| super::super::super::evidence::WantedVf {
            card: "0000:43:00.1".to_owned(),
            index,
            ..vf.clone()
        }));
        let found = of(&evidence, "NUM_OF_VFS");
        assert!(found.fails("NUM_OF_VFS=12 is needed"));
        assert!(found.remedy.unwrap().contains("vdpa firmware set --pci 0000:43:00.0 NUM_OF_VFS=12"));
        set(&mut evidence, "PF_NUM_OF_VF_VALID", "True(1)", "True(1)");
        assert!(
            checks(&evidence, "firmware-values")
                .iter()
                .all(|check| check.subject != "0000:43:00.0 NUM_OF_VFS")
        );
    }

    #[test]
    fn what_nobody_tells_is_unknown() {
        let mut evidence = healthy();
        evidence.card().firmware.as_mut().unwrap().settings.clear();
        assert!(check(&evidence, "firmware-values").is_unknown("has no such setting"));
        evidence.card().firmware.as_mut().unwrap().not_asked = Some("mstconfig is not installed".to_owned());
        assert!(check(&evidence, "firmware-values").is_unknown("mstconfig is not installed"));
        evidence.card().firmware = refused("open the device");
        assert!(check(&evidence, "firmware-values").is_unknown("open the device"));
        evidence.function().role = Role::Plain;
        evidence.card().function = refused("read");
        assert!(checks(&evidence, "firmware-values").is_empty());
    }
}
