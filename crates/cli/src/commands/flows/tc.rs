//! Saved tc filters, as the flows that they are.

pub(super) mod json;
pub(super) mod text;

use serde_json::{Map, Value};

/// A filter: one flow of a card, or of the kernel in its place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Filter {
    /// The identity of Open vSwitch's flow, from the cookie of its actions.
    pub(super) ufid: Option<String>,
    /// What packets it is for, in tc's words.
    pub(super) key: Map<String, Value>,
    /// What becomes of them, in tc's words.
    pub(super) actions: Vec<String>,
    /// Packets that it was for: what the action counted that counted most.
    pub(super) packets: u64,
    /// Their bytes, from the network header on.
    pub(super) bytes: u64,
    /// Seconds since it was used; absent for never.
    pub(super) used: Option<u64>,
    /// Whether a card has it; absent where tc does not say.
    pub(super) in_hardware: Option<bool>,
    /// The filter as it was read.
    pub(super) text: String,
}

/// A part of what tc printed.
#[derive(Debug)]
pub(super) struct Part {
    /// The line that it begins in, from 1.
    pub(super) number: u64,
    /// The filter; nothing where it is the heading of a priority.
    pub(super) filter: Result<Option<Filter>, String>,
}

impl Filter {
    /// Takes in what an action counted.
    fn count(&mut self, packets: u64, bytes: u64) {
        if packets > self.packets {
            (self.packets, self.bytes) = (packets, bytes);
        }
    }

    /// Takes in an action's cookie, in which Open vSwitch keeps the UFID (`nl_msg_put_act_cookie`, lib/tc.c): four
    /// words in the order of the machine's bytes, which tc prints byte by byte.
    fn cookie(&mut self, cookie: &str) {
        let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
        let words: Option<Vec<u32>> =
            (0..4).map(|nth| cookie.get(nth * 8..nth * 8 + 8).and_then(word)).collect();
        if let (Some(words), 32, None) = (words, cookie.len(), &self.ufid) {
            let hex: String = words.iter().flat_map(|word| word.to_be_bytes()).map(hex).collect();
            self.ufid = Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"));
        }
    }
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_a_ufid() {
        let mut filter = Filter::default();
        // Both captured from one flow of Open vSwitch 3.1.0.
        filter.cookie("2907755a404f11a4453b3e893b0b2595");
        assert_eq!(filter.ufid.as_deref(), Some("5a750729-a411-4f40-893e-3b4595250b3b"));
        for odd in ["", "12", "zz07755a404f11a4453b3e893b0b2595", "2907755a404f11a4453b3e893b0b259500"] {
            let mut filter = Filter::default();
            filter.cookie(odd);
            assert_eq!(filter.ufid, None, "{odd}");
        }
    }
}
