//! PCI Express root ports that libvirt made for our interfaces.
//!
//! On a q35 machine each device sits on a root port of its own. Where none is free, libvirt adds one when
//! the domain is defined (`qemuDomainAssignPCIAddresses` in `src/qemu/qemu_domain_address.c`), and leaves
//! it when the device goes. So that a domain gets back what it had, the record keeps the last PCI
//! controller there was before us; a later one that an interface of ours sat on is taken out with it,
//! where it is still the last (libvirt fills gaps) and nothing else sits on it.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::document::{Document, Splice, child, children};
use super::record::Record;
use crate::Result;

/// The last PCI controller's index; `None` where the document names none.
pub(super) fn last(document: &Document<'_>) -> Option<u32> {
    controllers(document).filter_map(|controller| controller.attribute("index")?.parse().ok()).max()
}

/// The index of the PCI controller that a device sits on.
pub(super) fn of(device: Node<'_, '_>) -> Option<u32> {
    let address = child(device, "address").filter(|address| address.attribute("type") == Some("pci"))?;
    let bus = address.attribute("bus")?;
    match bus.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => bus.parse().ok(),
    }
}

/// Takes out the root ports among `record.ports` that were made for us, and leaves in it those that have to stay.
pub(super) fn remove(mut text: String, record: &mut Record) -> Result<String> {
    let before = record.last_port.unwrap_or(u32::MAX);
    record.ports.retain(|port| *port > before);
    while let Some((port, splice)) = removable(&text, &record.ports)? {
        text = splice.apply(&text);
        record.ports.remove(&port);
    }
    Ok(text)
}

/// The last controller and how to take it out, where it is among `ours` and nothing sits on it.
fn removable(text: &str, ours: &BTreeSet<u32>) -> Result<Option<(u32, Splice)>> {
    let document = Document::parse(text)?;
    let Some(port) = last(&document).filter(|port| ours.contains(port)) else { return Ok(None) };
    if document.domain().descendants().any(|device| of(device) == Some(port)) {
        return Ok(None);
    }
    let index = port.to_string();
    let is_it = |controller: &Node<'_, '_>| {
        controller.attribute("index") == Some(&index)
            && controller.attribute("model") == Some("pcie-root-port")
    };
    controllers(&document).find(is_it).map(|node| Ok((port, document.remove(node)?))).transpose()
}

fn controllers<'d, 'a>(document: &'d Document<'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    let devices = children(document.domain(), "devices");
    let controllers = devices.flat_map(|devices| children(devices, "controller"));
    controllers.filter(|controller| controller.attribute("type") == Some("pci"))
}
