//! Sets of named bits: `est|trk`, `+trk-new`, `0x21/0x2f`.

use std::fmt;
use std::marker::PhantomData;

use super::Masked;
use super::fields::Content;
use super::notation::{Hex, Notation as _, number};

/// The names of bits, from the lowest on.
pub trait FlagNames {
    /// The names.
    const NAMES: &'static [&'static str];
}

/// Bits of which each has a name, and of which only some may count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags<N> {
    /// Those that are set.
    pub set: u32,
    /// Those that count; absent where all do.
    pub mask: Option<u32>,
    /// Whether they are written in hexadecimal and not by their names.
    hexadecimal: bool,
    names: PhantomData<N>,
}

/// What conntrack says of a packet: `OVS_CS_F_*`, linux/openvswitch.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtState {}

/// Flags of a TCP header: `packet_tcp_flag_to_string`, lib/packets.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpFlags {}

/// Flags of a tunnel: `flow_tun_flag_to_string`, lib/flow.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelFlags {}

impl FlagNames for CtState {
    const NAMES: &'static [&'static str] = &["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"];
}

impl FlagNames for TcpFlags {
    const NAMES: &'static [&'static str] =
        &["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]"];
}

impl FlagNames for TunnelFlags {
    const NAMES: &'static [&'static str] = &["df", "csum", "key", "oam"];
}

impl<N: FlagNames> Flags<N> {
    /// Flags that are written by their names: `est|trk` where all count (`format_flags`, lib/util.c), `+trk-new`
    /// where some do (`format_flags_masked`).
    pub fn named(set: u32, mask: Option<u32>) -> Self {
        Self { set, mask, hexadecimal: false, names: PhantomData }
    }

    /// Flags that are written in hexadecimal, as `ct_state` is with `-m`: `0x21/0x2f`.
    pub fn hexadecimal(set: u32, mask: Option<u32>) -> Self {
        Self { hexadecimal: true, ..Self::named(set, mask) }
    }

    /// Whether the flag of that name counts, and then whether it is set.
    pub fn get(&self, name: &str) -> Option<bool> {
        let bit = bit::<N>(name)?;
        (self.mask.unwrap_or(u32::MAX) & bit != 0).then_some(self.set & bit != 0)
    }
}

impl<N: FlagNames> Content for Flags<N> {
    fn read(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::named(0, None)),
            "0/0" => Some(Self::named(0, Some(0))),
            _ if text.starts_with(['+', '-']) => signed(text),
            _ if text.starts_with(|first: char| first.is_ascii_digit()) => {
                let Masked { value, mask } = Masked::read(text, number)?;
                Some(Self::hexadecimal(value, mask))
            }
            _ => {
                let set = text.split('|').try_fold(0, |set, name| Some(set | bit::<N>(name)?))?;
                Some(Self::named(set, None))
            }
        }
    }
}

/// `+trk-new`
fn signed<N: FlagNames>(text: &str) -> Option<Flags<N>> {
    let (mut set, mut mask, mut rest) = (0, 0, text);
    while let Some(sign) = rest.chars().next() {
        let name = &rest[1..];
        let end = name.find(['+', '-']).unwrap_or(name.len());
        let bit = bit::<N>(&name[..end])?;
        mask |= bit;
        set |= if sign == '+' { bit } else { 0 };
        rest = &name[end..];
    }
    Some(Flags::named(set, Some(mask)))
}

fn bit<N: FlagNames>(name: &str) -> Option<u32> {
    N::NAMES.iter().position(|known| *known == name).map(|at| 1 << at)
}

impl<N: FlagNames> fmt::Display for Flags<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |bits: u32| N::NAMES.iter().enumerate().filter(move |(at, _)| bits & 1 << at != 0);
        match (self.set, self.mask) {
            (0, None) => f.write_str("0"),
            (0, Some(0)) => f.write_str("0/0"),
            (value, mask) if self.hexadecimal => Hex::write(&Masked { value, mask }, f),
            (set, None) => names(set)
                .enumerate()
                .try_for_each(|(nth, (_, name))| write!(f, "{}{name}", if nth > 0 { "|" } else { "" })),
            (set, Some(mask)) => names(mask)
                .try_for_each(|(at, name)| write!(f, "{}{name}", if set & 1 << at != 0 { '+' } else { '-' })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_printed() {
        for (text, set, mask) in [
            ("est|trk", 0x22, None),
            ("0", 0, None),
            ("0/0", 0, Some(0)),
            ("-new+est-inv+trk", 0x22, Some(0x33)),
            ("0x21/0x2f", 0x21, Some(0x2f)),
            ("0/0x2f", 0, Some(0x2f)),
            ("0x21", 0x21, None),
        ] {
            let flags = Flags::<CtState>::read(text).unwrap();
            assert_eq!((flags.set, flags.mask, flags.to_string().as_str()), (set, mask, text));
        }
        for text in ["", "+", "+trk+", "est|", "odd", "0y1"] {
            assert_eq!(Flags::<CtState>::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_flag_that_does_not_count_is_neither_set_nor_not() {
        let flags = Flags::<CtState>::read("+trk-new").unwrap();
        assert_eq!(
            ["trk", "new", "est", "odd"].map(|name| flags.get(name)),
            [Some(true), Some(false), None, None]
        );
    }
}
