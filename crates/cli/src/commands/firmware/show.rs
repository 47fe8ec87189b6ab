//! `vdpa firmware show`.

use std::io::Read as _;

use vdpa_hw::PciAddress;
use vdpa_hw::firmware::{Keeper, SettingName, read};

use super::card::{FirmwareCard, cards};
use crate::commands::Session;
use crate::commands::source::Source;
use crate::error::Error;
use crate::host::Access;
use crate::report::Outcome;

/// The most that is read of saved output.
const MOST: u64 = 16 << 20;

/// Shows the settings of a card, or of all.
pub(super) async fn run(
    session: &Session,
    pci: Option<PciAddress>,
    names: &[SettingName],
) -> Result<Outcome, Error> {
    let host = session.host(&Access::usual(&session.common.ovsdb))?;
    let mut shown = Vec::new();
    for pf in cards(&host, pci).await? {
        let card = FirmwareCard::read(&host, pf, names).await?;
        card.show(&session.output);
        shown.push(card);
    }
    Ok(Outcome::done("firmware show", "done").with("cards", &shown))
}

/// Shows what a tool printed at another time.
pub(super) fn saved(session: &Session, source: &Source, names: &[SettingName]) -> Result<Outcome, Error> {
    if session.is_simulated() {
        return Err(Error::NotSimulated("saved output"));
    }
    let what = source.to_string();
    let mut bytes = Vec::new();
    let from = source.open()?;
    from.take(MOST).read_to_end(&mut bytes).map_err(|source| Error::Input { what: what.clone(), source })?;
    let mut found = read(&String::from_utf8_lossy(&bytes), Keeper::Saved)
        .map_err(|source| Error::SavedOutput { what: what.clone(), source })?;
    if !names.is_empty() {
        for settings in &mut found {
            settings.settings.retain(|setting| names.contains(&setting.name));
        }
    }
    let cards: Vec<FirmwareCard> = found.into_iter().map(FirmwareCard::saved).collect();
    for card in &cards {
        card.show(&session.output);
    }
    Ok(Outcome::done("firmware show", "done").with("cards", &cards))
}
