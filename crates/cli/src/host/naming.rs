//! What a simulated host's udev is told.

use std::sync::Arc;

use async_trait::async_trait;
use vdpa_hw::mock::{Machine, kernel};
use vdpa_hw::{PciAddress, VfIndex};

use crate::error::Error;
use crate::naming::{Naming, Told, representor};

/// The udev of a simulated machine. It knows rules and no files: nothing can be in their way.
#[derive(Debug)]
pub(super) struct SimulatedNaming(pub(super) Arc<Machine>);

#[async_trait]
impl Naming for SimulatedNaming {
    async fn told(&self, pf: PciAddress) -> Result<Option<Told>, Error> {
        let names = self.0.observe(|state| state.representor_names.get(&pf).cloned());
        Ok(names.map(|names| {
            let vfs = u16::try_from(names.len()).unwrap_or(u16::MAX);
            Told { vfs, current: VfIndex::first(vfs).map(|index| representor(pf, index)).eq(names) }
        }))
    }

    async fn tell(&self, pf: PciAddress, vfs: Option<u16>) -> Result<(), Error> {
        let names = VfIndex::first(vfs.unwrap_or(0)).map(|index| representor(pf, index)).collect();
        self.0
            .operate("udev_rules", &pf, |state| kernel::set_representor_names(state, pf, names))
            .map_err(|refusal| Error::Untold(refusal.to_string()))
    }
}
