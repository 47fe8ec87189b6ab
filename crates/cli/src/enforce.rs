//! Making statements true.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Instant;

use vdpa_datapath::dpdk::Spec;
use vdpa_datapath::kernel::{BusDriver, DeviceName, NewDevice};
use vdpa_eswitch::{DevlinkHandle, Mode, patience};
use vdpa_hw::{DriverName, MacAddress, PciAddress, Vf, VfChange, VfIndex};
use vdpa_ovs::{Change, PortKey, PortName, Setting};
use vdpa_vm::{Interface, Role, Source};

use crate::arrival::{NETDEV_LIMIT, await_netdevs};
use crate::config::Datapath;
use crate::error::Error;
use crate::firmware;
use crate::host::Host;
use crate::observe::with_ingress;
use crate::report::Report;
use crate::step::{Device, KernelDevice, Step, Wiring};
use crate::view::View;

/// Seconds after which QEMU tries again to reach a datapath that went away.
const RECONNECT: Option<u32> = Some(2);

/// Slots in the rings of a guest's interface, as in the reference configuration.
const RING: u16 = 1024;

/// Makes `steps`, which do not depend on each other, true side by side; what concerns Open vSwitch in one
/// transaction. Gives back those that failed; the others have been tried all the same.
pub async fn enforce(
    host: &Host,
    view: &View<'_>,
    steps: &[&Step],
    report: &dyn Report,
) -> Vec<(Step, Error)> {
    let _span = tracing::debug_span!("enforce", statements = steps.len());
    let (switch, others): (Vec<&Step>, Vec<&Step>) =
        steps.iter().partition(|step| matches!(step, Step::Bridge { .. } | Step::HwOffload { .. }));
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
    let began = Instant::now();
    let each = futures::future::join_all(others.into_iter().map(async |step| {
        let result = enforce_one(host, view, step, report).await;
        told(step, began, result).await
    }));
    let together = async {
        let (first, rest) = switch.split_first()?;
        let result = enforce_switch(host, view, &switch, report).await;
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
        Step::EswitchMode { pf, mode } => set_mode(host, view, *pf, *mode).await?,
        Step::Vfs { pf, count } => set_vf_count(host, view, *pf, *count).await?,
        Step::VfAttributes { vf, mac, trust } => {
            set_vf_attributes(host, view, *vf, *mac, *trust).await?;
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
            set_driver(host, view, *vf, address, driver.as_ref()).await?;
        }
        Step::Kernel { vf, device } => {
            let name = DeviceName::of_vf(*vf);
            if host.kernel.observe(&name).await?.is_some() {
                host.kernel.delete(&name).await?;
            }
            if let Some(device) = device {
                let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
                serve(host, address, name, device, report).await?;
            }
        }
        Step::Dpdk { vf, process } => {
            host.dpdk.stop(*vf).await?;
            if let Some(process) = process {
                let address = view.vf_address(*vf).await?.ok_or_else(missing)?;
                let spec = Spec {
                    mode: process.mode,
                    memory: process.memory,
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
        Step::Bridge { .. } | Step::HwOffload { .. } | Step::Firmware { .. } => {
            unreachable!("statements about Open vSwitch, and about a card's firmware, are enforced together")
        }
    }
    Ok(())
}

/// Sets what the PF keeps for a VF, as far as it is otherwise. A driver takes a VF's MAC when it is bound and never
/// after (pitfall 21): one that is bound is unbound for it, and bound again whatever becomes of it.
async fn set_vf_attributes(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    mac: MacAddress,
    trust: Option<bool>,
) -> Result<(), Error> {
    let missing = || Error::Missing(format!("the PF's network device of {vf}"));
    let uplink = view.link(Device::Uplink(vf.pf)).await?.ok_or_else(missing)?.index;
    let address = view.vf_address(vf).await?.ok_or_else(|| Error::Missing(vf.to_string()))?;
    let kept = view.vf_attributes(vf.pf).await?.get(&vf.index).copied();
    if kept.is_none_or(|kept| kept.mac != mac) {
        let change = VfChange { mac: Some(mac), ..VfChange::default() };
        let driver = view.function(address).await?.driver;
        if driver.is_some() {
            host.pci.set_driver(address, None).await?;
        }
        let set = host.links.set_vf_attributes(uplink, vf.index, change).await;
        if driver.is_some() {
            set_driver(host, view, vf, address, driver.as_ref()).await?;
        }
        set?;
    }
    // Trust can be brought back once the eswitch is: mlx5 knows it in legacy mode only
    // (`mlx5_eswitch_set_vport_trust` in its `esw/legacy.c`).
    let legacy = view.eswitch(vf.pf).await?.mode == Mode::Legacy;
    if legacy && trust.is_some() && kept.and_then(|kept| kept.trust) != trust {
        let change = VfChange { trust, ..VfChange::default() };
        host.links.set_vf_attributes(uplink, vf.index, change).await?;
    }
    Ok(())
}

/// Binds a VF's driver, or none. Where it is the PF's, waits for the VF's network device and its name.
async fn set_driver(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    address: PciAddress,
    driver: Option<&DriverName>,
) -> Result<(), Error> {
    host.pci.set_driver(address, driver).await?;
    if driver.is_some() && driver == view.function(vf.pf).await?.driver.as_ref() {
        host.links.netdev_of(address, NETDEV_LIMIT).await?;
    }
    Ok(())
}

/// Makes a kernel vDPA device on the VF at `address` and gives it to `vhost_vdpa`.
async fn serve(
    host: &Host,
    address: PciAddress,
    name: DeviceName,
    device: &KernelDevice,
    report: &dyn Report,
) -> Result<(), Error> {
    let mgmtdev = host.kernel.mgmtdev_of(address).await?.name;
    let new = NewDevice {
        mac: device.mac,
        // One pair is what every driver gives; the limit is named only to have more.
        max_vqp: (device.queues > NonZeroU16::MIN).then_some(device.queues.get()),
        ..NewDevice::new(name.clone(), mgmtdev)
    };
    let added = host.kernel.add(&new).await?;
    if let Some(refusal) = added.without_max_vqp {
        report.warn(&format!("{name} has one queue pair, not {}: {refusal}", device.queues));
    }
    host.kernel.bind(&name, Some(BusDriver::VhostVdpa)).await?;
    host.kernel.char_device(&name, NETDEV_LIMIT).await?;
    Ok(())
}

/// Switches the mode, and waits for the uplink and, where there are VFs, their representors.
async fn set_mode(host: &Host, view: &View<'_>, pf: PciAddress, mode: Mode) -> Result<(), Error> {
    let count = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs);
    let switched = host.eswitch.set_mode(&DevlinkHandle::from(pf), mode, patience(usize::from(count))).await;
    switched.map_err(|error| match error {
        vdpa_eswitch::Error::Refused { .. } => Error::ModeRefused(error),
        error => error.into(),
    })?;
    await_netdevs(host, pf, mode, count).await
}

/// Sets the number of VFs, by way of none if there are some, and waits for them and their representors.
async fn set_vf_count(host: &Host, view: &View<'_>, pf: PciAddress, count: u16) -> Result<(), Error> {
    let present = view.function(pf).await?.sriov().map_or(0, |sriov| sriov.num_vfs);
    // A process of ours does not outlive the VF that it works on.
    for index in VfIndex::first(present) {
        host.dpdk.stop(Vf { pf, index }).await?;
    }
    if present > 0 {
        host.pci.set_vf_count(pf, 0, patience(usize::from(present))).await?;
    }
    if count > 0 {
        host.pci.set_vf_count(pf, count, patience(usize::from(count))).await?;
    }
    await_netdevs(host, pf, view.eswitch(pf).await?.mode, count).await
}

/// Makes the statements about Open vSwitch true in one transaction, and restarts its service only if
/// hw-offload does not come into force without.
async fn enforce_switch(
    host: &Host,
    view: &View<'_>,
    steps: &[&Step],
    report: &dyn Report,
) -> Result<(), Error> {
    let Some(bridge) = steps.iter().find_map(|step| match step {
        Step::Bridge { name, .. } | Step::HwOffload { bridge: name, .. } => Some(name),
        _ => None,
    }) else {
        return Ok(());
    };
    let mut change = Change::to(bridge.clone());
    let (mut wanted, mut others) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        change = match step {
            Step::Bridge { exists: false, .. } => change.absent(),
            Step::Bridge { ports, .. } => change.present().exactly(named(host, view, ports).await?),
            Step::HwOffload { value, ports, in_force, .. } => {
                wanted.clone_from(in_force);
                others = ports.difference(in_force).copied().collect();
                match value {
                    Some(value) => change.hw_offload(value),
                    None => change.hw_offload_unset(),
                }
            }
            _ => change,
        };
    }
    host.vswitch.apply(&change).await?;
    let view = View::new(host);
    for left in with_ingress(&view, &others).await? {
        // What ovs-vswitchd leaves on a device that was a port of it.
        if let Some(link) = view.link(left).await? {
            host.links.remove_ingress_qdisc(link.index).await?;
        }
    }
    let asked_for = matches!(&change.hw_offload, Setting::Set(value) if value.eq_ignore_ascii_case("true"));
    if !asked_for || with_ingress(&view, &wanted).await? == wanted {
        return Ok(());
    }
    report.note("hw-offload needs a restart of Open vSwitch: every bridge loses packets for a moment");
    host.service.restart().await?;
    // Once more, to wait until what was restarted has taken everything up.
    host.vswitch.apply(&change).await?;
    let in_force = with_ingress(&View::new(host), &wanted).await?;
    if in_force == wanted {
        return Ok(());
    }
    Err(Error::NotInForce(wanted.difference(&in_force).map(ToString::to_string).collect()))
}

/// The ports under their devices' final names.
async fn named(
    host: &Host,
    view: &View<'_>,
    ports: &BTreeSet<Device>,
) -> Result<Vec<(PortKey, PortName)>, Error> {
    let mut indexes = Vec::new();
    for device in ports {
        let link = view.link(*device).await?;
        indexes.push(link.ok_or_else(|| Error::Missing(format!("the network device of {device}")))?.index);
    }
    let links = host.links.settled(&indexes, patience(indexes.len())).await?;
    ports.iter().zip(links).map(|(device, link)| Ok((device.key(), link.name.as_str().parse()?))).collect()
}

/// The interface that `wiring` means for `vf` now: with the socket or the device that its datapath has.
///
/// # Errors
/// Where the datapath is not there.
pub async fn interface(host: &Host, vf: Vf, wiring: &Wiring) -> Result<Interface, Error> {
    let source = match wiring.datapath {
        Datapath::Dpdk => {
            Source::VhostUser { socket: host.dpdk.socket(vf), role: Role::Client { reconnect: RECONNECT } }
        }
        Datapath::Kernel => {
            let name = DeviceName::of_vf(vf);
            Source::Vdpa { device: host.kernel.char_device(&name, NETDEV_LIMIT).await? }
        }
        Datapath::None => return Err(Error::Missing(format!("a datapath of {vf}"))),
    };
    let ring = (wiring.datapath == Datapath::Dpdk).then_some(RING);
    Ok(Interface {
        queues: wiring.queues,
        rx_ring: ring,
        tx_ring: ring,
        page_per_vq: true,
        ..Interface::new(wiring.mac, source)
    })
}
