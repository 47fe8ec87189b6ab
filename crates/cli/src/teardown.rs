//! `teardown`: bring back what was there before `setup`.

use std::collections::BTreeSet;

use crate::arrival::await_devices;
use crate::before::remember;
use crate::config;
use crate::engine::{Failure, Restored, Run, described};
use crate::error::Error;
use crate::firmware::{self, Ledger};
use crate::guard::{self, Guard};
use crate::host::Host;
use crate::plan::{Change, compare};
use crate::receipt::{Phase, Receipt};
use crate::step::Step;
use crate::view::View;

/// Restores from `receipt`, which is the one of the host that `run` works on; goes on where an earlier
/// teardown or rollback was cut off.
///
/// # Errors
/// [`Failure`] where something was changed since `setup`, where a guard objects, and where something remains.
pub async fn teardown(
    run: &Run<'_>,
    mut receipt: Receipt,
    forced: &BTreeSet<Guard>,
) -> Result<Restored, Failure> {
    if receipt.phase != Phase::Applied {
        // What the one before had begun may still be on its way.
        await_devices(run.host, &receipt.all_stages().concat()).await;
    } else if !forced.contains(&Guard::Drift) {
        no_drift(run.host, &receipt).await?;
    }
    let mut initial: Vec<Step> =
        receipt.wanted().iter().filter_map(|step| receipt.initial.get(&step.subject())?.clone()).collect();
    let nv = receipt.initial.values().flatten().filter(|step| firmware::card(step).is_some());
    initial.extend(nv.filter(|step| !initial.contains(step)).cloned().collect::<Vec<_>>());
    let changes = compare(run.host, &View::new(run.host), &initial).await?;
    let rewritten =
        firmware::cards(changes.iter().filter(|change| !change.holds()).map(|change| &change.wanted));
    guard::ask(run.host, &changes, &[], &receipt.wanted(), forced).await?;

    receipt.phase = Phase::Restoring;
    run.drawer().write(&receipt)?;
    let restored = run.restore(&receipt.all_stages(), &receipt.initial).await;
    if !restored.is_complete() {
        return Err(Failure { error: Error::NotRestored, restored: Some(restored) });
    }
    Ledger::new(&run.host.state).forget(&receipt.initial)?;
    run.drawer().empty()?;
    for card in rewritten {
        run.report.note(&firmware::what_it_takes(run.host, card).await);
    }
    Ok(restored)
}

/// Adds what is left in Open vSwitch's database from before a reboot to a receipt that nobody wrote: the real one went
/// with the boot. Gives whether there is something.
///
/// # Errors
/// [`Error::Ovs`] where the database cannot be read.
pub async fn add_left_over(host: &Host, receipt: &mut Receipt) -> Result<bool, Error> {
    let view = View::new(host);
    let usual = config::default_bridge();
    let seen = view.bridge(&usual).await?;
    let has_ours = seen.is_ours() || !seen.ports().is_empty();
    let bridges = seen.ours_elsewhere.iter().chain(has_ours.then_some(&usual));
    let mut stages: Vec<Vec<Step>> = bridges
        .map(|name| vec![Step::Bridge { name: name.clone(), exists: true, ports: BTreeSet::new() }])
        .collect();
    if seen.hw_offload_before.is_some() {
        let (ports, in_force) = (BTreeSet::new(), BTreeSet::new());
        stages.push(vec![Step::HwOffload {
            bridge: usual.clone(),
            value: seen.hw_offload.clone(),
            ports,
            in_force,
        }]);
    }
    let settings = seen.config_before.keys().map(|key| {
        let value = seen.other_config.get(key).cloned();
        Step::Setting { bridge: usual.clone(), key: key.clone(), value }
    });
    stages.extend([settings.collect::<Vec<_>>()].into_iter().filter(|stage| !stage.is_empty()));
    remember(host, &view, receipt, stages.concat()).await?;
    let found = !stages.is_empty();
    receipt.stages.extend(stages);
    Ok(found)
}

/// Refuses to overwrite what somebody changed since `setup`.
async fn no_drift(host: &Host, receipt: &Receipt) -> Result<(), Error> {
    let steps: Vec<Step> = receipt.wanted().into_iter().cloned().collect();
    let changes = compare(host, &View::new(host), &steps).await?;
    let drift: Vec<String> =
        changes.iter().filter(|change: &&Change| !change.holds()).map(described).collect();
    if drift.is_empty() { Ok(()) } else { Err(Error::Drifted(drift)) }
}
