//! Whether a host, as it stands now, has what a domain with an interface needs of it.
//!
//! What is known of the host is given, each part of it where it is known: nothing here looks at the host. What is not
//! known is no finding.

use std::path::Path;

use vdpa_hw::platform::{HugePages, PageSize, Selinux};
use vdpa_hw::{MacAddress, Vf};

use crate::endpoint::{Endpoint, Kind};
use crate::user::User;
use crate::xml::{Document, is_pinned};
use crate::{DomainName, Finding, Holder, Interface, Pages, Placement, Profile, Result, Role, Source};

/// What is known of the host around a domain.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The socket or device of the interface.
    pub endpoint: Option<Endpoint>,
    /// Whom QEMU runs as.
    pub user: Option<User>,
    /// What SELinux does.
    pub selinux: Option<Selinux>,
    /// Huge pages.
    pub huge_pages: Option<HugePages>,
    /// The NUMA node of the card.
    pub node: Option<u16>,
    /// CPUs for the domain's vCPUs, if they were to be pinned: [`propose`](crate::propose).
    pub proposal: Option<Vec<u32>>,
    /// The VF behind the interface with its administrative MAC.
    pub vf: Option<(Vf, MacAddress)>,
    /// The domains that use the socket or device.
    pub holders: Vec<Holder>,
    /// Whether the domain runs, and so has its memory already.
    pub runs: bool,
}

impl Surroundings {
    /// What stands in the way of `interface` in the domain `xml`, which libvirt knows as `domain`.
    ///
    /// # Errors
    /// Where the document is not a domain's.
    pub fn check(
        &self,
        domain: &DomainName,
        xml: &str,
        interface: &Interface,
        placement: &Placement,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let (path, role) = match &interface.source {
            Source::VhostUser { socket, role } => (socket, Some(*role)),
            Source::Vdpa { device } => (device, None),
        };
        if let Some(endpoint) = &self.endpoint {
            findings.extend(self.of_endpoint(endpoint, role));
        }
        findings.extend(self.holders.iter().filter(|holder| holder.domain != *domain).map(|holder| {
            Finding::HeldByDomain {
                source: path.clone(),
                domain: holder.domain.clone(),
                active: holder.active,
            }
        }));
        if let Some((vf, administrative)) =
            self.vf.filter(|(_, administrative)| *administrative != interface.mac)
        {
            findings.push(Finding::MacDiffers { mac: interface.mac, vf, administrative });
        }
        findings.extend(self.of_memory(xml, placement)?);
        let pinned = !placement.pins.is_empty() || is_pinned(&Document::parse(xml)?);
        if let (Some(node), Some(proposal), false) = (self.node, &self.proposal, pinned) {
            findings.push(Finding::Unpinned { node, proposal: proposal.clone() });
        }
        Ok(findings)
    }

    fn of_endpoint(&self, endpoint: &Endpoint, role: Option<Role>) -> Vec<Finding> {
        let path = endpoint.path.clone();
        let wanted =
            if role.is_some() { (Kind::Socket, "a socket") } else { (Kind::Device, "a character device") };
        let mut findings = Vec::new();
        match endpoint.kind {
            Some(kind) if kind != wanted.0 => return vec![Finding::WrongKind { path, wanted: wanted.1 }],
            // Where QEMU listens it makes the socket itself.
            None if role != Some(Role::Server) => findings.push(Finding::Missing(path.clone())),
            _ => {}
        }
        // libvirt opens a device itself and hands it to QEMU (`qemuInterfaceVDPAConnect` in src/qemu/qemu_interface.c).
        if let (Some(user), Some(role)) = (&self.user, role)
            && let Some((place, may_not)) = endpoint.in_the_way(user, role == Role::Server)
        {
            findings.push(Finding::Unreachable {
                user: user.name.clone(),
                place: place.path.clone(),
                may_not,
                mode: format!("mode {:04o}, owner {}, group {}", place.mode, place.uid, place.gid),
            });
        }
        findings.extend(self.of_label(endpoint, &path, role));
        match (role, &endpoint.listener) {
            (Some(Role::Server), Some(by)) => {
                findings.push(Finding::SocketHeld { socket: path, by: by.clone() });
            }
            (Some(Role::Server | Role::Client { reconnect: Some(_) }), None) => {
                findings.push(Finding::StartWaits(path));
            }
            (Some(Role::Client { reconnect: None }), None) if endpoint.kind.is_some() => {
                findings.push(Finding::StartFails(path));
            }
            _ => {}
        }
        findings
    }

