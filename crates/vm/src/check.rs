//! What would not work in a domain, or would work badly, before anything is touched.

use std::path::Path;

use roxmltree::Node;
use vdpa_hw::PciAddress;

use crate::holders::command_line;
use crate::memlock::{devices_that_lock, locked_kib};
use crate::profile::kib;
use crate::xml::{Document, Sharing, child, children, is_pinned_by_others, limit_by_others, sharing};
use crate::{Alias, Finding, Interface, Placement, Resource, Result, Source};

/// Queue pairs of a virtio-net device: two of 1024 virtqueues each and one for control.
///
/// Source: `VIRTIO_QUEUE_MAX` and `virtio_net_device_realize` in QEMU's `hw/net/virtio-net.c`.
pub(crate) const MAX_QUEUES: u16 = 511;

/// `sun_path` has 108 bytes, the last one a NUL (unix(7)).
const MAX_SOCKET_PATH: usize = 107;

/// What speaks against `interface` for `owner` in the domain `xml`, by the document alone; first what is wrong with
/// the interface itself.
pub fn check(
    xml: &str,
    owner: impl Into<Alias>,
    interface: &Interface,
    placement: &Placement,
) -> Result<Vec<Finding>> {
    let (document, owner) = (Document::parse(xml)?, owner.into());
    let mut findings = of_interface(interface);
    findings.extend(placement.form(interface).err());
    findings.extend(of_neighbours(&document, owner, interface));
    findings.extend(placement.address.and_then(|address| of_address(&document, owner, address)));
    if interface.needs_shared_memory()
        && let Sharing::Private(place) = sharing(&document)
    {
        findings.push(Finding::PrivateMemory(place));
    }
    findings.extend(of_limit(&document, owner, interface));
    if !placement.pins.is_empty() && is_pinned_by_others(&document) {
        findings.push(Finding::PinnedAlready);
    }
    let queues = interface.queues.get();
    if let Some(vcpus) = vcpus(&document).filter(|vcpus| *vcpus < queues) {
        findings.push(Finding::QueuesOverVcpus { queues, vcpus });
    }
    findings.extend(of_vectors(&document));
    Ok(findings)
}

fn of_interface(interface: &Interface) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !interface.mac.is_station() {
        findings.push(Finding::NoStation(interface.mac));
    }
    let (path, limit) = match &interface.source {
        Source::VhostUser { socket, .. } => (socket, MAX_SOCKET_PATH),
        Source::Vdpa { device } => (device, usize::MAX),
    };
    if let Some(why) = unfit(path, limit) {
        findings.push(Finding::Path { path: path.clone(), why });
    }
    // QEMU's rule: `virtio_net_device_realize`, VIRTIO_NET_RX_QUEUE_MIN_SIZE and VIRTQUEUE_MAX_SIZE.
    for (ring, size) in [("rx", interface.rx_ring), ("tx", interface.tx_ring)] {
        if let Some(size) = size.filter(|size| !(256..=1024).contains(size) || !size.is_power_of_two()) {
            findings.push(Finding::RingSize { ring, size });
        }
    }
    if interface.queues.get() > MAX_QUEUES {
        findings.push(Finding::TooManyQueues(interface.queues.get()));
    }
    findings
}

fn unfit(path: &Path, limit: usize) -> Option<&'static str> {
    let Some(text) = path.to_str() else { return Some("XML can hold UTF-8 only") };
    if !path.is_absolute() {
        Some("it is not an absolute path")
    } else if text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        Some("XML can hold no control characters")
    } else if text.len() > limit {
        Some("the path of a Unix socket has at most 107 bytes")
    } else {
        None
    }
}

