//! A domain's XML: an interface of ours in, out and found, every other byte as it was.
//!
//! Nothing here does any I/O. roxmltree says where in the text things stand; the text is spliced there,
//! so quotes, comments, CDATA, entities, the DOCTYPE, line ends and attribute order are untouched.
//!
//! What [`attach`] adds, [`detach`] takes out, and the text is what it was, byte for byte. Beside the
//! interface that can be shared memory (vhost-user needs it), the elements around what we add, and a
//! root port that libvirt made for the interface. These are recorded in `<metadata>` under our
//! namespace, so that what was there before us stays, and a document that went through libvirt
//! meanwhile is cleaned up as well. Shared memory that another device needs too (a foreign vhost-user
//! interface, virtiofs) stays.

mod document;
mod element;
mod memory;
mod nic;
mod port;
mod record;

use vdpa_hw::MacAddress;

use crate::{Alias, DomainName, Error, Interface, Result, Severity, check};
pub(crate) use document::{Document, child, children};
pub(crate) use element::Element;
#[cfg(feature = "mock")]
pub(crate) use element::Layout;
pub(crate) use memory::{Sharing, sharing};
use record::{Part, Record};

/// The document with `interface` in it for `owner`, in place of the one it had for `owner`.
///
/// Where it is there already the text comes back as it is. An interface that cannot work in this
/// domain ([`check`]) is refused with [`Error::Unfit`].
pub fn attach(xml: &str, owner: impl Into<Alias>, interface: &Interface) -> Result<String> {
    let alias = owner.into();
    if let Some(finding) = check(xml, alias, interface)?.into_iter().find(|f| f.severity() == Severity::Error)
    {
        return Err(Error::Unfit(finding));
    }
    let document = Document::parse(xml)?;
    let mut record = Record::read(&document);
    if !nic::all(&document).any(|interface| nic::mark(interface).is_some()) {
        record.last_port = port::last(&document);
    }
    let mut text = put(&document, alias, interface, &mut record)?.unwrap_or_else(|| xml.to_owned());
    if interface.needs_shared_memory() {
        text = memory::share(text, &mut record)?;
    }
    if record.says_nothing() {
        return Ok(text);
    }
    record.write(&text)
}

/// The document with the interface itself in place; `None` where it is.
fn put(
    document: &Document<'_>,
    alias: Alias,
    interface: &Interface,
    record: &mut Record,
) -> Result<Option<String>> {
    let text = document.text();
    if let Some(node) = nic::of(document, alias) {
        if nic::read(node, alias).as_ref() == Ok(interface) {
            return Ok(None);
        }
        let element = nic::write(interface, alias, Some((document, node)))?;
        return Ok(Some(document.replace(node, |layout| element.write(layout))?.apply(text)));
    }
    let element = nic::write(interface, alias, None)?;
    let splice = if let Some(devices) = document.at(Part::Devices.path()) {
        if document.is_empty_tag(devices) {
            record.opened.insert(Part::Devices);
        }
        document.append(devices, |layout| element.write(layout))
    } else {
        record.created.insert(Part::Devices);
        let devices = Element::new("devices").holding(element);
        document.append(document.domain(), |layout| devices.write(layout))
    };
    Ok(Some(splice?.apply(text)))
}

/// The document without the interface for `owner`, and, with our last one, without anything of ours.
pub fn detach(xml: &str, owner: impl Into<Alias>) -> Result<String> {
    let alias = owner.into();
    let mut text = xml.to_owned();
    let before = Record::read(&Document::parse(&text)?);
    let mut after = before.clone();
    loop {
        let document = Document::parse(&text)?;
        let Some(node) = nic::of(&document, alias) else { break };
        after.ports.extend(port::of(node));
        text = document.remove(node)?.apply(&text);
    }
    text = port::remove(text, &mut after)?;
    let document = Document::parse(&text)?;
    let others = nic::all(&document).any(|interface| nic::mark(interface).is_some());
    let memory = memory::is_needed(&document);
    for part in Part::ALL {
        // Beside another interface of ours stays what is around it; shared memory, beside one that needs it.
        let stays = if part.is_memory() { memory } else { others };
        if !stays && part != Part::Metadata {
            text = before.undo(part, &text)?;
            after.created.remove(&part);
            after.opened.remove(&part);
        }
    }
    if others && !after.says_nothing() {
        return after.write(&text);
    }
    before.undo(Part::Metadata, &Record::remove(&text)?)
}

/// The interface that the domain has for `owner`.
pub fn find(xml: &str, owner: impl Into<Alias>) -> Result<Option<Interface>> {
    let (document, alias) = (Document::parse(xml)?, owner.into());
    nic::of(&document, alias).map(|node| nic::read(node, alias)).transpose()
}

/// All interfaces in the domain that are ours, by their marks, in the document's order.
pub fn interfaces(xml: &str) -> Result<Vec<(Alias, Interface)>> {
    let document = Document::parse(xml)?;
    let ours = nic::all(&document).filter_map(|node| Some((node, nic::mark(node)?)));
    ours.map(|(node, alias)| Ok((alias, nic::read(node, alias)?))).collect()
}

/// The mark of our interface that has this MAC.
pub fn with_mac(xml: &str, mac: MacAddress) -> Result<Option<Alias>> {
    let found = interfaces(xml)?.into_iter().find(|(_, interface)| interface.mac == mac);
    Ok(found.map(|(alias, _)| alias))
}

/// The name that the domain gives itself.
pub fn name(xml: &str) -> Result<DomainName> {
    let document = Document::parse(xml)?;
    let name = document.at(&["name"]).and_then(|name| name.text()).unwrap_or_default();
    name.parse().map_err(|error: vdpa_hw::ParseError| Error::NotADomain(error.to_string()))
}
