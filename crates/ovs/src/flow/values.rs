//! Values that many attributes have: masked ones, ports, Ethernet addresses.

use std::{fmt, str::FromStr};

/// A value of which only some bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Masked<T> {
    /// The value.
    pub value: T,
    /// The bits that count; absent where all do.
    pub mask: Option<T>,
}

impl<T> Masked<T> {
    /// A value all of whose bits count.
    pub fn exact(value: T) -> Self {
        Self { value, mask: None }
    }
}

impl<T: Default + PartialEq> Masked<T> {
    /// Whether no bit counts: the flow is for packets with whatever value, and `-m` shows it all the same.
    pub fn is_wildcard(&self) -> bool {
        self.mask.as_ref().is_some_and(|mask| *mask == T::default())
    }
}

/// A port of a datapath.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// By its number in the datapath.
    Number(u32),
    /// By the name of its network device, with `-m` or `--names`.
    Name(String),
}

impl FromStr for Port {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A device may be called 007.
        let number = text.parse().ok().filter(|number: &u32| number.to_string() == text);
        Ok(number.map_or_else(|| Self::Name(text.to_owned()), Self::Number))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EthAddr(
    /// Its bytes, as on the wire.
    pub [u8; 6],
);

impl FromStr for EthAddr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            *byte = u8::from_str_radix(parts.next().ok_or(())?, 16).map_err(drop)?;
        }
        if parts.next().is_none() { Ok(Self(bytes)) } else { Err(()) }
    }
}

impl fmt::Display for EthAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = |nth| if nth > 0 { ":" } else { "" };
        self.0.iter().enumerate().try_for_each(|(nth, byte)| write!(f, "{}{byte:02x}", colon(nth)))
    }
}

/// Whether a packet is a fragment: `ovs_frag_type_to_string`, lib/odp-util.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fragment {
    /// It is whole.
    No,
    /// The first, which has the ports.
    First,
    /// A later one.
    Later,
}

impl FromStr for Fragment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "no" => Self::No,
            "first" => Self::First,
            "later" => Self::Later,
            _ => return Err(()),
        })
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::First => "first",
            Self::Later => "later",
        })
    }
}