/// What clashes with the domain's other interfaces, those in `<qemu:commandline>` included.
fn of_neighbours(document: &Document<'_>, alias: Alias, interface: &Interface) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (resource, path) = match &interface.source {
        Source::VhostUser { socket, .. } => (Resource::Socket(socket.clone()), socket),
        Source::Vdpa { device } => (Resource::Device(device.clone()), device),
    };
    let duplicate = |other| Finding::DuplicateMac { mac: interface.mac, other };
    let taken = |other| Finding::SourceTaken { source: path.clone(), other };
    let ours = alias.to_string();
    let devices = children(document.domain(), "devices");
    for node in devices.flat_map(|devices| children(devices, "interface")) {
        if attribute(node, "alias", "name") == Some(&ours) {
            continue;
        }
        if attribute(node, "mac", "address").and_then(|mac| mac.parse().ok()) == Some(interface.mac) {
            findings.push(duplicate(described(node)));
        }
        if resource.is_source_of(node) {
            findings.push(taken(described(node)));
        }
    }
    for (argument, name, value) in command_line(document) {
        let other = || format!("the <qemu:commandline> argument `{argument}`");
        if name == "mac" && value.parse() == Ok(interface.mac) {
            findings.push(duplicate(other()));
        }
        if resource.is_argument(name, value) {
            findings.push(taken(other()));
        }
    }
    findings
}

/// Which other device sits at `address` in the guest.
fn of_address(document: &Document<'_>, alias: Alias, address: PciAddress) -> Option<Finding> {
    let ours = alias.to_string();
    let devices = children(document.domain(), "devices").flat_map(|devices| devices.children());
    let other = devices
        .filter(|device| attribute(*device, "alias", "name") != Some(&ours))
        .find(|device| crate::xml::address(*device) == Some(address))?;
    let name = other.tag_name().name();
    let other = if name == "interface" { described(other) } else { format!("a <{name}>") };
    Some(Finding::AddressTaken { address, other })
}

/// Whether a limit that somebody else set is enough for what QEMU locks.
fn of_limit(document: &Document<'_>, alias: Alias, interface: &Interface) -> Option<Finding> {
    let Source::Vdpa { .. } = interface.source else { return None };
    let limit_kib = limit_by_others(document)?;
    let ours = alias.to_string();
    let is_there = children(document.domain(), "devices")
        .flat_map(|devices| children(devices, "interface"))
        .any(|nic| nic.attribute("type") == Some("vdpa") && attribute(nic, "alias", "name") == Some(&ours));
    let devices = devices_that_lock(document, usize::from(!is_there));
    let needed_kib = locked_kib(document.at(&["memory"]).and_then(kib)?, devices);
    (limit_kib < needed_kib).then_some(Finding::HardLimit { limit_kib, needed_kib, devices })
}

/// NICs in `<qemu:commandline>` with fewer interrupt vectors than two a queue pair, one for changes of the
/// configuration and one for control: the guest's driver then lets all queues share one
/// (`vp_find_vqs` in the kernel's `drivers/virtio/virtio_pci_common.c`).
fn of_vectors(document: &Document<'_>) -> Vec<Finding> {
    let pairs = command_line(document);
    let of = |argument: &str, wanted: &str| {
        pairs
            .iter()
            .find(|(whole, name, _)| *whole == argument && *name == wanted)
            .map(|(_, _, value)| *value)
    };
    let too_few = |(argument, name, value): &(&str, &str, &str)| {
        let vectors: u32 = value.parse().ok().filter(|_| *name == "vectors")?;
        let netdev = of(argument, "netdev")?;
        let mut ends = pairs.iter().filter(|(_, name, value)| (*name, *value) == ("id", netdev));
        let queues: u32 = ends.find_map(|(end, ..)| of(end, "queues")?.parse().ok())?;
        (vectors < 2 * queues + 2).then(|| Finding::Vectors {
            argument: (*argument).to_owned(),
            vectors,
            queues,
        })
    };
    pairs.iter().filter_map(too_few).collect()
}

fn attribute<'a>(node: Node<'a, '_>, element: &str, name: &str) -> Option<&'a str> {
    child(node, element)?.attribute(name)
}

fn described(interface: Node<'_, '_>) -> String {
    let kind = interface.attribute("type").unwrap_or("?");
    let mac = attribute(interface, "mac", "address").unwrap_or("without a MAC");
    format!("the interface {mac} of type {kind}")
}

