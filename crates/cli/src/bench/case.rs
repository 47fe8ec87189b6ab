//! What is measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::report::count;

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Case {
    /// TCP, as fast as it goes.
    Tcp {
        /// Which way.
        direction: Direction,
        /// How many connections side by side.
        streams: u16,
    },
    /// UDP at a rate.
    Udp {
        /// Which way.
        direction: Direction,
        /// How many streams side by side.
        streams: u16,
        /// How fast each is sent.
        rate: Rate,
    },
    /// Echo requests and their replies.
    RoundTrips,
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    Forward,
    /// From the server to the client.
    Reverse,
    /// Both at the same time.
    Both,
}

/// A rate in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u64);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { direction, streams } => write!(f, "TCP {direction}, {}", count(*streams, "stream")),
            Self::Udp { direction, streams, rate } => {
                write!(f, "UDP {direction}, {} of {rate}", count(*streams, "stream"))
            }
            Self::RoundTrips => f.write_str("round trips"),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
            Self::Both => "both ways",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1000, "kbit/s")];
        match units.iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} bit/s", self.0),
        }
    }
}

/// As iperf3 has it: a number, and `K`, `M` or `G` for powers of 1000.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (number, unit) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (&text[..at], 1000),
            Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
            Some((at, 'g' | 'G')) => (&text[..at], 1_000_000_000),
            _ => (text, 1),
        };
        let bits = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        // iperf3 takes 0 for no limit at all: that measures how fast the sender throws away.
        bits.filter(|bits| *bits > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no rate: `500M` or `10G`, in bits a second for each stream"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_of_bits_a_second() {
        for (text, bits, shown) in [
            ("10G", 10_000_000_000, "10 Gbit/s"),
            ("500m", 500_000_000, "500 Mbit/s"),
            ("1500k", 1_500_000, "1500 kbit/s"),
            ("12", 12, "12 bit/s"),
        ] {
            assert_eq!(text.parse(), Ok(Rate(bits)), "{text}");
            assert_eq!(Rate(bits).to_string(), shown);
        }
        for wrong in ["", "G", "0", "0M", "-1", "1.5G", "1T", "99999999999999999999", "20000000000G", "ä"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_case_reads_as_it_is_asked_for() {
        let cases = [
            Case::Tcp { direction: Direction::Forward, streams: 1 },
            Case::Udp { direction: Direction::Both, streams: 2, rate: Rate(1_000_000_000) },
            Case::RoundTrips,
        ];
        let shown = cases.map(|case| case.to_string());
        assert_eq!(shown, ["TCP forward, 1 stream", "UDP both ways, 2 streams of 1 Gbit/s", "round trips"]);
        for case in cases {
            let kept = serde_json::to_string(&case).unwrap();
            assert_eq!(serde_json::from_str::<Case>(&kept).unwrap(), case, "{kept}");
        }
    }
}
