//! What can go wrong between a wish and the files that a host boots from.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::bridge::{Manager, Refusal};

/// The result of a call here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a host could not be prepared.
#[derive(Debug, Error)]
pub enum Error {
    /// A file holds something that could not be kept if it were edited. Nothing was changed.
    #[error("{path}:{line}: {why}")]
    Syntax {
        /// The file, as the host names it.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is there.
        why: String,
    },
    /// A variable is set twice in one file, so that one of the two has no effect.
    #[error("{path} sets {variable} in line {first}, and again in line {second}")]
    Twice {
        /// The file, as the host names it.
        path: PathBuf,
        /// The variable.
        variable: &'static str,
        /// Where first.
        first: usize,
        /// Where again.
        second: usize,
    },
    /// Kernel arguments are to change, and the host boots in a way that we do not write.
    #[error("cannot write kernel arguments where {found}")]
    NoLoader {
        /// What was found of a boot loader.
        found: &'static str,
        /// What to do by hand.
        instead: &'static str,
        /// The arguments that are asked for.
        arguments: String,
    },
    /// More huge pages are asked for than there is memory: a host that is booted so does not come up.
    #[error("{asked_mib} MiB of huge pages are asked for on {place}, which has {memory_mib} MiB of memory")]
    NoMemory {
        /// How much is asked for, in MiB.
        asked_mib: u64,
        /// Where.
        place: String,
        /// How much there is, in MiB.
        memory_mib: u64,
    },
    /// A file that is ours by its name was written by somebody else.
    #[error("{0} is not ours: it does not begin with the line that we write")]
    Foreign(PathBuf),
    /// A file that we wrote was changed since.
    #[error("{path} was changed since `vdpa host prepare` wrote it")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What was changed, as a unified diff.
        diff: String,
    },
    /// A program said no.
    #[error("`{command}` failed")]
    Program {
        /// The argument vector.
        command: String,
        /// What it said and how it ended.
        #[source]
        said: Said,
    },
    /// A program did not end.
    #[error("`{command}` did not end within {limit:?}")]
    Hung {
        /// The argument vector.
        command: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A program ended well, and what it was to do is not done.
    #[error("`{command}` ended well, and {missing}")]
    NoEffect {
        /// The argument vector.
        command: String,
        /// What does not hold.
        missing: String,
    },
    /// It failed, and what had been done could not be taken back.
    #[error("what had been written could not all be taken back")]
    HalfDone {
        /// Why it failed.
        #[source]
        error: Box<Error>,
        /// What is not as it was.
        remains: Vec<String>,
    },
    /// The caller lacks the privilege.
    #[error("no permission to {intent}")]
    Permission {
        /// What was to be done.
        intent: String,
    },
    /// A file could not be used.
    #[error("cannot {intent}")]
    Io {
        /// What was to be done.
        intent: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// What is written down of an earlier preparation cannot be understood.
    #[error("cannot understand {path}: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A NIC is not put under a bridge. Nothing was changed.
    #[error("{nic} is not put under a bridge: {why}")]
    Unbridgeable {
        /// The NIC.
        nic: String,
        /// Why not.
        why: Refusal,
    },
    /// There is no bridge of ours to do something with.
    #[error("there is no bridge to {verb}: {why}")]
    NoBridge {
        /// What was to be done.
        verb: &'static str,
        /// Why there is none.
        why: String,
    },
    /// A bridge was made and did not get its addresses. The host is as it was.
    #[error("{manager} did not bring the bridge {name} up within {limit:?}")]
    BridgeSilent {
        /// The bridge.
        name: String,
        /// Who was to bring it up.
        manager: Manager,
        /// How long was waited.
        limit: Duration,
    },
    /// A bridge was taken away, and the NIC has not what it had.
    #[error("{nic} has not got back {before} within {limit:?} of the bridge {name}'s end")]
    BridgeStays {
        /// The bridge.
        name: String,
        /// The NIC.
        nic: String,
        /// The profile or file that it had.
        before: String,
        /// How long was waited.
        limit: Duration,
    },
    /// A bridge was not made, and the host is not as it was; the timer that goes back is armed.
    #[error("a bridge that could not be made could not be taken back either")]
    BridgeHalfDone {
        /// Why it was not made.
        #[source]
        error: Box<Error>,
        /// Why it was not taken back.
        remains: String,
    },
    /// The platform could not be read or set.
    #[error(transparent)]
    Platform(#[from] vdpa_hw::Error),
}

/// What a program said when it failed, and how it ended.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Said(pub String);

impl Error {
    pub(crate) fn io(intent: impl Into<String>, source: io::Error) -> Self {
        let intent = intent.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission { intent },
            _ => Self::Io { intent, source },
        }
    }

    /// What to type or look at next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Syntax { path, line, .. } => {
                format!("write it as one `NAME=\"…\"`, or edit {} by hand: line {line}", path.display())
            }
            Self::Twice { path, first, .. } => {
                format!("only the last counts: remove line {first} of {}", path.display())
            }
            Self::NoLoader { instead, arguments, .. } => format!("{instead}: {arguments}"),
            Self::NoMemory { .. } => "ask for fewer, and leave some memory for the host itself".to_owned(),
            Self::Foreign(path) => format!("move it away: `mv {0} {0}.old`", path.display()),
            Self::Changed { .. } => {
                "`vdpa host restore --force changed` overwrites it with what was there before".to_owned()
            }
            Self::Program { command, .. } | Self::Hung { command, .. } | Self::NoEffect { command, .. } => {
                format!("type `{command}` to see more")
            }
            Self::Permission { .. } => "run as root".to_owned(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "the file system is mounted read-only: an image-based host takes kernel arguments elsewhere (`rpm-ostree kargs`)".to_owned()
            }
            Self::Record { path, .. } => {
                format!("use the vdpa that wrote it, or move {} away", path.display())
            }
            Self::HalfDone { .. } => "`vdpa host restore` takes back what was written".to_owned(),
            Self::Unbridgeable { nic, why } => why.hint(nic),
            Self::NoBridge { .. } => "`vdpa host bridge --over NIC` shows what would be done to make one".to_owned(),
            Self::BridgeSilent { manager: Manager::Nm, .. } => {
                "`journalctl -u NetworkManager` may say more: is there a DHCP server behind the NIC?".to_owned()
            }
            Self::BridgeSilent { manager: Manager::Networkd, .. } => {
                "`journalctl -u systemd-networkd` may say more: is there a DHCP server behind the NIC?".to_owned()
            }
            Self::BridgeStays { nic, .. } => {
                format!("`vdpa host bridge --remove` tries again; `ip addr show {nic}` shows what it has")
            }
            Self::BridgeHalfDone { .. } => {
                "the timer tries again when it runs out; `vdpa host bridge --remove` does so now".to_owned()
            }
            Self::Io { .. } | Self::Platform(_) => return None,
        })
    }
}
