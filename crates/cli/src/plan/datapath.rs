//! The statements about who serves a VF, and whose it is.

use vdpa_datapath::dpdk;

use super::nic::ResolvedNic;
use super::{DATAPATHS, DOMAINS, Stages};
use crate::config::{Datapath, HostFile, VfSpec};
use crate::step::{Device, DpdkProcess, KernelDevice, Step, Wiring};

pub(super) fn add(stages: &mut Stages, nic: &ResolvedNic, spec: &VfSpec, file: &HostFile) {
    let (vf, mac) = (nic.vf(spec), nic.macs[&spec.index]);
    match spec.datapath {
        Datapath::None => stages[DATAPATHS].push(Step::Up { device: Device::Vf(vf), up: true }),
        Datapath::Kernel => {
            let device = KernelDevice { mac: Some(mac), queues: spec.queues, served: true };
            stages[DATAPATHS].push(Step::Kernel { vf, device: Some(device) });
        }
        Datapath::Dpdk => {
            let process = DpdkProcess {
                mode: dpdk::Mode::Server,
                program: nic.program.clone(),
                memory: file.dpdk.memory,
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
