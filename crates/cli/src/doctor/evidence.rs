//! What there is to know of a host, as data.
//!
//! It has two halves. [`Recording`] holds the files of /proc and /sys that were looked at, and what became of it
//! where one could not be read. The rest are answers: of the kernel by netlink, of Open vSwitch, of libvirt, of
//! programs. Everything is [`Seen`]: what was found, or the reason why it could not be.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use vdpa_eswitch::{Info, Param, State};
use vdpa_hw::firmware::Settings;
use vdpa_hw::platform::Platform;
use vdpa_hw::{Function, Holder, IfIndex, Link, ManagementUse, NetdevName, PciAddress, Vf};
use vdpa_vm::{DomainName, Profile, Versions};

use super::recording::Recording;
use crate::config::Datapath;
use crate::host::Host;

/// What was found, or why it could not be.
pub type Seen<T> = Result<T, String>;

/// All that is known of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Of which host, when and by what.
    pub taken: Taken,
    /// The files that were looked at.
    pub files: Arc<Recording>,
    /// What was answered.
    pub answers: Answers,
}

/// Of which host evidence is, when and by what it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The host's name.
    pub host: String,
    /// When: seconds since 1970, UTC.
    pub at: u64,
    /// The program and its version.
    pub by: String,
    /// Whether the host is a simulated one.
    pub simulated: bool,
}

impl Taken {
    /// Of `host`, now.
    pub fn of(host: &Host) -> Self {
        let name = host.files.read("/proc/sys/kernel/hostname".as_ref()).unwrap_or_default();
        Self {
            host: String::from_utf8_lossy(&name).trim().to_owned(),
            at: time_of_day(),
            by: concat!("vdpa ", env!("CARGO_PKG_VERSION")).to_owned(),
            simulated: host.simulation.is_some(),
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, at, by, simulated } = self;
        let now = time_of_day();
        let when = match now.checked_sub(*at) {
            Some(age) => format!("{} ago", span(age)),
            // One of the two clocks is wrong.
            None => format!("{} from now, by this machine's clock", span(at - now)),
        };
        let simulated = if *simulated { "the simulated host " } else { "" };
        write!(f, "{simulated}{host}, as {by} found it {when}")
    }
}

/// So many seconds, in the unit that a person would choose.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Seconds since 1970, by a clock that may jump.
#[expect(
    clippy::disallowed_methods,
    reason = "people are told when a host was looked at; nothing waits for it"
)]
pub(super) fn time_of_day() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// What the kernel, the daemons and the programs answered, and what is wanted of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// Whether it was root who looked: others see less.
    pub privileged: bool,
    /// What the host file asks for; absent where there is none.
    pub wanted: Option<Wanted>,
    /// The cards of the host file, or all that could be meant.
    pub cards: Seen<Vec<Card>>,
    /// The local address of the SSH session that the command was typed in, if it was typed in one.
    pub session: Seen<Option<IpAddr>>,
    /// Open vSwitch.
    pub switch: Seen<Switch>,
    /// libvirt and its hypervisor.
    pub libvirt: Seen<Versions>,
    /// The domains that the host file names.
    pub domains: BTreeMap<DomainName, Seen<Domain>>,
    /// dpdk-vdpa.
    pub dpdk: Dpdk,
    /// The functions that have a vDPA management device.
    pub mgmtdevs: Seen<Vec<PciAddress>>,
    /// The SELinux labels of sockets and devices that QEMU opens.
    pub labels: BTreeMap<PathBuf, Seen<String>>,
}

/// What the host file asks for, as far as it makes a difference here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The bridge.
    pub bridge: String,
    /// Each VF that is asked for.
    pub vfs: Vec<WantedVf>,
    /// Whether dpdk-vdpa is to use huge pages.
    pub dpdk_huge_pages: bool,
    /// How many MiB each dpdk-vdpa process asks for at its start.
    pub dpdk_memory_mib: Option<u32>,
    /// Megabytes of huge pages for DPDK in Open vSwitch, node by node.
    #[serde(default)]
    pub socket_mem: Option<String>,
    /// The CPUs that poll in Open vSwitch: a hexadecimal mask.
    #[serde(default)]
    pub pmd_cpu_mask: Option<String>,
}

