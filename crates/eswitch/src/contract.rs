//! What is true of every [`Eswitch`], simulated or real.
//!
//! Each function is one statement; it panics with what it found instead. They change the switch that
//! the [`Subject`] names, and leave it in legacy mode. [`all`] runs every one of them.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic is what each of them is for"
)]

pub mod reload;

use std::time::Duration;

use vdpa_hw::{IfIndex, MacAddress, VfIndex};
use vdpa_netlink::Errno;

use crate::{
    DevlinkHandle, EncapMode, Error, Eswitch, Flavour, InlineMode, Mode, ParamMode, ParamValue, Rate, Reload,
    Representors,
};

/// A switch to hold to the contract, and where its driver differs from others.
pub struct Subject<'a> {
    /// What is asked.
    pub eswitch: &'a dyn Eswitch,
    /// The device with the switch.
    pub device: DevlinkHandle,
    /// The driver's name.
    pub driver: &'a str,
    /// The VFs that exist, with no driver bound to them; at least one.
    pub vfs: Vec<VfIndex>,
    /// What the driver does with inline modes.
    pub inline: Inline,
    /// Whether the driver has encap modes.
    pub encap: bool,
    /// Whether the MAC address of a VF's function can be set.
    pub function_mac: bool,
    /// A parameter that can be set in legacy mode, and two values to set in turn.
    pub param: Option<(&'a str, ParamMode, [ParamValue; 2])>,
    /// How long a change may take.
    pub limit: Duration,
}

/// What a driver does with inline modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inline {
    /// It has no notion of them (netdevsim).
    Absent,
    /// It needs no inline header and takes no other mode (`ConnectX-5` and later, the lab's card).
    None,
    /// It takes each of them (`ConnectX-4`).
    Any,
}

/// Every statement, one after the other.
pub async fn all(subject: &Subject<'_>) {
    the_device_is_listed_with_its_driver(subject).await;
    a_device_that_is_not_there_is_named(subject).await;
    switchdev_brings_representors_and_legacy_takes_them_away(subject).await;
    the_mode_it_has_is_no_change(subject).await;
    a_representor_that_never_comes_is_named_with_what_was_seen(subject).await;
    the_uplink_is_there_in_both_modes(subject).await;
    ports_and_representors_agree(subject).await;
    inline_modes_are_kept_or_refused(subject).await;
    encap_modes_are_kept_or_refused(subject).await;
    tc_offload_is_what_was_asked_for(subject).await;
    a_link_that_is_not_there_is_named(subject).await;
    a_functions_mac_is_kept_or_refused(subject).await;
    a_parameter_is_kept(subject).await;
    a_parameter_that_is_not_there_is_refused(subject).await;
    the_parameters_of_all_are_those_of_each(subject).await;
    rates_are_kept_while_the_port_is_there(subject).await;
}

/// Rates read back as they were set, for the VF they were set for; what the cable cannot carry is refused; in legacy
/// mode there are none.
pub async fn rates_are_kept_while_the_port_is_there(subject: &Subject<'_>) {
    let (eswitch, device) = (subject.eswitch, &subject.device);
    assert!(eswitch.rates(device).await.expect("rates in legacy mode").is_empty());
    switchdev(subject).await;
    let fresh = eswitch.rates(device).await.expect("rates");
    assert!(fresh.keys().eq(&subject.vfs), "{fresh:?}");
    assert!(fresh.values().all(|port| port.rate == Rate::UNLIMITED), "{fresh:?}");
    let (vf, port) = (subject.vfs[0], fresh[&subject.vfs[0]].port);
    for rate in [Rate { min_mbps: 0, max_mbps: 1000 }, Rate { min_mbps: 10, max_mbps: 2000 }, Rate::UNLIMITED]
    {
        eswitch.set_rate(device, port, rate).await.expect("set_rate");
        let now = eswitch.rates(device).await.expect("rates");
        assert_eq!(now[&vf].rate, rate);
        assert!(now.iter().all(|(other, port)| *other == vf || port.rate == Rate::UNLIMITED), "{now:?}");
    }
    let light_speed = Rate { min_mbps: 0, max_mbps: 4_000_000 };
    let refused = eswitch.set_rate(device, port, light_speed).await;
    assert_eq!(refused.err().and_then(|error| error.errno()), Some(Errno::EINVAL));
    assert_eq!(eswitch.rates(device).await.expect("rates")[&vf].rate, Rate::UNLIMITED);
    legacy(subject).await;
}

