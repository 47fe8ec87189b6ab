//! Whether the domains that VFs are for can have them: by their definitions, and by how the host stands, before anything
//! is changed.
//!
//! The socket or device of an interface comes with `setup` itself, so that nothing is asked of it here; `vdpa vm attach`,
//! which comes after, asks that too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use vdpa_datapath::dpdk::Mode;
use vdpa_datapath::kernel::DeviceName;
use vdpa_hw::Vf;
use vdpa_hw::platform::Platform;
use vdpa_vm::{
    DomainName, Finding, Interface, Placement, Resource, Severity, Source, Surroundings, View as Document,
};

use crate::config::Datapath;
use crate::enforce::interface_at;
use crate::error::Error;
use crate::guard::{Guard, Objection};
use crate::host::Host;
use crate::plan::Change;
use crate::step::{Step, Wiring};
use crate::view::View;

/// What does not fit between a domain and the VF that it is to have.
#[derive(Debug, Clone)]
pub struct Fit {
    domain: DomainName,
    vf: Vf,
    finding: Finding,
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}: {}", self.vf, self.domain, self.finding)?;
        self.finding.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl Fit {
    /// Whether it cannot work.
    pub fn is_error(&self) -> bool {
        self.finding.severity() == Severity::Error
    }

    /// As a guard objects, where the host could come to fit; an error where the definition itself does not.
    ///
    /// # Errors
    /// [`vdpa_vm::Error::Unfit`].
    pub fn objection(&self) -> Result<Objection, Error> {
        if self.finding.is_of_host() {
            return Ok(Objection { guard: Guard::HostUnfit, why: self.to_string() });
        }
        Err(vdpa_vm::Error::Unfit(self.finding.clone()).into())
    }
}

/// An interface that a change is to give a domain.
struct Due<'a> {
    domain: &'a DomainName,
    vf: Vf,
    interface: Interface,
    resource: Resource,
}

/// What speaks against the interfaces that `changes` would give domains, advice left out.
///
/// # Errors
/// Where libvirt cannot be asked, or an interface of ours has been changed by somebody else.
pub async fn look(host: &Host, changes: &[Change]) -> Result<Vec<Fit>, Error> {
    let mut due = Vec::new();
    for change in changes.iter().filter(|change| !change.holds()) {
        if let Step::Wired { domain, vf, wiring: Some(wiring) } = &change.wanted
            && let Some(source) = source(host, changes, *vf, wiring.datapath).await
        {
            due.push(Due::new(domain, *vf, wiring, source));
        }
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let resources: Vec<Resource> = due.iter().map(|due| due.resource.clone()).collect();
    let mut holders = vdpa_vm::holders(&*host.domains, &resources).await?;
    // Who lets go of it in the same run holds it no more.
    holders.retain(|holder| holder.active || !lets_go(changes, &holder.domain));
    let platform = Platform::over(host.files.clone());
    // What cannot be read of the host is `vdpa doctor`'s to tell.
    let (huge_pages, selinux) = (platform.huge_pages().ok(), platform.selinux().ok());
    let libvirt = host.domains.versions().await?.libvirt.parse().ok();
    let placement = Placement { libvirt, ..Placement::default() };
    let view = View::new(host);
    let mut definitions: BTreeMap<&DomainName, String> = BTreeMap::new();
    let mut fits = Vec::new();
    for Due { domain, vf, interface, resource } in &due {
        let definition = match definitions.remove(domain) {
            Some(with_others) => with_others,
            None => host.domains.xml(domain, Document::Definition).await?,
        };
        let around = Surroundings {
            huge_pages: huge_pages.clone(),
            selinux,
            node: view.function(vf.pf).await?.numa_node,
            holders: holders.iter().filter(|holder| holder.resource == *resource).cloned().collect(),
            runs: host.domains.status(domain).await?.active,
            ..Surroundings::default()
        };
        let mut found = vdpa_vm::check(&definition, *vf, interface, &placement)?;
        found.extend(around.check(domain, &definition, interface, &placement)?);
        found.retain(|finding| finding.severity() > Severity::Advice);
        let cannot =
            found.iter().any(|finding| finding.severity() == Severity::Error && !finding.is_of_host());
        fits.extend(found.into_iter().map(|finding| Fit { domain: (*domain).clone(), vf: *vf, finding }));
        // The next VF of this domain comes beside this one.
        let after = if cannot {
            definition
        } else {
            vdpa_vm::xml::attach_as(&definition, *vf, interface, &placement)?
        };
        definitions.insert(domain, after);
    }
    // What is of a domain and its memory is said once, and not for each of its VFs.
    let mut said = Vec::new();
    fits.retain(|fit| {
        let key = (fit.domain.clone(), fit.finding.clone());
        let is_new = !said.contains(&key);
        said.push(key);
        is_new
    });
    Ok(fits)
}

impl<'a> Due<'a> {
    fn new(domain: &'a DomainName, vf: Vf, wiring: &Wiring, source: Source) -> Self {
        let resource = match &source {
            Source::VhostUser { socket, .. } => Resource::Socket(socket.clone()),
            Source::Vdpa { device } => Resource::Device(device.clone()),
        };
        Self { domain, vf, interface: interface_at(wiring, source), resource }
    }
}

/// Whether a change takes an interface out of the definition of `domain`.
fn lets_go(changes: &[Change], domain: &DomainName) -> bool {
    changes
        .iter()
        .any(|change| matches!(&change.wanted, Step::Wired { domain: of, wiring: None, .. } if of == domain))
}

/// Where the VF's datapath will be.
async fn source(host: &Host, changes: &[Change], vf: Vf, datapath: Datapath) -> Option<Source> {
    let mode = changes.iter().find_map(|change| match &change.wanted {
        Step::Dpdk { vf: of, process: Some(process) } if *of == vf => Some(process.mode),
        _ => None,
    });
    Some(match datapath {
        Datapath::None => return None,
        Datapath::Dpdk => {
            Source::VhostUser { socket: host.dpdk.socket(vf), role: crate::enforce::role(mode) }
        }
        Datapath::OvsDpdk => {
            Source::VhostUser { socket: host.dpdk.socket(vf), role: crate::enforce::role(Some(Mode::Client)) }
        }
        Datapath::Kernel => {
            // The kernel numbers a new one when it is made; until then each is another one.
            let name = DeviceName::of_vf(vf);
            let is_there = host.kernel.char_device(&name, Duration::ZERO).await;
            Source::Vdpa {
                device: is_there.unwrap_or_else(|_| PathBuf::from(format!("/dev/vhost-vdpa-{name}"))),
            }
        }
    })
}