    /// Types that the policies of Fedora and RHEL give to files nobody thought of: `svirt_t` may use none of them.
    fn of_label(&self, endpoint: &Endpoint, path: &Path, role: Option<Role>) -> Option<Finding> {
        let label = endpoint.label.as_ref().filter(|_| self.selinux == Some(Selinux::Enforcing))?;
        let kind = label.split(':').nth(2)?;
        let wanted = match role {
            None if kind != "vhost_device_t" => "vhost_device_t",
            Some(_) if ["var_run_t", "tmp_t", "user_tmp_t", "default_t", "unlabeled_t"].contains(&kind) => {
                "qemu_var_run_t"
            }
            _ => return None,
        };
        Some(Finding::Label { path: path.to_owned(), label: label.clone(), wanted })
    }

    fn of_memory(&self, xml: &str, placement: &Placement) -> Result<Option<Finding>> {
        let Some(pools) = self.huge_pages.as_ref().filter(|_| !self.runs) else { return Ok(None) };
        let profile = Profile::read(xml)?;
        let size: Option<PageSize> = match (profile.pages, placement.huge_pages) {
            (Pages::HugeOf(kib), _) => format!("{kib}kB").parse().ok(),
            (Pages::Huge, _) => pools.default,
            (Pages::Ordinary, asked) => asked,
        };
        let Some(size) = size else { return Ok(None) };
        let needed = (profile.memory_kib << 10).div_ceil(size.bytes());
        let free = pools.pool(size, None).map_or(0, vdpa_hw::platform::Pool::available);
        if free < needed {
            return Ok(Some(Finding::NoHugePages { size, needed, free }));
        }
        let node = match profile.nodes[..] {
            [] => self.node,
            [node] => Some(node),
            _ => None,
        };
        let there = node.and_then(|node| Some((node, pools.pool(size, Some(node))?.available())));
        Ok(there.filter(|(_, free)| *free < needed).map(|(node, free)| Finding::FarHugePages {
            size,
            node,
            needed,
            free,
        }))
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::platform::Pool;

    use super::*;
    use crate::Resource;
    use crate::endpoint::Place;

    const DOMAIN: &str = include_str!("../fixtures/cx6.1.xml");

    fn interface(role: Role) -> Interface {
        let source = Source::VhostUser { socket: "/run/vdpa/a.sock".into(), role };
        Interface::new("e4:11:22:33:55:60".parse().unwrap(), source)
    }

    fn kernel() -> Interface {
        let source = Source::Vdpa { device: "/dev/vhost-vdpa-0".into() };
        Interface { source, ..interface(Role::Server) }
    }

    const CLIENT: Role = Role::Client { reconnect: None };

    fn endpoint(kind: Option<Kind>) -> Endpoint {
        let place = |path: &str, mode| Place { path: path.into(), mode, uid: 0, gid: 107 };
        let way = vec![place("/", 0o755), place("/run/vdpa", 0o750), place("/run/vdpa/a.sock", 0o770)];
        let listener = Some(Some("dpdk-vdpa (4711)".to_owned()));
        Endpoint { path: "/run/vdpa/a.sock".into(), kind, way, label: None, listener }
    }

    fn pools(all: u64, on_node: u64) -> HugePages {
        let pool =
            |node, free| Pool { size: PageSize::GIB_1, node, total: 24, free, reserved: None, surplus: 0 };
        HugePages { default: None, host: vec![pool(None, all)], nodes: vec![pool(Some(1), on_node)] }
    }

    /// A host on which the domain's interface works.
    fn host() -> Surroundings {
        Surroundings {
            endpoint: Some(endpoint(Some(Kind::Socket))),
            user: Some(User { name: "qemu".to_owned(), uid: 107, groups: vec![107] }),
            selinux: Some(Selinux::Enforcing),
            huge_pages: Some(pools(24, 12)),
            node: Some(1),
            proposal: Some(vec![3, 5]),
            vf: Some(("0000:43:00.0/vf0".parse().unwrap(), "e4:11:22:33:55:60".parse().unwrap())),
            ..Surroundings::default()
        }
    }

    fn names(host: &Surroundings, xml: &str, interface: &Interface) -> Vec<&'static str> {
        let domain = "cx6.1".parse().unwrap();
        let found = host.check(&domain, xml, interface, &Placement::default()).unwrap();
        for finding in &found {
            let is_plain = matches!(finding, Finding::WrongKind { .. });
            assert!(finding.is_of_host() && (is_plain || finding.hint().is_some()), "{finding}");
        }
        found.iter().map(Finding::name).collect()
    }

    #[test]
    fn a_host_that_fits_has_no_findings() {
        assert_eq!(names(&host(), DOMAIN, &interface(CLIENT)), [""; 0]);
        assert_eq!(names(&Surroundings::default(), DOMAIN, &interface(CLIENT)), [""; 0], "nothing is known");
    }

