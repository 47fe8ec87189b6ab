//! dpdk-vdpa processes of the simulated machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::Vf;
use vdpa_hw::mock::{DpdkProcess, Machine, State};
use vdpa_netlink::{Errno, Refusal};

use crate::dpdk::{Condition, DpdkVdpa, Home, Instance, Mode, QueueCounters, Queues, Spec};
use crate::error::{Error, Result};

/// From the start of a process to the served socket: 0.6 s for dpdk-vdpa 22.11 without a card.
const START: Duration = Duration::from_millis(600);

/// The counters of mlx5's vDPA driver (`drivers/vdpa/mlx5/mlx5_vdpa.c` of DPDK).
const COUNTERS: [&str; 6] = [
    "received_descriptors",
    "completed_descriptors",
    "bad descriptor errors",
    "exceed max chain",
    "invalid buffer",
    "completion errors",
];

fn socket(vf: Vf) -> PathBuf {
    Home::of(Path::new("/run/vdpa"), vf).socket()
}

fn shown(state: &State, vf: Vf, process: &DpdkProcess) -> Option<Instance> {
    let condition = match (process.ready, super::kernel::mgmtdev(state, process.parent)) {
        // No evidence: what becomes of a real process whose VF goes was not seen. It cannot be ready.
        (_, None) => Condition::Failed { why: format!("its device {} is gone", process.parent) },
        (false, _) => Condition::Starting,
        (true, _) => Condition::Ready { pid: process.pid },
    };
    // A process without a spec was put there by hand, and is not ours.
    let spec = serde_json::from_str(&process.spec).ok()?;
    Some(Instance { spec, socket: socket(vf), condition })
}

fn start(state: &mut State, spec: &Spec) -> Result<(), Refusal> {
    // mlx5's vDPA driver works on the VF's kernel driver (DPDK's vdpadevs/mlx5 guide): without it, and for an
    // address where nothing is, the program says this (captured from dpdk-vdpa 22.11).
    if super::kernel::mgmtdev(state, spec.device).is_none() {
        let text = format!("{} finds no vDPA device at {}", spec.program.display(), spec.device);
        return Err(Refusal::because(Errno::ENODEV, text));
    }
    let pid =
        4000 + state.dpdk.values().map(|process| process.pid.saturating_sub(4000)).max().unwrap_or(0) + 1;
    let process = DpdkProcess {
        pid,
        parent: spec.device,
        socket: socket(spec.vf),
        client: spec.mode == Mode::Client,
        ready: false,
        spec: serde_json::to_string(spec).unwrap_or_default(),
    };
    state.dpdk.insert(spec.vf, process);
    Ok(())
}

#[async_trait]
impl DpdkVdpa for Machine {
    async fn instances(&self) -> Result<Vec<Instance>> {
        Ok(self.observe(|state| {
            state.dpdk.iter().filter_map(|(vf, process)| shown(state, *vf, process)).collect()
        }))
    }

    async fn observe(&self, vf: Vf) -> Result<Option<Instance>> {
        Ok(self.observe(|state| state.dpdk.get(&vf).and_then(|process| shown(state, vf, process))))
    }

    async fn start(&self, spec: &Spec) -> Result<Instance> {
        let vf = spec.vf;
        let earlier = DpdkVdpa::observe(self, vf).await?;
        if earlier.is_some_and(|earlier| !matches!(earlier.condition, Condition::Failed { .. })) {
            return Err(Error::AlreadyServed { vf });
        }
        self.operate("dpdk-vdpa start", &vf, |state| start(state, spec)).map_err(|refusal| {
            let why = refusal.message.unwrap_or_else(|| refusal.errno.to_string());
            Error::NotStarted { vf, why }
        })?;
        super::pass(self, START).await;
        self.meddle(|state| {
            if let Some(process) = state.dpdk.get_mut(&vf) {
                process.ready = true;
            }
        });
        let instance = DpdkVdpa::observe(self, vf).await?.filter(Instance::is_ready);
        instance.ok_or_else(|| Error::NotStarted { vf, why: "its device went while it started".into() })
    }

