//! `<qemu:commandline>`: what a libvirt that is too old cannot say in `<interface>`.
//!
//! One thing is: that each doorbell has a page of its own. `-set device.ALIAS.page-per-vq=on` says it of the device
//! that libvirt makes of our `<interface>`, whose QEMU id is our alias; all else stays libvirt's to arrange (addresses,
//! the socket's label, memory). Source: `qemu_set_option` in QEMU's `softmmu/vl.c`.

use roxmltree::Node;

use super::document::Document;
use super::element::Element;
use super::part::{Part, QEMU};
use super::record::Record;
use crate::{Alias, Result};

/// Whether the command line gives our interface's doorbells pages of their own.
pub(super) fn is_set(document: &Document<'_>, alias: Alias) -> bool {
    find(document, alias).is_some()
}

/// The document in which it does.
pub(super) fn set(text: String, alias: Alias, record: &mut Record) -> Result<String> {
    let document = Document::parse(&text)?;
    if is_set(&document, alias) {
        return Ok(text);
    }
    let name = Part::CommandLine.of(&document).map_or("qemu:arg", |line| {
        // Under whatever prefix the document has the namespace; libvirt's is the usual one.
        if document.qualified_name(line) == "qemu:commandline" { "qemu:arg" } else { "arg" }
    });
    let mut text = text.clone();
    for value in ["-set".to_owned(), setting(alias)] {
        let argument = Element::new(name);
        let argument = if name == "arg" { argument.with("xmlns", QEMU) } else { argument };
        text = Part::CommandLine.put(&text, argument.with("value", &value), record)?;
    }
    Ok(text)
}

/// The document in which it does not; the element around it goes where it is ours and nothing else is in it.
pub(super) fn unset(text: String, alias: Alias, record: &mut Record) -> Result<String> {
    let document = Document::parse(&text)?;
    let Some((option, value)) = find(&document, alias) else { return Ok(text) };
    // The later one first: it does not move the earlier one.
    let (option, value) = (document.remove(option)?, document.remove(value)?);
    let text = option.apply(&value.apply(&text));
    let undone = Part::CommandLine.undo(&text, record)?;
    if undone != text {
        record.created.remove(&Part::CommandLine);
        record.opened.remove(&Part::CommandLine);
    }
    Ok(undone)
}

fn setting(alias: Alias) -> String {
    format!("device.{alias}.page-per-vq=on")
}

/// The two arguments that say it.
fn find<'d, 'a>(document: &'d Document<'a>, alias: Alias) -> Option<(Node<'d, 'a>, Node<'d, 'a>)> {
    let arguments: Vec<_> = Part::CommandLine.of(document)?.children().filter(Node::is_element).collect();
    let (said, wanted) = (|node: &Node<'d, 'a>| node.attribute("value"), setting(alias));
    let pair = arguments
        .windows(2)
        .find(|pair| said(&pair[0]) == Some("-set") && said(&pair[1]) == Some(&wanted))?;
    Some((pair[0], pair[1]))
}
