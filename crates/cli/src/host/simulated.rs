//! A simulated host, kept in a directory between commands.
//!
//! All layers' mocks share one [`Machine`]; what they hold besides (OVSDB rows, domains) is kept in the same
//! file. It is the reference document's host 105 until it is changed.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use vdpa_eswitch::DevlinkFirmware;
use vdpa_hw::firmware::Layered;
use vdpa_hw::mock::{Fuse, Lasting, Machine, State, When, hosts, kernel};
use vdpa_ovs::mock::{Hooks, MockDatapath, MockVswitch, Snapshot};
use vdpa_vm::mock::MockDomains;

use super::kept::Kept;
use super::naming::SimulatedNaming;
use super::simulated_files::SimulatedFiles;
use super::{Host, OvsService};
use crate::error::Error;
use crate::traffic::{self, SimulatedTraffic};
use crate::whole;

/// Real milliseconds that a simulated second takes when someone watches.
const PACE: u32 = 250;

/// The host file of the simulated host where no other is given.
pub const HOST_FILE: &str = include_str!("reference/host.toml");

/// A simulated host with all its parts, for tests that look behind the traits.
#[derive(Clone)]
pub struct SimulatedHost {
    /// PCI functions, network devices, datapaths.
    pub machine: Machine,
    /// Open vSwitch.
    pub vswitch: Arc<MockVswitch>,
    /// libvirt.
    pub domains: Arc<MockDomains>,
    /// The directory it is kept in.
    pub directory: PathBuf,
    /// Whether it is kept after each operation, so that a command that is killed has done what it has done.
    forgets_nothing: bool,
    saving: Arc<Mutex<()>>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    machine: State,
    vswitch: Snapshot,
    domains: vdpa_vm::mock::State,
}

impl Saved {
    fn host_105() -> Self {
        let mut vswitch = Snapshot::default();
        vswitch.versions.ovs = Some("2.14.1".to_owned());
        vswitch.versions.dpdk = Some("DPDK 20.11.1".to_owned());
        let domains = MockDomains::default();
        domains
            .add(MockDomains::CX6_1)
            .unwrap_or_else(|error| unreachable!("the fixture is a domain: {error}"));
        Self { machine: hosts::host_105(), vswitch, domains: domains.snapshot() }
    }
}

