//! The guest's memory as vhost-user needs it: shared with the process that serves the queues.
//!
//! libvirt's rule (`qemuBuildMemoryBackendProps` in `src/qemu/qemu_command.c`): a NUMA cell's
//! `memAccess`, else `<memoryBacking><access mode>`, else private. We say it in both places, so that whoever
//! reads a cell sees it there. Without huge pages the memory has to come from a memfd: anonymous memory cannot
//! be shared, and the default is a file on disk.

use std::collections::BTreeSet;

use roxmltree::Node;
use vdpa_hw::platform::PageSize;

use super::document::{Document, Splice, child, children};
use super::element::Element;
use super::part::Part;
use super::record::Record;
use crate::Result;

/// How a domain's memory is backed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All of it is shared.
    Shared,
    /// Nothing says that it is.
    Unsaid,
    /// Something says that it is not: where.
    Private(&'static str),
}

/// How the document backs the domain's memory.
pub(crate) fn sharing(document: &Document<'_>) -> Sharing {
    let access = Part::Access.of(document).map(|access| access.attribute("mode") == Some("shared"));
    let cells: Vec<_> = cells(document).into_iter().map(|(_, cell)| cell.attribute(ACCESS)).collect();
    let source = Part::Source.of(document).and_then(|source| source.attribute("type"));
    if source == Some("anonymous") && !huge_pages(document) {
        return Sharing::Private("<source type='anonymous'/> in <memoryBacking>");
    }
    if cells.iter().any(|cell| cell.is_some_and(|mode| mode != "shared")) {
        return Sharing::Private("memAccess of a NUMA cell");
    }
    if !cells.is_empty() && cells.iter().all(Option::is_some) {
        return Sharing::Shared;
    }
    match access {
        Some(true) => Sharing::Shared,
        Some(false) => Sharing::Private("<access> in <memoryBacking>"),
        None => Sharing::Unsaid,
    }
}

/// Makes the memory of a domain shared that does not say how it is, and records what that took.
pub(super) fn share(mut text: String, record: &mut Record) -> Result<String> {
    let document = Document::parse(&text)?;
    if sharing(&document) != Sharing::Unsaid {
        return Ok(text);
    }
    if !huge_pages(&document) && Part::Source.of(&document).is_none() {
        record.created.insert(Part::Source);
        text = Part::MemoryBacking.put(&text, Element::new("source").with("type", "memfd"), record)?;
    }
    record.created.insert(Part::Access);
    text = Part::MemoryBacking.put(&text, Element::new("access").with("mode", "shared"), record)?;
    while let Some((id, splice)) = unsaid(&text)? {
        text = splice.apply(&text);
        record.cells.insert(id);
    }
    Ok(text)
}

/// Takes `memAccess` out of the cells that had none before us.
pub(super) fn unshare_cells(mut text: String, record: &Record) -> Result<String> {
    for id in &record.cells {
        let document = Document::parse(&text)?;
        let cell = cells(&document).into_iter().find(|(cell, _)| cell == id).map(|(_, cell)| cell);
        let ours = cell.filter(|cell| cell.attribute(ACCESS) == Some("shared"));
        if let Some(splice) = ours.map(|cell| document.remove_attribute(cell, ACCESS)).transpose()?.flatten()
        {
            text = splice.apply(&text);
        }
    }
    Ok(text)
}

/// Makes the memory of huge pages where it is of ordinary ones, and records what that took.
pub(super) fn on_huge_pages(text: String, size: PageSize, record: &mut Record) -> Result<String> {
    if huge_pages(&Document::parse(&text)?) {
        return Ok(text);
    }
    record.created.insert(Part::HugePages);
    let page = Element::new("page").with("size", &(size.bytes() >> 10)).with("unit", "KiB");
    Part::MemoryBacking.put(&text, Element::new("hugepages").holding(page), record)
}

/// Whether a device of the domain has its memory shared with another process.
pub(super) fn is_needed(document: &Document<'_>) -> bool {
    let Some(devices) = Part::Devices.of(document) else { return false };
    devices.children().any(|device| {
        let type_is = |name| device.attribute("type") == Some(name);
        let driver = |attribute| child(device, "driver").and_then(|driver| driver.attribute(attribute));
        match device.tag_name().name() {
            "interface" | "disk" => type_is("vhostuser"),
            "filesystem" => driver("type") == Some("virtiofs"),
            "video" => driver("name") == Some("vhostuser"),
            _ => false,
        }
    })
}

/// A cell's attribute that says how its memory is accessed.
const ACCESS: &str = "memAccess";

/// The NUMA cells with their ids: their own, or where these are no ids their places, which libvirt makes their ids.
fn cells<'d, 'a>(document: &'d Document<'a>) -> Vec<(u32, Node<'d, 'a>)> {
    let numa = document.at(&["cpu", "numa"]);
    let cells: Vec<_> = numa.into_iter().flat_map(|numa| children(numa, "cell")).collect();
    let ids: BTreeSet<u32> = cells.iter().filter_map(|cell| cell.attribute("id")?.parse().ok()).collect();
    let places = (0..).zip(&cells).map(|(place, cell)| (place, *cell));
    if ids.len() < cells.len() {
        return places.collect();
    }
    let id = |cell: Node<'_, '_>| cell.attribute("id").and_then(|id| id.parse().ok());
    places.map(|(place, cell)| (id(cell).unwrap_or(place), cell)).collect()
}

/// The first cell that does not say how its memory is accessed, and how to say it.
fn unsaid(text: &str) -> Result<Option<(u32, Splice)>> {
    let document = Document::parse(text)?;
    let unsaid = cells(&document).into_iter().find(|(_, cell)| cell.attribute(ACCESS).is_none());
    unsaid.map(|(id, cell)| Ok((id, document.add_attribute(cell, ACCESS, "shared")?))).transpose()
}

fn huge_pages(document: &Document<'_>) -> bool {
    Part::HugePages.of(document).is_some()
}
