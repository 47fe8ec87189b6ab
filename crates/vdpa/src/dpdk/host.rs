//! The dpdk-vdpa processes of this host: the one implementation that touches it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use vdpa_hw::Vf;

use super::control::{self, Answer, Question};
use super::layout::Home;
use super::{Condition, DpdkVdpa, Instance, Limits, QueueCounters, Queues, Spec, detached, systemd, version};
use crate::error::{Error, Result};

/// How long a supervisor may take to say that it is there.
const STATUS_LIMIT: Duration = Duration::from_secs(15);

/// What keeps a process running when the command that started it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// systemd, in a transient unit: it restarts what fails.
    Systemd,
    /// Nobody: the process is detached, and stays failed when it fails.
    Detached,
}

impl Launcher {
    /// systemd where it runs as the host's init (`sd_booted(3)`), below `root` (`/`).
    pub fn of_host(root: &Path) -> Self {
        if root.join("run/systemd/system").is_dir() { Self::Systemd } else { Self::Detached }
    }
}

/// How processes are started on this host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where each process has its directory: `/run/vdpa`.
    pub runtime_dir: PathBuf,
    /// The command that calls [`supervise`](super::supervise), with its leading arguments; the process's
    /// directory is added to it.
    pub supervisor: Vec<OsString>,
    /// The group that may use the sockets: QEMU's, see [`qemu_group`](super::qemu_group). `None`: only
    /// the owner may.
    pub group: Option<u32>,
    /// What keeps the processes.
    pub launcher: Launcher,
    /// How long they may take.
    pub limits: Limits,
}

/// The dpdk-vdpa processes of this host.
#[derive(Debug, Clone)]
pub struct DpdkHost {
    settings: Settings,
    /// What programs have said of their version, for many are started of one.
    versions: Arc<Mutex<BTreeMap<PathBuf, Option<String>>>>,
}

impl DpdkHost {
    /// The processes that are kept as `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self { settings, versions: Arc::default() }
    }

    /// The version of `program`, asked for once. One that does not say it is taken to be recent.
    async fn known_version(&self, program: &Path) -> Option<String> {
        let mut versions = self.versions.lock().await;
        if let Some(known) = versions.get(program) {
            return known.clone();
        }
        let version = match version::of(program).await {
            Ok(version) => Some(version),
            Err(error) => {
                tracing::warn!(program = %program.display(), error = %error.chain(), "its version is not known");
                None
            }
        };
        versions.insert(program.to_owned(), version.clone());
        version
    }

    fn home(&self, vf: Vf) -> Home {
        Home::of(&self.settings.runtime_dir, vf)
    }

    async fn look(home: &Home) -> Result<Option<Instance>> {
        let Some(spec) = home.spec()? else { return Ok(None) };
        let answer = control::ask(&home.control_socket(), &Question::Status, STATUS_LIMIT).await;
        let condition = match answer {
            Ok(Some(Answer::Status { pid })) => Condition::Ready { pid },
            _ if detached::is_running(home) => Condition::Starting,
            _ => Condition::Failed { why: home.failure().unwrap_or_else(|| "its supervisor is gone".into()) },
        };
        Ok(Some(Instance { spec, socket: home.socket(), condition }))
    }

    async fn end(&self, vf: Vf, home: &Home) -> Result<()> {
        let limit = self.settings.limits.stop;
        if self.settings.launcher == Launcher::Systemd {
            systemd::stop(vf, limit).await?;
        }
        let grace = limit + Duration::from_secs(2); // the supervisor grants the program `limit`
        let ended =
            detached::stop(home, grace).await.map_err(Error::io(format!("stop dpdk-vdpa of {vf}")))?;
        if ended { home.remove() } else { Err(Error::NotStopped { vf, limit: grace }) }
    }
}

#[async_trait]
impl DpdkVdpa for DpdkHost {
    async fn instances(&self) -> Result<Vec<Instance>> {
        let mut instances = Vec::new();
        for home in Home::all(&self.settings.runtime_dir)? {
            instances.extend(Self::look(&home).await?);
        }
        instances.sort_by_key(|instance| instance.spec.vf);
        Ok(instances)
    }

    async fn observe(&self, vf: Vf) -> Result<Option<Instance>> {
        Self::look(&self.home(vf)).await
    }

    async fn start(&self, spec: &Spec) -> Result<Instance> {
        let (vf, home) = (spec.vf, self.home(spec.vf));
        if let Some(earlier) = self.observe(vf).await? {
            if !matches!(earlier.condition, Condition::Failed { .. }) {
                return Err(Error::AlreadyServed { vf });
            }
            tracing::info!(%vf, "clearing away a datapath that failed");
            self.end(vf, &home).await?;
        }
        let version = self.known_version(&spec.program).await;
        home.create(spec, self.settings.group)?;
        if let Some(version) = version {
            home.record_version(&version);
        }
        let Settings { supervisor, limits, launcher, .. } = &self.settings;
        let waiting = tracing::debug_span!("dpdk.start", waits_for = "dpdk", %vf);
        let started = match launcher {
            Launcher::Systemd => systemd::start(supervisor, spec, &home, *limits).await,
            Launcher::Detached => detached::start(supervisor, vf, &home, limits.start + limits.answer).await,
        };
        drop(waiting);
        let instance = match started {
            Ok(()) => self.observe(vf).await?.filter(Instance::is_ready).ok_or_else(|| Error::NotStarted {
                vf,
                why: home.failure().unwrap_or_else(|| "it was ready and then was gone".into()),
            }),
            Err(error) => Err(error),
        };
        if instance.is_err()
            && let Err(error) = self.end(vf, &home).await
        {
            tracing::warn!(%vf, error = %error.chain(), "a datapath that did not start is not cleared away");
        }
        instance
    }

    async fn stop(&self, vf: Vf) -> Result<()> {
        let home = self.home(vf);
        if home.path().exists() { self.end(vf, &home).await } else { Ok(()) }
    }

    async fn counters(&self, vf: Vf, queues: Queues) -> Result<Vec<QueueCounters>> {
        let socket = self.home(vf).control_socket();
        let limit = self.settings.limits.answer * 2;
        let answer = control::ask(&socket, &Question::Counters(queues), limit).await;
        match answer.map_err(Error::io(format!("ask the supervisor of {vf}")))? {
            Some(Answer::Counters(counters)) => Ok(counters),
            Some(Answer::NoGuest) => Err(Error::NoGuest { vf }),
            Some(Answer::Failure(why)) => {
                Err(Error::Malformed { what: format!("the counters of {vf}"), why })
            }
            Some(Answer::Status { .. }) => Err(Error::Malformed {
                what: format!("the counters of {vf}"),
                why: "the supervisor told its status".into(),
            }),
            None => Err(Error::NotServed { vf }),
        }
    }

    async fn version(&self, program: &Path) -> Result<String> {
        version::of(program).await
    }

    async fn lend_directory(&self, vf: Vf) -> Result<()> {
        self.home(vf).make(self.settings.group)
    }

    async fn return_directory(&self, vf: Vf) -> Result<()> {
        let home = self.home(vf);
        if home.spec()?.is_some() { Ok(()) } else { home.remove() }
    }

    fn socket(&self, vf: Vf) -> PathBuf {
        self.home(vf).socket()
    }
}
