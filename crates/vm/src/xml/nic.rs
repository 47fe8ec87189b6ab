//! `<interface>`: one of ours to and from XML.
//!
//! Source: <https://libvirt.org/formatdomain.html#network-interfaces>; `virDomainNetDefParseXML` and
//! `virDomainNetDefFormat` in `src/conf/domain_conf.c`.

use std::num::NonZeroU16;
use std::path::PathBuf;

use roxmltree::Node;
use vdpa_hw::PciAddress;

use super::document::{Document, child, children};
use super::element::Element;
use super::pass;
use crate::placement::Form;
use crate::{Alias, Error, Finding, Interface, Result, Role, Source};

/// The attributes of `<driver>` that an [`Interface`] speaks of.
const DRIVER: [&str; 4] = ["queues", "rx_queue_size", "tx_queue_size", "page_per_vq"];
/// The children of `<interface>` that an [`Interface`] speaks of, and the host's name for it, which follows them.
const CHILDREN: [&str; 6] = ["mac", "source", "model", "driver", "alias", "target"];

/// All `<interface>` elements of a domain.
pub(super) fn all<'d, 'a>(document: &'d Document<'a>) -> impl Iterator<Item = Node<'d, 'a>> {
    children(document.domain(), "devices").flat_map(|devices| children(devices, "interface"))
}

/// The mark of an `<interface>`; `None` where it is not ours.
pub(super) fn mark(interface: Node<'_, '_>) -> Option<Alias> {
    child(interface, "alias")?.attribute("name")?.parse().ok()
}

/// The `<interface>` with this mark.
pub(super) fn of<'d, 'a>(document: &'d Document<'a>, wanted: Alias) -> Option<Node<'d, 'a>> {
    all(document).find(|interface| mark(*interface) == Some(wanted))
}

/// Reads an `<interface>` of ours.
pub(super) fn read(document: &Document<'_>, interface: Node<'_, '_>, alias: Alias) -> Result<Interface> {
    let changed = |why: String| Error::Changed { alias: alias.to_string(), why };
    let attribute = |element: &str, name: &str| {
        let found = child(interface, element).and_then(|node| node.attribute(name));
        found.ok_or_else(|| changed(format!("it has no {name} in <{element}>")))
    };
    let source = match interface.attribute("type").unwrap_or_default() {
        "vhostuser" => {
            let role = match attribute("source", "mode")? {
                "server" => Role::Server,
                "client" => Role::Client { reconnect: reconnect(interface).map_err(changed)? },
                other => return Err(changed(format!("its socket's mode is `{other}`"))),
            };
            Source::VhostUser { socket: PathBuf::from(attribute("source", "path")?), role }
        }
        "vdpa" => Source::Vdpa { device: PathBuf::from(attribute("source", "dev")?) },
        other => return Err(changed(format!("its type is `{other}`"))),
    };
    let model = attribute("model", "type")?;
    if model != "virtio" {
        return Err(changed(format!("its model is `{model}`")));
    }
    let driver = child(interface, "driver");
    let number = |name: &str| match driver.and_then(|driver| driver.attribute(name)) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| changed(format!("its {name} is `{text}`"))),
    };
    Ok(Interface {
        mac: attribute("mac", "address")?.parse().map_err(|error| changed(format!("{error}")))?,
        source,
        queues: number("queues")?.and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN),
        rx_ring: number("rx_queue_size")?,
        tx_ring: number("tx_queue_size")?,
        page_per_vq: driver.and_then(|driver| driver.attribute("page_per_vq")) == Some("on")
            || pass::is_set(document, alias),
    })
}

fn reconnect(interface: Node<'_, '_>) -> std::result::Result<Option<u32>, String> {
    let Some(reconnect) = child(interface, "source").and_then(|source| child(source, "reconnect")) else {
        return Ok(None);
    };
    if reconnect.attribute("enabled") != Some("yes") {
        return Ok(None);
    }
    let text = reconnect.attribute("timeout").unwrap_or_default();
    text.parse().map(Some).map_err(|_| format!("its reconnect timeout is `{text}`"))
}

/// Whether `<interface>` says so itself that each doorbell has a page of its own.
pub(super) fn says_page_per_vq(interface: Node<'_, '_>) -> bool {
    child(interface, "driver").and_then(|driver| driver.attribute("page_per_vq")) == Some("on")
}

