//! Looking at a host, once. Nothing is changed; what cannot be found out becomes evidence too, with the reason.

mod cards;
mod files;
mod labels;
mod ports;
mod session;
mod uses;

pub(super) use files::{MODULES as MODULES_WITH_PARAMETERS, NM_DIRECTORIES, NM_FILE};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use vdpa_hw::platform::Files;
use vdpa_ovs::{BridgeName, Observation, Unixctl};
use vdpa_vm::{DomainName, Profile, View};

use super::evidence::{
    Answers, Card, Domain, Dpdk, DpdkPort, Evidence, Seen, Switch, Taken, Wanted, WantedVf,
};
use super::recording::{Recorder, Recording};
use crate::config::{Datapath, HostFile};
use crate::error::Error;
use crate::host::Host;

/// How long anything may take to answer. A read of sysfs waits for the driver, and a driver can hang.
const LIMIT: Duration = Duration::from_secs(30);

/// Settings of `other_config` that bear upon offload and datapaths (ovs-vswitchd.conf.db(5)).
const SETTINGS: [&str; 8] = [
    "dpdk-init",
    "dpdk-socket-mem",
    "hw-offload-ct-size",
    "max-idle",
    "n-offload-threads",
    "offload-rebalance",
    "pmd-cpu-mask",
    "tc-policy",
];

/// Everything there is to know of `host`, as far as `file`'s wishes make it matter; of every card, where there is
/// no host file. Reads need root to be complete: who holds a VF, and who is connected.
pub async fn collect(host: &Host, file: Option<&HostFile>) -> Evidence {
    let bridge = file.map_or_else(crate::config::default_bridge, |file| file.bridge.clone());
    let (cards, switch, libvirt, domains, dpdk, mgmtdevs, session) = tokio::join!(
        seen("the cards", cards::all(host, file)),
        seen("Open vSwitch", switch(host, &bridge)),
        seen("libvirt", async { Ok(host.domains.versions().await?) }),
        domains(host, file),
        dpdk(host, file),
        seen("the kernel's vDPA", async {
            Ok(host.kernel.mgmtdevs().await?.iter().filter_map(|mgmtdev| mgmtdev.name.pci()).collect())
        }),
        session(host),
    );
    let files = files(host, cards.as_deref().unwrap_or_default()).await;
    let labels = labels::of(host, &dpdk.serves).await;
    Evidence {
        taken: Taken::of(host),
        files: Arc::new(files),
        answers: Answers {
            privileged: host.simulation.is_some() || rustix::process::geteuid().is_root(),
            wanted: file.map(Wanted::from),
            cards,
            session,
            switch,
            libvirt,
            domains,
            dpdk,
            mgmtdevs,
            labels,
        },
    }
}

/// What came of a look, with a time limit on it.
async fn seen<T>(what: &str, look: impl Future<Output = Result<T, Error>>) -> Seen<T> {
    match tokio::time::timeout(LIMIT, look).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(error.flat()),
        Err(_) => Err(silent(what)),
    }
}

fn silent(what: impl fmt::Display) -> String {
    format!("{what} did not answer within {} s", LIMIT.as_secs())
}

async fn files(host: &Host, cards: &[Card]) -> Recording {
    let recorder = Arc::new(Recorder::new(host.files.clone()));
    let (reader, cards) = (recorder.clone(), cards.to_vec());
    let looking = tokio::task::spawn_blocking(move || files::look(&reader, &cards));
    // What was read before one file hung is kept.
    if tokio::time::timeout(LIMIT, looking).await.is_err() {
        tracing::warn!("{}", silent("a file of /proc or /sys"));
    }
    recorder.recording()
}

async fn session(host: &Host) -> Seen<Option<std::net::IpAddr>> {
    if host.simulation.is_some() {
        return Ok(None);
    }
    session_address(host.files.clone()).await
}

/// The address of this host that the SSH session is connected to which this process runs in; `None` where it runs in none.
pub(crate) async fn session_address(files: Arc<dyn Files>) -> Seen<Option<std::net::IpAddr>> {
    let connection = std::env::var("SSH_CONNECTION").ok();
    let looking = tokio::task::spawn_blocking(move || {
        session::local_address(&*files, std::process::id(), connection.as_deref())
    });
    match tokio::time::timeout(LIMIT, looking).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(silent("/proc")),
    }
}

