//! `<vcpupin>` and `<hard_limit>`: on which of the host's CPUs the guest's run, and how much QEMU may lock.
//!
//! Source: <https://libvirt.org/formatdomain.html#cpu-tuning>, `#memory-tuning`.

use roxmltree::Node;

use super::document::{Document, child, children};
use super::element::Element;
use super::part::Part;
use super::record::Record;
use crate::memlock::{devices_that_lock, locked_kib};
use crate::profile::kib;
use crate::{Pin, Placement, Result};

/// The pins of a domain whose vCPUs are pinned to one CPU each; those to several are left out.
pub(crate) fn pins(document: &Document<'_>) -> Vec<Pin> {
    let nodes = Part::CpuTune.of(document).into_iter().flat_map(|tune| children(tune, "vcpupin"));
    nodes.filter_map(pin).collect()
}

/// Whether any vCPU of the domain is pinned.
pub(crate) fn is_pinned(document: &Document<'_>) -> bool {
    Part::CpuTune.of(document).is_some_and(|tune| child(tune, "vcpupin").is_some())
}

/// Whether any vCPU of the domain is pinned by somebody else than us.
pub(crate) fn is_pinned_by_others(document: &Document<'_>) -> bool {
    let ours = Record::read(document).pins;
    let pins = Part::CpuTune.of(document).into_iter().flat_map(|tune| children(tune, "vcpupin"));
    pins.into_iter().any(|node| pin(node).is_none_or(|pin| !ours.contains(&pin)))
}

/// The domain's hard limit in KiB, where it is not ours.
pub(crate) fn limit_by_others(document: &Document<'_>) -> Option<u64> {
    hard_limit(document).and_then(kib).filter(|limit| Some(*limit) != Record::read(document).limit)
}

/// The document with these pins, where it has none but ours.
pub(super) fn pin_to(text: String, wanted: &[Pin], record: &mut Record) -> Result<String> {
    if wanted.is_empty() || record.pins.iter().eq(wanted) && pins(&Document::parse(&text)?) == wanted {
        return Ok(text);
    }
    let mut text = unpin(text, record)?;
    record.pins = wanted.iter().copied().collect();
    for Pin { vcpu, cpu } in wanted {
        let pin = Element::new("vcpupin").with("vcpu", vcpu).with("cpuset", cpu);
        text = Part::CpuTune.put(&text, pin, record)?;
    }
    Ok(text)
}

/// The document without the pins that are ours and as we made them.
pub(super) fn unpin(mut text: String, record: &mut Record) -> Result<String> {
    for ours in std::mem::take(&mut record.pins) {
        let document = Document::parse(&text)?;
        let mut nodes = Part::CpuTune.of(&document).into_iter().flat_map(|tune| children(tune, "vcpupin"));
        let splice =
            nodes.find(|node| pin(*node) == Some(ours)).map(|node| document.remove(node)).transpose()?;
        drop(nodes);
        if let Some(splice) = splice {
            text = splice.apply(&text);
        }
    }
    Ok(text)
}

/// The document with a limit that lets QEMU lock what it has to, where this libvirt would let it lock less.
pub(super) fn limit(text: String, placement: &Placement, record: &mut Record) -> Result<String> {
    let document = Document::parse(&text)?;
    let devices = devices_that_lock(&document, 0);
    let memory = document.at(&["memory"]).and_then(kib);
    let Some(memory) = memory.filter(|_| placement.locks_by_itself(devices) < devices) else {
        return Ok(text);
    };
    let wanted = locked_kib(memory, devices);
    match hard_limit(&document) {
        Some(there) if kib(there).is_some_and(|there| there >= wanted) => Ok(text),
        // Another's that is too small is a finding.
        Some(there) if kib(there) != record.limit => Ok(text),
        there => {
            let text = match there {
                Some(ours) => document.remove(ours)?.apply(&text),
                None => text,
            };
            record.limit = Some(wanted);
            let limit = Element::new("hard_limit").with("unit", "KiB").saying(&wanted);
            Part::MemTune.put(&text, limit, record)
        }
    }
}

/// The document without the limit, where it is ours and as we made it.
pub(super) fn unlimit(text: String, record: &mut Record) -> Result<String> {
    let Some(ours) = record.limit.take() else { return Ok(text) };
    let document = Document::parse(&text)?;
    match hard_limit(&document).filter(|there| kib(*there) == Some(ours)) {
        Some(there) => Ok(document.remove(there)?.apply(&text)),
        None => Ok(text),
    }
}

pub(crate) fn hard_limit<'d, 'a>(document: &'d Document<'a>) -> Option<Node<'d, 'a>> {
    child(Part::MemTune.of(document)?, "hard_limit")
}

fn pin(node: Node<'_, '_>) -> Option<Pin> {
    let vcpu = node.attribute("vcpu")?.parse().ok()?;
    Some(Pin { vcpu, cpu: node.attribute("cpuset")?.trim().parse().ok()? })
}
