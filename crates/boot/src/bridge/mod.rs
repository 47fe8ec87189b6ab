//! The bridge by which virtual machines are managed: it goes over the host's own NIC and takes that one's addresses, and
//! goes away again by itself unless somebody who still reaches the host says so.
//!
//! Who does the work is who manages the NIC anyway, `NetworkManager` or systemd-networkd. What it is told is made before
//! anything is done, as lists of [`Act`]s: to make the bridge, to make it last, to go back. The lists are what a plan
//! shows and what the record holds.
//!
//! ```text
//!           record in /run, timer      confirmed: files in /etc, record in /var/lib
//!  nothing ────────► unconfirmed ─────────────────────► confirmed
//!     ▲                   │  timer, error, reboot           │ removed
//!     └───────────────────┴─────────────────────────────────┘
//! ```
//!
//! What is unconfirmed lies below `/run` alone, ours as the manager's, so that a reboot takes it back without anybody's
//! doing. What carried the addresses before is never edited.
//!
//! | file | its job |
//! |---|---|
//! | `nic.rs` | the NIC as sysfs shows it, and whether it can be bridged |
//! | `nm.rs`, `networkd.rs` | what each manager knows of the NIC, and what it is told |
//! | `record.rs` | what is needed to go on or back, on disk |
//! | `work.rs` | planning, making, confirming, going back |
//! | `refusal.rs` | why not |

#[cfg(feature = "mock")]
pub(crate) mod mock;
mod networkd;
mod nic;
mod nm;
mod record;
mod refusal;
#[cfg(all(test, feature = "mock"))]
mod tests;
mod work;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vdpa_hw::{MacAddress, NetdevName};

pub use record::{Record, Standing};
pub use refusal::Refusal;

use crate::programs::Command;

/// A bridge as it is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The NIC whose addresses it takes.
    pub over: NetdevName,
    /// Its name.
    pub name: NetdevName,
    /// Who is to make it; `None`: whoever manages the NIC.
    pub manager: Option<Manager>,
    /// How long it stays without a confirmation.
    pub confirm_within: Duration,
    /// Network devices and PCI addresses that the host file has cards at: they are not for this.
    pub cards: Vec<String>,
    /// The program that the timer starts to go back, with its arguments.
    pub roll_back: Vec<String>,
}

/// Who configures the network of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// `NetworkManager`, told by `nmcli`.
    Nm,
    /// systemd-networkd, told by files and `networkctl`.
    Networkd,
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nm => "NetworkManager",
            Self::Networkd => "systemd-networkd",
        })
    }
}

impl FromStr for Manager {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nm" => Ok(Self::Nm),
            "networkd" => Ok(Self::Networkd),
            _ => Err("it is nm or networkd".to_owned()),
        }
    }
}

/// One thing that is done to a host's network configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// A program is run to its end.
    Run(Command),
    /// A file of ours gets this text.
    Write {
        /// The file.
        path: PathBuf,
        /// All that is in it.
        text: String,
    },
    /// A file of ours goes.
    Remove(PathBuf),
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => command.fmt(f),
            Self::Write { path, .. } => write!(f, "write {}", path.display()),
            Self::Remove(path) => write!(f, "remove {}", path.display()),
        }
    }
}

/// What would be done to make a bridge.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Its MAC, which is the NIC's: a DHCP server knows the host again.
    pub mac: MacAddress,
    /// The kernel's number of the NIC.
    #[serde(skip)]
    pub index: u32,
    /// What arms the timer that goes back.
    pub arm: Command,
    /// What makes the bridge.
    pub make: Vec<Act>,
    /// What is written down before.
    #[serde(flatten)]
    pub record: Record,
}
