//! What can go wrong between us and a card's switch.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use vdpa_hw::{IfIndex, MacAddress, VfIndex};
use vdpa_netlink::{Errno, Refusal};

use crate::DevlinkHandle;
use crate::representor::Representors;

/// The result of a call on a switch.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on a switch failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The kernel knows no such device: it is not there, or its driver has no devlink or is unbound.
    #[error("there is no devlink device {0}")]
    NoDevice(DevlinkHandle),
    /// No network device has this index.
    #[error("there is no network device with index {0}")]
    NoLink(IfIndex),
    /// The VF has no port on the switch: it does not exist, or the switch is in legacy mode.
    #[error("{device} has no port for vf {vf}")]
    NoPort {
        /// The switch's device.
        device: DevlinkHandle,
        /// The VF.
        vf: VfIndex,
    },
    /// The caller lacks the privilege (`CAP_NET_ADMIN`).
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
    /// The kernel said yes to hw-tc-offload and did nothing, as it does where the feature is fixed.
    #[error("hw-tc-offload of network device {link} stays {}: {}", on_off(!.on), why_it_stays(*.changeable))]
    OffloadStays {
        /// The network device.
        link: IfIndex,
        /// What was asked for.
        on: bool,
        /// Whether its driver lets the feature be changed at all.
        changeable: bool,
    },
    /// The kernel said yes to a MAC address and keeps another.
    #[error("{device} keeps {kept:?} as the MAC address of vf {vf} and not {mac}")]
    MacStays {
        /// The switch's device.
        device: DevlinkHandle,
        /// The VF.
        vf: VfIndex,
        /// What was asked for.
        mac: MacAddress,
        /// What is there.
        kept: Option<MacAddress>,
    },
    /// Representors did not appear in time. The source is what was seen instead.
    #[error("no representor for {device} {} after {limit:?}", vfs(.missing))]
    NoRepresentor {
        /// The switch's device.
        device: DevlinkHandle,
        /// The VFs without one.
        missing: Vec<VfIndex>,
        /// How long was waited.
        limit: Duration,
        /// What was there when the time was up.
        #[source]
        seen: Box<Sighting>,
    },
    /// The uplink did not appear in time. The source is what was seen instead.
    #[error("no uplink of {device} after {limit:?}")]
    NoUplink {
        /// The switch's device.
        device: DevlinkHandle,
        /// How long was waited.
        limit: Duration,
        /// What was there when the time was up.
        #[source]
        seen: Box<Sighting>,
    },
    /// The bond of the card's ports did not become one in hardware, or did not cease to be one.
    #[error("the ports of {device} are {} in hardware after {limit:?}", lag_is(*.seen))]
    LagStays {
        /// The card's device.
        device: DevlinkHandle,
        /// What was there when the time was up; `None` where its driver tells nothing.
        seen: Option<crate::LagState>,
        /// How long was waited.
        limit: Duration,
    },
    /// The kernel could not be asked, or did not answer in time or in a way that can be read.
    #[error(transparent)]
    Netlink(vdpa_netlink::Error),
    /// A file below /sys could not be read.
    #[error("cannot read {path}")]
    Sysfs {
        /// The file.
        path: std::path::PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The errno with which the kernel refused, if it did.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.errno),
            _ => None,
        }
    }

    /// What to type next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { refusal, .. } if refusal.errno == Errno::EBUSY => Some(
                "look for other users of this eswitch: `devlink port show`, \
                 `tc filter show dev UPLINK ingress`, VFs that are bound to a driver"
                    .to_owned(),
            ),
            Self::NoDevice(device) => {
                let driver = device.pci().map(|pci| format!("; `lspci -k -s {pci}` shows its driver"));
                Some(format!("`devlink dev show` lists the devices there are{}", driver.unwrap_or_default()))
            }
            Self::LagStays { device, .. } => Some(format!(
                "mlx5 bonds two ports of one card in switchdev mode, in a bond of active-backup, balance-xor or \
                 802.3ad and of no other ports: `dmesg`, `devlink dev eswitch show {device}`"
            )),
            Self::NoPort { device, .. } => {
                Some(format!("`devlink dev eswitch show {device}` shows its mode"))
            }
            _ => None,
        }
    }
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

