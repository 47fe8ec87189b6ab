//! The statements about who serves a VF, and whose it is.

use super::nic::ResolvedNic;
use super::{AUXILIARIES, DATAPATHS, DOMAINS, Stages};
use crate::config::{Datapath, HostFile, VfSpec};
use crate::step::{Device, DpdkProcess, KernelDevice, Step, Wiring};

pub(super) fn add(stages: &mut Stages, nic: &ResolvedNic, spec: &VfSpec, file: &HostFile) {
    let (vf, mac) = (nic.vf(spec), nic.macs[&spec.index]);
    stages[AUXILIARIES].extend(nic.auxiliary(spec).map(|enabled| Step::auxiliary(vf, enabled)));
    match spec.datapath {
        Datapath::None => stages[DATAPATHS].push(Step::Up { device: Device::Vf(vf), up: true }),
        // Its port of the bridge serves it.
        Datapath::OvsDpdk => {}
        Datapath::Kernel => {
            let device = KernelDevice { mac: Some(mac), queues: spec.queues, served: true };
            stages[DATAPATHS].push(Step::Kernel { vf, device: Some(device) });
        }
        Datapath::Dpdk => {
            let process = DpdkProcess {
                mode: spec.mode.unwrap_or(file.dpdk.mode),
                program: nic.program.clone(),
                memory: file.dpdk.memory,
                cores: spec.cores.clone(),
                driver_args: driver_args(nic, spec, file),
                eal_args: file.dpdk.eal_args.clone(),
                ready: true,
            };
            stages[DATAPATHS].push(Step::Dpdk { vf, process: Some(process) });
        }
    }
    if let Some(domain) = &spec.vm {
        let wiring = Wiring { datapath: spec.datapath, mac, queues: spec.queues, current: true };
        stages[DOMAINS].push(Step::Wired { domain: domain.clone(), vf, wiring: Some(wiring) });
    }
}

/// The host file's, and for mlx5 the CPU of the thread that looks for completions: by default that is the process's
/// main one (`event_core` in DPDK's `vdpadevs/mlx5` guide).
fn driver_args(nic: &ResolvedNic, spec: &VfSpec, file: &HostFile) -> Vec<String> {
    let mut arguments = file.dpdk.driver_args.clone();
    let is_given = arguments.iter().any(|argument| argument.starts_with("event_core="));
    if let [_, .., last] = spec.cores.as_slice()
        && nic.is_mlx5()
        && !is_given
    {
        arguments.push(format!("event_core={last}"));
    }
    arguments
}
