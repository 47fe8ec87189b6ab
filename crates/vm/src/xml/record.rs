//! The record of what we added beside an interface, kept in the domain's `<metadata>`.
//!
//! ```xml
//! <metadata>
//!   <vdpa:wiring xmlns:vdpa='https://github.com/vdpa-rs/vdpa/xmlns/domain/1.0' created='memoryBacking source access' last-port='7'/>
//! </metadata>
//! ```
//!
//! `created` names the elements that were not there before, `opened` those that were empty-element
//! tags, `last-port` the last PCI controller there was, `ports` those after it that served an interface
//! of ours which is gone. libvirt keeps foreign elements in `<metadata>` for whoever owns the namespace, one a
//! namespace (<https://libvirt.org/formatdomain.html#general-metadata>). What the domain had already is
//! not in the record and is not taken out; where nothing had to be added there is no record.

use std::collections::BTreeSet;

use roxmltree::Node;

use super::document::{Document, is_blank};
use super::element::Element;
use crate::Result;

const NAMESPACE: &str = "https://github.com/vdpa-rs/vdpa/xmlns/domain/1.0";

/// What can be ours: its name in the record and the way to it from `<domain>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Metadata,
    MemoryBacking,
    /// `<source type='memfd'/>` in the memory backing.
    Source,
    /// `<access mode='shared'/>` in the memory backing.
    Access,
    Devices,
}

impl Part {
    pub(super) const ALL: [Self; 5] =
        [Self::Source, Self::Access, Self::MemoryBacking, Self::Devices, Self::Metadata];

    pub(super) const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Metadata => &["metadata"],
            Self::MemoryBacking => &["memoryBacking"],
            Self::Source => &["memoryBacking", "source"],
            Self::Access => &["memoryBacking", "access"],
            Self::Devices => &["devices"],
        }
    }

    /// Whether it is there for vhost-user's sake.
    pub(super) const fn is_memory(self) -> bool {
        matches!(self, Self::MemoryBacking | Self::Source | Self::Access)
    }

    fn name(self) -> &'static str {
        self.path().last().copied().unwrap_or_default()
    }
}

/// What we added to a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Elements that were not there.
    pub(super) created: BTreeSet<Part>,
    /// Elements that were there as empty-element tags.
    pub(super) opened: BTreeSet<Part>,
    /// The last PCI controller before us.
    pub(super) last_port: Option<u32>,
    /// Later ones that an interface of ours sat on.
    pub(super) ports: BTreeSet<u32>,
}

impl Record {
    /// Reads the record; an empty one where there is none.
    pub(super) fn read(document: &Document<'_>) -> Self {
        let words = |name| Self::node(document).and_then(|node| node.attribute(name)).unwrap_or_default();
        let parts = |name| -> BTreeSet<Part> {
            words(name)
                .split_ascii_whitespace()
                .filter_map(|name| Part::ALL.into_iter().find(|p| p.name() == name))
                .collect()
        };
        Self {
            created: parts("created"),
            opened: parts("opened"),
            last_port: words("last-port").parse().ok(),
            ports: words("ports").split_ascii_whitespace().filter_map(|port| port.parse().ok()).collect(),
        }
    }

    /// Whether it says nothing of anything but itself.
    pub(super) fn says_nothing(&self) -> bool {
        let itself = |parts: &BTreeSet<Part>| parts.iter().all(|part| *part == Part::Metadata);
        itself(&self.created) && itself(&self.opened) && self.last_port.is_none()
    }

    /// Puts the record into a document, in place of the one there.
    pub(super) fn write(mut self, text: &str) -> Result<String> {
        let document = Document::parse(text)?;
        if Self::read(&document) == self {
            return Ok(text.to_owned());
        }
        let splice = match (Self::node(&document), document.at(Part::Metadata.path())) {
            (Some(node), _) => document.replace(node, |layout| self.element().write(layout)),
            (None, Some(metadata)) => {
                if document.is_empty_tag(metadata) {
                    self.opened.insert(Part::Metadata);
                }
                document.append(metadata, |layout| self.element().write(layout))
            }
            (None, None) => {
                self.created.insert(Part::Metadata);
                let element = Element::new("metadata").holding(self.element());
                let heads = ["uuid", "description", "title", "name"];
                match heads.iter().find_map(|head| document.at(&[head])) {
                    Some(head) => document.insert_after(head, |layout| element.write(layout)),
                    None => document.append(document.domain(), |layout| element.write(layout)),
                }
            }
        };
        Ok(splice?.apply(text))
    }

    /// Takes the record out of a document.
    pub(super) fn remove(text: &str) -> Result<String> {
        let document = Document::parse(text)?;
        match Self::node(&document) {
            Some(node) => Ok(document.remove(node)?.apply(text)),
            None => Ok(text.to_owned()),
        }
    }

    /// Takes `part` out of a document as far as it is ours and nothing else has come into it.
    pub(super) fn undo(&self, part: Part, text: &str) -> Result<String> {
        let document = Document::parse(text)?;
        let Some(node) = document.at(part.path()) else { return Ok(text.to_owned()) };
        let ours = match part {
            Part::Source => node.attribute("type") == Some("memfd") && is_blank(node),
            Part::Access => node.attribute("mode") == Some("shared") && is_blank(node),
            Part::Metadata | Part::MemoryBacking | Part::Devices => {
                is_blank(node) && node.attributes().len() == 0
            }
        };
        let splice = if self.created.contains(&part) && ours {
            document.remove(node)
        } else if self.opened.contains(&part) && is_blank(node) {
            document.collapse(node)
        } else {
            return Ok(text.to_owned());
        };
        Ok(splice?.apply(text))
    }

    fn node<'d, 'a>(document: &'d Document<'a>) -> Option<Node<'d, 'a>> {
        document.at(Part::Metadata.path())?.children().find(|node| node.has_tag_name((NAMESPACE, "wiring")))
    }

    fn element(&self) -> Element {
        let mut element = Element::new("vdpa:wiring").with("xmlns:vdpa", NAMESPACE);
        for (name, parts) in [("created", &self.created), ("opened", &self.opened)] {
            if !parts.is_empty() {
                let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
                element = element.with(name, &names.join(" "));
            }
        }
        if let Some(port) = self.last_port {
            element = element.with("last-port", &port);
        }
        if !self.ports.is_empty() {
            let ports: Vec<_> = self.ports.iter().map(u32::to_string).collect();
            element = element.with("ports", &ports.join(" "));
        }
        element
    }
}
