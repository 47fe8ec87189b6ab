//! How a statement would have to read to be true now.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use vdpa_datapath::kernel::{BusDriver, DeviceName};
use vdpa_eswitch::{Auxiliary, LagState};
use vdpa_hw::firmware::Value;
use vdpa_hw::{NetdevName, PciAddress, Vf};
use vdpa_ovs::{BridgeName, PortState};
use vdpa_vm::{DomainName, Source};

use crate::config::Datapath;
use crate::error::Error;
use crate::host::Host;
use crate::step::{BondOf, Device, DpdkProcess, Enabled, KernelDevice, Names, Step, Wiring};
use crate::userspace::{Port, Use};
use crate::view::View;

/// The statement about the subject of `step` that is true now; `None` where the subject is not there.
///
/// # Errors
/// A layer's error where the host cannot be looked at.
pub async fn observe(host: &Host, view: &View<'_>, step: &Step) -> Result<Option<Step>, Error> {
    match look(host, view, step).await {
        // A card that has gone took what hangs on it with it.
        Err(error) if step.card().is_some_and(|card| error.is_absence_of(card)) => Ok(None),
        looked => looked,
    }
}

async fn look(host: &Host, view: &View<'_>, step: &Step) -> Result<Option<Step>, Error> {
    Ok(match step {
        Step::Firmware { card, name, value } => {
            // What is asked for may be a word or a number for what is there.
            let next = view.firmware(*card, name).await?.and_then(|setting| setting.next);
            let as_asked = |next: Value| if next.is(value) { value.clone() } else { next };
            next.map(|next| Step::Firmware { card: *card, name: name.clone(), value: as_asked(next) })
        }
        Step::Autoprobe { pf, .. } => {
            view.function(*pf).await?.sriov().map(|sriov| Step::Autoprobe { pf: *pf, on: sriov.autoprobe })
        }
        Step::Names { pf, .. } => {
            let told = host.naming.told(*pf).await?;
            let names = told.map(|told| Names { vfs: told.vfs, current: told.current });
            Some(Step::Names { pf: *pf, names })
        }
        Step::EswitchMode { pf, .. } => {
            Some(Step::EswitchMode { pf: *pf, mode: view.eswitch(*pf).await?.mode })
        }
        Step::Vfs { pf, .. } => {
            view.function(*pf).await?.sriov().map(|sriov| Step::Vfs { pf: *pf, count: sriov.num_vfs })
        }
        Step::Steering { pf, .. } => view.steering(*pf).await?.map(|mode| Step::Steering { pf: *pf, mode }),
        Step::Inline { pf, .. } => view.eswitch(*pf).await?.inline.map(|mode| Step::Inline { pf: *pf, mode }),
        Step::Encap { pf, .. } => view.eswitch(*pf).await?.encap.map(|mode| Step::Encap { pf: *pf, mode }),
        Step::Bond { name, .. } => Some(Step::Bond { name: name.clone(), bond: bond(view, name).await? }),
        Step::Lag { pf, .. } => {
            let lag = view.lag(*pf).await?;
            lag.map(|state| Step::Lag { pf: *pf, active: state == LagState::Active })
        }
        Step::Rate { vf, .. } => {
            let rates = view.rates(vf.pf).await?;
            rates.get(&vf.index).map(|port| Step::Rate { vf: *vf, rate: port.rate })
        }
        Step::VfAttributes { vf, trust, spoofchk, .. } => {
            let attributes = view.vf_attributes(vf.pf).await?;
            // What nobody asks for is not looked at.
            attributes.get(&vf.index).map(|found| Step::VfAttributes {
                vf: *vf,
                mac: found.mac,
                trust: trust.and(found.trust),
                spoofchk: spoofchk.and(found.spoofchk),
            })
        }
        Step::TcOffload { device, .. } => match view.link(*device).await? {
            Some(link) => Some(Step::TcOffload { device: *device, on: view.tc_offload(link.index).await? }),
            None => None,
        },
        Step::Up { device, .. } => {
            view.link(*device).await?.map(|link| Step::Up { device: *device, up: link.up })
        }
        Step::Bridge { name, ports, .. } => Some(bridge(view, name, ports).await?),
        Step::HwOffload { bridge, ports, .. } => Some(Step::HwOffload {
            bridge: bridge.clone(),
            value: view.bridge(bridge).await?.hw_offload.clone(),
            ports: ports.clone(),
            in_force: with_ingress(view, ports).await?,
        }),
        Step::Setting { bridge, key, .. } => {
            let seen = view.bridge(bridge).await?;
            let value =
                if key == "hw-offload" { seen.hw_offload.as_ref() } else { seen.other_config.get(key) };
            Some(Step::Setting { bridge: bridge.clone(), key: key.clone(), value: value.cloned() })
        }
        Step::Userspace { bridge, ports, .. } => Some(userspace(host, view, bridge, ports).await?),
        Step::Vlan { bridge, vf, .. } => {
            let device = Device::Representor(*vf);
            let seen = view.bridge(bridge).await?;
            let vlan = seen.port(&device.key()).map(PortState::vlan);
            let is_there = vlan.is_some() || view.link(device).await?.is_some();
            is_there.then(|| Step::Vlan { bridge: bridge.clone(), vf: *vf, vlan: vlan.flatten() })
        }
        Step::Driver { vf, .. } => view.vf_driver(*vf).await?.map(|driver| Step::Driver { vf: *vf, driver }),
        Step::Auxiliary { vf, set, in_force } => match view.vf_address(*vf).await? {
            Some(address) => auxiliary(view, *vf, address, *set, *in_force).await?,
            None => None,
        },
        Step::Kernel { vf, device } => {
            let queues = device.as_ref().map_or(NonZeroU16::MIN, |device| device.queues);
            Some(Step::Kernel { vf: *vf, device: kernel_device(host, view, *vf, queues).await? })
        }
        Step::Dpdk { vf, .. } => Some(Step::Dpdk { vf: *vf, process: process(host, *vf).await? }),
        Step::Wired { domain, vf, wiring: asked } => {
            let asked = asked.as_ref().map(|asked| asked.datapath);
            let wiring = wiring(host, domain, *vf, asked).await?;
            Some(Step::Wired { domain: domain.clone(), vf: *vf, wiring })
        }
    })
}

