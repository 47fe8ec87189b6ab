//! Planning a bridge, making it, keeping it, and going back.
//!
//! ```text
//! make:  record ── timer ── the bridge ── wait until it has its addresses ──► unconfirmed
//!                    │           └──────── error: go back, disarm ──► as it was
//!                    └── runs out: go back, until it is so
//! ```

use std::time::{Duration, Instant};

use super::record::{Record, Standing};
use super::{Act, Manager, Plan, Refusal, Wanted, networkd, nic, nm};
use crate::Host;
use crate::apply::causes;
use crate::error::{Error, Result};
use crate::programs::Command;

/// The transient timer, and the service that it starts.
const UNIT: &str = "vdpa-host-bridge-rollback";

/// How often is looked whether a manager has done what it was told; neither tells by an event that has no connection to
/// its bus.
const PACE: Duration = Duration::from_millis(200);

/// How long the host may take to be as it was.
const BACK: Duration = Duration::from_mins(1);

impl Host {
    /// What would be done to make a bridge. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Unbridgeable`] where it cannot be.
    pub async fn plan_bridge(&self, wanted: &Wanted) -> Result<Plan> {
        let refuse = |why| Err(Error::Unbridgeable { nic: wanted.over.to_string(), why });
        match self.bridge()? {
            Some(Record { standing: Standing::Unconfirmed, name, .. }) => {
                return refuse(Refusal::Waiting(name));
            }
            Some(Record { standing: Standing::Confirmed, name, .. }) => return refuse(Refusal::Made(name)),
            _ => {}
        }
        let nic = nic::look(&self.tree, wanted)?;
        if !self.programs.has("systemd-run") {
            return refuse(Refusal::NoTimer("systemd-run is not installed"));
        }
        // sd_booted(3).
        if !self.tree.exists("/run/systemd/system") {
            return refuse(Refusal::NoTimer("systemd does not run here"));
        }
        let manager = self.manager_of(wanted).await?;
        let (before, make, confirm, take_back, take_up) = match manager {
            Manager::Nm => {
                let profile = nm::profile(&*self.programs, wanted).await?;
                let make = nm::make(wanted, &nic, &profile);
                let take_up = vec![nm::take_up(wanted, &profile)];
                (profile.uuid, make, nm::confirm(wanted), nm::take_back(wanted), take_up)
            }
            Manager::Networkd => {
                let network = networkd::network(&self.tree, wanted, &nic)?;
                (
                    network.file.display().to_string(),
                    networkd::make(wanted, &nic, &network),
                    networkd::confirm(wanted, &nic, &network),
                    networkd::take_back(wanted, &nic, &network),
                    Vec::new(),
                )
            }
        };
        let record = Record {
            standing: Standing::Unconfirmed,
            name: wanted.name.clone(),
            over: wanted.over.clone(),
            manager,
            before,
            confirm_within_s: wanted.confirm_within.as_secs(),
            confirm,
            take_back,
            take_up,
        };
        Ok(Plan { mac: nic.mac, index: nic.index, arm: arm(wanted), make, record })
    }

    /// Who is to make it: whoever has the NIC.
    async fn manager_of(&self, wanted: &Wanted) -> Result<Manager> {
        let refuse = |why| Err(Error::Unbridgeable { nic: wanted.over.to_string(), why });
        let found = if nm::manages(&*self.programs, &wanted.over).await {
            Manager::Nm
        } else if networkd::manages(&self.tree, &wanted.over) {
            Manager::Networkd
        } else {
            return refuse(Refusal::Unmanaged);
        };
        match wanted.manager {
            Some(manager) if manager != found => refuse(Refusal::ManagedBy(found)),
            _ => Ok(found),
        }
    }

    /// Makes a bridge that goes away again by itself. Returns when it has its addresses. Needs root.
    ///
    /// # Errors
    /// The host is as it was, and the timer disarmed; [`Error::BridgeHalfDone`] where it is not: then the timer goes on.
    pub async fn make_bridge(&self, plan: &Plan) -> Result<()> {
        let record = &plan.record;
        let ends = Instant::now() + Duration::from_secs(record.confirm_within_s);
        record.save(&self.tree)?;
        if let Err(error) = self.programs.run(&plan.arm).await {
            Record::forget(&self.tree)?;
            return Err(error);
        }
        let Err(error) = self.bring_up(plan, ends).await else { return Ok(()) };
        tracing::info!(%error, "going back");
        match self.go_back(record).await {
            Ok(()) => {
                Record::forget(&self.tree)?;
                self.disarm().await;
                Err(error)
            }
            Err(remains) => {
                let remains = format!("{remains}: {}", causes(&remains));
                Err(Error::BridgeHalfDone { error: Box::new(error), remains })
            }
        }
    }

    async fn bring_up(&self, plan: &Plan, ends: Instant) -> Result<()> {
        let Record { name, over, manager, .. } = &plan.record;
        for act in &plan.make {
            self.act(act).await?;
        }
        let limit = ends.saturating_duration_since(Instant::now());
        let is_up = async || {
            nic::is_port(&self.tree, name, over)
                && match manager {
                    Manager::Nm => nm::is_up(&*self.programs, name).await,
                    Manager::Networkd => networkd::is_up(&self.tree, name),
                }
        };
        if until(limit, is_up).await {
            return Ok(());
        }
        Err(Error::BridgeSilent { name: name.to_string(), manager: *manager, limit })
    }

