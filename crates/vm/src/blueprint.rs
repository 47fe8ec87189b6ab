//! A new domain: what it is made of, as libvirt's XML.
//!
//! Source: <https://libvirt.org/formatdomain.html>.

use std::path::PathBuf;

use vdpa_hw::platform::PageSize;

use crate::xml::{Element, Layout};
use crate::{DomainName, Pin};

/// What a new domain is made of. Its interface on the hardware datapath is not part of it: that comes with
/// [`xml::attach_as`](crate::xml::attach_as), as for any other domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    /// Its name.
    pub name: DomainName,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// What the memory is made of; ordinary pages without.
    pub huge_pages: Option<PageSize>,
    /// How many CPUs it has.
    pub vcpus: u16,
    /// Which of the host's they run on.
    pub pins: Vec<Pin>,
    /// Its disk, in the format qcow2.
    pub disk: PathBuf,
    /// The installer's ISO image, for a disk that is empty.
    pub installer: Option<PathBuf>,
    /// A [`seed`](crate::seed()) with what its first start looks for.
    pub seed: Option<PathBuf>,
    /// What it is managed by.
    pub network: Network,
    /// The TCP port of its VNC console, on this host's loopback alone; libvirt's choice without.
    pub vnc: Option<u16>,
    /// The QEMU program; libvirt's choice without.
    pub emulator: Option<PathBuf>,
    /// Whether KVM runs it; in software without.
    pub kvm: bool,
}

/// The network that a domain is managed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// A bridge of the host.
    Bridge(String),
    /// A network of libvirt's.
    Libvirt(String),
    /// None.
    Absent,
}

impl Blueprint {
    /// The domain's XML. Its UUID, MACs and PCI addresses are libvirt's to choose.
    pub fn xml(&self) -> String {
        let text = |name, text: &dyn ToString| Element::new(name).saying(&text.to_string());
        let mut domain = Element::new("domain")
            .with("type", if self.kvm { "kvm" } else { "qemu" })
            .holding(text("name", &self.name))
            .holding(text("memory", &self.memory_mib).with("unit", "MiB"));
        if let Some(size) = self.huge_pages {
            let page = Element::new("page").with("size", &(size.bytes() >> 10)).with("unit", "KiB");
            let pages = Element::new("hugepages").holding(page);
            domain = domain.holding(Element::new("memoryBacking").holding(pages));
        }
        domain = domain.holding(text("vcpu", &self.vcpus).with("placement", "static"));
        if !self.pins.is_empty() {
            let pin = |pin: &Pin| Element::new("vcpupin").with("vcpu", &pin.vcpu).with("cpuset", &pin.cpu);
            domain =
                domain.holding(self.pins.iter().map(pin).fold(Element::new("cputune"), Element::holding));
        }
        let boot = |from: &str| Element::new("boot").with("dev", from);
        let mut os = Element::new("os")
            .holding(text("type", &"hvm").with("arch", "x86_64").with("machine", "q35"))
            .holding(boot("hd"));
        if self.installer.is_some() {
            // An empty disk does not boot, and one that has been installed does.
            os = os.holding(boot("cdrom"));
        }
        domain = domain
            .holding(os)
            .holding(Element::new("features").holding(Element::new("acpi")).holding(Element::new("apic")));
        if self.kvm {
            domain = domain.holding(Element::new("cpu").with("mode", "host-model"));
        }
        domain = domain.holding(Element::new("clock").with("offset", "utc")).holding(self.devices());
        let layout = Layout { separator: "\n".to_owned(), unit: "  ".to_owned() };
        domain.write(&layout) + "\n"
    }

    fn devices(&self) -> Element {
        let mut devices = Element::new("devices");
        if let Some(emulator) = &self.emulator {
            devices = devices.holding(Element::new("emulator").saying(&emulator.display()));
        }
        let disk = |device: &str, format: &str, file: &PathBuf, target: &str, bus: &str| {
            Element::new("disk")
                .with("type", "file")
                .with("device", device)
                .holding(Element::new("driver").with("name", "qemu").with("type", format))
                .holding(Element::new("source").with("file", &file.display()))
                .holding(Element::new("target").with("dev", target).with("bus", bus))
        };
        devices = devices.holding(disk("disk", "qcow2", &self.disk, "vda", "virtio"));
        if let Some(seed) = &self.seed {
            let seed = disk("disk", "raw", seed, "vdb", "virtio").holding(Element::new("readonly"));
            devices = devices.holding(seed);
        }
        if let Some(installer) = &self.installer {
            let installer = disk("cdrom", "raw", installer, "sda", "sata").holding(Element::new("readonly"));
            devices = devices.holding(installer);
        }
        let interface = |kind: &str, source: &str, name: &str| {
            Element::new("interface")
                .with("type", kind)
                .holding(Element::new("source").with(source, name))
                .holding(Element::new("model").with("type", "virtio"))
        };
        devices = match &self.network {
            Network::Bridge(name) => devices.holding(interface("bridge", "bridge", name)),
            Network::Libvirt(name) => devices.holding(interface("network", "network", name)),
            Network::Absent => devices,
        };
        let vnc = Element::new("graphics").with("type", "vnc").with("listen", "127.0.0.1");
        let vnc = match self.vnc {
            Some(port) => vnc.with("port", &port).with("autoport", "no"),
            None => vnc.with("autoport", "yes"),
        };
        let agent = Element::new("target").with("type", "virtio").with("name", "org.qemu.guest_agent.0");
        let random = Element::new("backend").with("model", "random").saying("/dev/urandom");
        devices
            .holding(Element::new("console").with("type", "pty"))
            .holding(Element::new("channel").with("type", "unix").holding(agent))
            .holding(vnc)
            .holding(Element::new("rng").with("model", "virtio").holding(random))
            // Memory that is locked or of huge pages cannot be given back.
            .holding(Element::new("memballoon").with("model", "none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, xml};

    #[test]
    fn the_how_tos_domain_is_what_it_is_made_of() {
        let pins = [(0, 14), (1, 16)].map(|(vcpu, cpu)| Pin { vcpu, cpu }).to_vec();
        let blueprint = Blueprint {
            name: "cx6.1".parse().unwrap(),
            memory_mib: 8192,
            huge_pages: Some(PageSize::GIB_1),
            vcpus: 2,
            pins: pins.clone(),
            disk: "/data/kvm/a & b.qcow2".into(),
            installer: Some("/data/kvm/Rocky-8.4-x86_64-minimal.iso".into()),
            seed: None,
            network: Network::Bridge("baremetal".to_owned()),
            vnc: Some(59000),
            emulator: None,
            kvm: true,
        };
        let text = blueprint.xml();
        let profile = Profile::read(&text).unwrap();
        assert_eq!((profile.memory_kib, profile.vcpus), (8 << 20, 2));
        assert_eq!(profile.pages, crate::Pages::HugeOf(1 << 20));
        assert_eq!(xml::pins(&text).unwrap(), pins);
        assert!(text.contains("<source file='/data/kvm/a &amp; b.qcow2'/>"), "{text}");
        assert!(
            text.contains("    <graphics type='vnc' listen='127.0.0.1' port='59000' autoport='no'/>\n"),
            "{text}"
        );
    }
}
