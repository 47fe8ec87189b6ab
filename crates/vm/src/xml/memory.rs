//! The guest's memory as vhost-user needs it: shared with the process that serves the queues.
//!
//! libvirt's rule (`qemuBuildMemoryBackendProps` in `src/qemu/qemu_command.c`): a NUMA cell's
//! `memAccess`, else `<memoryBacking><access mode>`, else private. One `<access mode='shared'/>`
//! therefore shares every cell that does not say otherwise. Without huge pages the memory has to come
//! from a memfd: anonymous memory cannot be shared, and the default is a file on disk.

use super::document::{Document, child, children};
use super::element::Element;
use super::record::{Part, Record};
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
    let access = document.at(Part::Access.path()).map(|access| access.attribute("mode") == Some("shared"));
    let cells = document.at(&["cpu", "numa"]).map(|numa| children(numa, "cell").collect::<Vec<_>>());
    let cells: Vec<_> =
        cells.unwrap_or_default().into_iter().map(|cell| cell.attribute("memAccess")).collect();
    let source = document.at(Part::Source.path()).and_then(|source| source.attribute("type"));
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
pub(super) fn share(text: String, record: &mut Record) -> Result<String> {
    let document = Document::parse(&text)?;
    if sharing(&document) != Sharing::Unsaid {
        return Ok(text);
    }
    let memfd = !huge_pages(&document) && document.at(Part::Source.path()).is_none();
    let source = memfd.then(|| Element::new("source").with("type", "memfd"));
    let access = Element::new("access").with("mode", "shared");
    record.created.insert(Part::Access);
    if memfd {
        record.created.insert(Part::Source);
    }
    let Some(backing) = document.at(Part::MemoryBacking.path()) else {
        record.created.insert(Part::MemoryBacking);
        let backing =
            source.into_iter().chain([access]).fold(Element::new("memoryBacking"), Element::holding);
        let heads = ["currentMemory", "memory", "maxMemory"];
        let splice = match heads.iter().find_map(|head| document.at(&[head])) {
            Some(head) => document.insert_after(head, |layout| backing.write(layout)),
            None => document.append(document.domain(), |layout| backing.write(layout)),
        };
        return Ok(splice?.apply(&text));
    };
    if document.is_empty_tag(backing) {
        record.opened.insert(Part::MemoryBacking);
    }
    let mut text = text.clone();
    for element in source.into_iter().chain([access]) {
        let document = Document::parse(&text)?;
        let Some(backing) = document.at(Part::MemoryBacking.path()) else { break };
        text = document.append(backing, |layout| element.write(layout))?.apply(&text);
    }
    Ok(text)
}

/// Whether a device of the domain has its memory shared with another process.
pub(super) fn is_needed(document: &Document<'_>) -> bool {
    let Some(devices) = document.at(Part::Devices.path()) else { return false };
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

fn huge_pages(document: &Document<'_>) -> bool {
    document.at(&["memoryBacking", "hugepages"]).is_some()
}