    /// How a bridge of ours stands; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Record`] where what is written down is not ours, or not to be understood.
    pub fn bridge(&self) -> Result<Option<Record>> {
        Record::open(&self.tree)
    }

    /// Makes a bridge last, and disarms the timer. Needs root.
    ///
    /// # Errors
    /// [`Error::NoBridge`] where there is none to confirm, as when it was taken back.
    pub async fn confirm_bridge(&self) -> Result<Record> {
        let none = |why: String| Err(Error::NoBridge { verb: "confirm", why });
        let mut record = match self.bridge()? {
            None => {
                return none(
                    "none was made since the last boot, which takes back what is not confirmed".to_owned(),
                );
            }
            Some(record) if record.standing == Standing::TakenBack => {
                let Record { name, confirm_within_s, .. } = record;
                return none(format!(
                    "{name} was taken back, as nobody confirmed it within {confirm_within_s} s"
                ));
            }
            Some(record) => record,
        };
        if !nic::is_port(&self.tree, &record.name, &record.over) {
            return none(format!("{} is no port of {} any more", record.over, record.name));
        }
        for act in &record.confirm {
            self.act(act).await?;
        }
        record.standing = Standing::Confirmed;
        record.save(&self.tree)?;
        self.disarm().await;
        Ok(record)
    }

    /// Goes back where nobody has confirmed; what the timer does. `None` where there is nothing to do. Needs root.
    ///
    /// # Errors
    /// Where the host is not as it was; what was written down stays, and it can be tried again.
    pub async fn roll_bridge_back(&self) -> Result<Option<Record>> {
        let Some(mut record) = self.bridge()? else { return Ok(None) };
        if record.standing != Standing::Unconfirmed {
            return Ok(None);
        }
        self.go_back(&record).await?;
        record.standing = Standing::TakenBack;
        record.save(&self.tree)?;
        Ok(Some(record))
    }

    /// Goes back, confirmed or not. `None` where there is nothing to do. Needs root.
    ///
    /// # Errors
    /// As for [`roll_bridge_back`](Self::roll_bridge_back).
    pub async fn remove_bridge(&self) -> Result<Option<Record>> {
        let Some(record) = self.bridge()? else { return Ok(None) };
        if record.standing == Standing::TakenBack {
            return Ok(None);
        }
        self.go_back(&record).await?;
        Record::forget(&self.tree)?;
        self.disarm().await;
        Ok(Some(record))
    }

    /// Does all that goes back, past errors: what was never made cannot be removed. What counts is how the host is then.
    async fn go_back(&self, record: &Record) -> Result<()> {
        let Record { name, over, manager, before, .. } = record;
        let is_back = async || {
            !self.tree.exists(nic::sysfs(name))
                && match manager {
                    Manager::Nm => nm::is_back(&*self.programs, over, before).await,
                    Manager::Networkd => networkd::is_back(&self.tree, over, before),
                }
        };
        let mut last = None;
        for act in &record.take_back {
            last = self
                .act(act)
                .await
                .inspect_err(|error| tracing::info!(%error, why = causes(error), "going on"))
                .err()
                .or(last);
        }
        // A NIC that never lost its configuration does not lose it for this.
        if !is_back().await {
            for act in &record.take_up {
                last = self.act(act).await.err().or(last);
            }
        }
        if until(BACK, is_back).await {
            return Ok(());
        }
        Err(last.unwrap_or(Error::BridgeStays {
            name: name.to_string(),
            nic: over.to_string(),
            before: before.clone(),
            limit: BACK,
        }))
    }

    async fn act(&self, act: &Act) -> Result<()> {
        match act {
            Act::Run(command) => self.programs.run(command).await.map(drop),
            Act::Write { path, text } => self.tree.write(path, Some(text)),
            Act::Remove(path) if self.tree.exists(path) => self.tree.write(path, None),
            Act::Remove(_) => Ok(()),
        }
    }

    /// Stops the timer. Where it has run out there is none, and what it starts finds nothing to do.
    async fn disarm(&self) {
        let stop = Command::new(["systemctl", "stop", &format!("{UNIT}.timer")]);
        if let Err(error) = self.programs.run(&stop).await {
            tracing::info!(%error, why = causes(&error), "the timer is gone");
        }
    }
}

/// What arms the timer: systemd-run(1). The service is tried again until it ends well.
fn arm(wanted: &Wanted) -> Command {
    let seconds = wanted.confirm_within.as_secs();
    let nic = &wanted.over;
    let words = [
        "systemd-run".to_owned(),
        format!("--unit={UNIT}"),
        format!("--description=Take the bridge over {nic} back unless it is confirmed"),
        format!("--on-active={seconds}s"),
        "--timer-property=AccuracySec=1s".to_owned(),
        "--property=Restart=on-failure".to_owned(),
        "--property=RestartSec=5s".to_owned(),
        "--property=StartLimitIntervalSec=0".to_owned(),
        "--collect".to_owned(),
        "--quiet".to_owned(),
        "--".to_owned(),
    ];
    Command::new(words.into_iter().chain(wanted.roll_back.iter().cloned()))
}

/// Whether something becomes true within a time.
async fn until(limit: Duration, holds: impl AsyncFn() -> bool) -> bool {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::time::timeout(limit, waiting).await.is_ok()
}
