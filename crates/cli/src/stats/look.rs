//! Asking everybody who counts.

use std::time::Instant;

use vdpa_datapath::dpdk::{Condition, Queues};
use vdpa_datapath::kernel::VdpaDevice;
use vdpa_hw::{PciAddress, Role, Vf, VfIndex};
use vdpa_netlink::Errno;

use super::{Look, Queue, Source, VfStats, Who};
use crate::config::ConfigError;
use crate::error::Error;
use crate::host::Host;
use crate::step::Device;
use crate::view::View;

/// Looks at these VFs, or at all where none is named.
///
/// # Errors
/// Where a VF that is named does not exist, and where the card cannot be looked at. What only one part does not say
/// is said in its place.
pub async fn look(host: &Host, wanted: &[Vf]) -> Result<Look, Error> {
    let view = View::new(host);
    let found = vfs(host, wanted).await?;
    let devices = host.kernel.devices().await?;
    let at = Instant::now();
    let each = found.into_iter().map(async |(vf, address)| {
        let mut sources = dpdk(host, vf).await?;
        for device in devices.iter().filter(|device| device.mgmtdev.pci() == Some(address)) {
            sources.extend(kernel(host, device).await);
        }
        sources.extend(representor(host, &view, vf).await?);
        Ok::<_, Error>(VfStats { vf, address, sources })
    });
    Ok(Look { at, vfs: futures::future::try_join_all(each).await? })
}

/// The VFs that there are, of those wanted.
async fn vfs(host: &Host, wanted: &[Vf]) -> Result<Vec<(Vf, PciAddress)>, Error> {
    let mut found = Vec::new();
    for function in host.pci.functions().await? {
        let Role::Pf(sriov) = &function.role else { continue };
        let vfs = (0..).map(VfIndex::new).zip(&sriov.vfs);
        found.extend(vfs.map(|(index, address)| (Vf { pf: function.address, index }, *address)));
    }
    if let Some(missing) = wanted.iter().find(|vf| !found.iter().any(|(found, _)| found == *vf)) {
        let message = format!("there is no VF {missing}");
        let hint = "`vdpa topology` shows those that there are".to_owned();
        return Err(ConfigError { message, place: None, hint }.into());
    }
    found.retain(|(vf, _)| wanted.is_empty() || wanted.contains(vf));
    Ok(found)
}

/// The virtqueues that a dpdk-vdpa process of ours serves.
async fn dpdk(host: &Host, vf: Vf) -> Result<Vec<Source>, Error> {
    let Some(instance) = host.dpdk.observe(vf).await? else { return Ok(Vec::new()) };
    let silent = |why: String| vec![Source::silent(Who::DpdkVdpa(Queue::ALL), why)];
    match instance.condition {
        Condition::Starting => return Ok(silent("the process is starting".to_owned())),
        Condition::Failed { why } => return Ok(silent(format!("the process has failed: {why}"))),
        Condition::Ready { .. } => {}
    }
    Ok(match host.dpdk.counters(vf, Queues::All).await {
        Ok(queues) => {
            let source = |queue: vdpa_datapath::dpdk::QueueCounters| {
                Source::counted(Who::DpdkVdpa(Queue::of(queue.queue)), queue.counters)
            };
            queues.into_iter().map(source).collect()
        }
        Err(vdpa_datapath::Error::NoGuest { .. }) => silent("no guest is connected".to_owned()),
        Err(error) => silent(error.chain()),
    })
}

/// The virtqueues of a kernel vDPA device.
async fn kernel(host: &Host, device: &VdpaDevice) -> Vec<Source> {
    let config = host.kernel.config(&device.name).await;
    // All but the control queue, which is the last of an odd number.
    let pairs = config.ok().and_then(|config| config.max_vqp).map_or(device.max_vqs / 2, u32::from);
    let mut sources = Vec::new();
    for index in 0..2 * pairs.max(1) {
        let silent = |why: &str| Source::silent(Who::KernelVdpa(Queue::ALL), why);
        match host.kernel.queue_stats(&device.name, index).await {
            Ok(stats) => {
                let counters = stats.counters.into_iter().map(|counter| (counter.name, counter.value));
                sources.push(Source::counted(Who::KernelVdpa(Queue::of(index)), counters));
            }
            // What is so for the first queue is so for all.
            Err(error) if sources.is_empty() => {
                sources.push(match error.refusal().map(|refusal| refusal.errno) {
                    Some(Errno::EAGAIN) => silent("no guest's driver is ready"),
                    Some(Errno::EOPNOTSUPP) => silent("its driver does not count"),
                    Some(Errno::EPERM) => silent("only root is told (CAP_NET_ADMIN)"),
                    _ => silent(&error.chain()),
                });
                break;
            }
            // Fewer queues than the device may have are in use.
            Err(_) => break,
        }
    }
    sources
}

/// What the VF's representor has seen.
async fn representor(host: &Host, view: &View<'_>, vf: Vf) -> Result<Vec<Source>, Error> {
    let switched = view.eswitch(vf.pf).await.is_ok_and(|state| state.mode == vdpa_eswitch::Mode::Switchdev);
    let link = if switched { view.link(Device::Representor(vf)).await? } else { None };
    let Some(link) = link else { return Ok(Vec::new()) };
    let counters = host.links.counters(link.index).await?;
    let mut sources = vec![Source::counted(Who::Representor { netdev: link.name.clone() }, counters.named())];
    // Not every driver tells them apart.
    if let Ok(Some(slow)) = host.tc.slow_path(link.index).await {
        let counters = [("rx_packets", slow.rx_packets), ("tx_packets", slow.tx_packets)];
        sources.push(Source::counted(Who::SlowPath { netdev: link.name }, counters));
    }
    Ok(sources)
}
