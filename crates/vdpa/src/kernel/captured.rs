//! Our messages against the wire: what iproute2 6.15 and a 6.12 kernel said to each other, captured with
//! nlmon on x86-64 while `vdpa` made and showed devices of `vdpa_sim_net` and of a VF. The bytes are the
//! attributes, without the netlink and generic-netlink headers.

use vdpa_netlink::{Attributes, Message, Tlvs};

use super::{Config, Features, MgmtDev, NewDevice, VdpaDevice};

/// `vdpa dev add name vdpa0 mgmtdev vdpasim_net mac e4:11:22:33:55:60 mtu 1500`
const ADD_VDPA0: &str =
    "100002007664706173696d5f6e6574000a00040076647061300000000a000a00e41122335560050006000d00dc050600";
/// `vdpa dev add name vdpa1 mgmtdev pci/0000:01:10.0 mac e4:11:22:33:55:61 max_vqp 4`
const ADD_VDPA1: &str = "080001007063690011000200303030303a30313a31302e30000000000a00040076647061310005000a000a00e411\
                         22335561010006000c0004000000";
/// Two of the answers to `vdpa mgmtdev show`.
const MGMTDEVS: [&str; 2] = [
    "100002007664706173696d5f6e6574000c000300020000000000000008000f00030000000c0010002800830803000000",
    "080001007063690011000200303030303a30313a31302e30000000000c000300020000000000000008000f00210000000c0010\
     002800430803000000",
];
/// The second answer to `vdpa dev show`.
const VDPA1: &str = "080001007063690011000200303030303a30313a31302e30000000000a000400766470613100000008000500010000000800\
                     060000000000080007000900000006000800000100000600090001000000";
/// The answer to `vdpa dev config show vdpa1`.
const CONFIG: &str = "0a000400766470613100000008000500010000000c001400280043080300000006000d00dc0500000a000a00e411223355\
                      61000006000b000100000006000c0004000000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The message with these attributes. They are written anew, because iproute2 leaves its padding as it is.
fn message(hex: &str) -> Message {
    let bytes = bytes(hex);
    let attributes = Attributes::new(&bytes).into_iter().map(Result::unwrap);
    Message::new(0, &attributes.fold(Tlvs::new(), |tlvs, a| tlvs.bytes(a.kind(), a.payload())))
}

#[test]
fn a_device_is_ordered_as_iproute2_orders_it() {
    let vdpa0 = NewDevice {
        mac: Some("e4:11:22:33:55:60".parse().unwrap()),
        mtu: Some(1500),
        ..NewDevice::new("vdpa0".parse().unwrap(), "vdpasim_net".parse().unwrap())
    };
    let vdpa1 = NewDevice {
        mac: Some("e4:11:22:33:55:61".parse().unwrap()),
        max_vqp: Some(4),
        ..NewDevice::new("vdpa1".parse().unwrap(), "pci/0000:01:10.0".parse().unwrap())
    };
    for (ours, theirs) in [(vdpa0, ADD_VDPA0), (vdpa1, ADD_VDPA1)] {
        assert_eq!(Message::new(0, &ours.write()), message(theirs));
    }
}

#[test]
fn management_devices_are_read_as_iproute2_shows_them() {
    let [sim, vf] = MGMTDEVS.map(|hex| MgmtDev::read(&message(hex)).unwrap());
    assert_eq!((sim.name.to_string().as_str(), sim.max_vqs), ("vdpasim_net", Some(3)));
    assert_eq!((vf.name.to_string().as_str(), vf.max_vqs), ("pci/0000:01:10.0", Some(33)));
    assert!(sim.makes_net_devices() && vf.makes_net_devices());
    // MTU MAC STATUS CTRL_VQ MQ ANY_LAYOUT VERSION_1 ACCESS_PLATFORM
    let bits = [3, 5, 16, 17, 22, 27, 32, 33];
    assert_eq!(vf.features.map(|features| features.bits().collect()), Some(bits.to_vec()));
}

#[test]
fn a_device_and_its_configuration_are_read_as_iproute2_shows_them() {
    let device = VdpaDevice::read(&message(VDPA1)).unwrap();
    assert_eq!((device.name.as_str(), device.mgmtdev.to_string().as_str()), ("vdpa1", "pci/0000:01:10.0"));
    assert_eq!((device.class, device.max_vqs, device.max_vq_size), (1, 9, 256));
    let config = Config::read(&message(CONFIG)).unwrap();
    assert_eq!(config.mac, Some("e4:11:22:33:55:61".parse().unwrap()));
    assert_eq!((config.mtu, config.max_vqp, config.status), (Some(1500), Some(4), Some(1)));
    assert!(config.features.is_some_and(|features| features.contains(Features(1 << 22))), "{config:?}");
    assert_eq!(config.negotiated_features, None);
}
