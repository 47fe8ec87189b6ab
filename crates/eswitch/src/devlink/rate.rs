//! Rates of ports. Source: `net/devlink/rate.c`.

use vdpa_netlink::{Attributes, Malformed, Request};

use super::naming;
use super::numbers::attribute::{
    DEVLINK_ATTR_PORT_INDEX, DEVLINK_ATTR_RATE_TX_MAX, DEVLINK_ATTR_RATE_TX_SHARE,
};
use super::numbers::command::{DEVLINK_CMD_RATE_GET, DEVLINK_CMD_RATE_SET};
use crate::{DevlinkHandle, PortRate, Rate};

/// Asks for every rate of every device (a dump).
pub(crate) fn list(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_RATE_GET, format!("list the rates of {device}"))
}

/// Sets the rates of a port.
pub(crate) fn set(device: &DevlinkHandle, port: u32, rate: Rate) -> Request {
    let (share, max) = rate.bytes_per_second();
    Request::new(DEVLINK_CMD_RATE_SET, format!("set the rate of port {device}/{port}: {rate}")).with(
        naming(device)
            .u32(DEVLINK_ATTR_PORT_INDEX, port)
            .u64(DEVLINK_ATTR_RATE_TX_SHARE, share)
            .u64(DEVLINK_ATTR_RATE_TX_MAX, max),
    )
}

/// Reads the rates of a port; `None` for a node, which stands for several.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<Option<PortRate>, Malformed> {
    let Some(port) = attributes.find(DEVLINK_ATTR_PORT_INDEX)? else { return Ok(None) };
    let number = |kind| attributes.find(kind)?.map_or(Ok(0), |attribute| attribute.u64());
    let (share, max) = (number(DEVLINK_ATTR_RATE_TX_SHARE)?, number(DEVLINK_ATTR_RATE_TX_MAX)?);
    Ok(Some(PortRate { port: port.u32()?, rate: Rate::from_bytes_per_second(share, max) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vdpa_netlink::Tlvs;

    #[test]
    fn a_port_has_rates_and_a_node_is_none() {
        let device = Tlvs::new().string(1, "pci").string(2, "0000:01:00.0");
        let leaf = device.clone().u16(165, 0).u32(3, 1).u64(166, 0).u64(167, 12_500_000);
        let rate = Rate { min_mbps: 0, max_mbps: 100 };
        assert_eq!(read(Attributes::new(leaf.as_bytes())), Ok(Some(PortRate { port: 1, rate })));
        let node = device.u16(165, 1).string(168, "group").u64(166, 0).u64(167, 0);
        assert_eq!(read(Attributes::new(node.as_bytes())), Ok(None));
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = read(Attributes::new(&bytes));
        }
    }
}
