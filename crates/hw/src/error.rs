//! What can go wrong between us and the host's PCI functions and links.

use std::io;
use std::time::Duration;

use thiserror::Error;
use vdpa_netlink::Errno;

use crate::firmware::{Complaint, Objection, SettingName, Unreadable, Value};
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
    /// The kernel has not returned from something that it was asked to do to the function: a driver that waits for
    /// its card. It cannot be called back, and what is asked of the function meanwhile waits behind it.
    #[error("the kernel does not return from work on {function}: {on}")]
    AtWork {
        /// The function.
        function: PciAddress,
        /// What it was asked for.
        on: String,
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
    /// None of the programs that know a card's firmware settings is installed.
    #[error("cannot {intent}: neither mstconfig (mstflint) nor mlxconfig (MFT) is installed")]
    NoFirmwareTool {
        /// What was to be done.
        intent: String,
    },
    /// A firmware tool said no.
    #[error("cannot {intent}")]
    Tool {
        /// What was to be done.
        intent: String,
        /// The tool's words.
        #[source]
        complaint: Complaint,
    },
    /// A firmware tool did not end, and was killed.
    #[error("`{command}` did not end within {} s and was killed", limit.as_secs_f32())]
    ToolHung {
        /// The command.
        command: String,
        /// How long it had.
        limit: Duration,
    },
    /// A firmware tool printed something that cannot be understood.
    #[error("cannot understand what {tool} printed")]
    ToolOutput {
        /// The tool, with its version.
        tool: String,
        /// Where.
        #[source]
        unreadable: Unreadable,
    },
    /// The card has no such setting.
    #[error("the firmware of {pf} has no setting {name}")]
    NoSetting {
        /// The card.
        pf: PciAddress,
        /// The name.
        name: SettingName,
    },
    /// A setting was set, and is not as it was set.
    #[error("{name} of {pf} is to be {asked} from the next boot on and stays {}", or_unknown(.next.as_ref()))]
    SettingStays {
        /// The card.
        pf: PciAddress,
        /// The setting.
        name: SettingName,
        /// What was asked for.
        asked: Value,
        /// What counts from the next boot on.
        next: Option<Value>,
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

fn or_unknown(value: Option<&Value>) -> String {
    value.map_or_else(|| "unknown".to_owned(), Value::to_string)
}

impl Error {
    /// What to type next, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoFirmwareTool { .. } => "`apt-get install mstflint` or `dnf install mstflint`".to_owned(),
            Self::Tool { complaint, .. } => match &complaint.objection {
                Objection::CannotOpen | Objection::NotAllowed => {
                    "run as root, and look whether the kernel is locked down, as it is with Secure Boot: \
                     `cat /sys/kernel/security/lockdown`; `lspci -D -d 15b3:` lists the cards"
                        .to_owned()
                }
                Objection::NoDevices => "`lspci -D -d 15b3:` lists the cards".to_owned(),
                Objection::BadValue => "`mstconfig -d ADDRESS show_confs` lists the values that a setting may have".to_owned(),
                Objection::UnknownOption => "mstflint 4.21 to 4.34 are known to work: `mstconfig -v`".to_owned(),
                _ => return None,
            },
            Self::ToolHung { command, .. } => {
                let program = command.split(' ').next().unwrap_or_default();
                format!("type it yourself, and look at what `dmesg` says of the card; `ps -C {program}` shows one that is stuck")
            }
            Self::ToolOutput { .. } => {
                "keep it and report it: `mstconfig -d ADDRESS -e query > FILE`, then `vdpa firmware show --from FILE`".to_owned()
            }
            Self::NoSetting { pf, .. } => format!("`vdpa firmware show --pci {pf}` lists those that it has"),
            Self::SettingStays { pf, name, .. } => {
                format!("`vdpa firmware show --pci {pf} {name}`: the firmware may not allow it together with other settings")
            }
            _ => return None,
        })
    }

    /// The error with what it says below, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(below) = cause {
            text = format!("{text}: {}", below.to_string().replace('\n', ", "));
            cause = below.source();
        }
        text
    }

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
