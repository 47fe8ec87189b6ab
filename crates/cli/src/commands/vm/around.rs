//! What the host around a domain is like: facts for [`Surroundings`], gathered from all layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use vdpa_hw::platform::Platform;
use vdpa_hw::{MacAddress, Role, Vf};
use vdpa_vm::{DomainName, Endpoint, Interface, Profile, Resource, Source, Surroundings, User, View, xml};

use crate::error::Error;
use crate::host::Host;

/// Looks at the host around `domain`, whose definition is `definition`. What cannot be looked at is left out and said in
/// `notes`.
pub(super) async fn look(
    host: &Host,
    domain: &DomainName,
    definition: &str,
    interface: &Interface,
    notes: &mut Vec<String>,
) -> Surroundings {
    let mut cannot =
        |what: &str, error: Error| notes.push(format!("not looked at: {what}: {}", error.flat()));
    let mut around = Surroundings::default();
    let platform = Platform::over(host.files.clone());
    let (path, resource) = match &interface.source {
        Source::VhostUser { socket, .. } => (socket, Resource::Socket(socket.clone())),
        Source::Vdpa { device } => (device, Resource::Device(device.clone())),
    };
    // A simulated host has no sockets, and its QEMU is nobody.
    if host.simulation.is_none() {
        match Endpoint::look(Path::new("/"), path) {
            Ok(endpoint) => around.endpoint = Some(endpoint),
            Err(source) => {
                let what = format!("who may come to {}", path.display());
                cannot(&what, Error::File { verb: "look at", path: path.clone(), source });
            }
        }
        around.user = User::of_qemu(Path::new("/")).ok().flatten();
    }
    around.selinux = platform.selinux().ok();
    match platform.huge_pages() {
        Ok(pages) => around.huge_pages = Some(pages),
        Err(error) => cannot("huge pages", error.into()),
    }
    match vdpa_vm::holders(&*host.domains, &[resource]).await {
        Ok(holders) => around.holders = holders,
        Err(error) => cannot("who else uses it", error.into()),
    }
    around.runs = host.domains.status(domain).await.is_ok_and(|status| status.active);
    match behind(host, &interface.source).await {
        Ok(Some(vf)) => match of_card(host, vf).await {
            Ok((node, mac)) => {
                around.node = node;
                around.vf = mac.map(|mac| (vf, mac));
            }
            Err(error) => cannot("the card", error),
        },
        Ok(None) => {}
        Err(error) => cannot("which VF is behind it", error),
    }
    match proposal(host, domain, definition, around.node).await {
        Ok(proposal) => around.proposal = proposal,
        Err(error) => cannot("CPUs near the card", error),
    }
    around
}

/// The VF behind a socket or device of ours.
async fn behind(host: &Host, source: &Source) -> Result<Option<Vf>, Error> {
    match source {
        Source::VhostUser { socket, .. } => {
            let vfs = host.dpdk.instances().await?.into_iter().map(|instance| instance.spec.vf);
            Ok(vfs.into_iter().find(|vf| host.dpdk.socket(*vf) == *socket))
        }
        Source::Vdpa { device } => {
            for found in host.kernel.devices().await? {
                // It is there by now or never: nothing is made here.
                let at = host.kernel.char_device(&found.name, Duration::ZERO).await;
                if at.is_ok_and(|at| at == *device)
                    && let Some(function) = found.mgmtdev.pci()
                    && let Role::Vf(vf) = host.pci.function(function).await?.role
                {
                    return Ok(Some(vf));
                }
            }
            Ok(None)
        }
    }
}

/// The NUMA node of a VF's card, and the VF's administrative MAC where one is set.
async fn of_card(host: &Host, vf: Vf) -> Result<(Option<u16>, Option<MacAddress>), Error> {
    let view = crate::view::View::new(host);
    let node = view.function(vf.pf).await?.numa_node;
    let mac = view.vf_attributes(vf.pf).await?.get(&vf.index).map(|kept| kept.mac);
    Ok((node, mac.filter(|mac| mac.is_station())))
}

/// CPUs of `node` for the domain, past those that other domains are pinned to.
async fn proposal(
    host: &Host,
    domain: &DomainName,
    definition: &str,
    node: Option<u16>,
) -> Result<Option<Vec<u32>>, Error> {
    let Some(node) = node else { return Ok(None) };
    let nodes = Platform::over(host.files.clone()).numa_nodes()?;
    let Some(node) = nodes.into_iter().find(|found| found.id == node) else { return Ok(None) };
    let mut taken = BTreeSet::new();
    for other in host.domains.list().await?.into_iter().filter(|other| other != domain) {
        // One that has gone meanwhile is pinned to nothing.
        if let Ok(text) = host.domains.xml(&other, View::Definition).await {
            taken.extend(xml::pins(&text)?.into_iter().map(|pin| pin.cpu));
        }
    }
    let first_thread = |cpu: &u32| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let text = String::from_utf8(host.files.read(Path::new(&path)).ok()?).ok()?;
        let first = text.split(['-', ',', '\n']).next()?.parse().ok()?;
        Some((*cpu, first))
    };
    let threads: BTreeMap<u32, u32> = node.cpus.iter().filter_map(first_thread).collect();
    Ok(vdpa_vm::propose(Profile::read(definition)?.vcpus, &node.cpus, &threads, &taken))
}
