//! The `ct` action: what conntrack does with a packet.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::flow::Masked;
use crate::flow::fields::{Always, Nested, Word, fields};
use crate::flow::notation::{Decimal, Hex, Inet6, Notation as _, Plain};

fields! {
    /// What conntrack does with a packet: `ct(commit,zone=5,nat(src=10.0.0.1))`.
    pub struct Ct {
        /// The connection is kept.
        "commit" commit: bool = Word,
        /// The connection is kept, and one the other way round is not.
        "force_commit" force_commit: bool = Word,
        /// In this zone; 0 where absent.
        "zone=" zone: Option<u16> = Decimal,
        /// Its mark is set.
        "mark=" mark: Option<Masked<u32>> = Hex,
        /// Its label is set.
        "label=" label: Option<Masked<u128>> = Hex,
        /// A helper looks into it (ftp, tftp).
        "helper=" helper: Option<String> = Plain,
        /// Its timeouts are those of this policy.
        "timeout=" timeout: Option<String> = Plain,
        /// Addresses are translated.
        "nat(" nat: Option<Nat> = Nested,
        /// Addresses are translated as they were for the connection's first packet.
        "nat" nat_as_before: bool = Word,
    }
}

fields! {
    /// How addresses are translated.
    pub struct Nat {
        /// Which ones, and to what.
        "" target: NatTarget = Always<Plain>,
        /// The same client gets the same address each time.
        "persistent" persistent: bool = Word,
        /// Ports by a hash.
        "hash" hash: bool = Word,
        /// Ports at random.
        "random" random: bool = Word,
    }
}

/// Which address is translated, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatTarget {
    /// Which.
    pub direction: NatDirection,
    /// To what; absent where the kernel chooses.
    pub range: Option<NatRange>,
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatDirection {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// Addresses and ports to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatRange {
    /// The first address.
    pub first: IpAddr,
    /// The last, where there are more.
    pub last: Option<IpAddr>,
    /// The first port.
    pub first_port: Option<u16>,
    /// The last, where there are more.
    pub last_port: Option<u16>,
}

impl FromStr for NatTarget {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (direction, range) = match text.split_once('=') {
            Some((direction, range)) => (direction, Some(range.parse()?)),
            None => (text, None),
        };
        let direction = match direction {
            "src" => NatDirection::Source,
            "dst" => NatDirection::Destination,
            _ => return Err(()),
        };
        Ok(Self { direction, range })
    }
}

impl fmt::Display for NatTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            NatDirection::Source => "src",
            NatDirection::Destination => "dst",
        })?;
        self.range.iter().try_for_each(|range| write!(f, "={range}"))
    }
}

impl FromStr for NatRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // An IPv6 address is in brackets where ports follow, and has no colon to be mistaken for theirs.
        let bracketed = text.starts_with('[');
        let (addresses, ports) = match (text.rsplit_once("]:"), text.split_once(':')) {
            (Some((addresses, ports)), _) if bracketed => (addresses, Some(ports)),
            (_, Some((addresses, ports))) if addresses.contains('.') => (addresses, Some(ports)),
            _ => (text, None),
        };
        let address = |text: &str| {
            let text = if bracketed { text.trim_start_matches('[').trim_end_matches(']') } else { text };
            text.parse::<IpAddr>().map_err(drop)
        };
        let (first, last) = pair(addresses, address)?;
        let (first_port, last_port) = match ports {
            Some(ports) => {
                pair(ports, |text| text.parse().map_err(drop)).map(|(first, last)| (Some(first), last))?
            }
            None => (None, None),
        };
        Ok(Self { first, last, first_port, last_port })
    }
}

/// `first` or `first-last`.
fn pair<T>(text: &str, read: impl Fn(&str) -> Result<T, ()>) -> Result<(T, Option<T>), ()> {
    match text.split_once('-') {
        Some((first, last)) => Ok((read(first)?, Some(read(last)?))),
        None => Ok((read(text)?, None)),
    }
}

impl fmt::Display for NatRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = |f: &mut fmt::Formatter<'_>, address: &Ipv6Addr| {
            let [open, close] = if self.first_port.is_some() { ["[", "]"] } else { ["", ""] };
            f.write_str(open)?;
            Inet6::write(address, f)?;
            f.write_str(close)
        };
        for (dash, address) in [("", Some(&self.first)), ("-", self.last.as_ref())] {
            match address {
                Some(IpAddr::V4(address)) => write!(f, "{dash}{address}")?,
                Some(IpAddr::V6(address)) => {
                    f.write_str(dash)?;
                    v6(f, address)?;
                }
                None => {}
            }
        }
        self.first_port.iter().try_for_each(|port| write!(f, ":{port}"))?;
        self.last_port.iter().try_for_each(|port| write!(f, "-{port}"))
    }
}
