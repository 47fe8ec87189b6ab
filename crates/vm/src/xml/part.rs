//! The elements that we may have to put around what is ours, and that go with it.

use roxmltree::Node;

use super::document::{Document, is_blank};
use super::element::Element;
use super::record::Record;
use crate::Result;

/// The namespace of `<qemu:commandline>` (<https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands>).
pub(crate) const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// What can be ours: its name in the record and the way to it from `<domain>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Metadata,
    MemoryBacking,
    /// `<hugepages>` in the memory backing.
    HugePages,
    /// `<source type='memfd'/>` in the memory backing.
    Source,
    /// `<access mode='shared'/>` in the memory backing.
    Access,
    /// Around `<hard_limit>`.
    MemTune,
    /// Around `<vcpupin>`.
    CpuTune,
    Devices,
    /// `<qemu:commandline>`.
    CommandLine,
}

impl Part {
    /// All of them, what is inside before what is around it.
    pub(super) const ALL: [Self; 9] = [
        Self::HugePages,
        Self::Source,
        Self::Access,
        Self::MemoryBacking,
        Self::MemTune,
        Self::CpuTune,
        Self::Devices,
        Self::CommandLine,
        Self::Metadata,
    ];

    const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Metadata => &["metadata"],
            Self::MemoryBacking => &["memoryBacking"],
            Self::HugePages => &["memoryBacking", "hugepages"],
            Self::Source => &["memoryBacking", "source"],
            Self::Access => &["memoryBacking", "access"],
            Self::MemTune => &["memtune"],
            Self::CpuTune => &["cputune"],
            Self::Devices => &["devices"],
            Self::CommandLine => &["commandline"],
        }
    }

    /// What it stands behind in a document of libvirt's: the first of these that is there.
    const fn heads(self) -> &'static [&'static str] {
        match self {
            Self::Metadata => &["uuid", "description", "title", "name"],
            Self::MemoryBacking => &["currentMemory", "memory", "maxMemory"],
            Self::MemTune => &["memoryBacking", "currentMemory", "memory"],
            Self::CpuTune => &["vcpus", "vcpu"],
            _ => &[],
        }
    }

    /// Where it is in `document`.
    pub(super) fn of<'d, 'a>(self, document: &'d Document<'a>) -> Option<Node<'d, 'a>> {
        match self {
            Self::CommandLine => {
                document.domain().children().find(|node| node.has_tag_name((QEMU, "commandline")))
            }
            part => document.at(part.path()),
        }
    }

    /// Whether it is there for vhost-user's sake.
    pub(super) const fn is_memory(self) -> bool {
        matches!(self, Self::MemoryBacking | Self::HugePages | Self::Source | Self::Access)
    }

    /// Its name in the record.
    pub(super) fn name(self) -> &'static str {
        self.path().last().copied().unwrap_or_default()
    }

    /// The document with `child` as the last one in this part, which is made where there is none.
    pub(super) fn put(self, text: &str, child: Element, record: &mut Record) -> Result<String> {
        let document = Document::parse(text)?;
        let splice = if let Some(part) = self.of(&document) {
            if document.is_empty_tag(part) {
                record.opened.insert(self);
            }
            document.append(part, |layout| child.write(layout))
        } else {
            record.created.insert(self);
            let part = match self {
                Self::CommandLine => Element::new("qemu:commandline").with("xmlns:qemu", QEMU),
                part => Element::new(part.name()),
            };
            let part = part.holding(child);
            match self.heads().iter().find_map(|head| document.at(&[head])) {
                Some(head) => document.insert_after(head, |layout| part.write(layout)),
                None => document.append(document.domain(), |layout| part.write(layout)),
            }
        };
        Ok(splice?.apply(text))
    }

    /// Takes the part out of a document as far as it is ours by the record and nothing else has come into it.
    pub(super) fn undo(self, text: &str, record: &Record) -> Result<String> {
        let document = Document::parse(text)?;
        let Some(node) = self.of(&document) else { return Ok(text.to_owned()) };
        let ours = match self {
            Self::Source => node.attribute("type") == Some("memfd") && is_blank(node),
            Self::Access => node.attribute("mode") == Some("shared") && is_blank(node),
            Self::HugePages => node.children().filter(Node::is_element).count() <= 1,
            _ => is_blank(node) && node.attributes().len() == 0,
        };
        let splice = if record.created.contains(&self) && ours {
            document.remove(node)
        } else if record.opened.contains(&self) && is_blank(node) && !document.is_empty_tag(node) {
            document.collapse(node)
        } else {
            return Ok(text.to_owned());
        };
        Ok(splice?.apply(text))
    }
}
