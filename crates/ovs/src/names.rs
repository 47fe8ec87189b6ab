//! Names: of bridges, of the netdevs that are their ports, and of the owner's keys for those ports.
//!
//! Each validates where it enters (`FromStr`, serde) and round-trips through `Display`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest name of a netdev, in bytes: `IFNAMSIZ` (16) less the terminating NUL, `linux/if.h`.
const NETDEV_NAME_MAX: usize = 15;

/// The longest [`PortKey`], in bytes. OVSDB has no limit; a key is read by people.
const PORT_KEY_MAX: usize = 128;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match $check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(Error::Name { what: $what, value: text.to_owned(), why }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// A bridge's name. It is also the name of the bridge's local port, so it has to be a netdev's name.
    ///
    /// ```
    /// # use vdpa_ovs::BridgeName;
    /// assert!("ovs-sriov".parse::<BridgeName>().is_ok());
    /// assert!("a-name-too-long-for-linux".parse::<BridgeName>().is_err());
    /// ```
    BridgeName, "bridge name", netdev_name
}

name! {
    /// The name of the netdev that is a bridge's port: an uplink or a VF's representor.
    PortName, "port name", netdev_name
}

name! {
    /// The owner's own key for a port, kept in the row's `external_ids`. A netdev's name changes (udev, a
    /// reboot, a mode change); the key does not: `0000:43:00.0/vf0`, `0000:43:00.0/uplink`.
    PortKey, "port key", port_key
}

/// What the kernel takes for a name (`dev_valid_name`, net/core/dev.c), less control characters.
fn netdev_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("it is empty"),
        "." | ".." => Err("the kernel keeps this name for itself"),
        _ if name.len() > NETDEV_NAME_MAX => Err("it has more than 15 bytes"),
        _ if name.contains(['/', ':']) => Err("it has a '/' or a ':'"),
        _ if name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err("it has white space or a control character")
        }
        _ => Ok(()),
    }
}

fn port_key(key: &str) -> Result<(), &'static str> {
    match key {
        "" => Err("it is empty"),
        _ if key.len() > PORT_KEY_MAX => Err("it has more than 128 bytes"),
        _ if key.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err("it has white space or a control character")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_bytes_are_a_name_and_sixteen_are_not() {
        assert!("enp67s0f0npf0vf".parse::<PortName>().is_ok());
        let error = "enp67s0f0npf0vf0".parse::<PortName>().unwrap_err().to_string();
        assert_eq!(error, "port name \"enp67s0f0npf0vf0\" is not valid: it has more than 15 bytes");
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        for name in ["", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "a\0b", "a\u{7f}b"] {
            assert!(name.parse::<BridgeName>().is_err(), "{name:?} was taken");
        }
    }

    #[test]
    fn names_round_trip_and_serde_validates() {
        let key: PortKey = "0000:43:00.0/vf0".parse().unwrap();
        assert_eq!(key.to_string().parse::<PortKey>().unwrap(), key);
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"0000:43:00.0/vf0\"");
        assert!(serde_json::from_str::<BridgeName>("\"ovs sriov\"").is_err());
    }
}
