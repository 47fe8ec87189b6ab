//! Making statements true.

use std::collections::BTreeMap;
use std::time::Instant;

use tokio::sync::{Mutex, watch};
use vdpa_datapath::dpdk::Spec;
use vdpa_datapath::kernel::DeviceName;
use vdpa_eswitch::DevlinkHandle;
use vdpa_hw::{PciAddress, VfChange};
use vdpa_vm::DomainName;

use crate::error::Error;
use crate::firmware;
use crate::host::Host;
use crate::report::Report;
use crate::step::Step;
use crate::view::View;

mod auxiliary;
mod bond;
mod bridge;
mod card;
mod datapath;
mod userspace;
mod vf;

pub use datapath::{interface, interface_at, role};

/// How many statements ports do not wait for. For every network device that comes or gets its name ovs-vswitchd looks at
/// all ports that it has (`bridge_run` and `if_notifier` in its sources): 65 ports that are there before 64 VFs are cost it
/// more than a second of CPU. With the last few it is side by side, and its own work is done when they are.
const BESIDE_PORTS: usize = 8;

/// Makes `steps`, which do not depend on each other, true side by side; what concerns Open vSwitch in one
/// transaction, which brings ports when most of the rest is done. Gives back those that failed; the others have been tried all the same.
pub async fn enforce(
    host: &Host,
    view: &View<'_>,
    steps: &[&Step],
    report: &dyn Report,
) -> Vec<(Step, Error)> {
    let first = steps.first().map(|step| step.subject()).unwrap_or_default();
    let _span = tracing::debug_span!("enforce", statements = steps.len(), first);
    let (switch, others): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| bridge::concerns(step));
    let (nv, others): (Vec<&Step>, Vec<&Step>) =
        others.into_iter().partition(|step| matches!(step, Step::Firmware { .. }));
    let told = async |step: &Step, began: Instant, result: Result<(), Error>| match result {
        Ok(()) => {
            report.done(step, began.elapsed());
            None
        }
        Err(error) => {
            report.failed(step, &error);
            Some((step.clone(), error))
        }
    };
    // A domain's definition is read, edited and written whole: its VFs come one after the other.
    let domains = steps.iter().filter_map(|step| domain(step)).map(|domain| (domain, Mutex::new(())));
    let domains: BTreeMap<_, _> = domains.collect();
    let began = Instant::now();
    let left = watch::Sender::new(others.len());
    let each = futures::future::join_all(others.into_iter().map(async |step| {
        let _alone = match domain(step) {
            Some(domain) => Some(domains[domain].lock().await),
            None => None,
        };
        let result = enforce_one(host, view, step, report).await;
        left.send_modify(|left| *left -= 1);
        told(step, began, result).await
    }));
    let together = async {
        let (first, rest) = switch.split_first()?;
        if bridge::brings_ports(&switch) {
            // The sender is there as long as this is: it cannot fail.
            let _ = left.subscribe().wait_for(|left| *left <= BESIDE_PORTS).await;
        }
        let result = bridge::enforce(host, view, &switch, report).await;
        for step in rest.iter().filter(|_| result.is_ok()) {
            report.done(step, began.elapsed());
        }
        told(first, began, result).await
    };
    // The settings of a card are written at once.
    let by_card =
        futures::future::join_all(firmware::cards(nv.iter().copied()).into_iter().map(async |card| {
            let steps: Vec<&Step> =
                nv.iter().copied().filter(|step| firmware::card(step) == Some(card)).collect();
            let (first, rest) = steps.split_first()?;
            let result = enforce_firmware(host, card, &steps).await;
            for step in rest.iter().filter(|_| result.is_ok()) {
                report.done(step, began.elapsed());
            }
            told(first, began, result).await
        }));
    let (each, together, by_card) = tokio::join!(each, together, by_card);
    each.into_iter().chain([together]).chain(by_card).flatten().collect()
}

/// The domain whose definition a statement is about.
fn domain(step: &Step) -> Option<&DomainName> {
    match step {
        Step::Wired { domain, .. } => Some(domain),
        _ => None,
    }
}