/// `devices` has the device, and `info` names its driver.
pub async fn the_device_is_listed_with_its_driver(subject: &Subject<'_>) {
    let devices = subject.eswitch.devices().await.expect("devices");
    assert!(devices.contains(&subject.device), "{} is not among {devices:?}", subject.device);
    let info = subject.eswitch.info(&subject.device).await.expect("info");
    assert_eq!(info.driver.as_deref(), Some(subject.driver), "{info:?}");
    assert!(info.firmware().is_some(), "no firmware version: {info:?}");
}

/// Every call on a device that is not there says so.
pub async fn a_device_that_is_not_there_is_named(subject: &Subject<'_>) {
    let nowhere = DevlinkHandle::new("pci", "ffff:ff:1f.7").expect("a handle");
    let eswitch = subject.eswitch;
    let errors = [
        eswitch.info(&nowhere).await.err(),
        eswitch.state(&nowhere).await.err(),
        eswitch.set_mode(&nowhere, Mode::Switchdev, subject.limit).await.err(),
        eswitch.ports(&nowhere).await.err(),
        eswitch.params(&nowhere).await.err(),
        eswitch.reload(&nowhere, Reload::DRIVER, subject.limit).await.err(),
        eswitch.reload_failed(&nowhere).await.err(),
        eswitch.representors(&nowhere).await.err(),
        eswitch.await_uplink(&nowhere, Duration::ZERO).await.err(),
    ];
    for error in errors {
        assert!(matches!(&error, Some(Error::NoDevice(named)) if *named == nowhere), "{error:?}");
    }
}

/// A representor for each VF in switchdev mode, none in legacy mode, twice over.
pub async fn switchdev_brings_representors_and_legacy_takes_them_away(subject: &Subject<'_>) {
    for _ in 0..2 {
        switchdev(subject).await;
        legacy(subject).await;
    }
}

/// To set the mode that it has succeeds and takes no representor away.
pub async fn the_mode_it_has_is_no_change(subject: &Subject<'_>) {
    let before = switchdev(subject).await;
    subject.eswitch.set_mode(&subject.device, Mode::Switchdev, subject.limit).await.expect("switchdev again");
    let after = subject.eswitch.representors(&subject.device).await.expect("representors");
    let indexes = |r: &Representors| r.vfs.values().map(|vf| vf.index).collect::<Vec<_>>();
    assert_eq!(indexes(&before), indexes(&after));
    legacy(subject).await;
    subject.eswitch.set_mode(&subject.device, Mode::Legacy, subject.limit).await.expect("legacy again");
}

/// A wait that runs out names the VFs without a representor, and shows those with one.
pub async fn a_representor_that_never_comes_is_named_with_what_was_seen(subject: &Subject<'_>) {
    let never = VfIndex::new(9999);
    switchdev(subject).await;
    let wanted = [&subject.vfs[..], &[never]].concat();
    let limit = Duration::from_millis(200);
    let error = subject.eswitch.await_representors(&subject.device, &wanted, limit).await;
    match error {
        Err(Error::NoRepresentor { missing, seen, .. }) => {
            assert_eq!(missing, [never]);
            assert!(seen.representors.vfs.keys().eq(&subject.vfs), "{seen}");
        }
        other => panic!("awaiting vf {never} gave {other:?}"),
    }
    legacy(subject).await;
}

/// The uplink has a network device in either mode.
pub async fn the_uplink_is_there_in_both_modes(subject: &Subject<'_>) {
    subject.eswitch.await_uplink(&subject.device, subject.limit).await.expect("the uplink in legacy mode");
    switchdev(subject).await;
    subject.eswitch.await_uplink(&subject.device, subject.limit).await.expect("the uplink in switchdev mode");
    legacy(subject).await;
}

