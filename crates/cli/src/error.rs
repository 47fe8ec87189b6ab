//! What can go wrong in a command, and what it means for the exit code.

mod hint;
mod meaning;

use std::path::PathBuf;

use thiserror::Error;
use vdpa_hw::{PciAddress, VfIndex};

use crate::config::{ConfigError, NicName, Place};
use crate::guard::Objection;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub enum Error {
    /// The host file or a flag cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The host file names a network device that is not there.
    #[error("no PCI function has a network device {0}")]
    NoNetdev(vdpa_hw::NetdevName),
    /// The host file asks for more VFs than the firmware allows.
    #[error("{nic} is to have {asked} VFs and its firmware allows {total}")]
    TooManyVfs {
        /// The card as the host file names it.
        nic: NicName,
        /// How many are asked for.
        asked: u16,
        /// `sriov_totalvfs`.
        total: u16,
    },
    /// The ports of one card are to have one firmware setting differently.
    #[error("{name} of the card {card} is to be {} for one port and {} for another", .values[0], .values[1])]
    FirmwareConflict {
        /// The card, by its first function.
        card: PciAddress,
        /// The setting.
        name: vdpa_hw::firmware::SettingName,
        /// What it is to be.
        values: [vdpa_hw::firmware::Value; 2],
    },
    /// Firmware settings are not as the host file has them, and writing them was not asked for.
    #[error("{} not as the host file says", count(.0.len(), "firmware setting is", "firmware settings are"))]
    FirmwareDiffers(Vec<String>),
    /// What a firmware tool printed at another time has no settings in it.
    #[error("{what} holds no firmware settings")]
    SavedOutput {
        /// The file, or standard input.
        what: String,
        /// Why not.
        #[source]
        source: vdpa_hw::firmware::NotRead,
    },
    /// No card, or more than one, could be meant.
    #[error("{0}")]
    WhichCard(String),
    /// Two cards of the host file are one.
    #[error("{first} and {second} are the same function, {pf}")]
    SameNic {
        /// One name.
        first: NicName,
        /// The other.
        second: NicName,
        /// The function.
        pf: PciAddress,
    },
    /// The card's driver tells no permanent MAC to derive a VF's from.
    #[error("{pf} has no permanent MAC to derive one for VF {vf} from")]
    NoPermanentMac {
        /// The PF.
        pf: PciAddress,
        /// The VF.
        vf: VfIndex,
    },
    /// The card's driver has no such setting.
    #[error("{pf} has no {setting}: its driver leaves no choice")]
    NoSetting {
        /// The PF.
        pf: PciAddress,
        /// The key in the host file.
        setting: &'static str,
    },
    /// The steering mode cannot change now.
    #[error(
        "the flow steering of {pf} is {now} and becomes {wanted} in legacy mode only: it is in switchdev mode"
    )]
    SteeringFixed {
        /// The PF.
        pf: PciAddress,
        /// What it is.
        now: vdpa_eswitch::SteeringMode,
        /// What is asked for.
        wanted: vdpa_eswitch::SteeringMode,
    },
    /// The card's driver refuses an attribute of a VF in switchdev mode.
    #[error("{driver} refuses {attribute} of a VF in switchdev mode: {vf}")]
    NotInSwitchdev {
        /// The VF.
        vf: vdpa_hw::Vf,
        /// The attribute.
        attribute: vdpa_eswitch::VfAttribute,
        /// The driver.
        driver: &'static str,
    },
    /// A bond is to have the name of a device that is none.
    #[error("there is a network device {0} that is no bond")]
    NameTaken(vdpa_hw::NetdevName),
    /// A bond that is there has another mode, which cannot change while it has members.
    #[error("the bond {name} is of mode {} and not {wanted}", now.map_or_else(|| "unknown".to_owned(), |now| now.to_string()))]
    BondMode {
        /// The bond.
        name: vdpa_hw::NetdevName,
        /// Its mode.
        now: Option<vdpa_hw::BondMode>,
        /// What is asked for.
        wanted: vdpa_hw::BondMode,
    },
    /// A VF did not take the MAC that its PF keeps for it.
    #[error(
        "{vf} has the MAC {found} ({netdev}) and not {wanted}, which was set before its driver was bound"
    )]
    MacNotTaken {
        /// The VF.
        vf: vdpa_hw::Vf,
        /// Its network device.
        netdev: vdpa_hw::NetdevName,
        /// What was set.
        wanted: vdpa_hw::MacAddress,
        /// What it has.
        found: vdpa_hw::MacAddress,
    },
    /// The kernel refuses to change an eswitch's mode: another order may do.
    #[error(transparent)]
    ModeRefused(vdpa_eswitch::Error),
    /// A mistake in the host file that only the host could tell.
    #[error("{error}")]
    Placed {
        /// Where it stands.
        place: Place,
        /// What is wrong.
        error: Box<Error>,
    },
    /// Guards object.
    #[error("{} before anything was changed", count(.0.len(), "guard objects", "guards object"))]
    Guarded(Vec<Objection>),
    /// A statement's subject is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// hw-offload is configured, and ovs-vswitchd does not act by it.
    #[error("hw-offload is set and ovs-vswitchd does not act by it: no ingress qdisc on {}", .0.join(", "))]
    NotInForce(Vec<String>),
    /// Everything was done, and some statements do not hold.
    #[error("{} after everything was done", count(.0.len(), "statement does not hold", "statements do not hold"))]
    Unverified(Vec<String>),
    /// Someone changed what `setup` made.
    #[error("{} since `setup`", count(.0.len(), "statement has changed", "statements have changed"))]
    Drifted(Vec<String>),
    /// `teardown` could not bring everything back.
    #[error("not everything could be restored")]
    NotRestored,
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// This process may not do what the command does.
    #[error("`vdpa {command}` needs {}", .missing.join(" and "))]
    Privilege {
        /// The command.
        command: &'static str,
        /// Capabilities that it lacks.
        missing: Vec<String>,
    },
    /// Another `vdpa` is at work.
    #[error("another vdpa is at work{}", .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked {
        /// Its process id.
        holder: Option<u32>,
    },
    /// The receipt cannot be used.
    #[error("cannot {verb} the receipt {path}: {why}")]
    Receipt {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file of ours cannot be used.
    #[error("cannot use {path}")]
    Run {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file that the user named cannot be read.
    #[error("cannot read {what}")]
    Input {
        /// The file, or standard input.
        what: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Packets to measure by could not be sent.
    #[error("no packets to measure by: {why}")]
    Traffic {
        /// Why not.
        why: String,
    },
    /// A program is not installed where it is to run.
    #[error("there is no {program} at {end}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// Where.
        end: crate::bench::End,
    },
    /// A machine cannot be reached by ssh.
    #[error("ssh does not reach {host}: {said}")]
    Ssh {
        /// The machine.
        host: crate::bench::SshHost,
        /// What ssh says.
        said: String,
    },
    /// A measurement has no result.
    #[error("cannot measure {what}")]
    Unmeasured {
        /// What was to be measured.
        what: String,
        /// Why not.
        #[source]
        source: crate::bench::Refusal,
    },
    /// What is to be a record of measurements is none.
    #[error("{path} is no record of `vdpa bench`: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What is asked for has nothing to do with the simulated host that is asked for beside it.
    #[error("{0} is not of a simulated host")]
    NotSimulated(&'static str),
    /// The simulated host's file is not one.
    #[error("{path} holds no simulated host: {why}")]
    Simulation {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A bundle cannot be written or read.
    #[error("cannot {verb} the bundle {}: {why}", path.display())]
    Bundle {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Open vSwitch's service could not be restarted.
    #[error("cannot restart Open vSwitch: {0}")]
    Restart(String),
    /// A file has a name of ours and is somebody else's.
    #[error("{} is in the way: vdpa has not written it", .0.display())]
    NotOurs(PathBuf),
    /// A file of the system cannot be read, written or removed.
    #[error("cannot {verb} {}", .path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The program is where a service cannot start it from.
    #[error("a service cannot start {}: it does not see that directory, or it may be gone at the next boot", .0.display())]
    Homeless(PathBuf),
    /// A path with control characters, or one that is no text: a unit cannot name it.
    #[error("a unit cannot name the path {0:?}")]
    Unspeakable(PathBuf),
    /// systemd does not run this host.
    #[error("systemd does not run this host")]
    NoSystemd,
    /// udev or `NetworkManager` does not read what it is told of representors.
    #[error("cannot have representors named and left alone: {0}")]
    Untold(String),
    /// systemd did not take up its units.
    #[error("systemd has not read its units anew: {0}")]
    Systemd(String),
    /// A layer's error.
    #[error(transparent)]
    Hw(#[from] vdpa_hw::Error),
    /// A layer's error.
    #[error(transparent)]
    Eswitch(#[from] vdpa_eswitch::Error),
    /// A layer's error.
    #[error(transparent)]
    Tc(#[from] vdpa_tc::Error),
    /// A layer's error.
    #[error(transparent)]
    Ovs(#[from] vdpa_ovs::Error),
    /// A layer's error.
    #[error(transparent)]
    Datapath(#[from] vdpa_datapath::Error),
    /// A layer's error.
    #[error(transparent)]
    Vm(#[from] vdpa_vm::Error),
    /// What the host is booted with could not be changed.
    #[error(transparent)]
    Boot(#[from] vdpa_boot::Error),
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// What to do where something could not be restored.
pub(crate) const RESUME: &str = "remove what stands in the way, then `vdpa teardown` goes on";

/// Where a kernel that refused says more.
const DMESG: &str = "`dmesg` may say more, `vdpa status` shows what holds";
