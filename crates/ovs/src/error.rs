//! The one error type of this crate.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::{
    BridgeName, PortKey, PortName,
    ovsdb::{ErrorKind, Remote},
};

/// What can go wrong between a caller and a configured switch. A variant is what a caller would treat
/// differently.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be one.
    #[error("{what} {value:?} is not valid: {why}")]
    Name {
        /// The kind of name.
        what: &'static str,
        /// The text given.
        value: String,
        /// The rule it breaks.
        why: &'static str,
    },

    /// Nobody answers at the socket: it does not exist, or no server listens.
    #[error("cannot connect to {remote}")]
    Connect {
        /// Whom it was to, or is with.
        remote: Remote,
        /// The operating system's reason.
        source: io::Error,
    },

    /// The socket exists and this user may not write to it.
    #[error("no permission to connect to {remote}")]
    PermissionDenied {
        /// Whom it was to, or is with.
        remote: Remote,
        /// The operating system's reason.
        source: io::Error,
    },

    /// The connection ended during a call. Whether the call took effect is not known.
    #[error("lost the connection to {remote} during {during}: {reason}")]
    Disconnected {
        /// Whom it was to, or is with.
        remote: Remote,
        /// The method called.
        during: String,
        /// How it ended.
        reason: String,
    },

    /// No reply in time. Whether the call took effect is not known.
    #[error("no reply to {during} from {remote} within {limit:?}")]
    Timeout {
        /// Whom it was to, or is with.
        remote: Remote,
        /// The method called.
        during: String,
        /// How long it was waited for.
        limit: Duration,
    },

    /// The peer said something that is not the protocol (RFC 7047), or not this database's schema.
    #[error("unexpected answer to {during}: {text}")]
    Protocol {
        /// The method called.
        during: String,
        /// What is wrong with it.
        text: String,
    },

    /// The server refused the call as a whole.
    #[error("the server refused {method}: {kind}{}", Details(details))]
    Rpc {
        /// The method called.
        method: String,
        /// The server's error.
        kind: ErrorKind,
        /// The server's details; may be empty.
        details: String,
    },

    /// No secure connection came about: a certificate was not trusted, ours was not, or there is none.
    #[error("no TLS connection to {remote}: {text}")]
    Tls {
        /// The server.
        remote: Remote,
        /// The reason.
        text: String,
    },

    /// A certificate, key or authority that cannot be used.
    #[error("cannot use {} for TLS: {text}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// The reason.
        text: String,
    },

    /// A member of a cluster that cannot serve: it does not lead where the leader was asked for, or it is cut off.
    #[error("{remote} does not serve {database}: {text}")]
    NotServing {
        /// The server.
        remote: Remote,
        /// The database.
        database: String,
        /// What is wrong with it.
        text: String,
    },

    /// The server's schema is not what was written for: a table or column is missing, or of another type.
    #[error("the schema of {database} does not fit: {text}")]
    Schema {
        /// The database.
        database: String,
        /// What is missing or different, by its name.
        text: String,
    },

    /// The connection ended and nothing has taken its place yet; what is in the cache may be out of date.
    #[error("the copy of {database} is out of date: {reason}")]
    Stale {
        /// The database.
        database: String,
        /// Why there is no connection.
        reason: String,
    },

    /// The database has no root row.
    #[error("the Open_vSwitch database is empty")]
    NotInitialized,

    /// One operation of a transaction failed; none of it took effect.
    #[error("OVSDB refused operation {index} ({operation}): {kind}{}", Details(details))]
    Op {
        /// Its index in the transaction, from 0.
        index: usize,
        /// The operation and its table.
        operation: String,
        /// The error (RFC 7047, section 5.2).
        kind: ErrorKind,
        /// The server's details; may be empty.
        details: String,
    },

    /// Every operation was sound and the transaction as a whole was not; none of it took effect.
    #[error("OVSDB could not commit: {kind}{}", Details(details))]
    Commit {
        /// The error (RFC 7047, section 4.1.3).
        kind: ErrorKind,
        /// The server's details; may be empty.
        details: String,
    },

    /// Another writer changed the same rows between our reading and our writing, every time.
    #[error("another writer kept changing the same rows of OVSDB; gave up after {attempts} attempts")]
    TryAgain {
        /// Transactions tried.
        attempts: u32,
    },

    /// Ports were asked for on a bridge that is not there.
    #[error("there is no bridge {bridge}")]
    NoBridge {
        /// The bridge.
        bridge: BridgeName,
    },

    /// The bridge lacks our owner tag, so it is not deleted.
    #[error("bridge {bridge} is not ours to delete")]
    NotOwner {
        /// The bridge.
        bridge: BridgeName,
    },

    /// The bridge is ours and carries ports that are not, so it is not deleted.
    #[error("bridge {bridge} carries ports that are not ours: {}", ports.join(", "))]
    ForeignPorts {
        /// The bridge.
        bridge: BridgeName,
        /// Their names.
        ports: Vec<String>,
    },

    /// The netdev is already a port of another bridge.
    #[error("{port} is a port of bridge {bridge}{}", Keyed(key.as_ref()))]
    PortElsewhere {
        /// The netdev.
        port: PortName,
        /// The bridge it is on.
        bridge: String,
        /// Our key for it there, if we put it there.
        key: Option<PortKey>,
    },

    /// A change asks for one netdev twice, or for a port with the bridge's own name.
    #[error("{port} is asked for twice on bridge {bridge}")]
    DuplicatePort {
        /// The netdev.
        port: PortName,
        /// The bridge.
        bridge: BridgeName,
    },

    /// The change is in the database, and ovs-vswitchd has not taken it up in time.
    #[error(
        "ovs-vswitchd did not apply the change within {waited:?} (next_cfg {next_cfg}, cur_cfg {cur_cfg})"
    )]
    NotApplied {
        /// The configuration number asked for.
        next_cfg: i64,
        /// The number ovs-vswitchd had reached.
        cur_cfg: i64,
        /// How long it was waited for.
        waited: Duration,
    },

    /// The change is applied, and ovs-vswitchd could not bring up these interfaces. The rows are in OVSDB.
    #[error("OVS recorded ports on {bridge} but could not open them: {}", Joined(interfaces))]
    InterfaceFailed {
        /// The bridge.
        bridge: BridgeName,
        /// The interfaces that failed.
        interfaces: Vec<InterfaceFailure>,
    },

    /// A bridge of somebody else's has another datapath.
    #[error("bridge {bridge} has the datapath type `{found}` and not `{wanted}`, and is not ours")]
    DatapathType {
        /// The bridge.
        bridge: BridgeName,
        /// Its type.
        found: String,
        /// What is asked for.
        wanted: String,
    },

    /// ovs-vswitchd has taken up `dpdk-init`, and DPDK did not come up.
    #[error("DPDK did not come up in ovs-vswitchd{}", if *built { "" } else { ", which is built without it" })]
    DpdkNotInitialized {
        /// Whether it is built with DPDK.
        built: bool,
    },

    /// A daemon refused a command on its control socket.
    #[error("{command} was refused: {message}")]
    Command {
        /// The command.
        command: String,
        /// The daemon's text.
        message: String,
    },
}