/// A VF that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedVf {
    /// The card as the host file names it.
    pub card: String,
    /// The VF's index.
    pub index: u16,
    /// Who is to serve its queues.
    pub datapath: Datapath,
    /// Queue pairs.
    pub queues: u16,
    /// The domain it is for.
    pub vm: Option<DomainName>,
}

/// A card: one PF.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// As the host file names it, or its address.
    pub name: String,
    /// The PCI function.
    pub function: Seen<Function>,
    /// Its network device.
    pub uplink: Seen<Link>,
    /// What devlink says of it, without serial numbers.
    pub info: Seen<Info>,
    /// How its eswitch is set.
    pub eswitch: Seen<State>,
    /// The settings of its firmware that VFs need, now and from the next boot on.
    pub firmware: Seen<Settings>,
    /// The parameters of its driver.
    pub params: Seen<Vec<Param>>,
    /// How the PF carries this host's own traffic.
    pub uses: Seen<Vec<Use>>,
    /// The VFs that exist.
    pub vfs: Vec<CardVf>,
    /// The representors that exist, and their numbers.
    pub representors: Seen<Vec<(IfIndex, NetdevName)>>,
}

/// One way in which a device carries this host's own traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// The device: the PF's own, or one that stands on it.
    pub device: NetdevName,
    /// How.
    pub how: ManagementUse,
}

/// A VF that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardVf {
    /// Which.
    pub vf: Vf,
    /// The PCI function.
    pub function: Seen<Function>,
    /// Who holds it.
    pub users: Seen<Vec<User>>,
    /// What its driver's parameters `enable_eth` and `enable_vnet` are set to; `None` where it has no such parameter.
    #[serde(default = "not_looked_at")]
    pub enabled: Seen<[Option<bool>; 2]>,
}

/// By a program before this was looked at.
fn not_looked_at() -> Seen<[Option<bool>; 2]> {
    Err("not looked at".to_owned())
}

/// Who holds a VF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// A process that has it open; the domain that it runs, if it is a VM.
    Process {
        /// The process.
        process: Holder,
        /// Its domain.
        domain: Option<String>,
    },
    /// A domain that has it, its socket or its device among its devices.
    Domain {
        /// The domain.
        name: DomainName,
        /// What of the VF it has.
        through: String,
        /// Whether it runs; otherwise it asks for the VF at its next start.
        active: bool,
    },
    /// A dpdk-vdpa process of ours.
    Datapath {
        /// Its process id, while it is ready.
        pid: Option<u32>,
    },
}

/// Open vSwitch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Its version.
    pub version: Option<String>,
    /// `other_config:hw-offload`.
    pub hw_offload: Option<String>,
    /// Other settings of `other_config` that bear upon offload and datapaths.
    pub other_config: BTreeMap<String, String>,
    /// The DPDK that it is built with, if it is.
    #[serde(default)]
    pub dpdk: Option<String>,
    /// Whether that DPDK has come up.
    #[serde(default)]
    pub dpdk_initialized: bool,
    /// Whether ovs-vswitchd has taken up everything that was asked of it.
    pub applied: bool,
    /// Ports of ours on network devices that ovs-vswitchd could not open, with its words.
    pub broken_ports: Vec<(String, String)>,
    /// Ports of ours that are DPDK's.
    #[serde(default)]
    pub dpdk_ports: Vec<DpdkPort>,
}

