//! `setup`: make a host what its host file says.

use std::collections::BTreeSet;

use crate::arrival::await_devices;
use crate::before::{befores, concerned, remember};
use crate::config::HostFile;
use crate::engine::{Failure, Restored, Run};
use crate::error::Error;
use crate::fit;
use crate::guard::{self, Guard};
use crate::host::{Access, Host};
use crate::plan::{Change, Order, Resolved, compare, resolve};
use crate::receipt::{Befores, Phase, Receipt};
use crate::step::Step;
use crate::until::Until;
use crate::view::View;

mod firmware;

/// What `setup` came to.
#[derive(Debug)]
pub struct Done {
    /// Whether anything had to be changed.
    pub changed: bool,
    /// Every statement, as it reads now.
    pub statements: Vec<Change>,
    /// What it takes until the firmware is as the host file says, card by card, where the rest waits for it.
    pub waits_for: Vec<String>,
}

/// What `setup` may do beyond what it does anyway, and how far it is to go.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    /// Go on although these guards object.
    pub forced: BTreeSet<Guard>,
    /// Write firmware settings.
    pub firmware: bool,
    /// How far to go.
    pub until: Until,
}

/// Guards, plan, apply, verify. Runs again without a change.
///
/// # Errors
/// [`Failure`] with what became of the host: as it was, or what remains.
pub async fn setup(run: &Run<'_>, file: &HostFile, access: &Access, leave: &Leave) -> Result<Done, Failure> {
    let earlier = run.drawer().open()?;
    if let Some(unfinished) = earlier.as_ref().filter(|receipt| receipt.phase != Phase::Applied) {
        // What the one before had begun may still be on its way.
        await_devices(run.host, &unfinished.all_stages().concat()).await;
    }
    // One look serves all that is decided before the first change.
    let view = View::new(run.host);
    let resolved = resolve(run.host, &view, &leave.until.part_of(file)).await?;
    let attempt = Attempt { run, access, until: leave.until, earlier: earlier.as_ref(), resolved: &resolved };
    if let Some(done) = attempt.firmware_first(&view, leave.firmware).await? {
        return Ok(done);
    }
    let mut receipt = attempt.receipt(&view, 0).await?;
    let before = compare(run.host, &view, &receipt.intended()).await?;
    run.report.planned(&before);
    if before.iter().all(Change::holds) {
        receipt.finish();
        // The one before was cut off after its last change, or the host file has changed and the host was so already.
        if earlier.as_ref().is_some_and(|earlier| *earlier != receipt) {
            run.drawer().write(&receipt)?;
        }
        return Ok(Done { changed: false, statements: before, waits_for: Vec::new() });
    }
    let made = earlier.as_ref().map(Receipt::wanted).unwrap_or_default();
    let passing = compare(run.host, &view, &receipt.passing()).await?;
    guard::ask(run.host, &before, &passing, &made, &leave.forced).await?;
    domains_fit(run, &before, &leave.forced).await?;

    let mut befores = attempt.befores(&view, &receipt, attempt.later(0)).await?;
    let mut at = 0;
    loop {
        let failure = match attempt.apply(receipt, &befores).await {
            Ok(statements) => {
                if let Some(order) = resolved.order(at).filter(|_| at > 0) {
                    run.report.note(&format!("what works here: {order}"));
                }
                return Ok(Done { changed: true, statements, waits_for: Vec::new() });
            }
            Err(failure) => failure,
        };
        at += 1;
        let Some(order) =
            resolved.order(at).filter(|_| at < resolved.attempts() && refused_switchdev(&failure))
        else {
            return Err(failure);
        };
        let view = View::new(run.host);
        receipt = attempt.receipt(&view, at).await?;
        befores = attempt.befores(&view, &receipt, attempt.later(at)).await?;
        let changes = compare(run.host, &view, &receipt.intended()).await?;
        let passing = compare(run.host, &view, &receipt.passing()).await?;
        if let Err(Error::Guarded(objections)) =
            guard::ask(run.host, &changes, &passing, &made, &leave.forced).await
        {
            let why: Vec<String> = objections.iter().map(ToString::to_string).collect();
            run.report.note(&format!("{order} is not tried: {}", why.join(", ")));
            return Err(failure);
        }
        run.report.note(&format!("{}; trying another order: {order}", failure.error.flat()));
    }
}

/// Says what does not fit between domains and the VFs that they are to have, and stops where it cannot work.
async fn domains_fit(run: &Run<'_>, changes: &[Change], forced: &BTreeSet<Guard>) -> Result<(), Error> {
    let mut objections = Vec::new();
    for fit in fit::look(run.host, changes).await? {
        let objection = if fit.is_error() { Some(fit.objection()?) } else { None };
        match objection.filter(|objection| !forced.contains(&objection.guard)) {
            Some(objection) => objections.push(objection),
            None => run.report.warn(&fit.to_string()),
        }
    }
    if objections.is_empty() { Ok(()) } else { Err(Error::Guarded(objections)) }
}

