//! PCI functions and their SR-IOV side: what the kernel shows below `/sys/bus/pci/devices`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::nouns::{DriverName, PciAddress, PciId, Vf, VfIndex};

/// A PCI function as it stands now.
///
/// Source: `Documentation/ABI/testing/sysfs-bus-pci`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Where it sits.
    pub address: PciAddress,
    /// What it is.
    pub id: PciId,
    /// The driver bound to it (`driver` link), if any.
    pub driver: Option<DriverName>,
    /// The only driver that may bind to it (`driver_override`), if one is named.
    pub driver_override: Option<DriverName>,
    /// The NUMA node of its slot; `None` where the platform does not say (`numa_node` is -1).
    pub numa_node: Option<u16>,
    /// Its IOMMU group (`iommu_group` link); `None` where the IOMMU is off.
    pub iommu_group: Option<u32>,
    /// Its part in SR-IOV.
    pub role: Role,
}

impl Function {
    /// The SR-IOV side of a PF; `None` for any other function.
    pub fn sriov(&self) -> Option<&SrIov> {
        match &self.role {
            Role::Pf(sriov) => Some(sriov),
            Role::Vf(_) | Role::Plain => None,
        }
    }
}

/// A function's part in SR-IOV.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It has the SR-IOV capability.
    Pf(SrIov),
    /// It is a virtual function of another.
    Vf(Vf),
    /// Neither.
    Plain,
}

/// The SR-IOV side of a PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrIov {
    /// How many VFs the firmware allows (`sriov_totalvfs`).
    pub total_vfs: u16,
    /// How many are switched on (`sriov_numvfs`).
    pub num_vfs: u16,
    /// Whether new VFs are offered to drivers (`sriov_drivers_autoprobe`).
    pub autoprobe: bool,
    /// The VFs that exist, by index (`virtfnN`); fewer than `num_vfs` while they are being made.
    pub vfs: Vec<PciAddress>,
}

impl SrIov {
    /// The address of VF `index`, if it exists.
    pub fn vf(&self, index: VfIndex) -> Option<PciAddress> {
        self.vfs.get(usize::from(index.get())).copied()
    }
}

/// A process that has a function open, by way of VFIO or vhost-vdpa.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`).
    pub command: String,
    /// The device file through which it holds the function.
    pub path: std::path::PathBuf,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// What a write to `sriov_numvfs` is for, so that the kernel's no explains itself: EBUSY from one count to
/// another, ERANGE above `total`.
pub(crate) fn vf_count_intent(pf: PciAddress, count: u16, now: u16, total: u16) -> String {
    let limit = if count > total { format!(" (sriov_totalvfs is {total})") } else { String::new() };
    format!("set the number of VFs of {pf} from {now} to {count}{limit}")
}

/// The PCI bus of a host.
///
/// Reads need no privilege; writes need root (`CAP_SYS_ADMIN` on the sysfs files' owner).
#[async_trait]
pub trait Pci: Send + Sync {
    /// Every function, by address.
    async fn functions(&self) -> Result<Vec<Function>>;

    /// The function at `address`.
    async fn function(&self, address: PciAddress) -> Result<Function>;

    /// The drivers that `functions` are bound to, in their order; `None` for one that has no driver, or has gone.
    ///
    /// A look at each driver, not at each function, and it waits for no probe: no device's lock is taken.
    async fn drivers(&self, functions: &[PciAddress]) -> Result<Vec<Option<DriverName>>>;

    /// Whether VFs that appear from now on are offered to drivers (`sriov_drivers_autoprobe`).
    async fn set_autoprobe(&self, pf: PciAddress, on: bool) -> Result<()>;

    /// Switches `count` VFs on and returns when all of them exist as PCI functions.
    ///
    /// The kernel refuses to go from one non-zero count to another (EBUSY): go through 0. It answers
    /// the write before the VFs exist, so this waits for them, no longer than `limit`. Going to 0 is refused
    /// (EBUSY) while a process has a VF open: the kernel would wait for it without limit.
    async fn set_vf_count(&self, pf: PciAddress, count: u16, limit: Duration) -> Result<()>;

    /// Binds `driver` to `function`, whatever autoprobe says, or unbinds whatever is bound.
    ///
    /// `driver_override` is as it was when this returns. A function that a process has open is not unbound
    /// (EBUSY). A bind lasts as long as the driver's probe: bind many functions side by side.
    async fn set_driver(&self, function: PciAddress, driver: Option<&DriverName>) -> Result<()>;

    /// The processes that have `function` open: a VM through VFIO, QEMU through vhost-vdpa.
    ///
    /// Sees only processes that the caller may inspect (all of them, for root).
    async fn holders(&self, function: PciAddress) -> Result<Vec<Holder>>;
}