/// The ports of the switch have the representors as their network devices.
pub async fn ports_and_representors_agree(subject: &Subject<'_>) {
    let found = switchdev(subject).await;
    let ports = subject.eswitch.ports(&subject.device).await.expect("ports");
    for (vf, representor) in &found.vfs {
        let port = ports.iter().find(|port| port.local_vf() == Some(*vf));
        let netdev = port.and_then(|port| port.netdev.as_ref()).map(|(index, _)| *index);
        assert_eq!(netdev, Some(representor.index), "port of vf {vf}: {port:?}");
    }
    let physical = ports.iter().find(|port| port.flavour == Some(Flavour::Physical));
    assert!(physical.is_some_and(|port| port.netdev.is_some()), "{ports:?}");
    legacy(subject).await;
}

/// Inline modes are kept, refused, or not there at all, as the driver has it.
pub async fn inline_modes_are_kept_or_refused(subject: &Subject<'_>) {
    let (eswitch, device) = (subject.eswitch, &subject.device);
    switchdev(subject).await;
    let now = async || eswitch.state(device).await.expect("state").inline;
    let before = now().await;
    let set = eswitch.set_inline(device, InlineMode::Transport).await;
    match subject.inline {
        Inline::Any => {
            set.expect("inline mode transport");
            assert_eq!(now().await, Some(InlineMode::Transport));
            eswitch
                .set_inline(device, before.unwrap_or(InlineMode::None))
                .await
                .expect("the inline mode before");
        }
        Inline::None | Inline::Absent => {
            assert_eq!(set.err().and_then(|error| error.errno()), Some(Errno::EOPNOTSUPP));
        }
    }
    assert_eq!(before.is_none(), subject.inline == Inline::Absent, "{before:?}");
    assert_eq!(now().await, before);
    legacy(subject).await;
}

/// Encap modes are kept, or refused by a driver without them.
pub async fn encap_modes_are_kept_or_refused(subject: &Subject<'_>) {
    let (eswitch, device) = (subject.eswitch, &subject.device);
    switchdev(subject).await;
    let now = async || eswitch.state(device).await.expect("state").encap;
    let before = now().await;
    assert_eq!(before.is_some(), subject.encap, "{before:?}");
    if subject.encap {
        for encap in [EncapMode::None, EncapMode::Basic] {
            eswitch.set_encap(device, encap).await.expect("set_encap");
            assert_eq!(now().await, Some(encap));
        }
        eswitch.set_encap(device, before.unwrap_or(EncapMode::Basic)).await.expect("the encap mode before");
    } else {
        let refused = eswitch.set_encap(device, EncapMode::Basic).await;
        assert_eq!(refused.err().and_then(|error| error.errno()), Some(Errno::EOPNOTSUPP));
    }
    legacy(subject).await;
}

/// hw-tc-offload of the uplink is on when it was turned on, and off when it was turned off; asked for alone and among
/// all.
pub async fn tc_offload_is_what_was_asked_for(subject: &Subject<'_>) {
    switchdev(subject).await;
    let uplink = subject.eswitch.await_uplink(&subject.device, subject.limit).await.expect("the uplink");
    let before = subject.eswitch.tc_offload(uplink.index).await.expect("tc_offload");
    for on in [true, false, false, true, before] {
        subject.eswitch.set_tc_offload(uplink.index, on).await.expect("set_tc_offload");
        assert_eq!(subject.eswitch.tc_offload(uplink.index).await.expect("tc_offload"), on);
        assert_eq!(subject.eswitch.tc_offloads().await.expect("tc_offloads").contains(&uplink.index), on);
    }
    legacy(subject).await;
}

/// A network device that is not there is named.
pub async fn a_link_that_is_not_there_is_named(subject: &Subject<'_>) {
    let nowhere = IfIndex(0x7fff_fff0);
    for error in [
        subject.eswitch.tc_offload(nowhere).await.err(),
        subject.eswitch.set_tc_offload(nowhere, true).await.err(),
    ] {
        assert!(matches!(error, Some(Error::NoLink(link)) if link == nowhere), "{error:?}");
    }
}