    #[test]
    fn what_is_at_the_path_counts() {
        let with = |change: &dyn Fn(&mut Endpoint)| {
            let mut host = host();
            change(host.endpoint.as_mut().unwrap());
            host
        };
        let missing = with(&|end| (end.kind, end.listener) = (None, None));
        let silent = with(&|end| end.listener = None);
        let closed = with(&|end| end.way[1].mode = 0o700);
        let open = with(&|end| end.way[1].mode = 0o770);
        let again = Role::Client { reconnect: Some(1) };
        for (host, role, wanted) in [
            (&missing, CLIENT, vec!["missing"]),
            (&missing, again, vec!["missing", "start-waits"]),
            (&silent, CLIENT, vec!["start-fails"]),
            (&silent, again, vec!["start-waits"]),
            (&with(&|end| end.kind = Some(Kind::Other)), CLIENT, vec!["wrong-kind"]),
            (&closed, CLIENT, vec!["unreachable"]),
            (&open, Role::Server, vec!["socket-held"]),
            (
                &with(&|end| (end.listener, end.way[1].mode) = (None, 0o770)),
                Role::Server,
                vec!["start-waits"],
            ),
            (&with(&|end| end.listener = None), Role::Server, vec!["unreachable", "start-waits"]),
        ] {
            assert_eq!(names(host, DOMAIN, &interface(role)), wanted, "{role:?}");
        }
        let domain = "cx6.1".parse().unwrap();
        let said = closed.check(&domain, DOMAIN, &interface(CLIENT), &Placement::default()).unwrap();
        assert_eq!(
            said[0].to_string(),
            "QEMU's user qemu may not enter /run/vdpa (mode 0700, owner 0, group 107)"
        );
    }

    /// Pitfall 38: /dev/vhost-vdpa-* needs its SELinux label.
    #[test]
    fn labels_count_where_selinux_enforces() {
        let with = |label: &str, kind, selinux| {
            let mut host = Surroundings { selinux: Some(selinux), ..host() };
            let end = host.endpoint.as_mut().unwrap();
            (end.label, end.kind) = (Some(format!("system_u:object_r:{label}:s0")), Some(kind));
            host
        };
        let device = |label| with(label, Kind::Device, Selinux::Enforcing);
        assert_eq!(names(&device("device_t"), DOMAIN, &kernel()), ["label"]);
        assert_eq!(names(&device("vhost_device_t"), DOMAIN, &kernel()), [""; 0]);
        let socket = |label, selinux| with(label, Kind::Socket, selinux);
        assert_eq!(names(&socket("var_run_t", Selinux::Enforcing), DOMAIN, &interface(CLIENT)), ["label"]);
        assert_eq!(names(&socket("var_run_t", Selinux::Permissive), DOMAIN, &interface(CLIENT)), [""; 0]);
    }

    #[test]
    fn huge_pages_have_to_be_free_and_better_near() {
        let with = |pools| Surroundings { huge_pages: Some(pools), ..host() };
        assert_eq!(names(&with(pools(7, 7)), DOMAIN, &interface(CLIENT)), ["no-huge-pages"]);
        assert_eq!(names(&with(pools(8, 7)), DOMAIN, &interface(CLIENT)), ["far-huge-pages"]);
        let runs = Surroundings { runs: true, ..with(pools(0, 0)) };
        assert_eq!(names(&runs, DOMAIN, &interface(CLIENT)), [""; 0], "it has its pages");
        let asked = Placement { huge_pages: Some(PageSize::GIB_1), ..Placement::default() };
        let plain =
            "<domain><name>a</name><memory unit='GiB'>8</memory><cputune><vcpupin/></cputune></domain>";
        let found =
            with(pools(7, 7)).check(&"a".parse().unwrap(), plain, &interface(CLIENT), &asked).unwrap();
        assert!(matches!(found[..], [Finding::NoHugePages { needed: 8, free: 7, .. }]), "{found:?}");
    }

    #[test]
    fn another_mac_another_domain_and_floating_cpus_are_found() {
        let other = "02:00:00:00:00:01".parse().unwrap();
        let vf = "0000:43:00.0/vf0".parse().unwrap();
        assert_eq!(
            names(&Surroundings { vf: Some((vf, other)), ..host() }, DOMAIN, &interface(CLIENT)),
            ["mac-differs"]
        );
        for active in [true, false] {
            let holder = |domain: &str| Holder {
                domain: domain.parse().unwrap(),
                resource: Resource::Socket("/run/vdpa/a.sock".into()),
                active,
            };
            let host = Surroundings { holders: vec![holder("cx6.1"), holder("other")], ..host() };
            assert_eq!(names(&host, DOMAIN, &interface(CLIENT)), ["held-by-domain"]);
        }
        let floating = DOMAIN.replace("<vcpupin", "<!-- --><emulatorpin");
        assert_eq!(names(&host(), &floating, &interface(CLIENT)), ["unpinned"]);
    }
}
