//! A domain's XML: an interface of ours in, out and found, every other byte as it was.
//!
//! Nothing here does any I/O. roxmltree says where in the text things stand; the text is spliced there,
//! so quotes, comments, CDATA, entities, the DOCTYPE, line ends and attribute order are untouched.
//!
//! What [`attach`] adds, [`detach`] takes out, and the text is what it was, byte for byte. Beside the
//! interface that can be shared memory (vhost-user needs it), huge pages, pins and a limit on locked memory that
//! were asked for or are needed, the elements around what we add, and a root port that libvirt made for the interface. These are recorded in `<metadata>` under our
//! namespace, so that what was there before us stays, and a document that went through libvirt
//! meanwhile is cleaned up as well. Shared memory that another device needs too (a foreign vhost-user
//! interface, virtiofs) stays.

mod document;
mod element;
mod memory;
mod nic;
mod part;
mod pass;
mod port;
mod record;
mod tune;

use vdpa_hw::MacAddress;

use crate::check::check;
use crate::placement::Form;
use crate::{Alias, DomainName, Error, Interface, Pin, Placement, Result, Severity};
pub(crate) use document::{Document, child, children};
pub(crate) use element::{Element, Layout};
pub(crate) use memory::{Sharing, sharing};
use nic::Wanted;
pub(crate) use nic::{address, pci};
use part::Part;
pub(crate) use part::QEMU;
use record::Record;
pub(crate) use tune::{hard_limit, is_pinned, is_pinned_by_others, limit_by_others};

/// The document with `interface` in it for `owner`, in place of the one it had for `owner`.
///
/// Where it is there already the text comes back as it is. An interface that cannot work in this
/// domain ([`check`](crate::check)) is refused with [`Error::Unfit`].
pub fn attach(xml: &str, owner: impl Into<Alias>, interface: &Interface) -> Result<String> {
    attach_as(xml, owner, interface, &Placement::default())
}

/// The same, and with a say in how the domain takes it.
pub fn attach_as(
    xml: &str,
    owner: impl Into<Alias>,
    interface: &Interface,
    placement: &Placement,
) -> Result<String> {
    let alias = owner.into();
    let findings = check(xml, alias, interface, placement)?;
    if let Some(finding) = findings.into_iter().find(|finding| finding.severity() == Severity::Error) {
        return Err(Error::Unfit(finding));
    }
    let form = placement.form(interface).map_err(Error::Unfit)?;
    let wanted = Wanted { interface, alias, form, address: placement.address };
    let document = Document::parse(xml)?;
    let mut record = Record::read(&document);
    if !nic::all(&document).any(|interface| nic::mark(interface).is_some()) {
        record.last_port = port::last(&document);
    }
    let mut text = put(&document, wanted, &mut record)?.unwrap_or_else(|| xml.to_owned());
    text = match form {
        Form::WithCommandLine => pass::set(text, alias, &mut record)?,
        Form::Interface => pass::unset(text, alias, &mut record)?,
    };
    if let Some(size) = placement.huge_pages {
        text = memory::on_huge_pages(text, size, &mut record)?;
    }
    if interface.needs_shared_memory() {
        text = memory::share(text, &mut record)?;
    }
    text = tune::limit(text, placement, &mut record)?;
    text = tune::pin_to(text, &placement.pins, &mut record)?;
    if record.says_nothing() {
        return Ok(text);
    }
    record.write(&text)
}

/// The document with the interface itself in place; `None` where it is.
fn put(document: &Document<'_>, wanted: Wanted<'_>, record: &mut Record) -> Result<Option<String>> {
    let text = document.text();
    if let Some(node) = nic::of(document, wanted.alias) {
        let in_words =
            nic::says_page_per_vq(node) == (wanted.interface.page_per_vq && wanted.form == Form::Interface);
        let in_place = wanted.address.is_none_or(|address| nic::address(node) == Some(address));
        if in_words && in_place && nic::read(document, node, wanted.alias).as_ref() == Ok(wanted.interface) {
            return Ok(None);
        }
        let element = nic::write(wanted, Some((document, node)))?;
        return Ok(Some(document.replace(node, |layout| element.write(layout))?.apply(text)));
    }
    let element = nic::write(wanted, None)?;
    Part::Devices.put(text, element, record).map(Some)
}

/// The document without the interface for `owner`, and, with our last one, without anything of ours.
pub fn detach(xml: &str, owner: impl Into<Alias>) -> Result<String> {
    let alias = owner.into();
    let before = Record::read(&Document::parse(xml)?);
    let mut after = before.clone();
    let mut text = pass::unset(xml.to_owned(), alias, &mut after)?;
    loop {
        let document = Document::parse(&text)?;
        let Some(node) = nic::of(&document, alias) else { break };
        after.ports.extend(port::of(node));
        text = document.remove(node)?.apply(&text);
    }
    text = port::remove(text, &mut after)?;
    let document = Document::parse(&text)?;
    let others = nic::all(&document).any(|interface| nic::mark(interface).is_some());
    let shared = memory::is_needed(&document);
    if !others {
        text = tune::unpin(text, &mut after)?;
        text = tune::unlimit(text, &mut after)?;
    }
    if !shared {
        text = memory::unshare_cells(text, &before)?;
        after.cells.clear();
    }
    for part in Part::ALL {
        // Beside another interface of ours stays what is around it; shared memory, beside one that needs it.
        let stays = match part {
            Part::HugePages => shared || others,
            Part::MemoryBacking => shared || others && after.created.contains(&Part::HugePages),
            part if part.is_memory() => shared,
            _ => others,
        };
        if !stays && part != Part::Metadata {
            text = part.undo(&text, &before)?;
            after.created.remove(&part);
            after.opened.remove(&part);
        }
    }
    if others && !after.says_nothing() {
        return after.write(&text);
    }
    Part::Metadata.undo(&Record::remove(&text)?, &before)
}

/// The interface that the domain has for `owner`.
pub fn find(xml: &str, owner: impl Into<Alias>) -> Result<Option<Interface>> {
    let (document, alias) = (Document::parse(xml)?, owner.into());
    nic::of(&document, alias).map(|node| nic::read(&document, node, alias)).transpose()
}

/// All interfaces in the domain that are ours, by their marks, in the document's order.
pub fn interfaces(xml: &str) -> Result<Vec<(Alias, Interface)>> {
    let document = Document::parse(xml)?;
    let ours = nic::all(&document).filter_map(|node| Some((node, nic::mark(node)?)));
    ours.map(|(node, alias)| Ok((alias, nic::read(&document, node, alias)?))).collect()
}

/// The mark of our interface that has this MAC.
pub fn with_mac(xml: &str, mac: MacAddress) -> Result<Option<Alias>> {
    let found = interfaces(xml)?.into_iter().find(|(_, interface)| interface.mac == mac);
    Ok(found.map(|(alias, _)| alias))
}

/// The domain's vCPUs that are pinned to one CPU of the host, and that one.
pub fn pins(xml: &str) -> Result<Vec<Pin>> {
    Ok(tune::pins(&Document::parse(xml)?))
}

/// The name that the domain gives itself.
pub fn name(xml: &str) -> Result<DomainName> {
    let document = Document::parse(xml)?;
    let name = document.at(&["name"]).and_then(|name| name.text()).unwrap_or_default();
    name.parse().map_err(|error: vdpa_hw::ParseError| Error::NotADomain(error.to_string()))
}
