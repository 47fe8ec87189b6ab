//! Kernel vDPA devices of the simulated machine.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::mock::{self, Machine, Profile, SimRole, SimVf, State};
use vdpa_hw::{MacAddress, PciAddress};
use vdpa_netlink::{Errno, Refusal};

use crate::error::{Error, Result};
use crate::kernel::{
    BusDriver, Config, DeviceName, Diagnosis, KernelVdpa, MgmtDev, MgmtDevName, NewDevice, QueueStats,
    VdpaDevice,
};

/// How many virtqueues a device has: 16 pairs and a control queue. No evidence for the number.
const MAX_VQS: u32 = 33;
/// `VIRTIO_ID_NET`.
const NET: u32 = 1;
/// NVIDIA's PCI vendor id.
const VENDOR: u32 = 0x15b3;

/// The management device of a function: `mlx5_vdpa` registers one for each VF that `mlx5_core` drives and
/// whose firmware offers it (`mlx5v_probe` in `drivers/vdpa/mlx5/net/mlx5_vnet.c`).
pub(super) fn mgmtdev(state: &State, function: PciAddress) -> Option<MgmtDev> {
    let sim = state.functions.get(&function)?;
    let SimRole::Vf(vf) = sim.role else { return None };
    let driven = sim.driver.as_ref().is_some_and(|driver| driver.as_str() == "mlx5_core");
    let profile = profile(state, vf)?;
    let probed = driven && !vf.down && vf.vnet.in_force && !profile.lacks_vdpa_module;
    (probed && profile.has_vdpa).then(|| MgmtDev {
        name: MgmtDevName::of_pci(function),
        classes: 1 << NET,
        max_vqs: Some(MAX_VQS),
        features: None,
    })
}

fn profile(state: &State, vf: SimVf) -> Option<&Profile> {
    state.pf(vf.vf.pf).map(|pf| &pf.profile)
}

fn diagnose(state: &State, function: PciAddress) -> Diagnosis {
    let Some(sim) = state.functions.get(&function) else { return Diagnosis::NoFunction };
    match &sim.driver {
        None => Diagnosis::NoDriver,
        Some(driver) if driver.as_str() != "mlx5_core" => Diagnosis::WrongDriver(driver.clone()),
        Some(_) => match sim.role {
            SimRole::Vf(vf) if profile(state, vf).is_some_and(|profile| profile.lacks_vdpa_module) => {
                Diagnosis::NoModule("mlx5_vdpa")
            }
            SimRole::Vf(_) => Diagnosis::NoVnet,
            SimRole::Pf(_) | SimRole::Plain => {
                let others = state.functions.keys().copied().filter(|other| mgmtdev(state, *other).is_some());
                Diagnosis::NotOffered { others: others.collect() }
            }
        },
    }
}

fn add(state: &mut State, new: &NewDevice) -> Result<(), Refusal> {
    // `vdpa_nl_policy`: NLA_POLICY_MIN(NLA_U16, ETH_MIN_MTU).
    if new.mtu.is_some_and(|mtu| mtu < 68) {
        return Err(Refusal::because(Errno::ERANGE, "integer out of range"));
    }
    // `vdpa_nl_cmd_dev_add_set_doit` in drivers/vdpa/vdpa.c.
    let parent = new.mgmtdev.pci().filter(|function| mgmtdev(state, *function).is_some());
    let Some(parent) = parent else {
        return Err(Refusal::because(Errno::ENODEV, "vdpa: Fail to find the specified management device"));
    };
    // `mlx5_vdpa_dev_add`: one device for each management device. It looks before names are compared.
    if state.vdpa.values().any(|device| device.parent == parent) {
        return Err(Errno::ENOSPC.into());
    }
    // `__vdpa_register_device`: a name is taken once.
    if state.vdpa.contains_key(new.name.as_str()) {
        return Err(Errno::EEXIST.into());
    }
    let device = mock::VdpaDevice {
        parent,
        mac: new.mac,
        max_vqp: new.max_vqp,
        mtu: new.mtu,
        driver: None,
        char_device: None,
    };
    state.vdpa.insert(new.name.to_string(), device);
    Ok(())
}

fn bind(state: &mut State, name: &DeviceName, driver: Option<BusDriver>) -> Result<(), Refusal> {
    let taken: Vec<_> = state.vdpa.values().filter_map(|device| device.char_device).collect();
    let device = state.vdpa.get_mut(name.as_str()).ok_or(Errno::ENODEV)?;
    device.driver = driver.map(|driver| driver.to_string());
    // `vhost_vdpa_probe` in drivers/vhost/vdpa.c takes the lowest free minor.
    device.char_device = (driver == Some(BusDriver::VhostVdpa))
        .then(|| (0..1 << 20).find(|n| !taken.contains(n)).unwrap_or_default());
    Ok(())
}

