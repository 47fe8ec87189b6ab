//! What can go wrong between us and the host's PCI functions and links.

use std::io;
use std::time::Duration;

use thiserror::Error;
use vdpa_netlink::Errno;

use crate::nouns::{IfIndex, PciAddress, Vf};

/// The result of a call on the host.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on the host failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No PCI function has this address.
    #[error("there is no PCI function {0}")]
    NoFunction(PciAddress),
    /// The function has no SR-IOV capability.
    #[error("{0} is no SR-IOV physical function")]
    NotPf(PciAddress),
    /// The VF does not exist.
    #[error("{vf} does not exist: {pf} has {present} VFs", pf = vf.pf)]
    NoVf {
        /// The VF that was asked for.
        vf: Vf,
        /// How many VFs exist.
        present: u16,
    },
    /// The driver is not loaded.
    #[error("no PCI driver `{0}` is loaded")]
    NoDriver(crate::nouns::DriverName),
    /// No network device has this index.
    #[error("there is no network device with index {0}")]
    NoLink(IfIndex),
    /// The caller lacks the privilege.
    #[error("no permission to {intent}")]
    Permission {
        /// What was to be done.
        intent: String,
    },
    /// The kernel said no.
    #[error("cannot {intent}")]
    Refused {
        /// What was to be done.
        intent: String,
        /// The kernel's answer.
        #[source]
        refusal: Refusal,
    },
    /// What was waited for did not come.
    #[error("{awaited} did not come within {limit:?}: saw {seen}")]
    Timeout {
        /// What was waited for.
        awaited: String,
        /// How long.
        limit: Duration,
        /// What was there when the time was up.
        seen: String,
    },
    /// A file or socket of the host could not be used.
    #[error("cannot {intent}")]
    Io {
        /// What was to be done.
        intent: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel showed something that does not parse.
    #[error("{what} reads `{text}`, which is not understood")]
    Malformed {
        /// The file or message.
        what: String,
        /// What it held.
        text: String,
    },
}

pub use vdpa_netlink::Refusal;

impl Error {
    /// The kernel refused what was intended: for want of privilege, or for another reason.
    pub(crate) fn refused(intent: String, refusal: Refusal) -> Self {
        match refusal.errno {
            Errno::EPERM | Errno::EACCES => Self::Permission { intent },
            _ => Self::Refused { intent, refusal },
        }
    }

    /// A file or socket failed at what was intended.
    pub(crate) fn io(intent: String, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { intent },
            _ => Self::Io { intent, source },
        }
    }
}