/// Where the guest sees a device of the document.
pub(crate) fn address(device: Node<'_, '_>) -> Option<PciAddress> {
    let address = child(device, "address").filter(|address| address.attribute("type") == Some("pci"))?;
    pci(address)
}

/// The function that an `<address domain=… bus=… slot=… function=…/>` names.
pub(crate) fn pci(address: Node<'_, '_>) -> Option<PciAddress> {
    let number = |name: &str| match address.attribute(name) {
        None => Some(0),
        Some(text) => match text.strip_prefix("0x") {
            Some(hex) => u16::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        },
    };
    let byte = |name| number(name).and_then(|n| u8::try_from(n).ok());
    PciAddress::new(number("domain")?, byte("bus")?, byte("slot")?, byte("function")?)
}

/// What is to be written of an interface.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'w> {
    pub(super) interface: &'w Interface,
    pub(super) alias: Alias,
    pub(super) form: Form,
    pub(super) address: Option<PciAddress>,
}

/// Writes an interface. What an element in its place says beyond an [`Interface`] (the guest's PCI address where no
/// other is wanted, an MTU, a boot order) is carried over from `former`.
pub(super) fn write(
    Wanted { interface, alias, form, address }: Wanted<'_>,
    former: Option<(&Document<'_>, Node<'_, '_>)>,
) -> Result<Element> {
    let text = |path: &PathBuf| {
        let unfit = || Error::Unfit(Finding::Path { path: path.clone(), why: "XML can hold UTF-8 only" });
        path.to_str().map(str::to_owned).ok_or_else(unfit)
    };
    let (kind, source) = match &interface.source {
        Source::VhostUser { socket, role } => {
            let mode = if *role == Role::Server { "server" } else { "client" };
            let source =
                Element::new("source").with("type", "unix").with("path", &text(socket)?).with("mode", mode);
            let source = match role {
                Role::Client { reconnect: Some(seconds) } => {
                    source.holding(Element::new("reconnect").with("enabled", "yes").with("timeout", seconds))
                }
                _ => source,
            };
            ("vhostuser", source)
        }
        Source::Vdpa { device } => ("vdpa", Element::new("source").with("dev", &text(device)?)),
    };
    let mut element = Element::new("interface")
        .with("type", kind)
        .holding(Element::new("mac").with("address", &interface.mac))
        .holding(source)
        .holding(Element::new("model").with("type", "virtio"));
    let driver = driver(interface, form, former);
    if !driver.is_bare() {
        element = element.holding(driver);
    }
    element = element.holding(Element::new("alias").with("name", &alias));
    if let Some(address) = address {
        element = element.holding(
            Element::new("address")
                .with("type", "pci")
                .with("domain", &format_args!("0x{:04x}", address.domain()))
                .with("bus", &format_args!("0x{:02x}", address.bus()))
                .with("slot", &format_args!("0x{:02x}", address.device()))
                .with("function", &format_args!("0x{:x}", address.function())),
        );
    }
    if let Some((document, former)) = former {
        let replaced = |name: &str| CHILDREN.contains(&name) || name == "address" && address.is_some();
        for node in former.children().filter(|node| node.is_element() && !replaced(node.tag_name().name())) {
            element = element.holding_verbatim(document.verbatim(node));
        }
    }
    Ok(element)
}

fn driver(interface: &Interface, form: Form, former: Option<(&Document<'_>, Node<'_, '_>)>) -> Element {
    let mut driver = Element::new("driver");
    if interface.queues.get() > 1 {
        driver = driver.with("queues", &interface.queues);
    }
    for (name, ring) in [("rx_queue_size", interface.rx_ring), ("tx_queue_size", interface.tx_ring)] {
        if let Some(size) = ring {
            driver = driver.with(name, &size);
        }
    }
    if interface.page_per_vq && form == Form::Interface {
        driver = driver.with("page_per_vq", "on");
    }
    let Some((document, former)) =
        former.and_then(|(document, node)| Some((document, child(node, "driver")?)))
    else {
        return driver;
    };
    for attribute in former.attributes().filter(|attribute| !DRIVER.contains(&attribute.name())) {
        driver = driver.with_verbatim(document.slice(attribute.range()));
    }
    former
        .children()
        .filter(Node::is_element)
        .fold(driver, |driver, node| driver.holding_verbatim(document.verbatim(node)))
}