impl SimulatedHost {
    /// The host kept in `directory`; host 105 where there is none yet.
    ///
    /// # Errors
    /// [`Error::Simulation`] where the file there is not one of ours.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("host.json");
        let saved = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| Error::Simulation { path: path.clone(), why: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Saved::host_105(),
            Err(source) => return Err(Error::Run { path, source }),
        };
        Ok(Self { forgets_nothing: true, ..Self::new(saved, directory, PACE) })
    }

    /// Host 105 as new, whose clock runs as fast as it is waited on.
    pub fn host_105(directory: &Path) -> Self {
        Self::new(Saved::host_105(), directory, 0)
    }

    /// A host with another machine, whose clock runs as fast as it is waited on.
    pub fn with_machine(machine: State, directory: &Path) -> Self {
        Self::new(Saved { machine, ..Saved::host_105() }, directory, 0)
    }

    fn new(saved: Saved, directory: &Path, pace: u32) -> Self {
        let machine = Machine::new(saved.machine).with_pace(pace);
        let gate = |machine: Machine, object: &'static str| {
            move |verb: &str, after: bool| {
                let passed = if after { machine.after(verb, object) } else { machine.before(verb, object) };
                passed.map_err(|refusal| refusal.message.unwrap_or_else(|| refusal.errno.to_string()))
            }
        };
        let (exists, ports) = (machine.clone(), machine.clone());
        let hooks = Hooks {
            gate: Arc::new(gate(machine.clone(), "Open vSwitch")),
            netdev_exists: Arc::new(move |name| {
                exists.observe(|state| state.netdevs.values().any(|n| n.name.as_str() == name))
            }),
            on_ports: Arc::new(move |names, offload| {
                ports.meddle(|state| kernel::set_ovs_ports(state, names, offload));
            }),
        };
        let vswitch = Arc::new(MockVswitch::new(hooks, saved.vswitch));
        let domains =
            Arc::new(MockDomains::new(saved.domains).with_gate(Arc::new(gate(machine.clone(), "libvirt"))));
        let (directory, saving) = (directory.to_owned(), Arc::default());
        Self { machine, vswitch, domains, directory, forgets_nothing: false, saving }
    }

    /// Lets the operation `at`, counted from 1 from now on, fail once, before it has any effect.
    pub fn fail_at(&self, at: u64) {
        self.machine.set_fuse(Some(Fuse::new(at, When::Before, Lasting::Once)));
    }

    /// Where its files lie that were changed with what it is booted with.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Keeps the host as it is now.
    ///
    /// # Errors
    /// [`Error::Run`] where the file cannot be written.
    pub fn save(&self) -> Result<(), Error> {
        let path = self.directory.join("host.json");
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut machine = self.machine.observe(Clone::clone);
        // A fuse and a journal belong to one run.
        (machine.fuse, machine.journal) = (None, Vec::new());
        let saved = Saved { machine, vswitch: self.vswitch.snapshot(), domains: self.domains.snapshot() };
        let write = || -> std::io::Result<()> {
            whole::make_directory(&self.directory)?;
            let new = path.with_extension("json.new");
            // As `whole` does it, but for the disk: a simulated host may be lost with the machine.
            let mut options = std::fs::File::options();
            let mut file =
                options.write(true).create(true).truncate(true).mode(whole::READABLE).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&saved)?)?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|source| Error::Run { path: path.clone(), source })
    }

    /// The host as the engine has it.
    pub fn host(&self) -> Host {
        if !self.forgets_nothing {
            return self.host_with(Arc::new(self.machine.clone()));
        }
        let (machine, simulated) = (self.machine.clone(), self.clone());
        let machine = machine.with_watcher(Arc::new(move || simulated.keep()));
        Host {
            vswitch: Arc::new(Kept::new(self.vswitch.clone(), self.clone())),
            domains: Arc::new(Kept::new(self.domains.clone(), self.clone())),
            ..self.host_with(Arc::new(machine))
        }
    }

    /// Saves it where nobody asks how that went: the next checkpoint says so.
    pub(super) fn keep(&self) {
        if let Err(error) = self.save() {
            tracing::debug!(%error, "the simulated host is not kept");
        }
    }

    /// Open vSwitch's view of the machine's flows.
    fn datapath(&self) -> MockDatapath {
        let (flows, ports) = (self.machine.clone(), self.machine.clone());
        MockDatapath {
            flows: Arc::new(move || flows.observe(traffic::dump)),
            ports: Arc::new(move || ports.observe(traffic::ports)),
            complaints: Vec::new(),
        }
    }

    fn host_with(&self, machine: Arc<Machine>) -> Host {
        let in_kernel = DevlinkFirmware::new(machine.clone(), machine.clone());
        Host {
            files: vdpa_boot::mock::kernel(&self.root(), Arc::new(SimulatedFiles::of(&machine))),
            pci: machine.clone(),
            firmware: Arc::new(Layered::new(Arc::new(in_kernel), machine.clone())),
            links: machine.clone(),
            eswitch: machine.clone(),
            naming: Arc::new(SimulatedNaming(machine.clone())),
            vswitch: self.vswitch.clone(),
            datapath: Arc::new(self.datapath()),
            tc: machine.clone(),
            traffic: Arc::new(SimulatedTraffic(self.machine.clone())),
            service: Arc::new(self.clone()),
            kernel: machine.clone(),
            dpdk: machine,
            domains: self.domains.clone(),
            run: self.directory.clone(),
            state: self.directory.clone(),
            simulation: Some(self.clone()),
        }
    }
}

#[async_trait]
impl OvsService for SimulatedHost {
    async fn restart(&self) -> Result<(), Error> {
        let restart = |_: &Machine| {
            self.vswitch.restart();
            self.machine.meddle(kernel::ovs_restarts);
            Ok(())
        };
        self.machine
            .gated("restart", "openvswitch-switch", restart)
            .map_err(|refusal| Error::Restart(refusal.to_string()))
    }
}