/// The MAC address of a VF's function is what was set; a group's is refused; legacy mode has no port to
/// set it through.
pub async fn a_functions_mac_is_kept_or_refused(subject: &Subject<'_>) {
    let (eswitch, device, vf) = (subject.eswitch, &subject.device, subject.vfs[0]);
    let mac = MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x44, 0x50]);
    let in_legacy = eswitch.set_function_mac(device, vf, mac).await;
    assert!(matches!(in_legacy, Err(Error::NoPort { .. })), "{in_legacy:?}");
    switchdev(subject).await;
    let set = eswitch.set_function_mac(device, vf, mac).await;
    if subject.function_mac {
        set.expect("set_function_mac");
        let ports = eswitch.ports(device).await.expect("ports");
        let port = ports.iter().find(|port| port.local_vf() == Some(vf));
        let kept = port.and_then(|port| port.function.as_ref()).and_then(|function| function.hw_addr);
        assert_eq!(kept, Some(mac));
        let group = MacAddress::new([0x01, 0, 0x5e, 0, 0, 1]);
        let refused = eswitch.set_function_mac(device, vf, group).await;
        let Err(Error::Refused { refusal, .. }) = refused else { panic!("a group address gave {refused:?}") };
        assert_eq!(refusal.to_string(), "kernel: Non-unicast hardware address unsupported (EINVAL)");
        eswitch.set_function_mac(device, vf, MacAddress::ZERO).await.expect("no MAC address again");
    } else {
        assert_eq!(set.err().and_then(|error| error.errno()), Some(Errno::EOPNOTSUPP));
    }
    legacy(subject).await;
}

/// A parameter has the value that was set.
pub async fn a_parameter_is_kept(subject: &Subject<'_>) {
    let Some((name, mode, values)) = &subject.param else { return };
    let (eswitch, device) = (subject.eswitch, &subject.device);
    for value in values {
        eswitch.set_param(device, name, *mode, value).await.expect("set_param");
        let params = eswitch.params(device).await.expect("params");
        let kept = params.iter().find(|param| param.name == *name).and_then(|param| param.values.get(mode));
        assert_eq!(kept, Some(value), "{params:?}");
    }
}

/// The one listing of all devices' parameters has what the device's own has.
pub async fn the_parameters_of_all_are_those_of_each(subject: &Subject<'_>) {
    let all = subject.eswitch.all_params().await.expect("all_params");
    let own = subject.eswitch.params(&subject.device).await.expect("params");
    assert_eq!(all.get(&subject.device), Some(&own), "{all:?}");
}

/// A parameter that the driver does not have is refused.
pub async fn a_parameter_that_is_not_there_is_refused(subject: &Subject<'_>) {
    let set =
        subject.eswitch.set_param(&subject.device, "no_such", ParamMode::Runtime, &ParamValue::Bool(true));
    let refused = set.await.err().and_then(|error| error.errno());
    assert!(matches!(refused, Some(Errno::EINVAL | Errno::EOPNOTSUPP)), "{refused:?}");
}

/// Switches to switchdev mode and waits for a representor of each VF.
async fn switchdev(subject: &Subject<'_>) -> Representors {
    let (eswitch, device) = (subject.eswitch, &subject.device);
    eswitch.set_mode(device, Mode::Switchdev, subject.limit).await.expect("switchdev");
    assert_eq!(eswitch.state(device).await.expect("state").mode, Mode::Switchdev);
    let found = eswitch.await_representors(device, &subject.vfs, subject.limit).await.expect("representors");
    assert!(found.vfs.keys().eq(&subject.vfs), "{found:?}");
    eswitch.await_uplink(device, subject.limit).await.expect("the uplink");
    found
}

/// Switches to legacy mode and sees the representors gone and the PF's own network device back.
async fn legacy(subject: &Subject<'_>) {
    let (eswitch, device) = (subject.eswitch, &subject.device);
    eswitch.set_mode(device, Mode::Legacy, subject.limit).await.expect("legacy");
    assert_eq!(eswitch.state(device).await.expect("state").mode, Mode::Legacy);
    eswitch.await_uplink(device, subject.limit).await.expect("the PF's network device");
    let found = eswitch.representors(device).await.expect("representors");
    assert!(found.vfs.is_empty(), "{found:?}");
}
