//! The host as the engine has it: one trait object a layer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use vdpa_datapath::{DpdkVdpa, KernelVdpa};
use vdpa_eswitch::Eswitch;
use vdpa_hw::firmware::Firmware;
use vdpa_hw::platform::Files;
use vdpa_hw::{Links, Pci};
use vdpa_ovs::{Datapath, Vswitch};
use vdpa_tc::Tc;
use vdpa_vm::Domains;

use crate::error::Error;
use crate::naming::Naming;
use crate::traffic::Traffic;
use crate::until::NotYet;

mod kept;
mod naming;
mod real;
mod service;
mod simulated;
mod simulated_files;

pub use real::{Access, RUN, real};
pub use simulated::{HOST_FILE, SimulatedHost};

/// A host: real, or simulated.
#[derive(Clone)]
pub struct Host {
    /// The files of /proc and /sys.
    pub files: Arc<dyn Files>,
    /// PCI functions.
    pub pci: Arc<dyn Pci>,
    /// Network devices.
    pub links: Arc<dyn Links>,
    /// Eswitches.
    pub eswitch: Arc<dyn Eswitch>,
    /// Names of representors.
    pub naming: Arc<dyn Naming>,
    /// Open vSwitch, by way of its database.
    pub vswitch: Arc<dyn Vswitch>,
    /// What Open vSwitch has in the kernel's datapath.
    pub datapath: Arc<dyn Datapath>,
    /// tc filters, and what of them is in hardware.
    pub tc: Arc<dyn Tc>,
    /// Who sends packets to measure by.
    pub traffic: Arc<dyn Traffic>,
    /// Open vSwitch, as a service.
    pub service: Arc<dyn OvsService>,
    /// Kernel vDPA devices.
    pub kernel: Arc<dyn KernelVdpa>,
    /// dpdk-vdpa processes.
    pub dpdk: Arc<dyn DpdkVdpa>,
    /// Firmware settings.
    pub firmware: Arc<dyn Firmware>,
    /// Domains.
    pub domains: Arc<dyn Domains>,
    /// Where the lock and the receipt are.
    pub run: PathBuf,
    /// Where what outlives a reboot is.
    pub state: PathBuf,
    /// What stands behind it, if it is simulated.
    pub simulation: Option<SimulatedHost>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("run", &self.run)
            .field("simulated", &self.simulation.is_some())
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Keeps a simulated host as it is now; a real one keeps itself.
    ///
    /// # Errors
    /// [`Error::Run`] where its file cannot be written.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.simulation.as_ref().map_or(Ok(()), SimulatedHost::save)
    }

    /// The same host at a time when libvirt has not been started.
    #[must_use]
    pub fn without_domains(self) -> Self {
        Self { domains: Arc::new(NotYet), ..self }
    }

    /// The dpdk-vdpa program: the configured one, or where programs are.
    ///
    /// # Errors
    /// Where there is none.
    pub fn dpdk_program(&self, configured: Option<&Path>) -> Result<PathBuf, Error> {
        match (&self.simulation, configured) {
            (Some(_), configured) => {
                Ok(configured.unwrap_or(Path::new("/usr/local/bin/dpdk-vdpa")).to_owned())
            }
            (None, configured) => Ok(vdpa_datapath::dpdk::find_program(configured)?),
        }
    }
}

/// Open vSwitch as a service of the system.
#[async_trait]
pub trait OvsService: Send + Sync {
    /// Restarts it and returns when it takes configuration again. Every bridge loses packets meanwhile.
    ///
    /// # Errors
    /// [`Error::Restart`] with what systemd said.
    async fn restart(&self) -> Result<(), Error>;
}
