//! The PCI bus of the simulated machine.

use std::time::Duration;

use async_trait::async_trait;
use vdpa_netlink::Refusal;

use super::kernel;
use super::machine::Machine;
use super::{SimFunction, SimRole, State};
use crate::error::{Error, Result};
use crate::nouns::{DriverName, PciAddress, Vf, VfIndex};
use crate::pci::{Function, Holder, Pci, Role, SrIov, vf_count_intent};

#[async_trait]
impl Pci for Machine {
    async fn functions(&self) -> Result<Vec<Function>> {
        self.tally("functions");
        Ok(self.observe(|state| {
            state.functions.iter().map(|(address, sim)| shown(state, *address, sim)).collect()
        }))
    }

    async fn function(&self, address: PciAddress) -> Result<Function> {
        self.can_be_read(address)?;
        self.observe(|state| state.functions.get(&address).map(|sim| shown(state, address, sim)))
            .ok_or(Error::NoFunction(address))
    }

    async fn drivers(&self, functions: &[PciAddress]) -> Result<Vec<Option<DriverName>>> {
        self.tally("drivers");
        Ok(self.observe(|state| {
            let driver = |at| state.functions.get(at).and_then(|sim: &SimFunction| sim.driver.clone());
            functions.iter().map(driver).collect()
        }))
    }

    async fn set_autoprobe(&self, pf: PciAddress, on: bool) -> Result<()> {
        self.pf(pf)?;
        self.operate("sriov_drivers_autoprobe", &pf, |state| kernel::set_autoprobe(state, pf, on))
            .map_err(refused(format!("set sriov_drivers_autoprobe of {pf} to {}", u8::from(on))))
    }

    async fn set_vf_count(&self, pf: PciAddress, count: u16, limit: Duration) -> Result<()> {
        self.pf(pf)?;
        let (now, total) = self.observe(|state| state.pf(pf).map_or((0, 0), |pf| (pf.num_vfs, pf.total_vfs)));
        self.operate("sriov_numvfs", &pf, |state| kernel::set_vf_count(state, pf, count))
            .map_err(refused(vf_count_intent(pf, count, now, total)))?;
        if self.observe(|state| state.pf(pf).is_some_and(|pf| pf.stuck)) {
            self.wait(limit, |_| None::<()>).await;
            return Err(at_work(pf));
        }
        let all = |state: &State| {
            let present = VfIndex::first(count).all(|index| state.vf_address(Vf { pf, index }).is_some());
            present.then_some(())
        };
        self.wait(limit, all).await.ok_or_else(|| Error::Timeout {
            awaited: format!("{count} VFs of {pf}"),
            limit,
            seen: self.observe(|state| {
                let present =
                    VfIndex::first(count).filter(|&index| state.vf_address(Vf { pf, index }).is_some());
                format!("{} VFs", present.count())
            }),
        })
    }

    async fn set_driver(&self, function: PciAddress, driver: Option<&DriverName>) -> Result<()> {
        let bound = self.function(function).await?.driver;
        if bound.as_ref() == driver {
            return Ok(());
        }
        if let Some(driver) = driver
            && !self.observe(|state| state.drivers.contains(driver))
        {
            return Err(Error::NoDriver(driver.clone()));
        }
        if bound.is_some() {
            self.operate("unbind", &function, |state| kernel::unbind(state, function))
                .map_err(refused(format!("unbind {function}")))?;
        }
        let Some(driver) = driver else { return Ok(()) };
        self.operate("bind", &function, |state| kernel::bind(state, function, driver))
            .map_err(refused(format!("bind {function} to {driver}")))
    }

    async fn holders(&self, function: PciAddress) -> Result<Vec<Holder>> {
        self.observe(|state| match state.functions.get(&function) {
            Some(_) => Ok(state.holders.get(&function).cloned().unwrap_or_default()),
            None => Err(Error::NoFunction(function)),
        })
    }
}

impl Machine {
    /// An error where a file of the function cannot be read, for its knobs.
    fn can_be_read(&self, address: PciAddress) -> Result<()> {
        self.observe(|state| {
            if state.pf(address).is_some_and(|pf| pf.stuck) {
                return Err(at_work(address));
            }
            match state.unreadable {
                Some((at, pf)) if pf == address && state.operations >= at => Err(unreadable(address)),
                _ => Ok(()),
            }
        })
    }

    fn pf(&self, address: PciAddress) -> Result<()> {
        self.observe(|state| match state.functions.get(&address) {
            None => Err(Error::NoFunction(address)),
            Some(_) if state.pf(address).is_none() => Err(Error::NotPf(address)),
            Some(_) => Ok(()),
        })
    }
}

/// A file that cannot be read, for whatever reason: no kernel is known to answer EIO here, which stands for them all.
fn unreadable(pf: PciAddress) -> Error {
    let intent = format!("read /sys/bus/pci/devices/{pf}/sriov_numvfs");
    Error::Io { intent, source: std::io::Error::from_raw_os_error(vdpa_netlink::Errno::EIO.0) }
}

fn at_work(function: PciAddress) -> Error {
    Error::AtWork { function, on: "a new number of VFs".to_owned() }
}

/// The kernel's answer as this layer's error.
pub(super) fn refused(intent: String) -> impl FnOnce(Refusal) -> Error {
    move |refusal| Error::refused(intent, refusal)
}

fn shown(state: &State, address: PciAddress, sim: &SimFunction) -> Function {
    let role = match &sim.role {
        SimRole::Plain => Role::Plain,
        SimRole::Vf(vf) => Role::Vf(vf.vf),
        SimRole::Pf(pf) => Role::Pf(SrIov {
            total_vfs: pf.total_vfs,
            num_vfs: pf.num_vfs,
            autoprobe: pf.autoprobe,
            vfs: VfIndex::first(pf.num_vfs)
                .map_while(|index| state.vf_address(Vf { pf: address, index }))
                .collect(),
        }),
    };
    Function {
        address,
        id: sim.id,
        driver: sim.driver.clone(),
        driver_override: sim.driver_override.clone(),
        numa_node: sim.numa_node,
        iommu_group: sim.iommu_group,
        role,
    }
}
