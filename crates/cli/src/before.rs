//! What was there before: of which statements it is asked, and how they read.

use vdpa_eswitch::Profile;
use vdpa_hw::{DriverName, MacAddress, Vf, VfIndex};

use crate::error::Error;
use crate::host::Host;
use crate::plan::compare;
use crate::receipt::{Befores, Receipt, wanted};
use crate::step::{Device, Enabled, Step};
use crate::view::View;

/// Of what `stages` speak, and what hangs on the VFs that are there now: it goes with them.
pub(crate) async fn concerned(view: &View<'_>, stages: &[Vec<Step>]) -> Result<Vec<Step>, Error> {
    let mut steps: Vec<Step> = wanted(stages).into_iter().cloned().collect();
    for pf in stages
        .iter()
        .flatten()
        .filter_map(|step| if let Step::Vfs { pf, .. } = step { Some(*pf) } else { None })
    {
        let function = view.function(pf).await?;
        let present = function.sriov().map_or(0, |sriov| sriov.num_vfs);
        let makes_auxiliaries =
            Profile::of(function.driver.as_ref().map_or("", DriverName::as_str)).makes_auxiliaries;
        for vf in VfIndex::first(present).map(|index| Vf { pf, index }) {
            let (trust, spoofchk) = (Some(false), Some(false));
            steps.push(Step::VfAttributes { vf, mac: MacAddress::ZERO, trust, spoofchk });
            steps.push(Step::Driver { vf, driver: None });
            if makes_auxiliaries {
                steps.push(Step::auxiliary(vf, Enabled::BY_DEFAULT));
            }
            steps.push(Step::Up { device: Device::Vf(vf), up: false });
        }
    }
    Ok(steps)
}

/// How the subjects of `steps` read now.
pub(crate) async fn befores(host: &Host, view: &View<'_>, steps: &[Step]) -> Result<Befores, Error> {
    let mut changes = compare(host, view, steps).await?;
    for now in changes.iter_mut().filter_map(|change| change.now.as_mut()) {
        let Step::Bridge { ports, .. } = now else { continue };
        // A row whose device is gone cannot be brought back, and nobody misses it.
        for device in ports.clone() {
            if !view.has(device).await {
                ports.remove(&device);
            }
        }
    }
    Ok(changes.into_iter().map(|change| (change.wanted.subject(), change.now)).collect())
}

/// Has `receipt` say what was there before us of the subjects of `steps`. What it says already is not looked at again.
pub(crate) async fn remember(
    host: &Host,
    view: &View<'_>,
    receipt: &mut Receipt,
    mut steps: Vec<Step>,
) -> Result<(), Error> {
    steps.retain(|step| !receipt.knows(step));
    let befores = befores(host, view, &steps).await?;
    receipt.remember(without_us(view, befores).await?);
    Ok(())
}

/// What was there before us. Of what no receipt speaks, whatever carries our tag is left from before a reboot: it is
/// not to be restored.
async fn without_us(view: &View<'_>, mut befores: Befores) -> Result<Befores, Error> {
    for step in befores.values_mut().flatten() {
        match step {
            Step::Bridge { name, exists, ports } => {
                *exists = *exists && !view.bridge(name).await?.is_ours();
                ports.clear();
            }
            Step::HwOffload { bridge, value, in_force, .. } => {
                let seen = view.bridge(bridge).await?;
                if let Some(before) = &seen.hw_offload_before {
                    *value = before.over(None).map(str::to_owned);
                }
                let ours = |key| {
                    seen.port(&key).is_some()
                        || seen.elsewhere.values().any(|port| port.key == Some(key.clone()))
                };
                in_force.retain(|device| !ours(device.key()));
            }
            Step::Setting { bridge, key, value } => {
                let seen = view.bridge(bridge).await?;
                let ours = if key == "hw-offload" {
                    seen.hw_offload_before.as_ref()
                } else {
                    seen.config_before.get(key.as_str())
                };
                if let Some(before) = ours {
                    *value = before.over(None).map(str::to_owned);
                }
            }
            Step::Userspace { bridge, exists, ports } => {
                *exists = *exists && !view.bridge(bridge).await?.is_ours();
                ports.clear();
            }
            Step::Vlan { vlan, .. } => *vlan = None,
            Step::Kernel { device, .. } => *device = None,
            Step::Dpdk { process, .. } => *process = None,
            Step::Wired { wiring, .. } => *wiring = None,
            _ => {}
        }
    }
    Ok(befores)
}
