//! The record of what we added beside an interface, kept in the domain's `<metadata>`.
//!
//! ```xml
//! <metadata>
//!   <vdpa:wiring xmlns:vdpa='https://github.com/vdpa-rs/vdpa/xmlns/domain/1.0' created='memoryBacking source access' last-port='7'/>
//! </metadata>
//! ```
//!
//! | attribute | what it keeps |
//! |---|---|
//! | `created` | the elements that were not there before |
//! | `opened` | those that were empty-element tags |
//! | `cells` | the NUMA cells that we gave `memAccess='shared'` |
//! | `pins` | the `<vcpupin>` that we added, `VCPU:CPU` |
//! | `limit` | the `<hard_limit>` that we added, in KiB |
//! | `last-port` | the last PCI controller there was |
//! | `ports` | those after it that served an interface of ours which is gone |
//!
//! libvirt keeps foreign elements in `<metadata>` for whoever owns the namespace, one a namespace
//! (<https://libvirt.org/formatdomain.html#general-metadata>). What the domain had already is not in the
//! record and is not taken out; where nothing had to be added there is no record.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::document::Document;
use super::element::Element;
use super::part::Part;
use crate::{Pin, Result};

const NAMESPACE: &str = "https://github.com/vdpa-rs/vdpa/xmlns/domain/1.0";

/// What we added to a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Elements that were not there.
    pub(super) created: BTreeSet<Part>,
    /// Elements that were there as empty-element tags.
    pub(super) opened: BTreeSet<Part>,
    /// NUMA cells that did not say how their memory is accessed, by id.
    pub(super) cells: BTreeSet<u32>,
    /// Pins of ours.
    pub(super) pins: BTreeSet<Pin>,
    /// The hard limit of ours, in KiB.
    pub(super) limit: Option<u64>,
    /// The last PCI controller before us.
    pub(super) last_port: Option<u32>,
    /// Later ones that an interface of ours sat on.
    pub(super) ports: BTreeSet<u32>,
}

impl Record {
    /// Reads the record; an empty one where there is none.
    pub(super) fn read(document: &Document<'_>) -> Self {
        let value = |name| Self::node(document).and_then(|node| node.attribute(name)).unwrap_or_default();
        let words = |name| value(name).split_ascii_whitespace();
        let part = |name: &str| Part::ALL.into_iter().find(|part| part.name() == name);
        let pin = |pin: &str| {
            let (vcpu, cpu) = pin.split_once(':')?;
            Some(Pin { vcpu: vcpu.parse().ok()?, cpu: cpu.parse().ok()? })
        };
        Self {
            created: words("created").filter_map(part).collect(),
            opened: words("opened").filter_map(part).collect(),
            cells: words("cells").filter_map(|cell| cell.parse().ok()).collect(),
            pins: words("pins").filter_map(pin).collect(),
            limit: value("limit").parse().ok(),
            last_port: value("last-port").parse().ok(),
            ports: words("ports").filter_map(|port| port.parse().ok()).collect(),
        }
    }

    /// Whether it says nothing of anything but itself.
    pub(super) fn says_nothing(&self) -> bool {
        let itself = |parts: &BTreeSet<Part>| parts.iter().all(|part| *part == Part::Metadata);
        itself(&self.created)
            && itself(&self.opened)
            && self.cells.is_empty()
            && self.pins.is_empty()
            && self.limit.is_none()
            && self.last_port.is_none()
    }

    /// Puts the record into a document, in place of the one there.
    pub(super) fn write(mut self, text: &str) -> Result<String> {
        let document = Document::parse(text)?;
        if Self::read(&document) == self {
            return Ok(text.to_owned());
        }
        if let Some(node) = Self::node(&document) {
            return Ok(document.replace(node, |layout| self.element().write(layout))?.apply(text));
        }
        // What this takes has to be in what is written.
        match Part::Metadata.of(&document) {
            Some(metadata) if document.is_empty_tag(metadata) => self.opened.insert(Part::Metadata),
            Some(_) => false,
            None => self.created.insert(Part::Metadata),
        };
        let element = self.element();
        Part::Metadata.put(text, element, &mut self)
    }

    /// Takes the record out of a document.
    pub(super) fn remove(text: &str) -> Result<String> {
        let document = Document::parse(text)?;
        match Self::node(&document) {
            Some(node) => Ok(document.remove(node)?.apply(text)),
            None => Ok(text.to_owned()),
        }
    }

    fn node<'d, 'a>(document: &'d Document<'a>) -> Option<Node<'d, 'a>> {
        Part::Metadata.of(document)?.children().find(|node| node.has_tag_name((NAMESPACE, "wiring")))
    }

    fn element(&self) -> Element {
        let names = |parts: &BTreeSet<Part>| joined(parts, |part| part.name().to_owned());
        let attributes = [
            ("created", names(&self.created)),
            ("opened", names(&self.opened)),
            ("cells", joined(&self.cells, u32::to_string)),
            ("pins", joined(&self.pins, |pin| format!("{}:{}", pin.vcpu, pin.cpu))),
            ("limit", self.limit.map(|limit| limit.to_string()).unwrap_or_default()),
            ("last-port", self.last_port.map(|port| port.to_string()).unwrap_or_default()),
            ("ports", joined(&self.ports, u32::to_string)),
        ];
        let element = Element::new("vdpa:wiring").with("xmlns:vdpa", NAMESPACE);
        let said = attributes.into_iter().filter(|(_, value)| !value.is_empty());
        said.fold(element, |element, (name, value)| element.with(name, &value))
    }
}

fn joined<T>(items: &BTreeSet<T>, word: impl Fn(&T) -> String) -> String {
    items.iter().map(word).collect::<Vec<_>>().join(" ")
}
