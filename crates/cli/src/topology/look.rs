//! Looking at what hangs on what.

use std::collections::BTreeMap;

use vdpa_datapath::dpdk::Condition;
use vdpa_datapath::kernel::BusDriver;
use vdpa_hw::{Function, Link, PciAddress, Role, Vf, VfIndex};
use vdpa_ovs::{BridgeName, Observation, Owner, PortState};
use vdpa_vm::{Alias, View as DomainView};

use super::{Bridge, Bridged, Card, Datapath, DatapathKind, DpdkPort, Port, Topology, VfPart, Vm};
use crate::error::Error;
use crate::host::Host;
use crate::step::Device;
use crate::view::View;

/// Looks at the host: all functions that can have VFs, or those in `only`; the bridge of that name; whatever serves
/// and has their VFs.
///
/// # Errors
/// Where not even PCI functions and network devices can be listed. What else cannot be asked is noted.
pub async fn look(host: &Host, bridge: &BridgeName, only: &[PciAddress]) -> Result<Topology, Error> {
    let view = View::new(host);
    view.links().await?;
    let functions = host.pci.functions().await?;
    let missing =
        only.iter().find(|pf| !functions.iter().any(|one| one.address == **pf && one.sriov().is_some()));
    if let Some(pf) = missing {
        // Says whether it is no function at all, or none that can have VFs.
        return Err(host
            .pci
            .function(*pf)
            .await
            .map_or_else(Error::from, |_| vdpa_hw::Error::NotPf(*pf).into()));
    }
    let mut notes = Notes::default();
    let seen = notes.unless(view.bridge(bridge).await, "Open vSwitch");
    let mut found = Parts {
        datapaths: BTreeMap::new(),
        vms: BTreeMap::new(),
        seen: seen.as_deref(),
        by_address: functions.iter().map(|function| (function.address, function)).collect(),
    };
    found.datapaths(host, &mut notes).await;
    found.vms(host, &mut notes).await;
    let mut cards = Vec::new();
    for function in &functions {
        if only.is_empty() || only.contains(&function.address) {
            cards.extend(found.card(&view, function, &mut notes).await);
        }
    }
    let bridge = seen.as_ref().and_then(|seen| {
        let state = seen.bridge.as_ref()?;
        let ports = cards.iter().flat_map(|card| {
            card.uplink.iter().chain(card.vfs.iter().filter_map(|vf| vf.representor.as_ref()))
        });
        let shown: Vec<&str> = ports.map(|port| port.netdev.as_str()).collect();
        Some(Bridge {
            name: bridge.clone(),
            ours: state.owner == Owner::Ours,
            userspace: state.datapath_type == "netdev",
            hw_offload: seen.hw_offload_configured(),
            other_ports: state
                .foreign_ports
                .iter()
                .filter(|name| !shown.contains(&name.as_str()))
                .cloned()
                .collect(),
        })
    });
    Ok(Topology { bridge, cards, notes: notes.0 })
}

/// What could not be looked at.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// What was found; otherwise nothing, and a note.
    fn unless<T, E: Into<Error>>(&mut self, found: Result<T, E>, what: &str) -> Option<T> {
        found
            .map_err(|error| {
                let note = format!("{what}: {}", error.into().flat());
                if !self.0.contains(&note) {
                    self.0.push(note);
                }
            })
            .ok()
    }
}

/// What is known of all cards together.
struct Parts<'a> {
    datapaths: BTreeMap<PciAddress, Datapath>,
    vms: BTreeMap<Vf, Vm>,
    seen: Option<&'a Observation>,
    by_address: BTreeMap<PciAddress, &'a Function>,
}

