//! Parameters of drivers. Source: `net/devlink/param.c`.

use std::collections::BTreeMap;

use vdpa_netlink::{Attribute, Attributes, Malformed, Request, Tlvs};

use super::numbers::attribute::{
    DEVLINK_ATTR_PARAM, DEVLINK_ATTR_PARAM_GENERIC, DEVLINK_ATTR_PARAM_NAME, DEVLINK_ATTR_PARAM_TYPE,
    DEVLINK_ATTR_PARAM_VALUE_CMODE, DEVLINK_ATTR_PARAM_VALUE_DATA, DEVLINK_ATTR_PARAM_VALUES_LIST,
};
use super::numbers::command::{DEVLINK_CMD_PARAM_GET, DEVLINK_CMD_PARAM_SET};
use super::{naming, unknown};
use crate::{DevlinkHandle, Param, ParamMode, ParamValue};

/// The types of values, which are numbers of netlink's attribute types (`NLA_U8` … in
/// `include/net/netlink.h`; the uapi names came with Linux 6.17).
mod kind {
    pub(super) const U8: u8 = 1;
    pub(super) const U16: u8 = 2;
    pub(super) const U32: u8 = 3;
    pub(super) const U64: u8 = 4;
    pub(super) const STRING: u8 = 5;
    pub(super) const FLAG: u8 = 6;
}

/// Asks for every parameter of every device (a dump).
pub(crate) fn list(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_PARAM_GET, format!("list the parameters of {device}"))
}

/// The same, for who wants those of every device.
pub(crate) fn list_all() -> Request {
    Request::new(DEVLINK_CMD_PARAM_GET, "list the parameters of all devlink devices")
}

/// Sets a parameter.
pub(crate) fn set(device: &DevlinkHandle, name: &str, mode: ParamMode, value: &ParamValue) -> Request {
    const DATA: u16 = DEVLINK_ATTR_PARAM_VALUE_DATA;
    let (kind, data) = match value {
        // Falsehood is the absence of the attribute (`devlink_param_value_get_from_info`).
        ParamValue::Bool(true) => (kind::FLAG, Tlvs::new().flag(DATA)),
        ParamValue::Bool(false) => (kind::FLAG, Tlvs::new()),
        ParamValue::U8(value) => (kind::U8, Tlvs::new().u8(DATA, *value)),
        ParamValue::U16(value) => (kind::U16, Tlvs::new().u16(DATA, *value)),
        ParamValue::U32(value) => (kind::U32, Tlvs::new().u32(DATA, *value)),
        ParamValue::U64(value) => (kind::U64, Tlvs::new().u64(DATA, *value)),
        ParamValue::Text(value) => (kind::STRING, Tlvs::new().string(DATA, value)),
    };
    Request::new(DEVLINK_CMD_PARAM_SET, format!("set {mode} parameter {name} of {device} to {value}")).with(
        naming(device)
            .string(DEVLINK_ATTR_PARAM_NAME, name)
            .u8(DEVLINK_ATTR_PARAM_TYPE, kind)
            .and(&data)
            .u8(DEVLINK_ATTR_PARAM_VALUE_CMODE, mode.number()),
    )
}

/// Reads a parameter with its values.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<Param, Malformed> {
    let param = attributes.require(DEVLINK_ATTR_PARAM, "DEVLINK_ATTR_PARAM")?.nest();
    let name = param.require(DEVLINK_ATTR_PARAM_NAME, "DEVLINK_ATTR_PARAM_NAME")?.string();
    let kind = param.require(DEVLINK_ATTR_PARAM_TYPE, "DEVLINK_ATTR_PARAM_TYPE")?.u8()?;
    let generic = param.find(DEVLINK_ATTR_PARAM_GENERIC)?.is_some();
    let mut values = BTreeMap::new();
    if let Some(list) = param.find(DEVLINK_ATTR_PARAM_VALUES_LIST)? {
        for value in list.nest() {
            let value = value?.nest();
            let mode =
                value.require(DEVLINK_ATTR_PARAM_VALUE_CMODE, "DEVLINK_ATTR_PARAM_VALUE_CMODE")?.u8()?;
            let odd = unknown(DEVLINK_ATTR_PARAM_VALUE_CMODE, "DEVLINK_ATTR_PARAM_VALUE_CMODE");
            let mode = ParamMode::from_number(mode).ok_or_else(|| odd(mode.into()))?;
            values.extend(
                read_value(kind, value.find(DEVLINK_ATTR_PARAM_VALUE_DATA)?)?.map(|value| (mode, value)),
            );
        }
    }
    Ok(Param { name, generic, values })
}

/// The value in `data`; `None` where the kernel did not show one.
fn read_value(kind: u8, data: Option<Attribute<'_>>) -> Result<Option<ParamValue>, Malformed> {
    if kind == kind::FLAG {
        return Ok(Some(ParamValue::Bool(data.is_some())));
    }
    let Some(data) = data else { return Ok(None) };
    let odd = unknown(DEVLINK_ATTR_PARAM_TYPE, "DEVLINK_ATTR_PARAM_TYPE");
    Ok(Some(match kind {
        kind::U8 => ParamValue::U8(data.u8()?),
        kind::U16 => ParamValue::U16(data.u16()?),
        kind::U32 => ParamValue::U32(data.u32()?),
        kind::U64 => ParamValue::U64(data.u64()?),
        kind::STRING => ParamValue::Text(data.string()),
        _ => return Err(odd(kind.into())),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter as `devlink_nl_param_fill` writes it.
    fn answer(name: &str, kind: u8, values: &[Tlvs]) -> Tlvs {
        let list = values.iter().fold(Tlvs::new(), |list, value| list.nest(85, value));
        let param = Tlvs::new().string(81, name).flag(82).u8(83, kind).nest(84, &list);
        Tlvs::new().string(1, "pci").string(2, "0000:43:00.0").nest(80, &param)
    }

    #[test]
    fn a_text_and_a_truth_value_are_read_by_mode() {
        let steering = answer("flow_steering_mode", 5, &[Tlvs::new().string(86, "smfs").u8(87, 0)]);
        let param = read(Attributes::new(steering.as_bytes())).unwrap();
        assert_eq!((param.name.as_str(), param.generic), ("flow_steering_mode", true));
        assert_eq!(param.values, [(ParamMode::Runtime, ParamValue::Text("smfs".into()))].into());

        let values = [Tlvs::new().flag(86).u8(87, 1), Tlvs::new().u8(87, 2)];
        let roce = read(Attributes::new(answer("enable_roce", 6, &values).as_bytes())).unwrap();
        let expected = [
            (ParamMode::Driverinit, ParamValue::Bool(true)),
            (ParamMode::Permanent, ParamValue::Bool(false)),
        ];
        assert_eq!(roce.values, expected.into());
    }

    #[test]
    fn a_type_of_a_later_kernel_is_shown_and_not_guessed() {
        let odd = answer("x", 99, &[Tlvs::new().u32(86, 1).u8(87, 0)]);
        let error = read(Attributes::new(odd.as_bytes())).unwrap_err();
        assert_eq!(error.to_string(), "attribute 83 (DEVLINK_ATTR_PARAM_TYPE) has the value `99`");
    }

    #[test]
    fn falsehood_is_written_as_an_absence() {
        let device = "pci/0000:43:00.0".parse().unwrap();
        let with =
            |on| format!("{:?}", set(&device, "enable_eth", ParamMode::Driverinit, &ParamValue::Bool(on)));
        assert!(with(true).contains("4, 0, 86, 0"));
        assert!(!with(false).contains("4, 0, 86, 0"));
    }
}