/// What the driver of the VF at `address` makes of it; `None` without the driver that its PF has. What the driver gives no
/// choice about reads as it is asked for, but for vDPA on a driver that leaves the other choices.
async fn auxiliary(
    view: &View<'_>,
    vf: Vf,
    address: PciAddress,
    set: Enabled,
    in_force: Enabled,
) -> Result<Option<Step>, Error> {
    let driver = view.vf_driver(vf).await?.flatten();
    if driver.is_none() || driver != view.function(vf.pf).await?.driver {
        return Ok(None);
    }
    let eth = view.enabled(address, Auxiliary::Eth).await?;
    let vnet = view.enabled(address, Auxiliary::Vnet).await?;
    let made = view.auxiliaries().await?.get(&address).cloned().unwrap_or_default();
    let no_vnet = eth.is_some().then_some(false);
    let now = Step::Auxiliary {
        vf,
        set: Enabled { eth: eth.unwrap_or(set.eth), vnet: vnet.or(no_vnet).unwrap_or(set.vnet) },
        in_force: Enabled {
            eth: eth.map_or(in_force.eth, |_| made.contains(&Auxiliary::Eth)),
            vnet: vnet.or(no_vnet).map_or(in_force.vnet, |_| made.contains(&Auxiliary::Vnet)),
        },
    };
    Ok(Some(now))
}

/// Our dpdk-vdpa process for `vf`.
async fn process(host: &Host, vf: Vf) -> Result<Option<DpdkProcess>, Error> {
    let found = host.dpdk.observe(vf).await?;
    Ok(found.map(|found| DpdkProcess {
        ready: found.is_ready(),
        mode: found.spec.mode,
        program: found.spec.program,
        memory: found.spec.memory,
        cores: found.spec.cores,
        driver_args: found.spec.driver_args,
        eal_args: found.spec.eal_args,
    }))
}

/// Our interface for `vf` in a domain's definition.
async fn wiring(
    host: &Host,
    domain: &DomainName,
    vf: Vf,
    asked: Option<Datapath>,
) -> Result<Option<Wiring>, Error> {
    let Some(found) = vdpa_vm::observe(&*host.domains, domain, vf).await? else { return Ok(None) };
    let datapath = match &found.source {
        // A socket does not tell who serves it.
        Source::VhostUser { .. } if asked == Some(Datapath::OvsDpdk) => Datapath::OvsDpdk,
        Source::VhostUser { .. } => Datapath::Dpdk,
        Source::Vdpa { .. } => Datapath::Kernel,
    };
    let now = Wiring { datapath, mac: found.mac, queues: found.queues, current: true };
    // Out of date is what is not as we would write it now, wherever the datapath has gone.
    let current = crate::enforce::interface(host, vf, &now).await.is_ok_and(|ours| ours == found);
    Ok(Some(Wiring { current, ..now }))
}

