//! The one place that writes to sysfs, so that a test can take its part and see every write.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use vdpa_netlink::{Errno, Refusal};

use crate::error::Error;

/// Writes attributes of sysfs.
pub(super) trait Attributes: fmt::Debug + Send + Sync {
    /// Writes `text` to the attribute in one `write(2)`, and returns when the kernel has acted on it.
    fn write(&self, attribute: &Path, text: &str) -> Result<(), Failed>;
}

/// Why a write failed: the two are told apart because the kernel uses ENOENT for both.
#[derive(Debug)]
pub(super) enum Failed {
    /// There is no such attribute, or no access to it.
    Open(io::Error),
    /// The kernel's answer to what was written.
    Write(io::Error),
}

impl Failed {
    /// Whether the attribute does not exist: the function or the driver it belongs to has gone.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Open(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The errno with which the kernel refused what was written.
    pub(super) fn refused(&self) -> Option<Errno> {
        match self {
            Self::Open(_) => None,
            Self::Write(error) => error.raw_os_error().map(Errno),
        }
    }

    /// This layer's error: the kernel's no is a [`Refusal`], everything else is `Io`.
    pub(super) fn while_trying_to(self, intent: String) -> Error {
        match self {
            Self::Write(error) if error.raw_os_error().is_some() => {
                Error::refused(intent, Refusal::from(Errno(error.raw_os_error().unwrap_or_default())))
            }
            Self::Open(source) | Self::Write(source) => Error::io(intent, source),
        }
    }
}

/// The kernel's own sysfs.
#[derive(Debug)]
pub(super) struct Sysfs;

impl Attributes for Sysfs {
    fn write(&self, attribute: &Path, text: &str) -> Result<(), Failed> {
        // Neither created nor truncated: sysfs has no use for either.
        let mut file = OpenOptions::new().write(true).open(attribute).map_err(Failed::Open)?;
        let attribute = attribute.display();
        let _waiting = tracing::debug_span!("sysfs.write", waits_for = "kernel", %attribute, text).entered();
        file.write_all(text.as_bytes()).map_err(Failed::Write)
    }
}
