//! The statements about a bond of two uplinks (VF LAG): both switched, then the bond, then the card's word that its
//! ports are one, and only then drivers for the VFs, since a probed VF has chosen its port.

use std::collections::BTreeSet;

use vdpa_eswitch::{DevlinkHandle, LagState};
use vdpa_hw::{BondMode, NetdevName, PciAddress};

use super::nic::{self, ResolvedNic};
use super::{BONDS, DATAPATHS, LAGS, Stages};
use crate::config::BondSpec;
use crate::error::Error;
use crate::host::Host;
use crate::step::{BondOf, Device, Step};
use crate::view::View;

/// A bond as the host file has it and as it can be here.
#[derive(Debug, Clone)]
pub(super) struct ResolvedBond {
    name: NetdevName,
    mode: BondMode,
    pub(super) uplinks: BTreeSet<PciAddress>,
    /// Whether the driver tells if the ports are one.
    tells: bool,
}

/// Holds a bond of the host file against the host, and tells its cards of it.
pub(super) async fn resolve(
    host: &Host,
    view: &View<'_>,
    spec: &BondSpec,
    nics: &mut [ResolvedNic],
) -> Result<ResolvedBond, Error> {
    let mut uplinks = BTreeSet::new();
    for name in &spec.nics {
        uplinks.insert(nic::address(view, name).await?);
    }
    let bonds = view.bonds().await?;
    let there = bonds.iter().find(|bond| bond.name == spec.name);
    let taken = view.links().await?.iter().any(|link| link.name == spec.name);
    match there {
        None if taken => {
            return Err(Error::NameTaken(spec.name.clone()).at(spec.place.as_ref()));
        }
        Some(bond) if bond.mode != Some(spec.mode) => {
            let (name, wanted) = (spec.name.clone(), spec.mode);
            let fixed = Error::BondMode { name, now: bond.mode, wanted };
            return Err(fixed.at(spec.place.as_ref()));
        }
        _ => {}
    }
    let mut tells = true;
    for nic in nics.iter_mut().filter(|nic| uplinks.contains(&nic.pf)) {
        if nic.bonds_in_hardware() {
            nic.lag = host.eswitch.lag(&DevlinkHandle::from(nic.pf)).await?;
        }
        nic.awaits_bond = nic.lag != Some(LagState::Active);
        tells &= nic.lag.is_some();
    }
    Ok(ResolvedBond { name: spec.name.clone(), mode: spec.mode, uplinks, tells })
}

impl ResolvedBond {
    /// The bond, by the card that it is known by.
    pub(super) fn device(&self) -> Option<Device> {
        self.uplinks.first().copied().map(Device::Bond)
    }

    pub(super) fn add(&self, stages: &mut Stages) {
        let bond = BondOf { mode: self.mode, uplinks: self.uplinks.clone() };
        stages[BONDS].push(Step::Bond { name: self.name.clone(), bond: Some(bond) });
        if self.tells {
            stages[LAGS].extend(self.uplinks.iter().map(|pf| Step::Lag { pf: *pf, active: true }));
        }
        stages[DATAPATHS].extend(self.device().map(|device| Step::Up { device, up: true }));
    }
}
