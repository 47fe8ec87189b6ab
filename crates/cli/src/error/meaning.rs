//! What follows from an error: the exit code, its place in the host file, and the lines below it.

use vdpa_hw::PciAddress;

use super::Error;
use crate::config::{ConfigError, Place};

impl Error {
    /// Whether the mistake is in what the user wrote: exit code 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::NoNetdev(_)
            | Self::TooManyVfs { .. }
            | Self::SameNic { .. }
            | Self::FirmwareConflict { .. }
            | Self::SavedOutput { .. }
            | Self::WhichCard(_)
            | Self::Bundle { .. }
            | Self::Input { .. }
            | Self::Record { .. }
            | Self::Unspeakable(_)
            | Self::NotSimulated(_)
            | Self::NoSetting { .. }
            | Self::SteeringFixed { .. }
            | Self::NotInSwitchdev { .. }
            | Self::NameTaken(_)
            | Self::BondMode { .. } => true,
            Self::Placed { error, .. } => error.is_usage(),
            Self::Hw(error) => matches!(
                error,
                vdpa_hw::Error::NoFunction(_) | vdpa_hw::Error::NotPf(_) | vdpa_hw::Error::NoSetting { .. }
            ),
            Self::Vm(error) => matches!(error, vdpa_vm::Error::UnknownDomain(_)),
            Self::Boot(error) => {
                matches!(error, vdpa_boot::Error::NoMemory { .. } | vdpa_boot::Error::Unbridgeable { .. })
            }
            _ => false,
        }
    }

    /// Whether what was done before it failed could not be taken back: exit code 3.
    pub fn is_half_done(&self) -> bool {
        use vdpa_boot::Error;
        matches!(self, Self::Boot(Error::HalfDone { .. } | Error::BridgeHalfDone { .. }))
    }

    /// Whether the kernel has not returned from something that it was asked for.
    pub fn is_overdue(&self) -> bool {
        matches!(self, Self::Hw(vdpa_hw::Error::AtWork { .. }))
    }

    /// Whether it says that the function at `pf` is not there, or not as one that has a switch.
    pub fn is_absence_of(&self, pf: PciAddress) -> bool {
        match self {
            Self::Hw(vdpa_hw::Error::NoFunction(at)) => *at == pf,
            Self::Eswitch(vdpa_eswitch::Error::NoDevice(device)) => device.pci() == Some(pf),
            _ => false,
        }
    }

    /// The same with its place in the host file.
    #[must_use]
    pub fn at(self, place: Option<&Place>) -> Self {
        match place {
            Some(place) => Self::Placed { place: place.clone(), error: Box::new(self) },
            None => self,
        }
    }

    /// The same with its place, if it is a mistake in what the user wrote.
    #[must_use]
    pub fn at_usage(self, place: Option<&Place>) -> Self {
        if self.is_usage() { self.at(place) } else { self }
    }

    /// The error and what it says below, in one line.
    pub fn flat(&self) -> String {
        std::iter::once(self.to_string()).chain(self.details()).collect::<Vec<_>>().join(": ")
    }

    /// The lines below the error: what the kernel or a daemon said, what was seen.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Config(ConfigError { place: Some(place), .. }) => place.shown().to_vec(),
            Self::Placed { place, error } => [place.shown().to_vec(), error.details()].concat(),
            Self::Guarded(objections) => objections.iter().map(ToString::to_string).collect(),
            Self::Unverified(lines) | Self::Drifted(lines) | Self::FirmwareDiffers(lines) => lines.clone(),
            Self::Boot(vdpa_boot::Error::Changed { diff, .. }) => diff.lines().map(str::to_owned).collect(),
            Self::Boot(vdpa_boot::Error::HalfDone { error, remains }) => std::iter::once(error.to_string())
                .chain(remains.iter().map(|line| format!("REMAINS {line}")))
                .collect(),
            Self::Boot(vdpa_boot::Error::BridgeHalfDone { error, remains }) => {
                vec![error.to_string(), format!("REMAINS {remains}")]
            }
            _ => {
                let mut lines = Vec::new();
                let mut source = std::error::Error::source(self);
                while let Some(cause) = source {
                    lines.extend(cause.to_string().lines().map(str::to_owned));
                    source = cause.source();
                }
                lines
            }
        }
    }
}