async fn enforce_firmware(host: &Host, card: PciAddress, steps: &[&Step]) -> Result<(), Error> {
    let values = steps.iter().filter_map(|step| match step {
        Step::Firmware { name, value, .. } => Some((name.clone(), value.clone())),
        _ => None,
    });
    host.firmware.set(card, &values.collect()).await?;
    Ok(())
}

async fn enforce_one(host: &Host, view: &View<'_>, step: &Step, report: &dyn Report) -> Result<(), Error> {
    let missing = || Error::Missing(step.subject());
    match step {
        Step::Autoprobe { pf, on } => host.pci.set_autoprobe(*pf, *on).await?,
        Step::Names { pf, names } => host.naming.tell(*pf, names.map(|names| names.vfs)).await?,
        Step::EswitchMode { pf, mode } => card::set_mode(host, view, *pf, *mode).await?,
        Step::Steering { pf, mode } => {
            host.eswitch.set_steering(&DevlinkHandle::from(*pf), *mode).await?;
        }
        Step::Inline { pf, mode } => host.eswitch.set_inline(&DevlinkHandle::from(*pf), *mode).await?,
        Step::Encap { pf, mode } => host.eswitch.set_encap(&DevlinkHandle::from(*pf), *mode).await?,
        Step::Bond { name, bond } => bond::set(host, view, name, bond.as_ref()).await?,
        Step::Lag { pf, active } => bond::await_lag(host, *pf, *active).await?,
        Step::Vfs { pf, count } => card::set_vf_count(host, view, *pf, *count).await?,
        Step::VfAttributes { vf, mac, trust, spoofchk } => {
            let asked = VfChange { mac: Some(*mac), trust: *trust, spoofchk: *spoofchk };
            vf::set_attributes(host, view, *vf, asked).await?;
        }
        Step::Rate { vf, rate } => {
            let port = view.rates(vf.pf).await?.get(&vf.index).map(|rate| rate.port).ok_or_else(missing)?;
            host.eswitch.set_rate(&DevlinkHandle::from(vf.pf), port, *rate).await?;
        }
        Step::TcOffload { device, on } => {
            let link = view.link(*device).await?.ok_or_else(missing)?;
            host.eswitch.set_tc_offload(link.index, *on).await?;
        }
        Step::Up { device, up } => {
            let link = view.link(*device).await?.ok_or_else(missing)?;
            host.links.set_up(link.index, *up).await?;
        }
        Step::Driver { vf, driver } => {
            let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
            let kept = view.vf_attributes(vf.pf).await?.get(&vf.index).map(|kept| kept.mac);
            vf::set_driver(host, view, *vf, address, driver.as_ref(), kept).await?;
        }
        Step::Auxiliary { vf, set, in_force } => {
            let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
            auxiliary::set(host, view, *vf, address, *set, *in_force).await?;
        }
        Step::Kernel { vf, device } => {
            let name = DeviceName::of_vf(*vf);
            if host.kernel.observe(&name).await?.is_some() {
                host.kernel.delete(&name).await?;
            }
            if let Some(device) = device {
                let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
                datapath::serve(host, address, name, device, report).await?;
            }
        }
        Step::Dpdk { vf, process } => {
            host.dpdk.stop(*vf).await?;
            if let Some(process) = process {
                let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
                let spec = Spec {
                    mode: process.mode,
                    memory: process.memory,
                    cores: process.cores.clone(),
                    driver_args: process.driver_args.clone(),
                    eal_args: process.eal_args.clone(),
                    ..Spec::new(*vf, address, &process.program)
                };
                host.dpdk.start(&spec).await?;
            }
        }
        Step::Wired { domain, vf, wiring } => {
            let interface = match wiring {
                Some(wiring) => Some(interface(host, *vf, wiring).await?),
                None => None,
            };
            vdpa_vm::enforce(&*host.domains, domain, *vf, interface.as_ref()).await?;
        }
        Step::Bridge { .. }
        | Step::HwOffload { .. }
        | Step::Vlan { .. }
        | Step::Setting { .. }
        | Step::Userspace { .. }
        | Step::Firmware { .. } => {
            unreachable!("statements about Open vSwitch, and about a card's firmware, are enforced together")
        }
    }
    Ok(())
}
