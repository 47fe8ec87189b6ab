//! What can go wrong with a datapath.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use vdpa_hw::{PciAddress, Vf};
use vdpa_netlink::Refusal;

use crate::kernel::{DeviceName, Diagnosis};

/// The result of a call on a datapath.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on a datapath failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The dpdk-vdpa program is not where it should be.
    #[error("there is no dpdk-vdpa program: looked for {}", looked_for.join(", "))]
    ProgramMissing {
        /// The paths that were tried.
        looked_for: Vec<String>,
    },
    /// dpdk-vdpa ended although nobody stopped it.
    #[error("{program} ended ({status}) while it was to {intent}{}", quoted(last_lines))]
    ProgramEnded {
        /// The program.
        program: PathBuf,
        /// What it was to do.
        intent: String,
        /// How it ended.
        status: String,
        /// Its last words on standard error.
        last_lines: Vec<String>,
    },
    /// dpdk-vdpa did not do what it was told in time.
    #[error("{program} did not {intent} within {limit:?}{}", quoted(last_lines))]
    ProgramSilent {
        /// The program.
        program: PathBuf,
        /// What it was to do.
        intent: String,
        /// The limit.
        limit: Duration,
        /// Its last words on standard error.
        last_lines: Vec<String>,
    },
    /// dpdk-vdpa runs and does not see the VF: no DPDK vDPA driver took it.
    #[error("{program} finds no vDPA device at {device}{}{}", instead(others), quoted(last_lines))]
    DeviceUnknown {
        /// The program.
        program: PathBuf,
        /// The VF's address.
        device: PciAddress,
        /// The devices that it does find.
        others: Vec<String>,
        /// Its last words on standard error.
        last_lines: Vec<String>,
    },
    /// dpdk-vdpa refused a command.
    #[error("{program} did not {intent}{}", quoted(last_lines))]
    ProgramRefused {
        /// The program.
        program: PathBuf,
        /// What it was to do.
        intent: String,
        /// What it said about it.
        last_lines: Vec<String>,
    },
    /// A Unix socket's path is too long for the kernel (`sun_path`, unix(7)).
    #[error("the socket path {path} has {length} bytes; the kernel allows 107")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another process listens where our socket should be, or something that is no socket lies there.
    #[error("{path} is in use: {why}")]
    SocketTaken {
        /// The path.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// The VF has a datapath process already.
    #[error("{vf} is served by a dpdk-vdpa process already")]
    AlreadyServed {
        /// The VF.
        vf: Vf,
    },
    /// The VF has no datapath process, or one that is not ready.
    #[error("{vf} is served by no dpdk-vdpa process that is ready")]
    NotServed {
        /// The VF.
        vf: Vf,
    },
    /// The datapath process of a VF has no guest, and so no virtqueues that count.
    #[error("no guest is connected to dpdk-vdpa of {vf}")]
    NoGuest {
        /// The VF.
        vf: Vf,
    },
    /// The datapath process of a VF did not come up.
    #[error("dpdk-vdpa did not start for {vf}: {why}")]
    NotStarted {
        /// The VF.
        vf: Vf,
        /// What its supervisor, or systemd, said about it.
        why: String,
    },
    /// The datapath process of a VF did not end, not even killed.
    #[error("dpdk-vdpa of {vf} is still there after {limit:?}")]
    NotStopped {
        /// The VF.
        vf: Vf,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A program of the system (systemd-run, systemctl, modprobe) failed.
    #[error("`{command}` failed ({status}){}", quoted(said))]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it said on standard error.
        said: Vec<String>,
    },

    /// No vDPA management device serves what was asked for.
    #[error("no vDPA management device for {wanted}: {diagnosis}")]
    NoMgmtdev {
        /// The VF or the management device that was looked for.
        wanted: String,
        /// What is known about the cause.
        diagnosis: Diagnosis,
        /// The kernel's answer, where it was asked.
        #[source]
        refusal: Option<Refusal>,
    },
    /// There is no vDPA device of this name.
    #[error("there is no vDPA device `{name}`")]
    NoDevice {
        /// The name.
        name: DeviceName,
        /// The kernel's answer, where it was asked.
        #[source]
        refusal: Option<Refusal>,
    },
    /// There is a vDPA device of this name already.
    #[error("there is a vDPA device `{name}` already")]
    DeviceExists {
        /// The name.
        name: DeviceName,
        /// The kernel's answer.
        #[source]
        refusal: Refusal,
    },
    /// The vdpa bus has no such driver, and loading its module did not help.
    #[error("the vdpa bus has no driver `{driver}`")]
    NoDriver {
        /// The driver: `vhost_vdpa`, `virtio_vdpa`.
        driver: String,
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
    /// The kernel's netlink interface did not give an answer that could be used.
    #[error("the kernel's vDPA interface did not answer")]
    Netlink(#[source] vdpa_netlink::Error),
    /// What was waited for did not come.
    #[error("{awaited} did not come within {limit:?}: {seen}")]
    Timeout {
        /// What was waited for.
        awaited: String,
        /// How long.
        limit: Duration,
        /// What was seen instead.
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
    /// Something that we or the kernel wrote does not parse.
    #[error("{what} is not understood: {why}")]
    Malformed {
        /// The file or the answer.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// An I/O error with what was being done.
    pub(crate) fn io(intent: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let intent = intent.into();
        move |source| Self::Io { intent, source }
    }

    /// The kernel's answer, if it was the kernel that said no.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } | Self::DeviceExists { refusal, .. } => Some(refusal),
            Self::NoMgmtdev { refusal, .. } | Self::NoDevice { refusal, .. } => refusal.as_ref(),
            _ => None,
        }
    }

    /// What to type or to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ProgramMissing { .. } => Some(
                "it is DPDK's example `vdpa` (examples/vdpa in DPDK's source): build it, install it as dpdk-vdpa or \
                 name its path in the host file",
            ),
            Self::DeviceUnknown { .. } => Some(UNKNOWN_DEVICE),
            // Told by a supervisor, of which only the words arrive.
            Self::NotStarted { why, .. } if why.contains("finds no vDPA device") => Some(UNKNOWN_DEVICE),
            Self::AlreadyServed { .. } => Some("`vdpa status` shows it, `vdpa teardown` stops it"),
            Self::SocketTaken { .. } => Some("`ss -xlp` names the process that listens there"),
            Self::NoMgmtdev { diagnosis, .. } => Some(diagnosis.hint()),
            Self::NoDriver { .. } => Some("load its module: `modprobe vhost_vdpa`"),
            Self::Refused { refusal, .. } if refusal.errno == vdpa_netlink::Errno::EPERM => {
                Some("vDPA devices are made by root (CAP_NET_ADMIN)")
            }
            _ => None,
        }
    }

    /// The error and all its causes in one line, as a status text or a log wants it.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

/// What it takes for DPDK to find a VF.
const UNKNOWN_DEVICE: &str = "the VF needs its kernel driver (mlx5_core) bound, firmware with UCTX_EN=1, and a DPDK with \
                              the vDPA driver for this card";

/// `, but a, b`, or nothing.
fn instead(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(", but {}", others.join(", ")) }
}

/// `: a | b`, or nothing.
fn quoted(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join(" | ")) }
}