fn shown((name, device): (&String, &mock::VdpaDevice)) -> Option<VdpaDevice> {
    Some(VdpaDevice {
        name: name.parse().ok()?,
        mgmtdev: MgmtDevName::of_pci(device.parent),
        class: NET,
        vendor: VENDOR,
        max_vqs: device.max_vqp.map_or(MAX_VQS, |pairs| 2 * u32::from(pairs) + 1),
        max_vq_size: 256,
        min_vq_size: None,
    })
}

fn refused(intent: String) -> impl FnOnce(Refusal) -> Error {
    move |refusal| Error::Refused { intent, refusal }
}

/// What `look` finds about the device of this name.
fn device<T>(
    machine: &Machine,
    name: &DeviceName,
    look: impl FnOnce(&State, &mock::VdpaDevice) -> T,
) -> Result<T> {
    machine
        .observe(|state| state.vdpa.get(name.as_str()).map(|device| look(state, device)))
        .ok_or_else(|| Error::NoDevice { name: name.clone(), refusal: Some(not_found()) })
}

/// `vdpa_nl_cmd_dev_get_doit` and its like in drivers/vdpa/vdpa.c.
fn not_found() -> Refusal {
    Refusal::because(Errno::ENODEV, "vdpa: device not found")
}

fn no_mgmtdev(state: &State, name: &MgmtDevName, refusal: Option<Refusal>) -> Error {
    let nowhere = Diagnosis::NotOffered { others: Vec::new() };
    let diagnosis = name.pci().map_or(nowhere, |function| diagnose(state, function));
    Error::NoMgmtdev { wanted: name.to_string(), diagnosis, refusal }
}

fn config(state: &State, name: &DeviceName, device: &mock::VdpaDevice) -> Config {
    let own = state.functions.get(&device.parent).and_then(|function| match function.role {
        SimRole::Vf(vf) => vf.effective_mac,
        SimRole::Pf(_) | SimRole::Plain => None,
    });
    Config {
        name: name.clone(),
        class: NET,
        mac: device.mac.or(own),
        mtu: Some(device.mtu.unwrap_or(1500)),
        max_vqp: device.max_vqp,
        status: Some(1),
        features: None,
        negotiated_features: None,
    }
}

#[async_trait]
impl KernelVdpa for Machine {
    async fn is_present(&self) -> Result<bool> {
        Ok(true)
    }

    async fn mgmtdevs(&self) -> Result<Vec<MgmtDev>> {
        Ok(self.observe(|state| {
            state.functions.keys().filter_map(|function| mgmtdev(state, *function)).collect()
        }))
    }

    async fn mgmtdev_of(&self, function: PciAddress) -> Result<MgmtDev> {
        self.observe(|state| {
            mgmtdev(state, function).ok_or_else(|| Error::NoMgmtdev {
                wanted: function.to_string(),
                diagnosis: diagnose(state, function),
                refusal: None,
            })
        })
    }

    async fn mgmtdev(&self, name: &MgmtDevName) -> Result<MgmtDev> {
        self.observe(|state| {
            // `vdpa_nl_cmd_mgmtdev_get_doit`.
            let refusal = Refusal::because(Errno::ENODEV, "vdpa: Fail to find the specified mgmt device");
            let found = name.pci().and_then(|function| mgmtdev(state, function));
            found.ok_or_else(|| no_mgmtdev(state, name, Some(refusal)))
        })
    }

    async fn devices(&self) -> Result<Vec<VdpaDevice>> {
        self.tally("vdpa_devices");
        Ok(self.observe(|state| state.vdpa.iter().filter_map(shown).collect()))
    }

    async fn device(&self, name: &DeviceName) -> Result<VdpaDevice> {
        self.tally("vdpa_device");
        let missing = || Error::NoDevice { name: name.clone(), refusal: Some(not_found()) };
        self.observe(|state| state.vdpa.get_key_value(name.as_str()).and_then(shown)).ok_or_else(missing)
    }

    async fn configs(&self) -> Result<Vec<Config>> {
        self.tally("vdpa_configs");
        Ok(self.observe(|state| {
            let devices = state.vdpa.iter();
            devices.filter_map(|(name, device)| Some(config(state, &name.parse().ok()?, device))).collect()
        }))
    }

    async fn config(&self, name: &DeviceName) -> Result<Config> {
        self.tally("vdpa_device");
        device(self, name, |state, device| config(state, name, device))
    }

    async fn create(&self, new: &NewDevice) -> Result<()> {
        let intent = format!("make the vDPA device {} on {}", new.name, new.mgmtdev);
        let outcome = self.operate("vdpa dev add", &new.name, |state| add(state, new));
        let taken = self.observe(|state| state.vdpa.contains_key(new.name.as_str()));
        outcome.map_err(|refusal| match refusal.errno {
            Errno::ENOSPC | Errno::EEXIST if taken => Error::DeviceExists { name: new.name.clone(), refusal },
            Errno::ENODEV => self.observe(|state| no_mgmtdev(state, &new.mgmtdev, Some(refusal))),
            _ => refused(intent)(refusal),
        })
    }

