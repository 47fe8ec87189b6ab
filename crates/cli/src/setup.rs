//! `setup`: make a host what its host file says.

use std::collections::BTreeSet;

use vdpa_hw::{MacAddress, Vf, VfIndex};

use crate::arrival::await_devices;
use crate::config::HostFile;
use crate::engine::{Failure, Restored, Run};
use crate::error::Error;
use crate::guard::{self, Guard};
use crate::host::{Access, Host};
use crate::plan::{Change, Order, Resolved, compare, resolve};
use crate::receipt::{Befores, Phase, Receipt, wanted};
use crate::step::{Device, Step};
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

/// What `setup` may do, beyond what it does anyway.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    /// Go on although these guards object.
    pub forced: BTreeSet<Guard>,
    /// Write firmware settings.
    pub firmware: bool,
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
    let resolved = resolve(run.host, &view, file).await?;
    let attempt = Attempt { run, access, earlier: earlier.as_ref(), resolved: &resolved };
    if let Some(done) = attempt.firmware_first(&view, leave.firmware).await? {
        return Ok(done);
    }
    let orders: &[Order] = if resolved.has_choice() {
        &[Order::SwitchdevFirst, Order::VfsFirst]
    } else {
        &[Order::SwitchdevFirst]
    };

    let (mut receipt, mut befores) = attempt.receipt(&view, orders[0]).await?;
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
    guard::ask(run.host, &before, &made, &leave.forced).await?;

    let mut at = 0;
    loop {
        match attempt.apply(receipt, &befores).await {
            Ok(statements) => {
                if at > 0 {
                    run.report.note(&format!("what works here: {}", orders[at]));
                }
                return Ok(Done { changed: true, statements, waits_for: Vec::new() });
            }
            Err(failure) if at + 1 < orders.len() && refused_switchdev(&failure) => {
                at += 1;
                run.report.note(&format!("{}; trying another order: {}", failure.error.flat(), orders[at]));
                (receipt, befores) = attempt.receipt(&View::new(run.host), orders[at]).await?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// What `setup` would change of a host, and has changed of it before.
///
/// # Errors
/// A layer's error where the host cannot be looked at.
pub async fn plan(host: &Host, file: &HostFile, earlier: Option<&Receipt>) -> Result<Vec<Change>, Error> {
    let view = View::new(host);
    let resolved = resolve(host, &view, file).await?;
    let stages = if resolved.waiting.is_empty() {
        resolved.stages(Order::SwitchdevFirst)
    } else {
        firmware::stages(&resolved, earlier)
    };
    let access = Access::of(file, std::path::Path::new(""));
    let receipt = match earlier {
        Some(earlier) => earlier.with(access, None, stages),
        None => Receipt::new(access, None, stages),
    };
    compare(host, &view, &receipt.intended()).await
}

/// One try at an order, or at the firmware.
struct Attempt<'a> {
    run: &'a Run<'a>,
    access: &'a Access,
    earlier: Option<&'a Receipt>,
    resolved: &'a Resolved,
}

impl Attempt<'_> {
    /// What is to be done in this order, and how each subject of it reads now.
    async fn receipt(&self, view: &View<'_>, order: Order) -> Result<(Receipt, Befores), Error> {
        self.receipt_for(view, self.resolved.stages(order), self.resolved.order(order)).await
    }

    async fn receipt_for(
        &self,
        view: &View<'_>,
        stages: Vec<Vec<Step>>,
        order: Option<Order>,
    ) -> Result<(Receipt, Befores), Error> {
        let (host, access) = (self.run.host, self.access.clone());
        let mut receipt = match self.earlier {
            Some(earlier) => earlier.with(access, order, stages),
            None => Receipt::new(access, order, stages),
        };
        let befores = befores(host, view, &receipt.all_stages()).await?;
        receipt.remember(match self.earlier {
            Some(_) => befores.clone(),
            None => without_us(view, &befores).await?,
        });
        // What firmware was before us is known longer than the rest.
        self.ledger().recall(&mut receipt.initial)?;
        Ok((receipt, befores))
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

/// A kernel that will not switch an eswitch without VFs may do so with them: mlx5 before kernel 5.7.
fn refused_switchdev(failure: &Failure) -> bool {
    let refused = matches!(&failure.error, Error::ModeRefused(_));
    refused && failure.restored.as_ref().is_none_or(Restored::is_complete)
}

/// How each subject of `stages` reads now, and what hangs on the VFs that are there now: it goes with them.
async fn befores(host: &Host, view: &View<'_>, stages: &[Vec<Step>]) -> Result<Befores, Error> {
    let mut steps: Vec<Step> = wanted(stages).into_iter().cloned().collect();
    for pf in stages
        .iter()
        .flatten()
        .filter_map(|step| if let Step::Vfs { pf, .. } = step { Some(*pf) } else { None })
    {
        let present = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs);
        for vf in VfIndex::first(present).map(|index| Vf { pf, index }) {
            steps.push(Step::VfAttributes { vf, mac: MacAddress::ZERO, trust: Some(false) });
            steps.push(Step::Driver { vf, driver: None });
            steps.push(Step::Up { device: Device::Vf(vf), up: false });
        }
    }
    let mut changes = compare(host, view, &steps).await?;
    for now in changes.iter_mut().filter_map(|change| change.now.as_mut()) {
        let Step::Bridge { ports, .. } = now else { continue };
        // A row whose device is gone cannot be brought back, and nobody misses it.
        for device in ports.clone() {
            if view.link(device).await?.is_none() {
                ports.remove(&device);
            }
        }
    }
    Ok(changes.into_iter().map(|change| (change.wanted.subject(), change.now)).collect())
}

/// What was there before us. There is no receipt, so whatever carries our tag is left from before a
/// reboot: it is not to be restored.
async fn without_us(view: &View<'_>, befores: &Befores) -> Result<Befores, Error> {
    let mut initial = befores.clone();
    for step in initial.values_mut().flatten() {
        match step {
            Step::Bridge { name, exists, ports } => {
                *exists = *exists && !view.bridge(name).await?.is_ours();
                ports.clear();
            }
            Step::HwOffload { bridge, in_force, .. } => {
                let seen = view.bridge(bridge).await?;
                in_force.retain(|device| seen.port(&device.key()).is_none());
            }
            Step::Kernel { device, .. } => *device = None,
            Step::Dpdk { process, .. } => *process = None,
            Step::Wired { wiring, .. } => *wiring = None,
            _ => {}
        }
    }
    Ok(initial)
}
