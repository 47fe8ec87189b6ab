//! Ports, and the functions behind them. Source: `net/devlink/port.c`.

use vdpa_hw::{IfIndex, MacAddress, NetdevName, VfIndex};
use vdpa_netlink::{Attributes, Malformed, Request, Tlvs};

use super::naming;
use super::numbers::attribute::{
    DEVLINK_ATTR_PORT_CONTROLLER_NUMBER, DEVLINK_ATTR_PORT_EXTERNAL, DEVLINK_ATTR_PORT_FLAVOUR,
    DEVLINK_ATTR_PORT_FUNCTION, DEVLINK_ATTR_PORT_INDEX, DEVLINK_ATTR_PORT_NETDEV_IFINDEX,
    DEVLINK_ATTR_PORT_NETDEV_NAME, DEVLINK_ATTR_PORT_NUMBER, DEVLINK_ATTR_PORT_PCI_PF_NUMBER,
    DEVLINK_ATTR_PORT_PCI_VF_NUMBER,
};
use super::numbers::command::{DEVLINK_CMD_PORT_GET, DEVLINK_CMD_PORT_SET};
use super::numbers::function::{DEVLINK_PORT_FN_ATTR_STATE, DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR};
use crate::{DevlinkHandle, Flavour, FunctionState, Port, PortFunction};

/// Asks for every port of every device (a dump).
pub(crate) fn list(device: &DevlinkHandle) -> Request {
    Request::new(DEVLINK_CMD_PORT_GET, format!("list the ports of {device}"))
}

/// Sets the MAC address of the function behind a port.
pub(crate) fn set_hw_addr(device: &DevlinkHandle, port: u32, vf: VfIndex, mac: MacAddress) -> Request {
    let function = Tlvs::new().bytes(DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR, &mac.octets());
    Request::new(DEVLINK_CMD_PORT_SET, format!("set the MAC address of {device} vf {vf} to {mac}"))
        .with(naming(device).u32(DEVLINK_ATTR_PORT_INDEX, port).nest(DEVLINK_ATTR_PORT_FUNCTION, &function))
}

/// Reads a port.
pub(crate) fn read(attributes: Attributes<'_>) -> Result<Port, Malformed> {
    let index = attributes.require(DEVLINK_ATTR_PORT_INDEX, "DEVLINK_ATTR_PORT_INDEX")?.u32()?;
    let mut port = Port {
        index,
        flavour: None,
        number: None,
        pf: None,
        vf: None,
        controller: None,
        external: false,
        netdev: None,
        function: None,
    };
    let (mut ifindex, mut name) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind() {
            DEVLINK_ATTR_PORT_NETDEV_IFINDEX => ifindex = Some(IfIndex(attribute.u32()?)),
            DEVLINK_ATTR_PORT_NETDEV_NAME => name = Some(netdev_name(&attribute.string())?),
            DEVLINK_ATTR_PORT_FLAVOUR => port.flavour = Flavour::from_number(attribute.u16()?),
            DEVLINK_ATTR_PORT_NUMBER => port.number = Some(attribute.u32()?),
            DEVLINK_ATTR_PORT_PCI_PF_NUMBER => port.pf = Some(attribute.u16()?),
            DEVLINK_ATTR_PORT_PCI_VF_NUMBER => port.vf = Some(VfIndex::new(attribute.u16()?)),
            DEVLINK_ATTR_PORT_CONTROLLER_NUMBER => port.controller = Some(attribute.u32()?),
            DEVLINK_ATTR_PORT_EXTERNAL => port.external = attribute.u8()? != 0,
            DEVLINK_ATTR_PORT_FUNCTION => port.function = Some(function(attribute.nest())?),
            _ => {}
        }
    }
    port.netdev = ifindex.zip(name);
    Ok(port)
}

fn function(attributes: Attributes<'_>) -> Result<PortFunction, Malformed> {
    let mut function = PortFunction::default();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind() {
            // Six bytes for Ethernet; InfiniBand's twenty are no MAC address.
            DEVLINK_PORT_FUNCTION_ATTR_HW_ADDR => {
                function.hw_addr = attribute.array("a MAC address").ok().map(MacAddress::new);
            }
            DEVLINK_PORT_FN_ATTR_STATE => function.state = FunctionState::from_number(attribute.u8()?),
            _ => {}
        }
    }
    Ok(function)
}

fn netdev_name(text: &str) -> Result<NetdevName, Malformed> {
    text.parse().map_err(|_| Malformed::Value {
        kind: DEVLINK_ATTR_PORT_NETDEV_NAME,
        name: "DEVLINK_ATTR_PORT_NETDEV_NAME",
        value: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `pci/0000:01:00.0/1: type eth netdev eth1 flavour pcivf controller 0 pfnum 0 vfnum 0 external
    /// false`, `function: hw_addr e4:11:22:33:44:50`, as the lab's pretend card has it.
    fn representor() -> Tlvs {
        let function = Tlvs::new().bytes(1, &[0xe4, 0x11, 0x22, 0x33, 0x44, 0x50]);
        let port = Tlvs::new().string(1, "pci").string(2, "0000:01:00.0").u32(3, 1).u16(4, 2);
        let netdev = port.u32(6, 5).string(7, "eth1");
        netdev.u16(77, 4).u16(127, 0).u16(128, 0).u8(149, 0).u32(150, 0).nest(145, &function)
    }

    #[test]
    fn a_representors_port_is_read() {
        let port = read(Attributes::new(representor().as_bytes())).unwrap();
        assert_eq!(port.local_vf(), Some(VfIndex::new(0)));
        assert_eq!(port.netdev, Some((IfIndex(5), "eth1".parse().unwrap())));
        let mac = port.function.unwrap().hw_addr.unwrap();
        assert_eq!(mac.to_string(), "e4:11:22:33:44:50");
    }

    #[test]
    fn another_hosts_vf_is_none_of_ours() {
        for foreign in [Tlvs::new().u8(149, 1), Tlvs::new().u32(150, 1)] {
            let port = read(Attributes::new(representor().and(&foreign).as_bytes())).unwrap();
            assert_eq!(port.local_vf(), None, "{port:?}");
        }
    }

    #[test]
    fn a_port_of_an_unknown_flavour_is_still_a_port() {
        let port = read(Attributes::new(Tlvs::new().u32(3, 9).u16(77, 99).as_bytes())).unwrap();
        assert_eq!((port.index, port.flavour, port.netdev), (9, None, None));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_function_mac_is_written_in_its_nest() {
        let device = "pci/0000:01:00.0".parse().unwrap();
        let mac = "e4:11:22:33:44:50".parse().unwrap();
        let text = format!("{:?}", set_hw_addr(&device, 1, VfIndex::new(0), mac));
        let nest = "16, 0, 145, 128, 10, 0, 1, 0, 228, 17, 34, 51, 68, 80, 0, 0";
        assert!(text.contains(nest), "{text}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes: Vec<u8>) {
            let _ = read(Attributes::new(&bytes));
            let answer = representor();
            let with_a_tail = [answer.as_bytes(), &bytes].concat();
            let _ = read(Attributes::new(&with_a_tail));
        }
    }
}
