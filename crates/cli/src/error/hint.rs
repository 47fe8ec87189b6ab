//! What to type or look at next.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use vdpa_hw::firmware::vfs_with_headroom;

use super::{DMESG, Error, RESUME};
use crate::guard::{Guard, Objection};

impl Error {
    /// What to type or look at next.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Config(error) => return Some(error.hint.clone()),
            Self::Placed { error, .. } => return error.hint(),
            Self::NoNetdev(_) => {
                "`ip link` lists network devices; `lspci -D -d 15b3:` lists cards by address"
            }
            Self::TooManyVfs { asked, total, .. } => {
                let room = vfs_with_headroom([*asked]);
                return Some(format!(
                    "lower `vfs` to {total}, or write `firmware = {{ NUM_OF_VFS = {room} }}` below this `[[nic]]` and \
                     run `vdpa setup --firmware`"
                ));
            }
            Self::FirmwareConflict { .. } => "a card has one set of settings for all its ports: say it once",
            Self::FirmwareDiffers(_) => {
                "`vdpa setup --firmware` writes them, and says what it takes until they are in force"
            }
            Self::SavedOutput { .. } => {
                "save what `mstconfig -d ADDRESS -e query` or `mlxconfig -d ADDRESS -e query` prints, or writes with -j"
            }
            Self::WhichCard(_) => "name a port of it: `--pci 0000:43:00.0`; `lspci -D -d 15b3:` lists them",
            Self::SameNic { .. } => "keep one of the two `[[nic]]` tables",
            Self::NoSetting { .. }
            | Self::SteeringFixed { .. }
            | Self::NotInSwitchdev { .. }
            | Self::NameTaken(_)
            | Self::BondMode { .. }
            | Self::MacNotTaken { .. } => return self.card_hint(),
            Self::NoPermanentMac { .. } => "give each VF a `mac` in the host file",
            Self::Guarded(objections) => return Some(overridden(objections)),
            Self::NotInForce(_) => {
                "`journalctl -u ovs-vswitchd` and `ovs-vsctl get Open_vSwitch . other_config`"
            }
            Self::Missing(_) | Self::Unverified(_) => "`vdpa status` shows what holds; `dmesg` may say why",
            Self::Drifted(_) => {
                "`vdpa setup` makes it so again; `vdpa teardown --force drift` restores all the same"
            }
            Self::Privilege { command, .. } => return Some(crate::privilege::hint(command)),
            Self::Locked { .. } => "wait until it is done",
            Self::Receipt { verb: "understand", path, .. } => {
                return Some(format!(
                    "use the vdpa that wrote it, or move {} away and look after the host by hand",
                    path.display()
                ));
            }
            Self::Run { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                "run as root; on a simulated host, name a directory of yours: `--simulate=DIR`"
            }
            Self::Receipt { .. } | Self::Run { .. } => "run as root, and look for a full disk: `df -h /run`",
            Self::Input { .. } => "name a file that can be read; `-` is standard input",
            Self::NotSimulated(_) => "leave `--simulate` away",
            Self::Traffic { .. } => {
                "`ip netns` lists namespaces to name with `--from`; as root; `--watch` measures the packets of others"
            }
            Self::NoProgram { program, .. } => return Some(installing(program)),
            Self::Ssh { host, .. } => {
                return Some(format!(
                    "`ssh -o BatchMode=yes {host} true` has to work for the user who runs this (under sudo: root); \
                     `--ssh-config FILE` names another configuration"
                ));
            }
            Self::Unmeasured { .. } => {
                "`vdpa bench --from END --to ADDRESS --ping` shows whether the ends reach each other; `--port` takes \
                 another port"
            }
            Self::Record { .. } => "name a file that `vdpa bench --record FILE` wrote",
            Self::Simulation { .. } => {
                "name another directory with `--simulate=DIR`, or remove the file to start anew"
            }
            Self::Bundle { verb: "read", .. } => {
                "`vdpa doctor --bundle FILE` writes one; `tar tf FILE` shows what it holds"
            }
            Self::Bundle { .. } => "name another file, in a directory that you may write to",
            Self::Restart(_) => "`systemctl status openvswitch-switch` (openvswitch on RHEL)",
            Self::NotOurs(path) => {
                return Some(format!("look what it is for; to go on, `mv {0} {0}.away`", path.display()));
            }
            Self::File { source, .. } => file_hint(source),
            Self::Homeless(_) => "call one that is installed: `sudo install vdpa /usr/local/bin/`",
            Self::Unspeakable(_) => "give the file a name without control characters, in UTF-8",
            Self::NoSystemd => {
                "have your init run `vdpa setup --until card` before the network and `vdpa setup` after Open vSwitch"
            }
            Self::Untold(_) => "`journalctl -u systemd-udevd -u NetworkManager` may say more",
            Self::Systemd(_) => "`systemctl daemon-reload` does it; `journalctl -u init.scope` may say more",
            Self::Interrupted => "the same command begins anew",
            Self::NotRestored => RESUME,
            Self::Hw(_)
            | Self::Tc(_)
            | Self::Eswitch(_)
            | Self::ModeRefused(_)
            | Self::Ovs(_)
            | Self::Boot(_)
            | Self::Datapath(_)
            | Self::Vm(_) => return self.layer_hint(),
        };
        Some(text.to_owned())
    }

    /// The same for a layer's error: its own hint, or where the layer's partner says more.
    fn layer_hint(&self) -> Option<String> {
        let text = match self {
            Self::Hw(vdpa_hw::Error::NoFunction(_)) => "`lspci -D -d 15b3:` lists the cards there are",
            Self::Hw(vdpa_hw::Error::NotPf(_)) => {
                "name the physical function: `lspci -D -d 15b3:` lists PFs and VFs"
            }
            Self::Hw(vdpa_hw::Error::Permission { .. })
            | Self::Eswitch(vdpa_eswitch::Error::Permission { .. }) => "run as root: `sudo vdpa setup`",
            Self::Hw(vdpa_hw::Error::AtWork { .. }) => {
                "`dmesg` says what the driver waits for; when it has returned, `vdpa teardown` goes on"
            }
            Self::Hw(error) => return error.hint().or_else(|| Some(DMESG.to_owned())),
            Self::Tc(_) => DMESG,
            Self::Eswitch(error) | Self::ModeRefused(error) => {
                return error.hint().or_else(|| Some(DMESG.to_owned()));
            }
            Self::Ovs(error) => {
                error.hint().unwrap_or("`journalctl -u ovs-vswitchd -u ovsdb-server` may say more")
            }
            Self::Boot(error) => return error.hint().or_else(|| Some(DMESG.to_owned())),
            Self::Datapath(error) => error.hint().unwrap_or(DMESG),
            Self::Vm(error) => {
                return error.hint().or_else(|| Some("`journalctl -u libvirtd` may say more".to_owned()));
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// The same for what a card, or a VF of it, cannot be.
    fn card_hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSetting { pf, setting } => {
                return Some(format!(
                    "take `{setting}` out; `devlink dev param show pci/{pf}` and `devlink dev eswitch show pci/{pf}` \
                     list what there is"
                ));
            }
            Self::SteeringFixed { pf, .. } => {
                return Some(format!(
                    "`vdpa teardown` first, or, if vdpa did not switch it, `devlink dev eswitch set pci/{pf} mode legacy`"
                ));
            }
            Self::NotInSwitchdev { .. } => {
                "take it out: the card's rules for VFs are Open vSwitch's flows now"
            }
            Self::NameTaken(_) => "give the bond another name",
            Self::BondMode { name, .. } => {
                return Some(format!("write the mode that it has, or remove it: `ip link delete {name}`"));
            }
            Self::MacNotTaken { .. } => {
                "`ip link show` has both; a driver that picks its own MAC has a setting of its own for it"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// How to come by a program, by the names that Debian and RHEL give its package.
fn installing(program: &str) -> String {
    let (debian, rhel) = match program {
        "ping" => ("iputils-ping", "iputils"),
        "ssh" => ("openssh-client", "openssh-clients"),
        other => (other, other),
    };
    format!("install it there: `apt-get install {debian}` or `dnf install {rhel}`")
}

/// What to do about objections, or how to go on in spite of them.
fn overridden(objections: &[Objection]) -> String {
    let guards: BTreeSet<Guard> = objections.iter().map(|objection| objection.guard).collect();
    let first = if guards.iter().all(|guard| *guard == Guard::HostUnfit) {
        "give the VMs what they need"
    } else {
        "move what is named away from the card"
    };
    guards.iter().fold(format!("{first}, or override a guard:"), |mut hint, guard| {
        let _ = write!(hint, " `--force {guard}`");
        hint
    })
}

/// What to do where a file of the system cannot be used.
fn file_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "run as root",
        std::io::ErrorKind::ReadOnlyFilesystem => {
            "that file system is mounted read-only: `findmnt -o TARGET,OPTIONS` shows it"
        }
        std::io::ErrorKind::InvalidInput => "name a file, or something that is not there yet",
        _ => "look for a full disk: `df -h`",
    }
}