/// An interface that ovs-vswitchd could not bring up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceFailure {
    /// The interface.
    pub name: String,
    /// Its `OpenFlow` port number: -1 after a failure, absent if ovs-vswitchd never looked at it.
    pub ofport: Option<i64>,
    /// The daemon's text, from `Interface.error`, verbatim.
    pub error: Option<String>,
}

impl Error {
    /// What to look at or type next, where this crate can know it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Connect { .. } => {
                "is Open vSwitch running? `systemctl status openvswitch-switch` (openvswitch on RHEL)"
            }
            Self::PermissionDenied { .. } => "run as root, or as a member of the group that owns the socket",
            Self::NotInitialized => "`ovs-vsctl --no-wait init`",
            Self::Rpc { kind: ErrorKind::UnknownDatabase, .. } => {
                "`ovsdb-client list-dbs` names what is there"
            }
            Self::Schema { .. } => "`ovsdb-client get-schema-version` tells the version that runs",
            Self::Tls { .. } | Self::TlsFile { .. } => {
                "`openssl x509 -text -noout -in FILE` shows a certificate"
            }
            Self::NotServing { .. } => "name every member of the cluster: tcp:A:6640,tcp:B:6640,tcp:C:6640",
            Self::NotApplied { .. } => {
                "is ovs-vswitchd alive? `ovs-appctl version`; its log says what it is doing"
            }
            Self::InterfaceFailed { .. } => {
                "the netdev may be gone or renamed: `ip -d link` shows current names"
            }
            Self::DatapathType { .. } => "name another bridge, or none: one is made",
            Self::DpdkNotInitialized { built: true } => {
                "`grep -i dpdk /var/log/openvswitch/ovs-vswitchd.log` says why: huge pages, mostly"
            }
            Self::DpdkNotInitialized { built: false } => {
                "install a build with DPDK: openvswitch-switch-dpdk (Debian), openvswitch (RHEL's fast datapath)"
            }
            Self::PortElsewhere { .. } => "`ovs-vsctl show` lists every bridge and its ports",
            _ => return None,
        })
    }

    /// Whether the call may have taken effect although it failed.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Disconnected { .. } | Self::Timeout { .. })
    }
}

impl fmt::Display for InterfaceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, self.ofport) {
            (Some(error), _) => write!(f, "{}: {error}", self.name),
            (None, Some(ofport)) => write!(f, "{}: ofport {ofport}", self.name),
            (None, None) => write!(f, "{}: no ofport was given to it", self.name),
        }
    }
}

/// `: details`, or nothing.
struct Details<'a>(&'a str);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// ` (ours, as KEY)`, or nothing.
struct Keyed<'a>(Option<&'a PortKey>);

impl fmt::Display for Keyed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |key| write!(f, " (ours, as {key})"))
    }
}

/// `a; b; c`.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}
