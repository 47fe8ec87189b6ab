//! What can go wrong when filters are read.

use thiserror::Error;
use vdpa_netlink::{Errno, Refusal};

/// The result of a call on [`Tc`](crate::Tc).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on [`Tc`](crate::Tc) failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The caller lacks the privilege.
    #[error("no permission to {intent}")]
    Permission {
        /// What was to be done.
        intent: String,
    },
    /// The kernel said no. The source is what it said.
    #[error("cannot {intent}")]
    Refused {
        /// What was to be done.
        intent: String,
        /// The kernel's answer.
        #[source]
        refusal: Refusal,
    },
    /// The kernel could not be asked, or did not answer in time or in a way that can be read.
    #[error(transparent)]
    Netlink(vdpa_netlink::Error),
}

impl From<vdpa_netlink::Error> for Error {
    fn from(error: vdpa_netlink::Error) -> Self {
        match error {
            vdpa_netlink::Error::Refused { intent, refusal, .. } => match refusal.errno {
                Errno::EPERM | Errno::EACCES if refusal.message.is_none() => Self::Permission { intent },
                _ => Self::Refused { intent, refusal },
            },
            other => Self::Netlink(other),
        }
    }
}