    async fn stop(&self, vf: Vf) -> Result<()> {
        if self.observe(|state| !state.dpdk.contains_key(&vf)) {
            return Ok(());
        }
        self.operate("dpdk-vdpa stop", &vf, |state| {
            state.dpdk.remove(&vf);
            Ok(())
        })
        .map_err(|refusal| Error::Refused { intent: format!("stop dpdk-vdpa of {vf}"), refusal })
    }

    async fn counters(&self, vf: Vf, queues: Queues) -> Result<Vec<QueueCounters>> {
        if !DpdkVdpa::observe(self, vf).await?.is_some_and(|instance| instance.is_ready()) {
            return Err(Error::NotServed { vf });
        }
        let Queues::One(queue) = queues else {
            // No guest ever runs on the simulated machine.
            return Err(Error::NoGuest { vf });
        };
        let counters = COUNTERS.map(|name| (name.to_owned(), 0)).into();
        Ok(vec![QueueCounters { queue: queue.into(), counters }])
    }

    async fn version(&self, _: &Path) -> Result<String> {
        // The how-to's own build.
        Ok("20.11.3".to_owned())
    }

    // The simulated machine has no directories.
    async fn lend_directory(&self, _: Vf) -> Result<()> {
        Ok(())
    }

    async fn return_directory(&self, _: Vf) -> Result<()> {
        Ok(())
    }

    fn socket(&self, vf: Vf) -> PathBuf {
        socket(vf)
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::PciAddress;
    use vdpa_hw::mock::hosts;
    use vdpa_hw::{DriverName, Pci as _};

    use super::*;
    use crate::contract;

    async fn machine_with_vfs() -> (Machine, Spec, Spec) {
        let machine = Machine::new(hosts::host_105());
        let pf: PciAddress = "0000:43:00.0".parse().unwrap();
        machine.set_vf_count(pf, 2, Duration::from_mins(1)).await.unwrap();
        let spec = |index| {
            let vf = Vf::new(pf, index);
            let device = machine.observe(|state| state.vf_address(vf)).unwrap();
            Spec::new(vf, device, "/usr/bin/dpdk-vdpa")
        };
        let (one, other) = (spec(0), spec(1));
        (machine, one, other)
    }

    #[tokio::test]
    async fn the_contract_holds() {
        let (machine, one, other) = machine_with_vfs().await;
        contract::dpdk::a_program_knows_its_version(&machine, &one).await;
        contract::dpdk::lifecycle(&machine, &one).await;
        contract::dpdk::counters_are_of_the_guests_queues(&machine, &one).await;
        contract::dpdk::two_vfs_do_not_meet(&machine, &one, &other).await;
        contract::dpdk::a_second_start_is_refused(&machine, &one).await;
        let nowhere = Spec { device: "0000:99:00.0".parse().unwrap(), ..one };
        contract::dpdk::an_unknown_device_leaves_nothing(&machine, &nowhere).await;
    }

    #[tokio::test]
    async fn a_vf_without_its_kernel_driver_is_unknown_to_dpdk() {
        let (machine, spec, _) = machine_with_vfs().await;
        machine.set_driver(spec.device, None).await.unwrap();
        contract::dpdk::an_unknown_device_leaves_nothing(&machine, &spec).await;
        machine.set_driver(spec.device, "mlx5_core".parse::<DriverName>().ok().as_ref()).await.unwrap();
        contract::dpdk::lifecycle(&machine, &spec).await;
    }

    #[tokio::test]
    async fn a_process_whose_vf_goes_is_not_ready() {
        let (machine, spec, _) = machine_with_vfs().await;
        machine.start(&spec).await.unwrap();
        machine.set_vf_count(spec.vf.pf, 0, Duration::from_mins(1)).await.unwrap();
        let left = DpdkVdpa::observe(&machine, spec.vf).await.unwrap().unwrap();
        assert!(matches!(left.condition, Condition::Failed { .. }), "{left:?}");
        machine.stop(spec.vf).await.unwrap();
    }
}
