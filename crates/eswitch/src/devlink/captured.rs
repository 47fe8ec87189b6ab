//! Answers as a kernel gave them (Linux 6.12.95, x86-64, in the virtual hardware lab): the pretend card at
//! 0000:01:00.0 in switchdev mode with one VF whose MAC address was set, and netdevsim. Each is the
//! message behind its generic-netlink header.

use vdpa_netlink::Attributes;

use super::{dev, device, param, port, switch};
use crate::{EncapMode, Flavour, InlineMode, Mode, ParamMode, ParamValue, State};

const VF_PORT: &str = "080001007063690011000200303030303a30313a30302e300000000008000300010000000600040002000000\
    080006001c030000090007006574683000000000050094000000000006004d0004000000080096000000000006007f00000000000600\
    8000000000000500950000000000100091000a000100e411223344500000";
const UPLINK_PORT: &str = "080001007063690011000200303030303a30313a30302e300000000008000300ffff00000600040002000000\
    08000600020000000e000700656e703173306e7030000000050094000000000006004d000000000008004e0000000000";
const ESWITCH: &str = "080001007063690011000200303030303a30313a30302e3000000000060019000100000005001a0000000000\
    05003e0001000000";
const INFO: &str = "080001007063690011000200303030303a30313a30302e3000000000240064000c00670066772e7073696400120068\
    004d545f30303030303030333539000000240065000f00670066772e76657273696f6e00000f00680032322e33392e31303032000024\
    0066000f00670066772e76657273696f6e00000f00680032322e33392e3130303200000e0062006d6c78355f636f7265000000";
const MAX_MACS: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d310000380050000d0051006d61785f6d\
    61637300000000040052000500530003000000180054001400550005005700010000000800560020000000";
const TEST1: &str = "0e0001006e657464657673696d0000000f0002006e657464657673696d3100002c0050000a0051007465737431000000\
    05005300060000001400540010005500050057000100000004005600";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

#[test]
fn the_port_of_a_vf() {
    let bytes = bytes(VF_PORT);
    let port = port::read(Attributes::new(&bytes)).unwrap();
    assert_eq!(
        (port.index, port.flavour, port.pf, port.controller),
        (1, Some(Flavour::PciVf), Some(0), Some(0))
    );
    assert_eq!(port.local_vf().map(vdpa_hw::VfIndex::get), Some(0));
    let (index, name) = port.netdev.unwrap();
    assert_eq!((index.0, name.as_str()), (796, "eth0"));
    assert_eq!(port.function.unwrap().hw_addr, "e4:11:22:33:44:50".parse().ok());
    assert_eq!(device(Attributes::new(&bytes)).unwrap().to_string(), "pci/0000:01:00.0");
}

#[test]
fn the_port_of_the_uplink() {
    let port = port::read(Attributes::new(&bytes(UPLINK_PORT))).unwrap();
    assert_eq!((port.index, port.flavour, port.number), (0xffff, Some(Flavour::Physical), Some(0)));
    assert_eq!((port.local_vf(), port.function), (None, None));
    assert_eq!(port.netdev.unwrap().1.as_str(), "enp1s0np0");
}

#[test]
fn the_settings_of_a_switch() {
    let state = switch::read(Attributes::new(&bytes(ESWITCH))).unwrap();
    let expected =
        State { mode: Mode::Switchdev, inline: Some(InlineMode::None), encap: Some(EncapMode::Basic) };
    assert_eq!(state, expected);
}

#[test]
fn what_a_card_says_of_itself() {
    let info = dev::read_info(Attributes::new(&bytes(INFO))).unwrap();
    assert_eq!(info.driver.as_deref(), Some("mlx5_core"));
    assert_eq!((info.firmware(), info.psid()), (Some("22.39.1002"), Some("MT_0000000359")));
    assert_eq!(info.versions.stored, info.versions.running);
}

#[test]
fn the_parameters_of_netdevsim() {
    for (answer, name, generic, value) in
        [(MAX_MACS, "max_macs", true, ParamValue::U32(32)), (TEST1, "test1", false, ParamValue::Bool(true))]
    {
        let param = param::read(Attributes::new(&bytes(answer))).unwrap();
        assert_eq!((param.name.as_str(), param.generic), (name, generic));
        assert_eq!(param.values, [(ParamMode::Driverinit, value)].into());
    }
}
