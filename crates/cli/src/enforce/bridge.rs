//! Open vSwitch: bridge, ports and hardware offload, in one transaction.

use std::collections::BTreeSet;

use vdpa_hw::IfIndex;
use vdpa_ovs::{Change, PortKey, PortName, Setting};

use super::userspace;
use crate::arrival::naming_limit;
use crate::error::Error;
use crate::host::Host;
use crate::observe::with_ingress;
use crate::report::Report;
use crate::step::{Device, Step};
use crate::view::View;

/// Whether a statement is about Open vSwitch.
pub(super) fn concerns(step: &Step) -> bool {
    matches!(
        step,
        Step::Bridge { .. }
            | Step::HwOffload { .. }
            | Step::Vlan { .. }
            | Step::Setting { .. }
            | Step::Userspace { .. }
    )
}

/// Whether there are to be ports after them; letting ports go is another matter.
pub(super) fn brings_ports(steps: &[&Step]) -> bool {
    steps
        .iter()
        .any(|step| matches!(step, Step::Bridge { exists: true, .. } | Step::Userspace { exists: true, .. }))
}

/// Makes the statements about Open vSwitch true in one transaction, and restarts its service only if
/// hw-offload does not come into force without.
pub(super) async fn enforce(
    host: &Host,
    view: &View<'_>,
    steps: &[&Step],
    report: &dyn Report,
) -> Result<(), Error> {
    let Some(bridge) = steps.iter().find_map(|step| match step {
        Step::Bridge { name, .. }
        | Step::HwOffload { bridge: name, .. }
        | Step::Vlan { bridge: name, .. }
        | Step::Setting { bridge: name, .. }
        | Step::Userspace { bridge: name, .. } => Some(name),
        _ => None,
    }) else {
        return Ok(());
    };
    let mut change = Change::to(bridge.clone());
    let (mut wanted, mut others) = (BTreeSet::new(), BTreeSet::new());
    for step in steps {
        change = match step {
            Step::Bridge { exists: false, .. } | Step::Userspace { exists: false, .. } => change.absent(),
            Step::Bridge { ports, .. } => change.present().exactly(named(host, view, ports).await?),
            Step::HwOffload { value, ports, in_force, .. } => {
                wanted.clone_from(in_force);
                others = ports.difference(in_force).copied().collect();
                match value {
                    Some(value) => change.hw_offload(value),
                    None => change.hw_offload_unset(),
                }
            }
            Step::Setting { key, value, .. } => userspace::set(change, key, value.as_deref()),
            Step::Userspace { ports, .. } => userspace::ports(host, view, change, ports, report).await?,
            Step::Vlan { vf, vlan, .. } => change.vlan(Device::Representor(*vf).key(), *vlan),
            _ => change,
        };
    }
    let before = view.bridge(bridge).await?;
    userspace::make_room(host, &change).await?;
    host.vswitch.apply(&change).await?;
    userspace::take_up(host, &before, &change, report).await?;
    userspace::clear_away(host, &before, &change).await?;
    let view = View::new(host);
    for left in with_ingress(&view, &others).await? {
        // What ovs-vswitchd leaves on a device that was a port of it.
        if let Some(link) = view.link(left).await? {
            remove_ingress(host, link.index).await?;
        }
    }
    let asked_for = matches!(&change.hw_offload, Setting::Set(value) if value.eq_ignore_ascii_case("true"));
    if !asked_for || with_ingress(&view, &wanted).await? == wanted {
        return Ok(());
    }
    report.note("hw-offload needs a restart of Open vSwitch: every bridge loses packets for a moment");
    host.service.restart().await?;
    // Once more, to wait until what was restarted has taken everything up.
    host.vswitch.apply(&change).await?;
    let view = View::new(host);
    offload_again(host, &view, &wanted).await?;
    let in_force = with_ingress(&view, &wanted).await?;
    if in_force == wanted {
        return Ok(());
    }
    Err(Error::NotInForce(wanted.difference(&in_force).map(ToString::to_string).collect()))
}

/// Removes an ingress qdisc that ovs-vswitchd has left, or is about to remove itself: it does so when it hears of a
/// device that has left a bond, and the kernel refuses whoever comes second.
pub(super) async fn remove_ingress(host: &Host, link: IfIndex) -> Result<(), Error> {
    match host.links.remove_ingress_qdisc(link).await {
        Err(vdpa_hw::Error::Refused { .. }) if !host.links.with_ingress_qdisc().await?.contains(&link) => {
            Ok(())
        }
        removed => Ok(removed?),
    }
}

/// The ports under their devices' final names.
async fn named(
    host: &Host,
    view: &View<'_>,
    ports: &BTreeSet<Device>,
) -> Result<Vec<(PortKey, PortName)>, Error> {
    let mut indexes = Vec::new();
    for device in ports {
        let link = view.link(*device).await?;
        indexes.push(link.ok_or_else(|| Error::Missing(format!("the network device of {device}")))?.index);
    }
    let links = host.links.settled(&indexes, naming_limit(indexes.len())).await?;
    ports.iter().zip(links).map(|(device, link)| Ok((device.key(), link.name.as_str().parse()?))).collect()
}

/// Turns hw-tc-offload on again where a restart of Open vSwitch's service has turned it off: without it, tc rules stay
/// in software whatever `hw-offload` says.
async fn offload_again(host: &Host, view: &View<'_>, ports: &BTreeSet<Device>) -> Result<(), Error> {
    for device in ports.iter().filter(|device| !matches!(device, Device::Bond(_))) {
        if let Some(link) = view.link(*device).await?
            && !view.tc_offload(link.index).await?
        {
            host.eswitch.set_tc_offload(link.index, true).await?;
        }
    }
    Ok(())
}
