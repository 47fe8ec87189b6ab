//! What can go wrong between a request and its answer.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::{Culprit, Errno, Malformed, Refusal};

/// Why a request had no answer, or not the one that was hoped for.
///
/// `intent` is the caller's own words for what it asked (`switch the eswitch of pci/0000:43:00.0 to
/// switchdev`).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused. The source is what it said.
    #[error("cannot {intent}")]
    Refused {
        /// What was asked.
        intent: String,
        /// What the kernel answered.
        #[source]
        refusal: Refusal,
        /// What in the request it did not like, where it says so.
        culprit: Option<Culprit>,
    },
    /// The kernel has no such family: the module is not loaded, or it was built without it.
    #[error("cannot {intent}: the kernel has no generic-netlink family `{name}`")]
    NoFamily {
        /// What was asked.
        intent: String,
        /// The family's name.
        name: String,
    },
    /// The family has no such multicast group.
    #[error("cannot {intent}: the family `{family}` has no multicast group `{group}`")]
    NoGroup {
        /// What was asked.
        intent: String,
        /// The family's name.
        family: String,
        /// The group's name.
        group: String,
    },
    /// The kernel did not answer in time. It may still be at work on the request.
    #[error("cannot {intent}: no answer from the kernel within {limit:?}")]
    Timeout {
        /// What was asked.
        intent: String,
        /// The request's time limit.
        limit: Duration,
    },
    /// The listing changed each time it was read (`NLM_F_DUMP_INTR`).
    #[error("cannot {intent}: the listing changed while it was read, {attempts} times in a row")]
    Unsteady {
        /// What was asked.
        intent: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// Notifications came faster than they were read, and some are lost: read the state again.
    #[error("lost notifications while trying to {intent}")]
    Overrun {
        /// What was asked.
        intent: String,
    },
    /// The answer cannot be read.
    #[error("cannot {intent}: the kernel's answer cannot be read")]
    Malformed {
        /// What was asked.
        intent: String,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
    /// The request does not fit into a netlink message.
    #[error("cannot {intent}: the request does not fit into a netlink message")]
    TooLong {
        /// What was asked.
        intent: String,
    },
    /// The socket failed.
    #[error("cannot {intent}: the netlink socket failed")]
    Io {
        /// What was asked.
        intent: String,
        /// The socket's error.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The answer to `intent` was not readable.
    pub fn malformed(intent: impl Into<String>, source: Malformed) -> Self {
        Self::Malformed { intent: intent.into(), source }
    }

    /// What the kernel said, if it refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    /// The errno with which the kernel refused, if it did.
    pub fn errno(&self) -> Option<Errno> {
        self.refusal().map(|refusal| refusal.errno)
    }
}
