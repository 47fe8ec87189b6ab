//! The crate's one error enum.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use vdpa_hw::MacAddress;

use crate::{DomainName, Finding};

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a domain could not be read or wired.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no virsh, or it reaches no libvirt.
    #[error("cannot reach libvirt at {uri}: {why}")]
    NoLibvirt {
        /// The connection that was tried.
        uri: String,
        /// What stands in the way, in virsh's or the system's words.
        why: String,
    },
    /// libvirt has no domain of this name.
    #[error("libvirt has no domain `{0}`")]
    UnknownDomain(DomainName),
    /// The domain lives only as long as it runs; it has no definition to edit.
    #[error("domain `{0}` is transient: it has no definition to edit")]
    Transient(DomainName),
    /// The text is not well-formed XML.
    #[error("malformed XML at line {line}, column {column}: {why}")]
    Malformed {
        /// The line, from 1.
        line: u32,
        /// The column in characters, from 1.
        column: u32,
        /// What the parser says.
        why: String,
    },
    /// The text is XML, but not a domain's.
    #[error("not a libvirt domain: {0}")]
    NotADomain(String),
    /// What has to be edited comes out of an entity, and so stands nowhere in the text.
    #[error("cannot edit <{0}>: it comes from an entity declared in the DOCTYPE")]
    FromEntity(String),
    /// Our interface is there and no longer what this crate writes.
    #[error("interface {alias} was changed by hand: {why}")]
    Changed {
        /// The alias that marks it as ours.
        alias: String,
        /// What differs.
        why: String,
    },
    /// Nothing of ours has this MAC.
    #[error("no interface of ours in domain `{domain}` has the MAC {mac}")]
    NoInterface {
        /// The domain.
        domain: DomainName,
        /// The MAC.
        mac: MacAddress,
    },
    /// The interface does not fit into the domain.
    #[error(transparent)]
    Unfit(Finding),
    /// libvirt took a definition and left a part of the interface out.
    #[error("libvirt did not keep the interface of domain `{domain}`: {why}")]
    NotKept {
        /// The domain; its former definition is back in place.
        domain: DomainName,
        /// What is missing.
        why: String,
    },
    /// libvirt refused.
    #[error("cannot {doing}: {message}")]
    Refused {
        /// What was asked of it: "define domain `cx6.1`".
        doing: String,
        /// libvirt's own words.
        message: String,
    },
    /// A start did not come to its end; it was ended, and the domain is shut off.
    #[error("domain `{domain}` did not start within {} s", limit.as_secs())]
    StartHangs {
        /// The domain.
        domain: DomainName,
        /// How long was waited.
        limit: Duration,
    },
    /// A new domain's disk could not be made.
    #[error("cannot make the disk {}: {why}", path.display())]
    Disk {
        /// Where it was to be.
        path: PathBuf,
        /// What stands in the way, in qemu-img's or the system's words.
        why: String,
    },
    /// libvirt did not answer; virsh was killed.
    #[error("cannot {doing}: no answer from libvirt after {} s", limit.as_secs())]
    TimedOut {
        /// What was asked of it.
        doing: String,
        /// How long was waited.
        limit: Duration,
    },
}

impl Error {
    /// What to do or to type next, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoLibvirt { uri, .. } => {
                Some(format!("is libvirt installed and its daemon running? try `virsh -c {uri} list --all`"))
            }
            Self::UnknownDomain(_) => Some("`virsh list --all` shows the domains there are".to_owned()),
            Self::Transient(domain) => Some(format!(
                "make it persistent: `virsh dumpxml {domain} > {domain}.xml; virsh define {domain}.xml`"
            )),
            Self::Changed { alias, .. } => {
                Some(format!("remove the interface {alias} with `virsh edit`, or change it back"))
            }
            Self::NoInterface { .. } => Some(
                "`vdpa vm list` shows those that are; what others put there is taken out with `virsh edit`"
                    .to_owned(),
            ),
            Self::Unfit(finding) => finding.hint(),
            Self::NotKept { .. } => Some("user aliases need libvirt 3.9 and its QEMU driver".to_owned()),
            Self::Disk { .. } => Some(
                "qemu-img is in the package qemu-utils (Debian) or qemu-img (RHEL); name a disk that is not there yet"
                    .to_owned(),
            ),
            Self::StartHangs { .. } => Some(
                "QEMU waits for somebody at a vhost-user socket: start the datapath first, `vdpa status` shows it"
                    .to_owned(),
            ),
            Self::TimedOut { .. } => {
                Some("is another tool holding the domain? look at `virsh list --all`".to_owned())
            }
            Self::Malformed { .. } | Self::NotADomain(_) | Self::FromEntity(_) | Self::Refused { .. } => None,
        }
    }
}
