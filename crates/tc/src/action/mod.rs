//! What becomes of a packet.
//!
//! Source: `TCA_ACT_*` in `include/uapi/linux/pkt_cls.h`, and a header for each kind in
//! `include/uapi/linux/tc_act/`.

mod control;
mod kind;
pub(crate) mod read;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::control::Control;
pub use self::kind::{ActionKind, Nat, PeditKey, TunnelKey, VlanChange};
use crate::{HwStats, Stats};

/// One action of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// What comes after it.
    pub control: Control,
    /// Its number among the actions of its kind; filters can share one.
    pub index: u32,
    /// How many use it.
    pub references: u32,
    /// How many filters are bound to it.
    pub bound: u32,
    /// What it counted.
    pub stats: Option<Stats>,
    /// What whoever added it has written on it.
    pub cookie: Option<Cookie>,
    /// How it is to be counted for by the hardware.
    pub hw_stats: Option<HwStats>,
    /// How it is.
    pub used_hw_stats: Option<HwStats>,
    /// How long ago it was added.
    pub installed: Option<Duration>,
    /// How long ago the last packet came, in hardware too.
    pub used: Option<Duration>,
}

impl Action {
    /// An action that has counted nothing.
    pub fn new(kind: ActionKind, control: Control) -> Self {
        Self {
            kind,
            control,
            index: 0,
            references: 1,
            bound: 1,
            stats: None,
            cookie: None,
            hw_stats: None,
            used_hw_stats: None,
            installed: None,
            used: None,
        }
    }

    /// Whether the packet passes through conntrack.
    pub fn is_conntrack(&self) -> bool {
        self.kind.name() == "ct"
    }
}

/// Up to 16 bytes that whoever added an action has written on it (`TCA_ACT_COOKIE`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cookie(pub Vec<u8>);

impl Cookie {
    /// From its bytes in hexadecimal, as tc writes it.
    pub fn parse(digits: &str) -> Option<Self> {
        let bytes =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
        bytes.collect::<Option<Vec<u8>>>().map(Self).filter(|cookie| (1..=16).contains(&cookie.0.len()))
    }

    /// The UFID of the flow that Open vSwitch made the filter for, as its dumps write it.
    ///
    /// The cookie is the UFID's 16 bytes as they are in memory (`nl_msg_put_act_cookie`, `lib/tc.c`), which are four
    /// 32-bit words (`odp_format_ufid`, `lib/odp-util.c`).
    pub fn ufid(&self) -> Option<String> {
        let bytes: [u8; 16] = self.0.as_slice().try_into().ok()?;
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let [a, b, c, d] = [word(0), word(4), word(8), word(12)];
        Some(format!("{a:08x}-{:04x}-{:04x}-{:04x}-{:04x}{d:08x}", b >> 16, b & 0xffff, c >> 16, c & 0xffff))
    }

    /// The cookie that Open vSwitch writes for a flow with this UFID.
    pub fn of_ufid(ufid: &str) -> Option<Self> {
        let digits: String = ufid.chars().filter(|char| *char != '-').collect();
        if digits.len() != 32 || !digits.is_ascii() {
            return None;
        }
        let words = (0..32).step_by(8).map(|at| u32::from_str_radix(&digits[at..at + 8], 16).ok());
        let words: Option<Vec<u32>> = words.collect();
        Some(Self(words?.into_iter().flat_map(u32::to_ne_bytes).collect()))
    }
}

/// As tc writes it.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open vSwitch 3.1.0 and tc of iproute2 6.15 on one flow of the lab's: UFID in `dpctl/dump-flows -m`, cookie in
    /// `tc -s filter show`.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_cookie_is_the_ufid_word_by_word() {
        let cookie = Cookie((0..16).collect());
        assert_eq!(cookie.to_string(), "000102030405060708090a0b0c0d0e0f");
        assert_eq!(Cookie::parse(&cookie.to_string()).as_ref(), Some(&cookie));
        let ufid = cookie.ufid().unwrap();
        assert_eq!(ufid, "03020100-0706-0504-0b0a-09080f0e0d0c");
        assert_eq!(Cookie::of_ufid(&ufid), Some(cookie));
        assert_eq!(Cookie(vec![1, 2, 3]).ufid(), None);
        assert_eq!(Cookie::of_ufid("ufid"), None);
        for odd in ["", "1", "zz", "é1", "2907755a404f11a4453b3e893b0b259500"] {
            assert_eq!(Cookie::parse(odd), None, "{odd}");
        }
    }
}