/// A port of DPDK's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DpdkPort {
    /// Its name.
    pub name: String,
    /// The type of its interface: `dpdk`, `dpdkvhostuserclient`, a vendor's.
    pub kind: String,
    /// The VF that it is for; `None` for an uplink.
    pub vf: Option<Vf>,
    /// The device that DPDK is to find, where there is one.
    pub devargs: Option<String>,
    /// The socket that a VM is to listen on, where there is one.
    pub socket: Option<PathBuf>,
    /// Why ovs-vswitchd could not open it, in its words.
    pub error: Option<String>,
    /// Whether it has a link; absent while ovs-vswitchd does not know.
    pub link_up: Option<bool>,
}

/// A domain that the host file names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Whether it runs.
    pub active: bool,
    /// What it asks of its host.
    pub profile: Profile,
}

/// dpdk-vdpa.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpdk {
    /// The program.
    pub program: Seen<PathBuf>,
    /// The DPDK it is built of.
    pub version: Seen<String>,
    /// The VFs that have a process of ours.
    pub serves: Seen<Vec<Vf>>,
}

impl Evidence {
    /// The kernel's files as the host's own processes would read them.
    pub fn platform(&self) -> Platform {
        Platform::over(self.files.clone())
    }

    /// The cards; none where it could not be found out which there are.
    pub(super) fn cards(&self) -> &[Card] {
        self.answers.cards.as_deref().unwrap_or_default()
    }

    /// The VFs that are asked for, of every card.
    pub(super) fn wanted_vfs(&self) -> &[WantedVf] {
        self.answers.wanted.as_ref().map_or(&[], |wanted| &wanted.vfs)
    }

    /// Whether a VF is to be served like this; without a host file, anything may be.
    pub(super) fn wants(&self, datapath: Datapath) -> bool {
        self.answers.wanted.is_none() || self.wanted_vfs().iter().any(|vf| vf.datapath == datapath)
    }

    /// Whether the bridge is to be one of Open vSwitch's userspace datapath.
    pub(super) fn is_userspace(&self) -> bool {
        self.wanted_vfs().iter().any(|vf| vf.datapath == Datapath::OvsDpdk)
    }

    /// What `dpdk-socket-mem` is to be, or is.
    pub(super) fn socket_mem(&self) -> Option<&str> {
        let wanted = self.answers.wanted.as_ref().and_then(|wanted| wanted.socket_mem.as_deref());
        wanted.or_else(|| self.other_config("dpdk-socket-mem"))
    }

    /// What `pmd-cpu-mask` is to be, or is.
    pub(super) fn pmd_cpu_mask(&self) -> Option<&str> {
        let wanted = self.answers.wanted.as_ref().and_then(|wanted| wanted.pmd_cpu_mask.as_deref());
        wanted.or_else(|| self.other_config("pmd-cpu-mask"))
    }

    /// A setting of Open vSwitch's `other_config`.
    fn other_config(&self, key: &str) -> Option<&str> {
        self.answers.switch.as_ref().ok()?.other_config.get(key).map(String::as_str)
    }

    /// Whether a VF is for a VM; without a host file, any may be.
    pub(super) fn wants_vms(&self) -> bool {
        self.answers.wanted.is_none() || self.wanted_vfs().iter().any(|vf| vf.vm.is_some())
    }
}

impl Card {
    /// Its address, where there is such a function.
    pub fn address(&self) -> Option<PciAddress> {
        self.function.as_ref().ok().map(|function| function.address)
    }

    /// The value of a driver's parameter, whichever is in force soonest.
    pub(super) fn param(&self, name: &str) -> Option<String> {
        let param = self.params.as_ref().ok()?.iter().find(|param| param.name == name)?;
        param.values.values().next().map(ToString::to_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_from_a_time_to_come_is_not_said_to_be_new() {
        let taken =
            |at| Taken { host: "host105".into(), at, by: "vdpa 0.1.0".into(), simulated: false }.to_string();
        let now = time_of_day();
        assert_eq!(taken(now - 3 * 3600), "host105, as vdpa 0.1.0 found it 3 h ago");
        let to_come = taken(now + 3 * 86_400 + 60);
        assert_eq!(to_come, "host105, as vdpa 0.1.0 found it 3 days from now, by this machine's clock");
    }
}
