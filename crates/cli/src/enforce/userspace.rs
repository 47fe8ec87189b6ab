//! Open vSwitch's userspace datapath: DPDK in ovs-vswitchd, and a bridge of DPDK ports.

use std::collections::BTreeMap;

use vdpa_hw::Vf;
use vdpa_ovs::{Change, Observation, Presence, Setting};

use crate::error::Error;
use crate::host::Host;
use crate::report::Report;
use crate::step::Device;
use crate::userspace::{Port, Use, is_vendors};
use crate::view::View;

/// A key of `other_config` is to read this.
pub(super) fn set(change: Change, key: &str, value: Option<&str>) -> Change {
    match (key, value) {
        ("hw-offload", Some(value)) => change.hw_offload(value),
        ("hw-offload", None) => change.hw_offload_unset(),
        _ => change.config(key, value),
    }
}

/// The bridge is to have these ports of ours and no others.
pub(super) async fn ports(
    host: &Host,
    view: &View<'_>,
    change: Change,
    ports: &BTreeMap<Device, Use>,
    report: &dyn Report,
) -> Result<Change, Error> {
    let seen = view.bridge(&change.bridge).await?;
    let mut named = Vec::new();
    let mut change = change.present();
    for (device, purpose) in ports {
        let port = Port::of(host, view, &seen, *device, *purpose).await?;
        named.push((device.key(), port.name));
        change.settings.insert(device.key(), port.settings);
    }
    if !ports.is_empty() {
        change = change.datapath_type("netdev");
    }
    if ports.values().any(|purpose| matches!(purpose, Use::Vm(_))) && !is_vendors(&seen) {
        report.note(
            "this Open vSwitch has no vDPA ports (interface type dpdkvdpa, the vendor's build): VMs are served by its \
             own threads, and the card does not forward for them",
        );
    }
    Ok(change.exactly(named))
}

/// Makes the directories of the sockets that VMs will make, before anybody looks for one.
pub(super) async fn make_room(host: &Host, change: &Change) -> Result<(), Error> {
    for key in change.settings.keys().filter(|_| change.presence == Presence::Present) {
        if let Some(vf) = socket_of(change, key) {
            host.dpdk.lend_directory(vf).await?;
        }
    }
    Ok(())
}

/// Removes the directories of sockets that nobody serves any more.
pub(super) async fn clear_away(host: &Host, before: &Observation, change: &Change) -> Result<(), Error> {
    for port in before.ports().iter().filter(|port| !change.keeps(&port.key, &port.name)) {
        let served = ["vhost-server-path", "vdpa-socket-path"];
        let options = port.settings.interface.text_map("options").unwrap_or_default();
        if let Ok(Device::Representor(vf)) = port.key.as_str().parse()
            && served.iter().any(|option| options.contains_key(*option))
        {
            host.dpdk.return_directory(vf).await?;
        }
    }
    Ok(())
}

/// Restarts the service where what DPDK is told has changed after it came up: it listens once. Where DPDK is not asked
/// for any more, it stays until somebody restarts.
pub(super) async fn take_up(
    host: &Host,
    before: &Observation,
    change: &Change,
    report: &dyn Report,
) -> Result<(), Error> {
    let reads = |setting: &Setting| setting.over(None).map(str::to_owned);
    let changed = change.config.iter().filter(|(key, setting)| {
        key.starts_with("dpdk-") && reads(setting) != before.other_config.get(*key).cloned()
    });
    if changed.count() == 0 || !before.versions.dpdk_initialized {
        return Ok(());
    }
    let now = host.vswitch.glance(&change.bridge).await?;
    let is_asked = now.other_config.get("dpdk-init").is_some_and(|value| value != "false");
    if !is_asked {
        report.note("DPDK stays up in ovs-vswitchd, with its memory, until that is restarted");
        return Ok(());
    }
    report.note("DPDK's settings need a restart of Open vSwitch: every bridge loses packets for a moment");
    host.service.restart().await?;
    // Once more, to wait until what was restarted has taken everything up.
    host.vswitch.apply(change).await?;
    Ok(())
}

/// The VF whose socket a port of the change has.
fn socket_of(change: &Change, key: &vdpa_ovs::PortKey) -> Option<Vf> {
    let options = change.settings.get(key)?.interface.text_map("options").ok()?;
    let served = options.contains_key("vhost-server-path") || options.contains_key("vdpa-socket-path");
    match key.as_str().parse() {
        Ok(Device::Representor(vf)) if served => Some(vf),
        _ => None,
    }
}
