//! A simulated host to try things on, for every test of the engine.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod command;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use vdpa_cli::engine::{Failure, Restored, Run, Stop};
use vdpa_cli::guard::Guard;
use vdpa_cli::host::{Access, HOST_FILE, Host, SimulatedHost};
use vdpa_cli::lock::Lock;
use vdpa_cli::plan::Change;
use vdpa_cli::receipt::Drawer;
use vdpa_cli::report::Report;
use vdpa_cli::setup::{Done, Leave};
use vdpa_cli::step::Step;
use vdpa_cli::until::Until;
use vdpa_cli::{Error, config, setup, teardown};
use vdpa_hw::PciAddress;
use vdpa_hw::mock::{NetdevRole, Profile, kernel};

/// The reference document's host file.
pub(crate) fn reference() -> &'static str {
    HOST_FILE
}

/// The PF of the reference host.
pub(crate) fn pf() -> PciAddress {
    "0000:43:00.0".parse().unwrap()
}

/// A simulated host in a directory that goes with it.
pub(crate) struct Bench {
    pub(crate) host: SimulatedHost,
    pub(crate) forced: BTreeSet<Guard>,
    /// Whether `setup` may write firmware.
    pub(crate) firmware: bool,
    pub(crate) stop: Stop,
    /// How far a `setup` goes.
    pub(crate) until: Until,
    /// What the user was told.
    pub(crate) told: Told,
    directory: tempfile::TempDir,
}

impl Bench {
    /// Host 105 as new.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = SimulatedHost::host_105(directory.path());
        Self::of(host, directory)
    }

    /// A host with another machine.
    pub(crate) fn with_machine(machine: vdpa_hw::mock::State) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = SimulatedHost::with_machine(machine, directory.path());
        Self::of(host, directory)
    }

    fn of(host: SimulatedHost, directory: tempfile::TempDir) -> Self {
        Self {
            host,
            forced: BTreeSet::new(),
            firmware: false,
            stop: Stop::default(),
            until: Until::default(),
            told: Told::default(),
            directory,
        }
    }

    /// Overrides a guard.
    pub(crate) fn force(mut self, guard: Guard) -> Self {
        self.forced.insert(guard);
        self
    }

    /// Lets `setup` write firmware, or not.
    pub(crate) fn may_write_firmware(self, firmware: bool) -> Self {
        Self { firmware, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn setup(&self, text: &str) -> Result<Done, Failure> {
        self.setup_on(text, |_| ()).await
    }

    /// `setup` on the host after something of it was put in another's place.
    pub(crate) async fn setup_on(
        &self,
        text: &str,
        replace: impl FnOnce(&mut Host),
    ) -> Result<Done, Failure> {
        let path = self.path().join("host.toml");
        std::fs::write(&path, text).unwrap();
        let file = config::read(&path).map_err(Error::from)?;
        let mut host = self.host.host();
        replace(&mut host);
        let lock = Lock::take(self.path())?;
        let run = Run { host: &host, lock: &lock, report: &self.told, stop: &self.stop };
        let until = self.until.reaching(Drawer::new(self.path()).open()?.as_ref());
        let leave = Leave { forced: self.forced.clone(), firmware: self.firmware, until };
        setup::setup(&run, &file, &Access::of(&file, Path::new("/simulated/db.sock")), &leave).await
    }

    pub(crate) async fn teardown(&self) -> Result<Restored, Failure> {
        let lock = Lock::take(self.path())?;
        let receipt = Drawer::new(self.path()).open()?.expect("a receipt");
        let host = self.host.host();
        let run = Run { host: &host, lock: &lock, report: &self.told, stop: &self.stop };
        teardown::teardown(&run, receipt, &self.forced).await
    }

    pub(crate) fn has_receipt(&self) -> bool {
        self.path().join("receipt.json").exists()
    }

    /// Changes how the card's driver behaves.
    pub(crate) fn profile(&self, change: impl FnOnce(&mut Profile)) {
        self.host.machine.meddle(|state| change(&mut state.pf_mut(pf()).unwrap().profile));
    }

    /// VFs that somebody else made, bound to their driver.
    pub(crate) fn with_bound_vfs(&self, count: u16) {
        self.host.machine.meddle(|state| kernel::set_vf_count(state, pf(), count)).unwrap();
        self.host.machine.elapse(Duration::from_mins(1));
    }

    /// A bridge of somebody else's, with rows of its own.
    pub(crate) fn with_foreign_bridge(&self, name: &str) {
        self.host.vswitch.edit(|state| {
            let bridge = state.bridges.entry(name.to_owned()).or_default();
            bridge.external_ids.insert("made-by".into(), "somebody".into());
            bridge.ports.entry("eno2".into()).or_default();
        });
    }

    /// Everything there is on the host, after whatever was on its way has come.
    pub(crate) async fn settled_snapshot(&self) -> String {
        self.host.machine.wait(Duration::from_hours(1), |state| state.agenda.is_empty().then_some(())).await;
        snapshot(&self.host)
    }
}

/// Everything there is on the host but what nobody can bring back: time, counters and the indexes of network
/// devices.
pub(crate) fn snapshot(host: &SimulatedHost) -> String {
    let mut machine = host.machine.observe(Clone::clone);
    (machine.now_ms, machine.operations, machine.next_ifindex) = (0, 0, 0);
    (machine.fuse, machine.journal) = (None, Vec::new());
    let netdevs: Vec<_> = std::mem::take(&mut machine.netdevs).into_values().collect();
    let mut netdevs: Vec<String> =
        netdevs.iter().map(|netdev| serde_json::to_string(netdev).unwrap()).collect();
    netdevs.sort();
    let mut vswitch = host.vswitch.snapshot();
    (vswitch.next_cfg, vswitch.cur_cfg) = (0, 0);
    // Once on, offload stays in force until ovs-vswitchd is restarted; nobody restarts it for that.
    vswitch.hw_offload_in_force = false;
    // So does DPDK.
    vswitch.versions.dpdk_initialized = false;
    vswitch.versions.interface_types.clear();
    for port in vswitch.bridges.values_mut().flat_map(|bridge| bridge.ports.values_mut()) {
        port.ofport = None;
        port.error = None;
    }
    let all = serde_json::json!({ "machine": machine, "netdevs": netdevs, "vswitch": vswitch, "domains": host.domains.snapshot() });
    serde_json::to_string_pretty(&all).unwrap()
}

/// Says in which lines two snapshots differ, if they do.
#[track_caller]
pub(crate) fn alike(expected: &str, found: &str, case: &str) {
    let lines = |text: &str, other: &str| {
        let other: BTreeSet<&str> = other.lines().collect();
        text.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        expected == found,
        "{case}: expected {:#?}, found {:#?}",
        lines(expected, found),
        lines(found, expected)
    );
}

/// Whether a network device with this role is there.
pub(crate) fn has_netdev(host: &SimulatedHost, role: NetdevRole) -> bool {
    host.machine.observe(|state| state.netdev_with(role).is_some())
}

/// Keeps what the user is told besides.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<String>>);

impl Told {
    pub(crate) fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

impl Report for Told {
    fn planned(&self, _: &[Change]) {}
    fn stage(&self, _: &[&Change]) {}
    fn done(&self, _: &Step, _: Duration) {}
    fn failed(&self, _: &Step, _: &Error) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn warn(&self, text: &str) {
        self.note(text);
    }
    fn restoring(&self, _: &Error) {}
}
