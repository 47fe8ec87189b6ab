//! What a domain asks of its host before any interface of ours: memory, where it is to lie, vCPUs.
//!
//! Source: <https://libvirt.org/formatdomain.html>, "Memory Allocation", "Memory Backing", "NUMA Node Tuning".

use roxmltree::Node;
use serde::{Deserialize, Serialize};

use crate::check::vcpus;
use crate::xml::{Document, Sharing, child, hard_limit, sharing};
use crate::{Error, Result};

/// What a domain asks of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The guest's memory at boot, in KiB.
    pub memory_kib: u64,
    /// What the memory is made of.
    pub pages: Pages,
    /// The NUMA nodes of the host that the memory has to lie on; empty where none is named.
    pub nodes: Vec<u16>,
    /// How many vCPUs it starts with.
    pub vcpus: u16,
    /// Why its memory cannot be shared with a vhost-user process; absent where it is, or can be made so.
    pub private_memory: Option<String>,
    /// `<memtune><hard_limit>` in KiB, which is also how much it may lock.
    pub hard_limit_kib: Option<u64>,
}

/// What a guest's memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pages {
    /// Ordinary pages.
    Ordinary,
    /// Huge pages of the host's default size.
    Huge,
    /// Huge pages of this size, in KiB.
    HugeOf(u64),
}

impl Profile {
    /// Reads it from a domain's XML.
    ///
    /// # Errors
    /// [`Error::NotADomain`] where the memory is not said or not understood.
    pub fn read(xml: &str) -> Result<Self> {
        let document = Document::parse(xml)?;
        let unread = |what: &str| Error::NotADomain(format!("{what} is not understood"));
        let memory = document.at(&["memory"]).and_then(kib).ok_or_else(|| unread("<memory>"))?;
        let pages = match document.at(&["memoryBacking", "hugepages"]) {
            None => Pages::Ordinary,
            // One without a nodeset is for what no other names; several sizes at once are read as the first.
            Some(pages) => match child(pages, "page") {
                None => Pages::Huge,
                Some(page) => Pages::HugeOf(size(page).ok_or_else(|| unread("<page size>"))?),
            },
        };
        let nodes = document.at(&["numatune", "memory"]).and_then(|memory| memory.attribute("nodeset"));
        Ok(Self {
            memory_kib: memory,
            pages,
            nodes: nodes
                .map(|set| node_set(set).ok_or_else(|| unread("nodeset")))
                .transpose()?
                .unwrap_or_default(),
            vcpus: vcpus(&document).ok_or_else(|| unread("<vcpu>"))?,
            private_memory: match sharing(&document) {
                Sharing::Private(place) => Some(place.to_owned()),
                Sharing::Shared | Sharing::Unsaid => None,
            },
            hard_limit_kib: hard_limit(&document).and_then(kib),
        })
    }
}

/// `<memory unit='GiB'>8</memory>`: KiB unless it says otherwise.
pub(crate) fn kib(node: Node<'_, '_>) -> Option<u64> {
    scaled(node.text()?, node.attribute("unit").unwrap_or("KiB"))
}

/// `<page size='2' unit='M'/>`: KiB unless it says otherwise.
fn size(node: Node<'_, '_>) -> Option<u64> {
    scaled(node.attribute("size")?, node.attribute("unit").unwrap_or("KiB"))
}

/// A number with libvirt's unit (`virScaleInteger` in `src/util/virutil.c`), in KiB, rounded up.
fn scaled(number: &str, unit: &str) -> Option<u64> {
    let number: u128 = number.trim().parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return u64::try_from(number.div_ceil(1024)).ok();
    }
    let mut letters = unit.chars();
    let letter = letters.next()?;
    let base = match letters.as_str() {
        "" | "ib" => 1024u128,
        "b" => 1000,
        _ => return None,
    };
    let power = u32::try_from("kmgtpe".find(letter)?).ok()? + 1;
    u64::try_from(number.checked_mul(base.pow(power))?.div_ceil(1024)).ok()
}

/// `0-2,^1,5` (`virBitmapParse` in `src/util/virbitmap.c`).
fn node_set(text: &str) -> Option<Vec<u16>> {
    let mut nodes = std::collections::BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(out) = part.strip_prefix('^') {
            nodes.remove(&out.parse().ok()?);
        } else if let Some((first, last)) = part.split_once('-') {
            nodes.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
        } else {
            nodes.insert(part.parse().ok()?);
        }
    }
    Some(nodes.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(inside: &str) -> Profile {
        Profile::read(&format!("<domain><name>a</name>{inside}</domain>")).unwrap()
    }

    #[test]
    fn the_reference_domain_wants_eight_pages_of_a_gibibyte() {
        let found = Profile::read(include_str!("../fixtures/cx6.1.xml")).unwrap();
        assert_eq!((found.memory_kib, found.pages), (8 << 20, Pages::HugeOf(1 << 20)));
        assert_eq!((found.vcpus, found.nodes, found.private_memory), (2, vec![], None));
    }

    #[test]
    fn every_unit_of_memory_is_understood() {
        for (text, kib) in [
            ("<memory>4096</memory>", 4096),
            ("<memory unit='b'>1048577</memory>", 1025),
            ("<memory unit='KB'>1024</memory>", 1000),
            ("<memory unit='k'>1024</memory>", 1024),
            ("<memory unit='MiB'>512</memory>", 512 << 10),
            ("<memory unit='MB'>512</memory>", 500_000),
            ("<memory unit='G'>8</memory>", 8 << 20),
            ("<memory unit='TiB'>1</memory>", 1 << 30),
        ] {
            assert_eq!(profile(text).memory_kib, kib, "{text}");
        }
    }

    #[test]
    fn nodes_pages_and_limits_are_read() {
        let found = profile(
            "<memory>1</memory><memtune><hard_limit unit='G'>9</hard_limit></memtune>\
             <memoryBacking><hugepages/><access mode='private'/></memoryBacking>\
             <numatune><memory mode='strict' nodeset='0-3,^1,7'/></numatune>",
        );
        assert_eq!((found.nodes, found.pages), (vec![0, 2, 3, 7], Pages::Huge));
        assert_eq!(found.hard_limit_kib, Some(9 << 20));
        assert_eq!(found.private_memory.as_deref(), Some("<access> in <memoryBacking>"));
        let two = profile(
            "<memory>1</memory><memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>",
        );
        assert_eq!(two.pages, Pages::HugeOf(2048));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for inside in [
            "",
            "<memory>lots</memory>",
            "<memory unit='parsec'>1</memory>",
            "<memory>1</memory><numatune><memory nodeset='x'/></numatune>",
        ] {
            assert!(Profile::read(&format!("<domain><name>a</name>{inside}</domain>")).is_err(), "{inside}");
        }
    }
}
