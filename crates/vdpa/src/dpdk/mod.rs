//! The DPDK datapath: one supervised dpdk-vdpa process for each VF, which outlives the command.
//!
//! ```text
//!  vdpa setup ── start(spec) ──► systemd (a transient unit)  or  a detached process
//!                                         │
//!                                    supervise(DIR)            reads DIR/spec.json, holds DIR/lock
//!                                         │ stdin  "create SOCKET PCI"
//!                                         ▼
//!                                     dpdk-vdpa -a PCI,class=vdpa … -- -i
//!                                         │
//!                  QEMU ◄── vhost-user ── DIR/vhost/net.sock
//! ```
//!
//! A process goes through these states; each is observed and not remembered:
//!
//! ```text
//!            start                 prompt, create, prompt,
//!  (absent) ───────► Starting ───── socket listens ──────────► Ready
//!     ▲                 │                                        │
//!     │                 │ program or supervisor ends             │ program or supervisor ends
//!     │ stop            ▼                                        ▼
//!     └──────────── Failed (why) ◄───────────────────────────────┘     (systemd starts it again)
//! ```
//!
//! The program (`examples/vdpa` of DPDK, measured from 20.11 to 24.11) takes its orders on standard
//! input and nowhere else, and with `-i` ends when that input ends. Hence the supervisor: it holds the
//! pipe, knows when the program is ready, answers questions on a private socket, and takes the program
//! along when it dies, because its end of the pipe dies with it.
//!
//! A program that fails again and again is started again less and less often (`backoff.rs`).
//!
//! Absent on purpose: no restart loop of our own (systemd has one; a detached process that fails is
//! shown as failed), no socket in /tmp, no use of DPDK's telemetry socket (it knows nothing of vDPA).

mod backoff;
mod control;
mod detached;
mod dialogue;
mod group;
mod host;
mod instance;
mod layout;
mod notify;
mod process;
mod program;
mod socket;
mod spec;
mod supervise;
mod systemd;
mod unit;
mod version;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use vdpa_hw::Vf;

pub use dialogue::Dialogue;
pub use group::qemu_group;
pub use host::{DpdkHost, Launcher, Settings};
pub use instance::{Condition, Instance, QueueCounters, Queues};
#[cfg(feature = "mock")]
pub(crate) use layout::Home;
pub(crate) use layout::slug;
pub use layout::unit_name;
pub use spec::{Memory, Mode, Spec, find_program};
pub use supervise::{Limits, supervise};
pub use version::allow_list;

use crate::error::Result;

/// The dpdk-vdpa processes of a host: what runs, and the way to start and stop one.
///
/// Only processes that were started through this trait are seen or touched.
#[async_trait]
pub trait DpdkVdpa: std::fmt::Debug + Send + Sync {
    /// All processes of ours, by VF.
    async fn instances(&self) -> Result<Vec<Instance>>;

    /// The process of this VF, in whatever state it is.
    async fn observe(&self, vf: Vf) -> Result<Option<Instance>>;

    /// Starts a process and waits until it is ready.
    ///
    /// What is left of an earlier process that failed is cleared away first. A process that is ready or
    /// starting is [`Error::AlreadyServed`](crate::Error::AlreadyServed): stop it first. On failure
    /// nothing stays behind. Needs root, as DPDK and systemd do.
    async fn start(&self, spec: &Spec) -> Result<Instance>;

    /// Stops the process of this VF, if there is one, and removes its socket and its directory.
    async fn stop(&self, vf: Vf) -> Result<()>;

    /// The counters of this VF's queues, from the program itself.
    ///
    /// The program knows [`Queues::All`] only while a guest is connected:
    /// [`Error::NoGuest`](crate::Error::NoGuest) where none is.
    async fn counters(&self, vf: Vf, queues: Queues) -> Result<Vec<QueueCounters>>;

    /// The version of DPDK that `program` is built of, `22.11.11`: as it says itself, without touching a device.
    async fn version(&self, program: &Path) -> Result<String>;

    /// Makes the directory of this VF's vhost-user socket for somebody else who serves it, such as a switch: with the
    /// group that may use it, and without a process.
    async fn lend_directory(&self, vf: Vf) -> Result<()>;

    /// Removes a directory that was lent; one of a process of ours stays.
    async fn return_directory(&self, vf: Vf) -> Result<()>;

    /// Where this VF's vhost-user socket is, or will be once it is served.
    fn socket(&self, vf: Vf) -> PathBuf;
}