async fn switch(host: &Host, bridge: &BridgeName) -> Result<Switch, Error> {
    let observed = host.vswitch.glance(bridge).await?;
    let version = version_of_switch(host, &observed).await;
    let (dpdk, netdevs): (Vec<_>, Vec<_>) = observed.ports().iter().partition(|port| ports::is_dpdk(port));
    Ok(Switch {
        version,
        broken_ports: netdevs
            .into_iter()
            .filter_map(|port| Some((port.name.to_string(), ports::trouble(port)?)))
            .collect(),
        dpdk_ports: dpdk.into_iter().map(DpdkPort::from).collect(),
        applied: observed.is_applied(),
        dpdk: observed.versions.dpdk.clone(),
        dpdk_initialized: observed.versions.dpdk_initialized,
        other_config: observed
            .other_config
            .into_iter()
            .filter(|(key, _)| SETTINGS.contains(&key.as_str()))
            .collect(),
        hw_offload: observed.hw_offload,
    })
}

/// The version of Open vSwitch.
pub(crate) async fn version_of_switch(host: &Host, observed: &Observation) -> Option<String> {
    match &observed.versions.ovs {
        Some(version) => Some(version.clone()),
        None if host.simulation.is_none() => version_of_daemon().await,
        None => None,
    }
}

/// Where no start script has written it into the database, the daemon says it:
/// `ovs-vswitchd (Open vSwitch) 3.1.0`.
async fn version_of_daemon() -> Option<String> {
    let daemon = Unixctl::vswitchd(vdpa_ovs::DEFAULT_RUNDIR).await.ok()?;
    let said = daemon.call("version", &[]).await.ok()?;
    said.lines().next()?.rsplit(' ').next().map(str::to_owned)
}

async fn domains(host: &Host, file: Option<&HostFile>) -> BTreeMap<DomainName, Seen<Domain>> {
    let vfs = file.into_iter().flat_map(|file| &file.nics).flat_map(|nic| &nic.vfs);
    let names: BTreeSet<&DomainName> = vfs.filter_map(|vf| vf.vm.as_ref()).collect();
    let each = names.into_iter().map(async |name| {
        let look = async {
            let active = host.domains.status(name).await?.active;
            let profile = Profile::read(&host.domains.xml(name, View::Definition).await?)?;
            Ok(Domain { active, profile })
        };
        (name.clone(), seen("libvirt", look).await)
    });
    futures::future::join_all(each).await.into_iter().collect()
}

async fn dpdk(host: &Host, file: Option<&HostFile>) -> Dpdk {
    let configured = file.and_then(|file| file.dpdk.program.as_deref());
    let program = host.dpdk_program(configured).map_err(|error| error.flat());
    let version = match &program {
        Ok(program) => seen("dpdk-vdpa", async { Ok(host.dpdk.version(program).await?) }).await,
        Err(why) => Err(why.clone()),
    };
    let serves = async { Ok(host.dpdk.instances().await?.iter().map(|instance| instance.spec.vf).collect()) };
    Dpdk { program, version, serves: seen("dpdk-vdpa's supervisors", serves).await }
}

impl From<&HostFile> for Wanted {
    fn from(file: &HostFile) -> Self {
        use vdpa_datapath::dpdk::Memory;
        let vfs = file.nics.iter().flat_map(|nic| {
            nic.vfs.iter().map(|vf| WantedVf {
                card: nic.pf.to_string(),
                index: vf.index.get(),
                datapath: vf.datapath,
                queues: vf.queues.get(),
                vm: vf.vm.clone(),
            })
        });
        let (dpdk_huge_pages, dpdk_memory_mib) = match file.dpdk.memory {
            Memory::HugePages(megabytes) => (true, megabytes),
            Memory::Ordinary(megabytes) => (false, Some(megabytes)),
        };
        Self {
            bridge: file.bridge.to_string(),
            vfs: vfs.collect(),
            dpdk_huge_pages,
            dpdk_memory_mib,
            socket_mem: file.ovs_dpdk.socket_mem.clone(),
            pmd_cpu_mask: file.ovs_dpdk.pmd_cpu_mask.clone(),
        }
    }
}

impl Wanted {
    /// The VFs of one card that are to be served like this.
    pub(super) fn count(&self, card: &str, datapath: Datapath) -> usize {
        self.vfs.iter().filter(|vf| vf.card == card && vf.datapath == datapath).count()
    }
}