/// vCPUs the guest starts with. Source: <https://libvirt.org/formatdomain.html#cpu-allocation>.
pub(crate) fn vcpus(document: &Document<'_>) -> Option<u16> {
    let Some(vcpu) = document.at(&["vcpu"]) else { return Some(1) };
    vcpu.attribute("current").or(vcpu.text())?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;
    use vdpa_hw::Vf;

    const DOMAIN: &str = "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>a</name>
  <vcpu current='2'>8</vcpu>
  <devices>
    <interface type='bridge'><mac address='52:54:00:8D:B6:8E'/></interface>
    <interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>
  </devices>
  <qemu:commandline>
    <qemu:arg value='socket,id=charnet1,path=/tmp/sock-virtio0'/>
    <qemu:arg value='virtio-net-pci,mq=on,mac=e4:11:c6:d3:45:f2,bus=pcie.0'/>
  </qemu:commandline>
</domain>";

    fn interface() -> Interface {
        let socket = "/run/vf0.sock".into();
        Interface::new("e4:11:22:33:55:60".parse().unwrap(), Source::VhostUser { socket, role: Role::Server })
    }

    fn findings(change: impl FnOnce(&mut Interface)) -> Vec<String> {
        let mut interface = interface();
        change(&mut interface);
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        check(DOMAIN, vf, &interface, &Placement::default())
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_fitting_interface_has_no_findings() {
        assert_eq!(findings(|_| {}), [""; 0]);
    }

    #[test]
    fn each_misfit_is_named() {
        let path = |text: &str| Source::VhostUser { socket: text.into(), role: Role::Server };
        for (change, text) in [
            (
                (|i: &mut Interface| i.mac = "52:54:00:8d:b6:8e".parse().unwrap()) as fn(&mut Interface),
                "52:54:00:8d:b6:8e is already the MAC of the interface 52:54:00:8D:B6:8E of type bridge",
            ),
            (
                |i| i.mac = "e4:11:c6:d3:45:f2".parse().unwrap(),
                "is already the MAC of the <qemu:commandline> argument",
            ),
            (
                |i| i.mac = "01:00:5e:00:00:01".parse().unwrap(),
                "01:00:5e:00:00:01 is no address a guest can have",
            ),
            (|i| i.rx_ring = Some(1000), "a ring (rx) of 1000 slots is not possible: 256, 512 or 1024 are"),
            (|i| i.tx_ring = Some(2048), "a ring (tx) of 2048 slots is not possible"),
            (|i| i.queues = 512.try_into().unwrap(), "512 queue pairs are more than virtio-net's 511"),
            (|i| i.queues = 4.try_into().unwrap(), "4 queue pairs for 2 vCPUs: the guest uses 2"),
        ] {
            let found = findings(change);
            assert!(found.iter().any(|finding| finding.contains(text)), "{text}: {found:?}");
        }
        for (source, text) in [
            (path("run/a.sock"), "it is not an absolute path"),
            (path("/run/a\nb"), "control characters"),
            (path(&format!("/{}", "a".repeat(107))), "at most 107 bytes"),
            (path("/tmp/sock-virtio0"), "/tmp/sock-virtio0 already serves the <qemu:commandline> argument"),
            (
                Source::Vdpa { device: "/dev/vhost-vdpa-0".into() },
                "/dev/vhost-vdpa-0 already serves the interface",
            ),
        ] {
            let found = findings(|i| i.source = source);
            assert!(found.len() == 1 && found[0].contains(text), "{text}: {found:?}");
        }
        assert_eq!(findings(|i| i.source = path(&format!("/{}", "a".repeat(106)))), [""; 0]);
    }

    #[test]
    fn a_domain_that_keeps_its_memory_private_is_found_out() {
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        for private in [
            "<memoryBacking><access mode='private'/></memoryBacking>",
            "<memoryBacking><source type='anonymous'/></memoryBacking>",
            "<cpu><numa><cell id='0' memAccess='shared'/><cell id='1' memAccess='private'/></numa></cpu>",
        ] {
            let xml = format!("<domain><vcpu>1</vcpu>{private}</domain>");
            let found = check(&xml, vf, &interface(), &Placement::default()).unwrap();
            assert!(matches!(found[..], [Finding::PrivateMemory(_)]), "{private}: {found:?}");
            let kernel =
                Interface { source: Source::Vdpa { device: "/dev/vhost-vdpa-0".into() }, ..interface() };
            assert_eq!(check(&xml, vf, &kernel, &Placement::default()).unwrap(), [], "{private}");
        }
    }
}