/// What was there when a wait had run out, and where it looked. Displays as the lines below an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The representors that were there.
    pub representors: Representors,
    /// Where they were looked for.
    pub looked_in: String,
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Representors { uplink, vfs } = &self.representors;
        let uplink = uplink.iter().map(|uplink| format!("uplink {}", uplink.name));
        let vfs = vfs.iter().map(|(vf, representor)| format!("vf {vf} {}", representor.name));
        let seen = uplink.chain(vfs).collect::<Vec<_>>().join(", ");
        writeln!(f, "seen: {}", if seen.is_empty() { "nothing" } else { &seen })?;
        write!(f, "looked in: {}", self.looked_in)
    }
}

impl std::error::Error for Sighting {}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn lag_is(seen: Option<crate::LagState>) -> &'static str {
    match seen {
        Some(crate::LagState::Active) => "still one",
        Some(crate::LagState::Disabled) => "not one",
        None => "not known to be one",
    }
}

fn why_it_stays(changeable: bool) -> &'static str {
    if changeable { "the kernel said yes and did nothing" } else { "its driver does not let it change" }
}

/// `vf 3`, `vf 0, 1, 3`.
fn vfs(missing: &[VfIndex]) -> String {
    let list: Vec<_> = missing.iter().map(VfIndex::to_string).collect();
    format!("vf {}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Representor;
    use std::error::Error as _;

    fn card() -> DevlinkHandle {
        "pci/0000:65:00.0".parse().unwrap()
    }

    #[test]
    fn a_refusal_reads_as_the_user_should_meet_it() {
        let error = Error::from(vdpa_netlink::Error::Refused {
            intent: format!("switch the eswitch of {} to switchdev", card()),
            refusal: Refusal::because(Errno::EBUSY, "Can't change mode, E-Switch is busy"),
            culprit: None,
        });
        assert_eq!(error.to_string(), "cannot switch the eswitch of pci/0000:65:00.0 to switchdev");
        assert_eq!(
            error.source().unwrap().to_string(),
            "kernel: Can't change mode, E-Switch is busy (EBUSY)"
        );
        assert!(error.hint().unwrap().contains("devlink port show"));
    }

    #[test]
    fn a_wait_that_ran_out_says_what_was_seen() {
        let representor = Representor { index: IfIndex(7), name: "eth4".parse().unwrap() };
        let error = Error::NoRepresentor {
            device: card(),
            missing: vec![VfIndex::new(1), VfIndex::new(3)],
            limit: Duration::from_secs(10),
            seen: Box::new(Sighting {
                representors: Representors { uplink: None, vfs: [(VfIndex::new(0), representor)].into() },
                looked_in: "devlink ports of pci/0000:65:00.0, flavour pcivf".into(),
            }),
        };
        assert_eq!(error.to_string(), "no representor for pci/0000:65:00.0 vf 1, 3 after 10s");
        assert_eq!(
            error.source().unwrap().to_string(),
            "seen: vf 0 eth4\nlooked in: devlink ports of pci/0000:65:00.0, flavour pcivf"
        );
    }

    #[test]
    fn a_driver_that_says_why_is_quoted_even_with_eperm() {
        let refused = |refusal| {
            Error::from(vdpa_netlink::Error::Refused { intent: "try".into(), refusal, culprit: None })
        };
        assert!(matches!(refused(Errno::EPERM.into()), Error::Permission { .. }));
        let said = refused(Refusal::because(Errno::EPERM, "Can't change mode in this state"));
        assert!(matches!(said, Error::Refused { .. }));
    }
}
