//! The mode of a switch. Source: `devlink_nl_eswitch_set_doit` and `devlink_nl_eswitch_fill` in
//! `net/devlink/dev.c`.

use std::time::Duration;

use vdpa_netlink::{Attributes, Malformed, Request, Tlvs};

use super::numbers::attribute::{
    DEVLINK_ATTR_ESWITCH_ENCAP_MODE, DEVLINK_ATTR_ESWITCH_INLINE_MODE, DEVLINK_ATTR_ESWITCH_MODE,
};
use super::numbers::command::{DEVLINK_CMD_ESWITCH_GET, DEVLINK_CMD_ESWITCH_SET};
use super::{naming, unknown};
use crate::{DevlinkHandle, EncapMode, InlineMode, Mode, State};

/// Asks how a switch is set. There is no listing of them.
pub(crate) fn get(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_ESWITCH_GET, format!("read the eswitch mode of {device}")).with(naming(device))
}

/// Switches the mode.
pub(crate) fn set_mode(device: &DevlinkHandle, mode: Mode, limit: Duration) -> Request {
    let mode_attribute = Tlvs::new().u16(DEVLINK_ATTR_ESWITCH_MODE, mode.number());
    set(device, &mode_attribute, format!("switch the eswitch of {device} to {mode}")).within(limit)
}

/// Sets the inline mode.
pub(crate) fn set_inline(device: &DevlinkHandle, inline: InlineMode) -> Request {
    let mode = Tlvs::new().u8(DEVLINK_ATTR_ESWITCH_INLINE_MODE, inline.number());
    set(device, &mode, format!("set the inline mode of {device} to {inline}"))
}

/// Sets the encapsulation mode.
pub(crate) fn set_encap(device: &DevlinkHandle, encap: EncapMode) -> Request {
    let mode = Tlvs::new().u8(DEVLINK_ATTR_ESWITCH_ENCAP_MODE, encap.number());
    set(device, &mode, format!("set the encap mode of {device} to {encap}"))
}

fn set(device: &DevlinkHandle, change: &Tlvs, intent: String) -> Request {
    Request::new(DEVLINK_CMD_ESWITCH_SET, intent).with(naming(device).and(change))
}

/// Reads how a switch is set.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<State, Malformed> {
    let mode = attributes.require(DEVLINK_ATTR_ESWITCH_MODE, "DEVLINK_ATTR_ESWITCH_MODE")?.u16()?;
    let odd_mode = unknown(DEVLINK_ATTR_ESWITCH_MODE, "DEVLINK_ATTR_ESWITCH_MODE");
    let mode = Mode::from_number(mode).ok_or_else(|| odd_mode(mode.into()))?;
    let mut state = State { mode, inline: None, encap: None };
    if let Some(inline) = attributes.find(DEVLINK_ATTR_ESWITCH_INLINE_MODE)? {
        let odd = unknown(DEVLINK_ATTR_ESWITCH_INLINE_MODE, "DEVLINK_ATTR_ESWITCH_INLINE_MODE");
        let inline = inline.u8()?;
        state.inline = Some(InlineMode::from_number(inline).ok_or_else(|| odd(inline.into()))?);
    }
    if let Some(encap) = attributes.find(DEVLINK_ATTR_ESWITCH_ENCAP_MODE)? {
        let odd = unknown(DEVLINK_ATTR_ESWITCH_ENCAP_MODE, "DEVLINK_ATTR_ESWITCH_ENCAP_MODE");
        let encap = encap.u8()?;
        state.encap = Some(EncapMode::from_number(encap).ok_or_else(|| odd(encap.into()))?);
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(change: impl FnOnce(Tlvs) -> Tlvs) -> Tlvs {
        change(Tlvs::new().string(1, "pci").string(2, "0000:43:00.0"))
    }

    #[test]
    fn a_card_has_all_three_and_netdevsim_its_mode_only() {
        let card = answer(|a| a.u16(25, 1).u8(26, 3).u8(62, 1));
        let expected = State {
            mode: Mode::Switchdev,
            inline: Some(InlineMode::Transport),
            encap: Some(EncapMode::Basic),
        };
        assert_eq!(read(Attributes::new(card.as_bytes())), Ok(expected));
        let netdevsim = answer(|a| a.u16(25, 0));
        assert_eq!(
            read(Attributes::new(netdevsim.as_bytes())),
            Ok(State { mode: Mode::Legacy, inline: None, encap: None })
        );
    }

    #[test]
    fn a_mode_of_a_later_kernel_is_shown_and_not_guessed() {
        let error = read(Attributes::new(answer(|a| a.u16(25, 7)).as_bytes())).unwrap_err();
        assert_eq!(error.to_string(), "attribute 25 (DEVLINK_ATTR_ESWITCH_MODE) has the value `7`");
        assert!(read(Attributes::new(answer(|a| a).as_bytes())).is_err());
        assert!(read(Attributes::new(answer(|a| a.u8(25, 1)).as_bytes())).is_err());
    }
}
