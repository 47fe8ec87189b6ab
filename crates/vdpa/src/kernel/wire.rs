//! The numbers of the kernel's `vdpa` family: `include/uapi/linux/vdpa.h`.

use vdpa_netlink::Family;

/// `VDPA_GENL_NAME`.
pub(super) const FAMILY: Family = Family::new("vdpa");

/// A group of constants with their names in the kernel's header, so that a test can compare them.
macro_rules! numbers {
    ($module:ident: $type:ty { $($name:ident = $value:literal),+ $(,)? }) => {
        pub(super) mod $module {
            $(pub(in crate::kernel) const $name: $type = $value;)+

            #[cfg(test)]
            pub(super) const ALL: &[(&str, $type)] = &[$((stringify!($name), $name)),+];
        }
    };
}

numbers! { command: u8 {
    VDPA_CMD_MGMTDEV_GET = 2,
    VDPA_CMD_DEV_NEW = 3,
    VDPA_CMD_DEV_DEL = 4,
    VDPA_CMD_DEV_GET = 5,
    VDPA_CMD_DEV_CONFIG_GET = 6,
    VDPA_CMD_DEV_VSTATS_GET = 7,
} }

/// `VDPA_CMD_DEV_ATTR_SET`: since kernel 6.12, which the headers of older systems do not know.
pub(super) const VDPA_CMD_DEV_ATTR_SET: u8 = 8;

// Attribute 21 has been used for two things and is not read.
numbers! { attribute: u16 {
    VDPA_ATTR_MGMTDEV_BUS_NAME = 1,
    VDPA_ATTR_MGMTDEV_DEV_NAME = 2,
    VDPA_ATTR_MGMTDEV_SUPPORTED_CLASSES = 3,
    VDPA_ATTR_DEV_NAME = 4,
    VDPA_ATTR_DEV_ID = 5,
    VDPA_ATTR_DEV_VENDOR_ID = 6,
    VDPA_ATTR_DEV_MAX_VQS = 7,
    VDPA_ATTR_DEV_MAX_VQ_SIZE = 8,
    VDPA_ATTR_DEV_MIN_VQ_SIZE = 9,
    VDPA_ATTR_DEV_NET_CFG_MACADDR = 10,
    VDPA_ATTR_DEV_NET_STATUS = 11,
    VDPA_ATTR_DEV_NET_CFG_MAX_VQP = 12,
    VDPA_ATTR_DEV_NET_CFG_MTU = 13,
    VDPA_ATTR_DEV_NEGOTIATED_FEATURES = 14,
    VDPA_ATTR_DEV_MGMTDEV_MAX_VQS = 15,
    VDPA_ATTR_DEV_SUPPORTED_FEATURES = 16,
    VDPA_ATTR_DEV_QUEUE_INDEX = 17,
    VDPA_ATTR_DEV_VENDOR_ATTR_NAME = 18,
    VDPA_ATTR_DEV_VENDOR_ATTR_VALUE = 19,
    VDPA_ATTR_DEV_FEATURES = 20,
} }

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The values of an enum in a C header whose members have none of their own, or another member's.
    fn enumerators(header: &str, name: &str) -> BTreeMap<String, u64> {
        let body = header.split_once(&format!("enum {name} {{")).expect("the enum is in the header").1;
        let body = body.split_once("};").expect("the enum ends").0;
        let mut code = String::new();
        for (index, piece) in body.split("/*").enumerate() {
            code.push_str(if index == 0 { piece } else { piece.split_once("*/").expect("a comment ends").1 });
        }
        let (mut values, mut next) = (BTreeMap::new(), 0);
        for member in code.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            let (name, value) = match member.split_once('=') {
                Some((name, other)) => (name.trim(), values[other.trim()]),
                None => (member, next),
            };
            values.insert(name.to_owned(), value);
            next = value + 1;
        }
        values
    }

    #[test]
    fn our_numbers_are_the_kernels() {
        let path = "/usr/include/linux/vdpa.h";
        let header = std::fs::read_to_string(path).unwrap_or_else(|error| {
            panic!("{path} (Debian's linux-libc-dev, kernel-headers elsewhere): {error}")
        });
        let (commands, attributes) =
            (enumerators(&header, "vdpa_command"), enumerators(&header, "vdpa_attr"));
        for (name, ours) in command::ALL {
            assert_eq!(commands[*name], u64::from(*ours), "{name}");
        }
        for (name, ours) in attribute::ALL {
            assert_eq!(attributes[*name], u64::from(*ours), "{name}");
        }
        assert!(header.contains(&format!("#define VDPA_GENL_NAME \"{}\"", FAMILY.name())));
    }
}