    async fn set_mac(&self, name: &DeviceName, mac: MacAddress) -> Result<()> {
        device(self, name, |_, _| ())?;
        let effect = |state: &mut State| {
            state.vdpa.get_mut(name.as_str()).map(|device| device.mac = Some(mac)).ok_or_else(not_found)
        };
        self.operate("vdpa dev set", name, effect).map_err(refused(format!("set the MAC of {name} to {mac}")))
    }

    async fn delete(&self, name: &DeviceName) -> Result<()> {
        device(self, name, |_, _| ())?;
        let effect = |state: &mut State| state.vdpa.remove(name.as_str()).map(drop).ok_or_else(not_found);
        self.operate("vdpa dev del", name, effect).map_err(refused(format!("delete the vDPA device {name}")))
    }

    async fn driver(&self, name: &DeviceName) -> Result<Option<BusDriver>> {
        let driver = device(self, name, |_, device| device.driver.clone())?;
        let known = [BusDriver::VhostVdpa, BusDriver::VirtioVdpa];
        Ok(driver.and_then(|driver| known.into_iter().find(|known| known.as_str() == driver)))
    }

    async fn bind(&self, name: &DeviceName, driver: Option<BusDriver>) -> Result<()> {
        if self.driver(name).await? == driver {
            return Ok(());
        }
        let to = driver.map_or("no driver", BusDriver::as_str);
        self.operate("vdpa bind", name, |state| bind(state, name, driver))
            .map_err(refused(format!("bind {name} to {to}")))
    }

    async fn char_device(&self, name: &DeviceName, limit: Duration) -> Result<PathBuf> {
        device(self, name, |_, _| ())?;
        let number = |state: &State| state.vdpa.get(name.as_str()).and_then(|device| device.char_device);
        let found = self.wait(limit, number).await;
        found.map(|number| PathBuf::from(format!("/dev/vhost-vdpa-{number}"))).ok_or_else(|| Error::Timeout {
            awaited: format!("/dev/vhost-vdpa-N of {name}"),
            limit,
            seen: format!("{name} is not bound to vhost_vdpa"),
        })
    }

    async fn queue_stats(&self, name: &DeviceName, queue: u32) -> Result<QueueStats> {
        device(self, name, |_, _| ())?;
        // `vdpa_fill_stats_rec` in drivers/vdpa/vdpa.c: no guest ever runs on the simulated machine.
        let refusal = Refusal::because(Errno::EAGAIN, "vdpa: feature negotiation not complete");
        Err(Error::Refused { intent: format!("read the counters of {name} queue {queue}"), refusal })
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::mock::hosts;
    use vdpa_hw::{Pci as _, Vf};

    use super::*;
    use crate::contract;

    async fn machine_with_vf() -> (Machine, MgmtDevName) {
        let machine = Machine::new(hosts::host_105());
        let pf: PciAddress = "0000:43:00.0".parse().unwrap();
        machine.set_vf_count(pf, 2, Duration::from_mins(1)).await.unwrap();
        let function = machine.observe(|state| state.vf_address(Vf::new(pf, 0))).unwrap();
        (machine, MgmtDevName::of_pci(function))
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let (machine, mgmtdev) = machine_with_vf().await;
        contract::kernel::the_management_device_is_listed(&machine, &mgmtdev).await;
        contract::kernel::lifecycle(&machine, &mgmtdev).await;
        contract::kernel::a_name_is_taken_once(&machine, &mgmtdev).await;
        contract::kernel::vhost_gives_a_character_device(&machine, &mgmtdev).await;
        contract::kernel::a_bound_device_can_be_deleted(&machine, &mgmtdev).await;
        contract::kernel::one_is_looked_up_as_all_are_listed(&machine, &mgmtdev).await;
        contract::kernel::what_is_missing_is_named_in_the_kernels_words(&machine).await;
        contract::kernel::an_absent_management_device_is_diagnosed(&machine, "0000:99:00.0".parse().unwrap())
            .await;
    }

    #[tokio::test]
    async fn a_vf_makes_one_device_and_loses_it_with_its_driver() {
        let (machine, mgmtdev) = machine_with_vf().await;
        let function = mgmtdev.pci().unwrap();
        machine.add(&NewDevice::new("one".parse().unwrap(), mgmtdev.clone())).await.unwrap();
        let second = machine.add(&NewDevice::new("two".parse().unwrap(), mgmtdev.clone())).await;
        assert!(matches!(second, Err(Error::Refused { refusal, .. }) if refusal.errno == Errno::ENOSPC));
        assert_eq!(machine.devices_of(function).await.unwrap().len(), 1);
        machine.set_driver(function, None).await.unwrap();
        assert!(machine.devices().await.unwrap().is_empty());
        let gone = machine.mgmtdev_of(function).await;
        assert!(matches!(gone, Err(Error::NoMgmtdev { diagnosis: Diagnosis::NoDriver, .. })));
    }
}