impl Parts<'_> {
    /// Datapaths, by the VF's place.
    async fn datapaths(&mut self, host: &Host, notes: &mut Notes) {
        for device in notes.unless(host.kernel.devices().await, "kernel vDPA").unwrap_or_default() {
            let Some(parent) = device.mgmtdev.pci() else { continue };
            let driver = notes.unless(host.kernel.driver(&device.name).await, "kernel vDPA").flatten();
            let state = driver.map_or_else(|| "unbound".to_owned(), |driver| driver.to_string());
            let serves = driver == Some(BusDriver::VhostVdpa);
            self.datapaths
                .insert(parent, Datapath { kind: DatapathKind::Kernel, state, detail: None, serves });
        }
        for instance in notes.unless(host.dpdk.instances().await, "dpdk-vdpa").unwrap_or_default() {
            let serves = instance.is_ready();
            let (state, detail) = match instance.condition {
                Condition::Ready { pid } => ("ready", Some(format!("pid {pid}"))),
                Condition::Starting => ("starting", None),
                Condition::Failed { why } => ("failed", Some(why)),
            };
            let datapath = Datapath { kind: DatapathKind::Dpdk, state: state.to_owned(), detail, serves };
            self.datapaths.insert(instance.spec.device, datapath);
        }
    }

    /// Interfaces of ours in domains.
    async fn vms(&mut self, host: &Host, notes: &mut Notes) {
        for domain in notes.unless(host.domains.list().await, "libvirt").unwrap_or_default() {
            let what = format!("domain {domain}");
            let Some(xml) = notes.unless(host.domains.xml(&domain, DomainView::Definition).await, &what)
            else {
                continue;
            };
            let running =
                notes.unless(host.domains.status(&domain).await, &what).is_some_and(|status| status.active);
            for (owner, interface) in notes.unless(vdpa_vm::xml::interfaces(&xml), &what).unwrap_or_default()
            {
                // What was put there by hand belongs to no VF that is known.
                let Alias::Vf(vf) = owner else { continue };
                let (queues, mac) = (interface.queues.get(), interface.mac);
                self.vms.insert(vf, Vm { domain: domain.clone(), running, queues, mac });
            }
        }
    }

    async fn card(&self, view: &View<'_>, function: &Function, notes: &mut Notes) -> Option<Card> {
        let Role::Pf(sriov) = &function.role else { return None };
        let pf = function.address;
        let what = format!("eswitch of {pf}");
        let mode = notes.unless(view.eswitch(pf).await, &what).map(|state| state.mode);
        let macs = notes.unless(view.vf_attributes(pf).await, &format!("MACs of {pf}")).unwrap_or_default();
        let mut vfs = Vec::new();
        for (index, address) in (0..).map(VfIndex::new).zip(&sriov.vfs) {
            let vf = Vf { pf, index };
            let representor = match mode {
                Some(vdpa_eswitch::Mode::Switchdev) => self.port(view, Device::Representor(vf), notes).await,
                _ => None,
            };
            vfs.push(VfPart {
                index,
                address: *address,
                driver: self.by_address.get(address).and_then(|function| function.driver.clone()),
                mac: macs.get(&index).map(|found| found.mac),
                representor,
                datapath: self.datapaths.get(address).cloned().or_else(|| self.in_switch(vf)),
                vm: self.vms.get(&vf).cloned(),
            });
        }
        let uplink = self.port(view, Device::Uplink(pf), notes).await;
        let (driver, numa_node) = (function.driver.clone(), function.numa_node);
        Some(Card { pf, driver, numa_node, mode, total_vfs: sriov.total_vfs, uplink, vfs })
    }

    async fn port(&self, view: &View<'_>, device: Device, notes: &mut Notes) -> Option<Port> {
        let what = device.to_string();
        let link: Link = notes.unless(view.link(device).await, &what).flatten()?;
        // Not every driver has the feature, and that is no news.
        let tc_offload = view.tc_offload(link.index).await.ok();
        let ingress = notes.unless(view.with_ingress_qdisc().await, "ingress qdiscs");
        let ingress = ingress.is_some_and(|with| with.contains(&link.index));
        Some(Port::new(
            link.name.clone(),
            link.up,
            tc_offload,
            ingress,
            self.bridged(device, link.name.as_str()),
        ))
    }

    /// How `device` is on the bridge: as the network device `netdev`, or as a port of DPDK's for it.
    fn bridged(&self, device: Device, netdev: &str) -> Option<Bridged> {
        let bridge = self.seen?.bridge.as_ref()?;
        if let Some((port, dpdk)) = self.dpdk_port(device) {
            return Some(Bridged { works: port.works(), error: port.error.clone(), dpdk: Some(dpdk) });
        }
        match bridge.ports.iter().find(|port| port.name.as_str() == netdev) {
            Some(port) => Some(Bridged { works: port.works(), error: port.error.clone(), dpdk: None }),
            None => bridge.foreign_ports.contains(netdev).then_some(Bridged {
                works: true,
                error: None,
                dpdk: None,
            }),
        }
    }

    /// Our port for `device` in the userspace datapath, if it has one.
    fn dpdk_port(&self, device: Device) -> Option<(&PortState, DpdkPort)> {
        let seen = self.seen?;
        let port = seen.port(&device.key())?;
        let interface = &port.settings.interface;
        let kind = interface.text("type").ok().filter(|kind| kind.starts_with("dpdk"))?;
        let options = interface.text_map("options").unwrap_or_default();
        let option = |key| options.get(key).cloned();
        let devargs = option("dpdk-devargs");
        let dpdk = DpdkPort {
            name: port.name.to_string(),
            offloads: devargs.is_some() && seen.hw_offload_configured(),
            socket: option("vhost-server-path").or_else(|| option("vdpa-socket-path")),
            devargs,
            kind,
        };
        Some((port, dpdk))
    }

    /// Who serves the VF's queues where Open vSwitch does.
    fn in_switch(&self, vf: Vf) -> Option<Datapath> {
        let (port, dpdk) = self.dpdk_port(Device::Representor(vf))?;
        // A VF that no VM gets is a port as the cable is: nothing is served.
        let socket = dpdk.socket?;
        let (state, detail) = match &port.error {
            Some(error) => ("failed".to_owned(), error.clone()),
            None => (dpdk.kind, socket),
        };
        Some(Datapath { kind: DatapathKind::OvsDpdk, state, detail: Some(detail), serves: port.works() })
    }
}
