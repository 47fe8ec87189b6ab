//! Where a server is: `unix:/run/openvswitch/db.sock`, `tcp:192.0.2.1:6640`, `ssl:[2001:db8::1]:6640`.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::Error;

/// The port of OVSDB (RFC 7047, section 6).
pub const DEFAULT_PORT: u16 = 6640;

/// A server's address, in the form that the tools of Open vSwitch take (ovsdb(7), "Connection Methods").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    /// `unix:PATH`, or an absolute path.
    Unix(PathBuf),
    /// `tcp:HOST[:PORT]`.
    Tcp(Host),
    /// `ssl:HOST[:PORT]`.
    Ssl(Host),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// A name or an address; an IPv6 address without its brackets.
    pub name: String,
    /// The TCP port.
    pub port: u16,
}

impl Remote {
    /// Several servers, separated by commas: the members of a cluster.
    pub fn list(text: &str) -> Result<Vec<Self>, Error> {
        text.split(',').map(|remote| remote.trim().parse()).collect()
    }

    /// Whether the server is on this machine, so that a connection breaks when the server does.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl From<&Path> for Remote {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl From<PathBuf> for Remote {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl FromStr for Remote {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |why| Error::Name { what: "remote", value: text.to_owned(), why };
        match text.split_once(':') {
            Some(("unix", "")) => Err(invalid("unix: is followed by the path of a socket")),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            Some(("tcp", host)) => host.parse().map(Self::Tcp).map_err(invalid),
            Some(("ssl", host)) => host.parse().map(Self::Ssl).map_err(invalid),
            _ if text.starts_with('/') => Ok(Self::Unix(text.into())),
            _ => Err(invalid("it has to be unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT")),
        }
    }
}

impl FromStr for Host {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or("the address lacks its `]`")?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| "only an IPv6 address stands in brackets")?;
            match rest.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if rest.is_empty() => (name, None),
                None => return Err("only a port can follow the address"),
            }
        } else {
            match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => return Err("an IPv6 address stands in brackets"),
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            }
        };
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err("the host's name is missing or cannot be one");
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port.parse().map_err(|_| "the port is a number from 1 to 65535")?,
        };
        if port == 0 {
            return Err("the port is a number from 1 to 65535");
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp:{host}"),
            Self::Ssl(host) => write!(f, "ssl:{host}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_round_trip() {
        for text in
            ["unix:/run/openvswitch/db.sock", "tcp:192.0.2.1:6640", "ssl:[2001:db8::1]:6642", "tcp:ovn-0:1"]
        {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
        assert_eq!("/run/db.sock".parse::<Remote>().unwrap().to_string(), "unix:/run/db.sock");
        assert_eq!("tcp:ovn-0".parse::<Remote>().unwrap().to_string(), "tcp:ovn-0:6640");
        assert_eq!("ssl:[::1]".parse::<Remote>().unwrap().to_string(), "ssl:[::1]:6640");
        assert_eq!(Remote::list("tcp:a:1, tcp:b:2").unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_a_remote_is_refused_with_a_reason() {
        for text in [
            "",
            "db.sock",
            "unix:",
            "tcp:",
            "tcp::1",
            "tcp:a:0",
            "tcp:a:65536",
            "tcp:::1",
            "ssl:[::1",
            "ssl:[a]:1",
            "ssl:[::1]1",
            "http://a",
            "tcp:a b:1",
        ] {
            let error = text.parse::<Remote>().unwrap_err();
            assert!(matches!(error, Error::Name { what: "remote", .. }), "{text}: {error}");
        }
    }
}
