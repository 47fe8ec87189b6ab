//! Why a NIC is not put under a bridge, and what to do about it.

use std::fmt;

use vdpa_hw::NetdevName;

use super::Manager;

/// Why not. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such network device.
    Unknown,
    /// It is a card's: a PF with VFs, a VF, a port of its switch, or one that the host file has.
    Card(String),
    /// It is part of something else.
    Member(String),
    /// Something else stands on it, which would lose what it stands on.
    Beneath(Vec<String>),
    /// An access point takes frames from one station's address alone.
    Wireless,
    /// Its kind, which is not Ethernet's.
    NotEthernet(String),
    /// There is a network device of the bridge's name.
    NameTaken(NetdevName),
    /// Neither manager has it.
    Unmanaged,
    /// Another manager has it.
    ManagedBy(Manager),
    /// Its manager has it without a profile.
    NoProfile,
    /// Its profile, by its UUID, does not outlive a reboot: there would be nothing to go back to.
    Volatile(String),
    /// There is a profile of the name that ours would have.
    ProfileTaken(String),
    /// Its profile authenticates by 802.1X, whose secrets nobody shows.
    Authenticates,
    /// A file that is read before ours would be.
    ReadBefore(String),
    /// Nobody could go back in our place.
    NoTimer(&'static str),
    /// A bridge of ours waits to be confirmed.
    Waiting(NetdevName),
    /// A bridge of ours is there.
    Made(NetdevName),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such network device"),
            Self::Card(what) => write!(f, "it is {what}"),
            Self::Member(of) => write!(f, "it belongs to {of}"),
            Self::Beneath(uppers) => write!(f, "{} stands on it", uppers.join(", ")),
            Self::Wireless => f.write_str("it is wireless, and an access point takes one address from it"),
            Self::NotEthernet(kind) => write!(f, "it is of the kind {kind}, and not an Ethernet NIC"),
            Self::NameTaken(name) => write!(f, "there is a network device {name} already"),
            Self::Unmanaged => f.write_str("neither NetworkManager nor systemd-networkd manages it"),
            Self::ManagedBy(manager) => write!(f, "{manager} manages it"),
            Self::NoProfile => f.write_str("no profile is active on it"),
            Self::Volatile(uuid) => {
                write!(f, "its profile {uuid} is in memory only, and there would be nothing to go back to")
            }
            Self::ProfileTaken(name) => write!(f, "there is a profile {name} already"),
            Self::Authenticates => {
                f.write_str("its profile authenticates by 802.1X, whose secrets are not told")
            }
            Self::ReadBefore(file) => write!(f, "{file} comes before any file of ours"),
            Self::NoTimer(why) => write!(f, "nobody would take it back: {why}"),
            Self::Waiting(name) => write!(f, "the bridge {name} waits to be confirmed"),
            Self::Made(name) => write!(f, "the bridge {name} was made before"),
        }
    }
}

impl Refusal {
    /// What to type next.
    pub(crate) fn hint(&self, nic: &str) -> String {
        match self {
            Self::Unknown => "`ip -br link` lists them".to_owned(),
            Self::Card(_) => {
                "name the NIC that the host is managed by: `ip route get 1.1.1.1` shows it".to_owned()
            }
            Self::Member(_) => {
                "`vdpa vm create --bridge` takes a bridge that is there; a bond or a port of Open vSwitch \
                                is not put under another"
                    .to_owned()
            }
            Self::Beneath(uppers) => {
                format!("move them to the bridge by hand, or remove them: `ip link show {}`", uppers[0])
            }
            Self::Wireless => {
                "name a NIC with a cable, or give guests libvirt's own network: `--network default`"
                    .to_owned()
            }
            Self::NotEthernet(_) => {
                "name the NIC itself; for anything else make the bridge by hand".to_owned()
            }
            Self::NameTaken(name) => {
                format!("choose another with `--name`; `ip -d link show {name}` says what it is")
            }
            Self::Unmanaged => format!(
                "`nmcli device set {nic} managed yes`, or a .network file for it; ifupdown and others are not \
                 spoken to: make the bridge there by hand"
            ),
            Self::ManagedBy(Manager::Nm) => "leave out `--manager`, or say `--manager nm`".to_owned(),
            Self::ManagedBy(Manager::Networkd) => {
                "leave out `--manager`, or say `--manager networkd`".to_owned()
            }
            Self::NoProfile => format!("`nmcli device connect {nic}` gives it one"),
            Self::Volatile(uuid) => {
                format!("`nmcli connection modify uuid {uuid} connection.autoconnect yes` keeps it")
            }
            Self::ProfileTaken(name) => format!("`nmcli connection delete id {name}`, if nobody needs it"),
            Self::Authenticates => "make the bridge by hand".to_owned(),
            Self::ReadBefore(file) => format!("give it a name that does not begin with `0-`: {file}"),
            Self::NoTimer(_) => "it takes systemd, and systemd-run".to_owned(),
            Self::Waiting(_) => {
                "`vdpa host bridge --confirm` keeps it, `vdpa host bridge --remove` takes it back".to_owned()
            }
            Self::Made(_) => "`vdpa host bridge --remove` takes it back".to_owned(),
        }
    }
}
