//! Which domains use a PCI function, a socket or a character device: the guard "a VF is in use".

use std::fmt;
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use roxmltree::Node;
use vdpa_hw::PciAddress;

use crate::xml::{Document, QEMU, child, children, pci};
use crate::{DomainName, Domains, Error, Result, View};

/// What a domain can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// A PCI function, by passthrough (`<hostdev>`, `<interface type='hostdev'>`).
    Pci(PciAddress),
    /// A vhost-user socket.
    Socket(PathBuf),
    /// A `/dev/vhost-vdpa-N`.
    Device(PathBuf),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Socket(path) | Self::Device(path) => path.display().fmt(f),
        }
    }
}

impl Resource {
    /// Whether a `<hostdev>` or `<interface>` has it as its source.
    pub(crate) fn is_source_of(&self, node: Node<'_, '_>) -> bool {
        let Some(source) = child(node, "source") else { return false };
        let path = |name| source.attribute(name).map(PathBuf::from);
        match self {
            Self::Pci(address) => child(source, "address").and_then(pci) == Some(*address),
            Self::Socket(socket) => path("path").as_ref() == Some(socket),
            Self::Device(device) => path("dev").as_ref() == Some(device),
        }
    }

    /// Whether a QEMU argument `name=value` names it.
    pub(crate) fn is_argument(&self, name: &str, value: &str) -> bool {
        match self {
            // QEMU takes the address without its domain as well (hw/vfio/pci.c, "host").
            Self::Pci(address) => {
                let full = address.to_string();
                name == "host" && (value == full || full.strip_prefix("0000:") == Some(value))
            }
            Self::Socket(socket) => name == "path" && Path::new(value) == socket,
            Self::Device(device) => name == "vhostdev" && Path::new(value) == device,
        }
    }
}

/// A domain that holds a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The domain.
    pub domain: DomainName,
    /// What it holds.
    pub resource: Resource,
    /// Whether it holds it now, in a running guest; otherwise its definition asks for it at the next start.
    pub active: bool,
}

/// The domains that use one of `resources`, in what runs and in what is defined.
pub async fn holders(domains: &dyn Domains, resources: &[Resource]) -> Result<Vec<Holder>> {
    let all = domains.list().await?;
    // Each look is a round trip to libvirt: a few at a time.
    let each =
        stream::iter(all).map(|domain| async move { held_by(domains, &domain, resources).await }).buffered(8);
    let found: Vec<Vec<Holder>> = each.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn held_by(domains: &dyn Domains, domain: &DomainName, resources: &[Resource]) -> Result<Vec<Holder>> {
    let look = async {
        let current = domains.xml(domain, View::Current).await?;
        let definition = domains.xml(domain, View::Definition).await?;
        let in_current = held(&current, resources)?;
        let in_definition = held(&definition, resources)?;
        if in_current.is_empty() && in_definition.is_empty() {
            return Ok(Vec::new());
        }
        let active = domains.status(domain).await?.active;
        let holder = |resource: &Resource| {
            let now = active && in_current.contains(&resource);
            let held = now || in_definition.contains(&resource);
            held.then(|| Holder { domain: domain.clone(), resource: resource.clone(), active: now })
        };
        Ok(resources.iter().filter_map(holder).collect())
    };
    match look.await {
        // It went away meanwhile.
        Err(Error::UnknownDomain(_)) => Ok(Vec::new()),
        found => found,
    }
}

fn held<'r>(xml: &str, resources: &'r [Resource]) -> Result<Vec<&'r Resource>> {
    let document = Document::parse(xml)?;
    let nodes: Vec<_> = children(document.domain(), "devices")
        .flat_map(|devices| children(devices, "hostdev").chain(children(devices, "interface")))
        .collect();
    let arguments = command_line(&document);
    let is_held = |resource: &&Resource| {
        nodes.iter().any(|node| resource.is_source_of(*node))
            || arguments.iter().any(|(_, name, value)| resource.is_argument(name, value))
    };
    Ok(resources.iter().filter(is_held).collect())
}

/// The `name=value` pairs in the arguments of `<qemu:commandline>`, each with the argument it is from.
///
/// Source: <https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands>.
pub(crate) fn command_line<'d>(document: &'d Document<'_>) -> Vec<(&'d str, &'d str, &'d str)> {
    let lines = document.domain().children().filter(|node| node.has_tag_name((QEMU, "commandline")));
    let arguments = lines.flat_map(|line| line.children().filter_map(|argument| argument.attribute("value")));
    let pairs = |argument: &'d str| {
        argument
            .split(',')
            .filter_map(move |part| part.split_once('=').map(|(name, value)| (argument, name, value)))
    };
    arguments.flat_map(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_hold_something_is_seen() {
        let pci = Resource::Pci("0000:43:00.2".parse().unwrap());
        let socket = Resource::Socket("/tmp/sock-virtio0".into());
        let device = Resource::Device("/dev/vhost-vdpa-0".into());
        let address = "<address type='pci' domain='0x0000' bus='0x43' slot='0x00' function='0x2'/>";
        let argument = |value: &str| {
            format!(
                "</devices><q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\
                 <q:arg value='{value}'/></q:commandline><devices>"
            )
        };
        for (xml, resource) in [
            (format!("<hostdev mode='subsystem' type='pci'><source>{address}</source></hostdev>"), &pci),
            (format!("<interface type='hostdev'><source>{address}</source></interface>"), &pci),
            ("<hostdev><source><address bus='67' function='2'/></source></hostdev>".to_owned(), &pci),
            (argument("vfio-pci,host=43:00.2"), &pci),
            (
                "<interface type='vhostuser'><source path='/tmp/sock-virtio0'/></interface>".to_owned(),
                &socket,
            ),
            (argument("socket,id=charnet1,path=/tmp/sock-virtio0"), &socket),
            ("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>".to_owned(), &device),
        ] {
            let all = [pci.clone(), socket.clone(), device.clone()];
            let xml = format!("<domain><devices>{xml}</devices></domain>");
            assert_eq!(held(&xml, &all).unwrap(), [resource], "{xml}");
        }
    }

    #[test]
    fn where_a_guest_sees_a_device_is_not_where_the_host_has_it() {
        let guest = "<interface type='bridge'><source bridge='b'/><address type='pci' bus='0x43' function='2'/></interface>";
        let xml = format!("<domain><devices>{guest}</devices></domain>");
        assert_eq!(
            held(&xml, &[Resource::Pci("0000:43:00.2".parse().unwrap())]).unwrap(),
            [] as [&Resource; 0]
        );
    }
}
