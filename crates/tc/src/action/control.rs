//! What comes after an action.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What comes after an action (`TC_ACT_*`, `include/uapi/linux/pkt_cls.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The next filter is asked (`TC_ACT_UNSPEC`).
    Continue,
    /// The packet goes its way.
    Pass,
    /// The filters are asked once more.
    Reclassify,
    /// The packet is dropped (`TC_ACT_SHOT`).
    Drop,
    /// The next action.
    Pipe,
    /// The packet is the action's now, as with a redirect.
    Stolen,
    /// The packet goes to the CPU, also from hardware.
    Trap,
    /// Skips so many actions.
    Jump(u32),
    /// The filters of another chain are asked.
    GotoChain(u32),
    /// Another, by its number.
    Other(u32),
}

impl From<u32> for Control {
    fn from(number: u32) -> Self {
        /// `TC_ACT_EXT_SHIFT` and `TC_ACT_EXT_VAL_MASK`.
        const SHIFT: u32 = 28;
        const VALUE: u32 = (1 << SHIFT) - 1;
        match number {
            u32::MAX => Self::Continue,
            0 => Self::Pass,
            1 => Self::Reclassify,
            2 => Self::Drop,
            3 => Self::Pipe,
            4 => Self::Stolen,
            8 => Self::Trap,
            _ if number >> SHIFT == 1 => Self::Jump(number & VALUE),
            _ if number >> SHIFT == 2 => Self::GotoChain(number & VALUE),
            other => Self::Other(other),
        }
    }
}

impl Control {
    /// The last of tc's words for an action that says what comes after it.
    pub(crate) fn among(words: &str) -> Option<Self> {
        let words: Vec<&str> = words.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        (0..words.len()).rev().find_map(|at| match words[at] {
            "continue" => Some(Self::Continue),
            "pass" => Some(Self::Pass),
            "reclassify" => Some(Self::Reclassify),
            "drop" => Some(Self::Drop),
            "pipe" => Some(Self::Pipe),
            "stolen" => Some(Self::Stolen),
            "trap" => Some(Self::Trap),
            "jump" => number(at + 1).map(Self::Jump),
            "chain" if at > 0 && words[at - 1] == "goto" => number(at + 1).map(Self::GotoChain),
            _ => None,
        })
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("continue"),
            Self::Pass => f.write_str("pass"),
            Self::Reclassify => f.write_str("reclassify"),
            Self::Drop => f.write_str("drop"),
            Self::Pipe => f.write_str("pipe"),
            Self::Stolen => f.write_str("stolen"),
            Self::Trap => f.write_str("trap"),
            Self::Jump(actions) => write!(f, "jump {actions}"),
            Self::GotoChain(chain) => write!(f, "goto chain {chain}"),
            Self::Other(number) => write!(f, "action 0x{number:x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bits_say_where_to() {
        assert_eq!(Control::from(0x2000_0007), Control::GotoChain(7));
        assert_eq!(Control::from(0x1000_0002), Control::Jump(2));
        assert_eq!(Control::from(u32::MAX), Control::Continue);
        assert_eq!(Control::from(2).to_string(), "drop");
        for (words, control) in [
            ("mirred (Egress Redirect to device eth2) stolen", Some(Control::Stolen)),
            ("ct zone 5 nat goto chain 7", Some(Control::GotoChain(7))),
            ("pedit action pipe keys 2", Some(Control::Pipe)),
            ("gact action jump 2", Some(Control::Jump(2))),
            ("sample", None),
        ] {
            assert_eq!(Control::among(words), control, "{words}");
        }
    }
}
