//! How a switch is set: its mode, and how it treats the headers that it matches on.
//!
//! Source: `enum devlink_eswitch_mode`, `devlink_eswitch_inline_mode` and `devlink_eswitch_encap_mode`
//! in `include/uapi/linux/devlink.h`; the words are iproute2's (devlink-dev(8)).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vdpa_hw::ParseError;

/// How a switch is set. What a driver has no notion of is `None` (netdevsim: no inline, no encap).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its mode.
    pub mode: Mode,
    /// How much of each packet the VF's driver must put into the send descriptor.
    pub inline: Option<InlineMode>,
    /// Whether it can encapsulate.
    pub encap: Option<EncapMode>,
}

/// An enum of the kernel's: its numbers, and the words that people use for them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $number:ty, $noun:literal { $($(#[$item:meta])* $variant:ident = $value:literal $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$item])* $variant,)+ }

        impl $name {
            /// Every one of them, in the order of the kernel's numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its number in the kernel's header.
            pub(crate) fn number(self) -> $number {
                match self { $(Self::$variant => $value,)+ }
            }

            /// The one with this number.
            pub(crate) fn from_number(number: $number) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.number() == number)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(ParseError {
                        noun: $noun,
                        text: text.to_owned(),
                        why: concat!("it is one of:" $(, " ", $word)+),
                    }),
                }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// The mode of a switch.
    Mode: u16, "an eswitch mode" {
        /// The card forwards by MAC and VLAN alone; VFs have no representors.
        Legacy = 0 "legacy",
        /// The host programs the card through representors: what hardware offload needs.
        Switchdev = 1 "switchdev",
        /// As `Switchdev`, with all traffic dropped until the host says otherwise (Linux 6.19).
        SwitchdevInactive = 2 "switchdev_inactive",
    }
}

words! {
    /// How much of each packet a VF's driver must put into the send descriptor, so that the switch can
    /// match on it. `ConnectX-4` needs it set; `ConnectX-5` and later need none of it.
    InlineMode: u8, "an eswitch inline mode" {
        /// Nothing.
        None = 0 "none",
        /// The Ethernet header.
        Link = 1 "link",
        /// Up to the IP header.
        Network = 2 "network",
        /// Up to the TCP or UDP header.
        Transport = 3 "transport",
    }
}

words! {
    /// Whether a switch can encapsulate and decapsulate (VXLAN, Geneve).
    EncapMode: u8, "an eswitch encap mode" {
        /// It cannot.
        None = 0 "none",
        /// It can.
        Basic = 1 "basic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_round_trip() {
        fn check<T>(all: &[T])
        where
            T: Copy + PartialEq + fmt::Debug + fmt::Display + FromStr<Err = ParseError> + Serialize,
        {
            for one in all {
                assert_eq!(one.to_string().parse::<T>().as_ref(), Ok(one));
                assert_eq!(serde_json::to_string(one).unwrap(), format!("\"{one}\""));
            }
        }
        check(Mode::ALL);
        check(InlineMode::ALL);
        check(EncapMode::ALL);
        assert!(Mode::ALL.iter().all(|mode| Mode::from_number(mode.number()) == Some(*mode)));
        assert_eq!(Mode::from_number(3), None);
    }

    #[test]
    fn another_word_is_refused_with_those_there_are() {
        let error = "offloads".parse::<Mode>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`offloads` is not an eswitch mode: it is one of: legacy switchdev switchdev_inactive"
        );
    }
}
