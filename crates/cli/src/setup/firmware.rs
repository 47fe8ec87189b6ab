//! Firmware, before anything else of a `setup`.

use std::collections::BTreeSet;

use super::{Attempt, Done};
use crate::engine::{Failure, Restored};
use crate::error::Error;
use crate::firmware::{self, Ledger};
use crate::plan::{Change, Resolved, compare};
use crate::receipt::Receipt;
use crate::step::Step;
use crate::view::View;

impl Attempt<'_> {
    /// Holds the host file's firmware settings against the cards. What has to be written comes alone, since it counts
    /// after a reset, which wants the card without VFs, or a reboot. `None` where nothing keeps the rest from being done.
    pub(super) async fn firmware_first(&self, view: &View<'_>, write: bool) -> Result<Option<Done>, Failure> {
        let (host, report) = (self.run.host, self.run.report);
        let Resolved { firmware: wanted, waiting, .. } = self.resolved;
        if wanted.is_empty() {
            return Ok(None);
        }
        let changes = compare(host, view, wanted).await?;
        let pending = firmware::pending(view, wanted).await?;
        let due: Vec<&Step> =
            changes.iter().filter(|change| !change.holds()).map(|change| &change.wanted).collect();
        if !due.is_empty() && !write {
            let mut lines = firmware::differences(&changes);
            lines.extend(pending.iter().map(ToString::to_string));
            return Err(Error::FirmwareDiffers(lines).into());
        }
        for pending in &pending {
            report.note(&pending.to_string());
        }
        let mut cards = firmware::cards(due.iter().copied());
        if due.is_empty() && waiting.is_empty() {
            for card in pending.iter().map(|pending| pending.card).collect::<BTreeSet<_>>() {
                report.note(&firmware::what_it_takes(host, card).await);
            }
            return Ok(None);
        }
        cards.extend(waiting);
        let write = !due.is_empty();
        let statements = if write {
            report.planned(&changes);
            self.write_firmware(view).await?
        } else {
            changes
        };
        let waits_for = cards.into_iter().map(|card| firmware::what_it_takes(host, card));
        Ok(Some(Done { changed: write, statements, waits_for: futures::future::join_all(waits_for).await }))
    }

    /// Writes the firmware settings. What an earlier `setup` made stays as it is.
    async fn write_firmware(&self, view: &View<'_>) -> Result<Vec<Change>, Failure> {
        let stages = stages(self.resolved, self.earlier);
        let receipt = self.receipt_for(view, stages, None).await?;
        let befores = self.befores(view, &receipt, Vec::new()).await?;
        let ledger = self.ledger();
        let kept = ledger.read()?;
        ledger.remember(&receipt.initial)?;
        let outcome = self.apply(receipt, &befores).await;
        if outcome.as_ref().is_err_and(|failure| failure.restored.as_ref().is_none_or(Restored::is_complete))
        {
            ledger.write(&kept)?;
        }
        outcome
    }

    /// What firmware was before any `setup`.
    pub(super) fn ledger(&self) -> Ledger {
        Ledger::new(&self.run.host.state)
    }
}

/// What is done where firmware is written or waited for: that alone, beside what an earlier `setup` made.
pub(super) fn stages(resolved: &Resolved, earlier: Option<&Receipt>) -> Vec<Vec<Step>> {
    let others = earlier.into_iter().flat_map(|earlier| &earlier.stages).map(|stage| {
        stage.iter().filter(|step| !matches!(step, Step::Firmware { .. })).cloned().collect::<Vec<_>>()
    });
    std::iter::once(resolved.firmware.clone()).chain(others.filter(|stage| !stage.is_empty())).collect()
}
