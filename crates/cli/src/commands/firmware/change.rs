//! `vdpa firmware set` and `reset`.

use std::collections::BTreeMap;

use vdpa_hw::PciAddress;
use vdpa_hw::firmware::{Need, Setting, SettingName, Value};

use super::card::{FirmwareCard, only_card};
use crate::commands::Session;
use crate::config::ConfigError;
use crate::error::Error;
use crate::host::{Access, Host};
use crate::report::{Outcome, Report as _};

/// Sets what counts from the next boot on; what does so already is left alone.
pub(super) async fn set(
    session: &Session,
    pci: Option<PciAddress>,
    values: &[(SettingName, Value)],
) -> Result<Outcome, Error> {
    let (_lock, host) = (session.lock()?, session.host(&Access::usual(&session.common.ovsdb))?);
    let pf = only_card(&host, pci).await?;
    let mut wanted = BTreeMap::new();
    for (name, value) in values {
        if wanted.insert(name.clone(), value.clone()).is_some_and(|other| !other.is(value)) {
            return Err(Error::Config(ConfigError {
                message: format!("{name} is to be set twice, and differently"),
                place: None,
                hint: format!("give {name} one value"),
            }));
        }
    }
    let names: Vec<SettingName> = wanted.keys().cloned().collect();
    let before = FirmwareCard::read(&host, pf, &names).await?;
    wanted.retain(|name, value| {
        let mut found = before.settings.iter().filter(|setting| setting.name == *name);
        !found.any(|setting| setting.next.as_ref().is_some_and(|next| next.is(value)))
    });
    let need = if wanted.is_empty() { None } else { Some(host.firmware.set(pf, &wanted).await?) };
    finish(session, &host, "firmware set", before, (pf, &names), need).await
}

/// Gives settings their defaults, from the next boot on; all where none is named.
pub(super) async fn reset(
    session: &Session,
    pci: Option<PciAddress>,
    names: &[SettingName],
) -> Result<Outcome, Error> {
    let (_lock, host) = (session.lock()?, session.host(&Access::usual(&session.common.ovsdb))?);
    let pf = only_card(&host, pci).await?;
    let before = FirmwareCard::read(&host, pf, names).await?;
    let is_default = |setting: &Setting| setting.default.is_some() && setting.next == setting.default;
    let need = if before.settings.iter().all(is_default) {
        None
    } else {
        Some(host.firmware.reset(pf, names).await?)
    };
    finish(session, &host, "firmware reset", before, (pf, names), need).await
}

/// Shows what came of it; `need` is what the tool wants for it, if anything was changed.
async fn finish(
    session: &Session,
    host: &Host,
    command: &'static str,
    before: FirmwareCard,
    (pf, names): (PciAddress, &[SettingName]),
    need: Option<Need>,
) -> Result<Outcome, Error> {
    host.checkpoint()?;
    let output = &session.output;
    let Some(need) = need else {
        before.show(output);
        output.line("unchanged: it is so from the next boot on at the latest");
        return Ok(Outcome::done(command, "unchanged").with("cards", &[before]));
    };
    let mut after = FirmwareCard::read(host, pf, names).await?;
    if let Some(activation) = after.activation.take() {
        after.takes(host, pf, activation.at_least(need)).await;
    }
    after.show(output);
    if need == Need::PowerCycle {
        output.warn("the tool asks for a power cycle of the host: neither a reset nor a reboot is enough");
    }
    for setting in &after.settings {
        let was = before
            .settings
            .iter()
            .find(|other| other.name == setting.name)
            .and_then(|other| other.next.clone());
        if was != setting.next {
            let text = |value: Option<&Value>| value.map_or_else(|| "unknown".to_owned(), Value::to_string);
            let (was, is) = (text(was.as_ref()), text(setting.next.as_ref()));
            output.line(format_args!("{}: {was} → {is} from the next boot on", setting.name));
        }
    }
    Ok(Outcome::done(command, "done").with("cards", &[after]))
}