/// Our kernel vDPA device for `vf`. A driver that cannot have more queue pairs than one does not say how
/// many it has; it is taken to have as many of the `queues` wanted as it can.
async fn kernel_device(
    host: &Host,
    view: &View<'_>,
    vf: Vf,
    queues: NonZeroU16,
) -> Result<Option<KernelDevice>, Error> {
    let name = DeviceName::of_vf(vf);
    let Some(config) = view.vdpa_config(&name).await? else { return Ok(None) };
    Ok(Some(KernelDevice {
        mac: config.mac,
        queues: config.max_vqp.and_then(NonZeroU16::new).unwrap_or(queues),
        served: host.kernel.driver(&name).await? == Some(BusDriver::VhostVdpa),
    }))
}

/// The bond of this name, with those of its members that are uplinks.
async fn bond(view: &View<'_>, name: &NetdevName) -> Result<Option<BondOf>, Error> {
    let bonds = view.bonds().await?;
    let Some(bond) = bonds.iter().find(|bond| bond.name == *name) else { return Ok(None) };
    let links = view.links().await?;
    let members = links.iter().filter(|link| bond.members.contains(&link.index));
    let uplinks = members.filter_map(|link| link.parent).collect();
    Ok(bond.mode.map(|mode| BondOf { mode, uplinks }))
}

/// Our ports on the bridge: of those `wanted`, the ones that are open under their device's present name; and all that
/// are not wanted, or whose device is gone, so that a row that is left over shows.
async fn bridge(view: &View<'_>, name: &BridgeName, wanted: &BTreeSet<Device>) -> Result<Step, Error> {
    let seen = view.bridge(name).await?;
    let mut ports = BTreeSet::new();
    for port in seen.ports() {
        let Ok(device) = port.key.as_str().parse::<Device>() else { continue };
        let is_open = || async {
            let link = view.link(device).await?;
            Ok::<_, Error>(link.is_none_or(|link| port.works() && link.name.as_str() == port.name.as_str()))
        };
        if !wanted.contains(&device) || is_open().await? {
            ports.insert(device);
        }
    }
    Ok(Step::Bridge { name: name.clone(), exists: seen.bridge.is_some(), ports })
}

/// Our DPDK ports on the bridge: of those `wanted`, the ones that are as we would have them and open; and all that are
/// not wanted, so that a row that is left over shows.
async fn userspace(
    host: &Host,
    view: &View<'_>,
    bridge: &BridgeName,
    wanted: &BTreeMap<Device, Use>,
) -> Result<Step, Error> {
    let seen = view.bridge(bridge).await?;
    let mut ports = BTreeMap::new();
    let is_userspace = seen.bridge.as_ref().is_some_and(|state| state.datapath_type == "netdev");
    for found in seen.ports().iter().filter(|_| is_userspace) {
        let Ok(device) = found.key.as_str().parse::<Device>() else { continue };
        match wanted.get(&device) {
            None => drop(ports.insert(device, Use::Plain)),
            Some(purpose) => match Port::of(host, view, &seen, device, *purpose).await {
                Ok(port) if port.is(found) => drop(ports.insert(device, *purpose)),
                // A VF that is not there has no port that could be right.
                Ok(_) | Err(Error::Missing(_)) => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(Step::Userspace { bridge: bridge.clone(), exists: seen.bridge.is_some(), ports })
}

/// Those of `devices` on which tc rules can stand.
///
/// # Errors
/// A layer's error where the host cannot be looked at.
pub async fn with_ingress(view: &View<'_>, devices: &BTreeSet<Device>) -> Result<BTreeSet<Device>, Error> {
    let ingress = view.with_ingress_qdisc().await?;
    let mut found = BTreeSet::new();
    for device in devices {
        if view.link(*device).await?.is_some_and(|link| ingress.contains(&link.index)) {
            found.insert(*device);
        }
    }
    Ok(found)
}
