//! What a flow has done, and who does it.

use std::fmt;

/// What a flow has done, and who does it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that it was for.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long ago the last of them was.
    pub used: Used,
    /// TCP flags that were seen, a letter each: `SF.` (`packet_format_tcp_flags`, lib/packets.c).
    pub flags: Option<String>,
    /// Whether a card forwards; absent without `-m`, and where none does.
    pub offloaded: Option<Offloaded>,
    /// The layer that forwards: `ovs`, `tc`, `dpdk`.
    pub dp: Option<String>,
    /// What this version does not know, with the comma before it.
    pub other: String,
}

/// How long ago a flow was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Used {
    /// Not yet.
    #[default]
    Never,
    /// So many milliseconds ago; below zero where clocks disagree.
    Ago(i64),
}

/// Whether a card forwards what a flow is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offloaded {
    /// It does all of it.
    Yes,
    /// It classifies, and software forwards.
    Partial,
    /// Another word.
    Other(String),
}

impl From<&str> for Offloaded {
    fn from(word: &str) -> Self {
        match word {
            "yes" => Self::Yes,
            "partial" => Self::Partial,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for Offloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::Partial => "partial",
            Self::Other(word) => word,
        })
    }
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Ago(milliseconds) => {
                let (sign, all) = (if *milliseconds < 0 { "-" } else { "" }, milliseconds.unsigned_abs());
                write!(f, "{sign}{}.{:03}s", all / 1000, all % 1000)
            }
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "packets:{}, bytes:{}, used:{}", self.packets, self.bytes, self.used)?;
        self.flags.iter().try_for_each(|flags| write!(f, ", flags:{flags}"))?;
        self.offloaded.iter().try_for_each(|offloaded| write!(f, ", offloaded:{offloaded}"))?;
        self.dp.iter().try_for_each(|dp| write!(f, ", dp:{dp}"))?;
        f.write_str(&self.other)
    }
}
