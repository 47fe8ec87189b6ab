//! The numbers of devlink's commands and attributes, under the kernel's own names.
//!
//! Source: `include/uapi/linux/devlink.h`. A test of the feature `daemon` compares each with the header
//! that is installed.

/// Commands. A reply's differs from its request's where a thing is also announced: GET is answered
/// with NEW, `PORT_GET` with `PORT_NEW`.
pub(crate) mod command {
    use crate::uapi::numbers;

    numbers! { u8:
        DEVLINK_CMD_GET = 1,
        DEVLINK_CMD_PORT_GET = 5,
        DEVLINK_CMD_PORT_SET = 6,
        DEVLINK_CMD_PORT_NEW = 7,
        DEVLINK_CMD_ESWITCH_GET = 29,
        DEVLINK_CMD_ESWITCH_SET = 30,
        DEVLINK_CMD_RELOAD = 37,
        DEVLINK_CMD_PARAM_GET = 38,
        DEVLINK_CMD_PARAM_SET = 39,
        DEVLINK_CMD_INFO_GET = 51,
        DEVLINK_CMD_RATE_GET = 74,
        DEVLINK_CMD_RATE_SET = 75,
    }
}

/// Attributes of messages.
pub(crate) mod attribute {
    use crate::uapi::numbers;

    numbers! { u16:
        DEVLINK_ATTR_BUS_NAME = 1,
        DEVLINK_ATTR_DEV_NAME = 2,
        DEVLINK_ATTR_PORT_INDEX = 3,
        DEVLINK_ATTR_PORT_NETDEV_IFINDEX = 6,
        DEVLINK_ATTR_PORT_NETDEV_NAME = 7,
        DEVLINK_ATTR_ESWITCH_MODE = 25,
        DEVLINK_ATTR_ESWITCH_INLINE_MODE = 26,
        DEVLINK_ATTR_ESWITCH_ENCAP_MODE = 62,
        DEVLINK_ATTR_PORT_FLAVOUR = 77,
        DEVLINK_ATTR_PORT_NUMBER = 78,
        DEVLINK_ATTR_PARAM = 80,
        DEVLINK_ATTR_PARAM_NAME = 81,
        DEVLINK_ATTR_PARAM_GENERIC = 82,
        DEVLINK_ATTR_PARAM_TYPE = 83,
        DEVLINK_ATTR_PARAM_VALUES_LIST = 84,
        DEVLINK_ATTR_PARAM_VALUE_DATA = 86,
        DEVLINK_ATTR_PARAM_VALUE_CMODE = 87,
        DEVLINK_ATTR_INFO_DRIVER_NAME = 98,
        DEVLINK_ATTR_INFO_SERIAL_NUMBER = 99,
        DEVLINK_ATTR_INFO_VERSION_FIXED = 100,
        DEVLINK_ATTR_INFO_VERSION_RUNNING = 101,
        DEVLINK_ATTR_INFO_VERSION_STORED = 102,
        DEVLINK_ATTR_INFO_VERSION_NAME = 103,
        DEVLINK_ATTR_INFO_VERSION_VALUE = 104,
        DEVLINK_ATTR_PORT_PCI_PF_NUMBER = 127,
        DEVLINK_ATTR_PORT_PCI_VF_NUMBER = 128,
        DEVLINK_ATTR_RELOAD_FAILED = 136,
        DEVLINK_ATTR_PORT_FUNCTION = 145,
        DEVLINK_ATTR_INFO_BOARD_SERIAL_NUMBER = 146,
        DEVLINK_ATTR_PORT_EXTERNAL = 149,
        DEVLINK_ATTR_PORT_CONTROLLER_NUMBER = 150,
        DEVLINK_ATTR_RELOAD_ACTION = 153,
        DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED = 154,
        DEVLINK_ATTR_RELOAD_LIMITS = 155,
        DEVLINK_ATTR_RATE_TX_SHARE = 166,
        DEVLINK_ATTR_RATE_TX_MAX = 167,
    }
}

/// Attributes within `DEVLINK_ATTR_PORT_FUNCTION`.
pub(crate) mod function {
    use crate::uapi::numbers;

    numbers! { u16:
        DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR = 1,
        DEVLINK_PORT_FN_ATTR_STATE = 2,
    }
}

/// `enum devlink_reload_limit`.
pub(crate) const DEVLINK_RELOAD_LIMIT_NO_RESET: u32 = 1;