/// What `setup` would change of a host, and has changed of it before.
///
/// # Errors
/// A layer's error where the host cannot be looked at.
pub async fn plan(host: &Host, file: &HostFile, earlier: Option<&Receipt>) -> Result<Vec<Change>, Error> {
    let view = View::new(host);
    let resolved = resolve(host, &view, file).await?;
    let stages =
        if resolved.waiting.is_empty() { resolved.stages(0) } else { firmware::stages(&resolved, earlier) };
    let access = Access::of(file, std::path::Path::new(""));
    let receipt = intended(host, &view, earlier, access, None, stages).await?;
    compare(host, &view, &receipt.intended()).await
}

/// One try at an order, or at the firmware.
struct Attempt<'a> {
    run: &'a Run<'a>,
    access: &'a Access,
    until: Until,
    earlier: Option<&'a Receipt>,
    resolved: &'a Resolved,
}

impl Attempt<'_> {
    /// What is to be done in the attempt with this number, on top of what is known of the host before us.
    async fn receipt(&self, view: &View<'_>, attempt: usize) -> Result<Receipt, Error> {
        let stages = self.until.part_of_stages(self.resolved.stages(attempt));
        let mut receipt = self.receipt_for(view, stages, self.resolved.order(attempt)).await?;
        remember(self.run.host, view, &mut receipt, self.later(attempt)).await?;
        Ok(receipt)
    }

    /// What is not to be made true yet and is disturbed on the way.
    fn later(&self, attempt: usize) -> Vec<Step> {
        self.until.disturbed_before(&self.resolved.stages(attempt))
    }

    /// How everything reads now that `receipt` concerns, for the way back.
    async fn befores(&self, view: &View<'_>, receipt: &Receipt, later: Vec<Step>) -> Result<Befores, Error> {
        let mut concerned = concerned(view, &receipt.all_stages()).await?;
        concerned.extend(later);
        befores(self.run.host, view, &concerned).await
    }

    async fn receipt_for(
        &self,
        view: &View<'_>,
        stages: Vec<Vec<Step>>,
        order: Option<Order>,
    ) -> Result<Receipt, Error> {
        let access = self.access.clone();
        let mut receipt = intended(self.run.host, view, self.earlier, access, order, stages).await?;
        // What firmware was before us is known longer than the rest.
        self.ledger().recall(&mut receipt.initial)?;
        Ok(receipt)
    }

    async fn apply(&self, receipt: Receipt, befores: &Befores) -> Result<Vec<Change>, Failure> {
        let outcome = self.run.apply(receipt, befores).await;
        if let Err(Failure { restored: Some(restored), .. }) = &outcome
            && restored.is_complete()
        {
            // The host is as this run found it, and the receipt says so again.
            match self.earlier {
                Some(earlier) => self.run.drawer().write(earlier)?,
                None => self.run.drawer().empty()?,
            }
        }
        outcome
    }
}

/// The receipt for `stages` on top of an earlier one.
async fn intended(
    host: &Host,
    view: &View<'_>,
    earlier: Option<&Receipt>,
    access: Access,
    order: Option<Order>,
    stages: Vec<Vec<Step>>,
) -> Result<Receipt, Error> {
    let left = left_over(view, &stages).await?;
    let is_known = left.is_empty() && earlier.is_some_and(|earlier| earlier.is_for(&stages));
    let mut receipt = match earlier {
        Some(earlier) => earlier.with(access, order, stages),
        None => Receipt::new(access, order, stages),
    };
    for bridge in left.into_iter().filter(|bridge| !receipt.initial.contains_key(&bridge.subject())) {
        receipt.obsolete.push(vec![bridge]);
    }
    if !is_known {
        let concerned = concerned(view, &receipt.all_stages()).await?;
        remember(host, view, &mut receipt, concerned).await?;
    }
    Ok(receipt)
}

/// Bridges that nobody asks for and that have something of ours: if no receipt speaks of them, from before a reboot.
async fn left_over(view: &View<'_>, stages: &[Vec<Step>]) -> Result<Vec<Step>, Error> {
    let asked = stages.iter().flatten().find_map(|step| match step {
        Step::Bridge { name, .. } => Some(name),
        _ => None,
    });
    let Some(asked) = asked else { return Ok(Vec::new()) };
    let left = view.bridge(asked).await?.ours_elsewhere.clone();
    Ok(left.into_iter().map(|name| Step::Bridge { name, exists: true, ports: BTreeSet::new() }).collect())
}

/// A kernel that will not switch an eswitch without VFs may do so with them: mlx5 before kernel 5.7.
fn refused_switchdev(failure: &Failure) -> bool {
    let refused = matches!(&failure.error, Error::ModeRefused(_));
    refused && failure.restored.as_ref().is_none_or(Restored::is_complete)
}
