//! Reloads. Source: `devlink_nl_reload_doit` and `devlink_nl_reload_actions_performed_snd` in `net/devlink/dev.c`.

use std::collections::BTreeSet;
use std::time::Duration;

use vdpa_netlink::{Attributes, Malformed, Request};

use super::naming;
use super::numbers::DEVLINK_RELOAD_LIMIT_NO_RESET;
use super::numbers::attribute::{
    DEVLINK_ATTR_RELOAD_ACTION, DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED, DEVLINK_ATTR_RELOAD_FAILED,
    DEVLINK_ATTR_RELOAD_LIMITS,
};
use super::numbers::command::{DEVLINK_CMD_GET, DEVLINK_CMD_RELOAD};
use crate::{DevlinkHandle, Reload, ReloadAction};

/// Asks for a reload. The action is always named: only then does the kernel tell what it has done.
pub(crate) fn request(device: &DevlinkHandle, reload: Reload, limit: Duration) -> Request {
    let mut asked = naming(device).u8(DEVLINK_ATTR_RELOAD_ACTION, reload.action.number());
    if reload.no_reset {
        // `struct nla_bitfield32`: the value, then which bits of it count.
        let bit = (1u32 << DEVLINK_RELOAD_LIMIT_NO_RESET).to_ne_bytes();
        asked = asked.bytes(DEVLINK_ATTR_RELOAD_LIMITS, &[bit, bit].concat());
    }
    Request::new(DEVLINK_CMD_RELOAD, format!("reload {device}, {reload}")).with(asked).within(limit)
}

/// Reads what was done, which may be more than what was asked for.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<BTreeSet<ReloadAction>, Malformed> {
    let performed =
        attributes.require(DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED, "DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED")?;
    let payload = performed.payload();
    let bits = payload.first_chunk().map(|bits| u32::from_ne_bytes(*bits)).ok_or(Malformed::Size {
        kind: DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED,
        length: payload.len(),
        wanted: "a bitfield32",
        size: 8,
    })?;
    // What a later kernel can do besides is nothing that was asked for.
    let done = (0..32).filter(|number| bits & (1 << number) != 0);
    Ok(done.filter_map(ReloadAction::from_number).collect())
}

/// Asks for a device.
pub(crate) fn device(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_GET, format!("look at {device}")).with(naming(device))
}

/// Reads whether its last reload has failed.
pub(crate) fn read_failed(attributes: Attributes<'_>) -> Result<bool, Malformed> {
    let failed = attributes.find(DEVLINK_ATTR_RELOAD_FAILED)?;
    failed.map_or(Ok(false), |failed| Ok(failed.u8()? != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vdpa_netlink::Tlvs;

    #[test]
    fn what_was_done_is_read_and_what_is_not_known_is_left_out() {
        let answer = |bits: u32| {
            let bits = [bits.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
            read(Attributes::new(Tlvs::new().string(1, "pci").bytes(154, &bits).as_bytes()))
        };
        assert_eq!(answer(0b10), Ok([ReloadAction::DriverReinit].into()));
        assert_eq!(answer(0b1110), Ok([ReloadAction::DriverReinit, ReloadAction::FwActivate].into()));
        assert!(read(Attributes::new(Tlvs::new().bytes(154, &[2]).as_bytes())).is_err());
        assert!(read(Attributes::new(&[])).is_err());
    }

    #[test]
    fn a_limit_is_a_bit_and_the_bit_that_counts() {
        let card = "pci/0000:43:00.0".parse().unwrap();
        let patch = Reload { action: ReloadAction::FwActivate, no_reset: true };
        let bytes = format!("{:?}", request(&card, patch, Duration::from_secs(1)));
        assert!(bytes.contains("5, 0, 153, 0, 2, 0, 0, 0"), "{bytes}");
        assert_eq!(cfg!(target_endian = "little"), bytes.contains("12, 0, 155, 0, 2, 0, 0, 0, 2, 0, 0, 0"));
        let plain = format!("{:?}", request(&card, Reload::DRIVER, Duration::from_secs(1)));
        assert!(plain.contains("153, 0, 1") && !plain.contains("155, 0"), "{plain}");
    }

    #[test]
    fn a_failed_reload_is_seen_and_an_old_kernel_tells_nothing() {
        let read = |answer: Tlvs| read_failed(Attributes::new(answer.as_bytes()));
        assert_eq!(read(Tlvs::new().u8(136, 1)), Ok(true));
        assert_eq!(read(Tlvs::new().u8(136, 0)), Ok(false));
        assert_eq!(read(Tlvs::new()), Ok(false));
    }
}
