//! `setup`: make a host what its host file says.

use std::collections::BTreeSet;

use crate::config::HostFile;
use crate::engine::{Failure, Restored, Run};
use crate::error::Error;
use crate::guard::{self, Guard};
use crate::host::{Access, Host};
use crate::lock::Lock;
use crate::plan::{Change, Order, Resolved, compare, resolve};
use crate::receipt::{Befores, Receipt, wanted};
use crate::step::Step;
use crate::view::View;

/// What `setup` came to.
#[derive(Debug)]
pub struct Done {
    /// Whether anything had to be changed.
    pub changed: bool,
    /// Every statement, as it reads now.
    pub statements: Vec<Change>,
}

/// Guards, plan, apply, verify. Runs again without a change.
///
/// # Errors
/// [`Failure`] with what became of the host: as it was, or what remains.
pub async fn setup(
    run: &Run<'_>,
    file: &HostFile,
    access: &Access,
    forced: &BTreeSet<Guard>,
) -> Result<Done, Failure> {
    let _lock = Lock::take(&run.host.run)?;
    let earlier = run.drawer().open()?;
    let resolved = resolve(run.host, file).await?;
    let orders: &[Order] =
        if resolved.has_choice() { &[Order::SwitchdevFirst, Order::VfsFirst] } else { &[Order::SwitchdevFirst] };

    let before = changes(run.host, &resolved, orders[0]).await?;
    run.report.planned(&before);
    if before.iter().all(Change::holds) {
        return Ok(Done { changed: false, statements: before });
    }
    guard::ask(run.host, &before, forced).await?;

    let attempt = Attempt { run, access, earlier: earlier.as_ref() };
    for (at, order) in orders.iter().enumerate() {
        match attempt.apply(&resolved, *order).await {
            Ok(()) => break,
            Err(failure) if at + 1 < orders.len() && refused_switchdev(&failure) => {
                run.report.note(&format!("{}; trying another order: {}", failure.error.flat(), orders[at + 1]));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(Done { changed: true, statements: changes(run.host, &resolved, orders[0]).await? })
}

/// One try at an order.
struct Attempt<'a> {
    run: &'a Run<'a>,
    access: &'a Access,
    earlier: Option<&'a Receipt>,
}

impl Attempt<'_> {
    async fn apply(&self, resolved: &Resolved, order: Order) -> Result<(), Failure> {
        let (host, stages) = (self.run.host, resolved.stages(order));
        let befores = befores(host, &stages).await?;
        let receipt = match self.earlier {
            Some(earlier) => earlier.with(self.access.clone(), stages, &befores),
            None => Receipt::new(self.access.clone(), stages, without_us(host, &befores).await?),
        };
        let outcome = self.run.apply(receipt, &befores).await;
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

/// A kernel that will not switch an eswitch without VFs may do so with them: mlx5 before kernel 5.7.
fn refused_switchdev(failure: &Failure) -> bool {
    let refused = matches!(&failure.error, Error::Eswitch(vdpa_eswitch::Error::Refused { .. }));
    refused && failure.restored.as_ref().is_none_or(Restored::is_complete)
}

async fn changes(host: &Host, resolved: &Resolved, order: Order) -> Result<Vec<Change>, Error> {
    let stages = resolved.stages(order);
    let steps: Vec<Step> = wanted(&stages).into_iter().cloned().collect();
    compare(host, &View::new(host), &steps).await
}

/// How each subject of `stages` reads now.
async fn befores(host: &Host, stages: &[Vec<Step>]) -> Result<Befores, Error> {
    let steps: Vec<Step> = wanted(stages).into_iter().cloned().collect();
    let changes = compare(host, &View::new(host), &steps).await?;
    Ok(changes.into_iter().map(|change| (change.wanted.subject(), change.now)).collect())
}

/// What was there before us. There is no receipt, so whatever carries our tag is left from before a
/// reboot: it is not to be restored.
async fn without_us(host: &Host, befores: &Befores) -> Result<Befores, Error> {
    let view = View::new(host);
    let mut initial = befores.clone();
    for step in initial.values_mut().flatten() {
        match step {
            Step::Bridge { name, exists, ports } => {
                *exists = *exists && !view.bridge(name).await?.is_ours();
                ports.clear();
            }
            Step::Kernel { device, .. } => *device = None,
            Step::Dpdk { process, .. } => *process = None,
            Step::Wired { wiring, .. } => *wiring = None,
            _ => {}
        }
    }
    Ok(initial)
}
