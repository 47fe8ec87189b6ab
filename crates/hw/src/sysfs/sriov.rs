//! Switching VFs on and off, and knowing when they are there.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use vdpa_netlink::{Errno, Refusal, Uevents};

use super::{Host, SysfsPci, holders};
use crate::error::{Error, Result};
use crate::nouns::PciAddress;
use crate::pci::{SrIov, vf_count_intent};

/// How long to wait for an announcement before looking all the same: announcements do not reach a
/// network namespace that belongs to a container.
const LOOK_ANYWAY: Duration = Duration::from_millis(500);

impl SysfsPci {
    pub(super) async fn switch_vfs(&self, pf: PciAddress, count: u16, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        // The write returns when the PF's driver has done its part; with autoprobe on, that includes the
        // probe of every VF. It cannot be interrupted: a caller whose limit is over leaves it behind.
        let on = || format!("a write of {count} to sriov_numvfs");
        self.within(pf, limit, on, move |host| host.write_vf_count(pf, count)).await?;
        let _waiting = tracing::debug_span!("pci.await_vfs", waits_for = "kernel", %pf, count);
        if self.present(pf).await? == usize::from(count) {
            return Ok(());
        }
        // Listening starts before the next look: what comes in between is not missed.
        let mut uevents = match Uevents::listen("pci") {
            Ok(uevents) => Some(uevents),
            Err(error) => {
                tracing::debug!(%error, "no kernel announcements here: looking at intervals");
                None
            }
        };
        loop {
            let present = self.present(pf).await?;
            if present == usize::from(count) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    awaited: format!("{count} VFs of {pf}"),
                    limit,
                    seen: format!("{present} VFs"),
                });
            }
            let announced = async {
                match &mut uevents {
                    Some(uevents) => uevents.next().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                heard = announced => if let Err(error) = heard {
                    tracing::debug!(%error, "kernel announcements ended: looking at intervals");
                    uevents = None;
                },
                () = sleep(LOOK_ANYWAY.min(deadline - Instant::now())) => {}
            }
        }
    }

    async fn present(&self, pf: PciAddress) -> Result<usize> {
        self.blocking(move |host| Ok(host.tree.vfs(pf).len())).await
    }
}

impl Host {
    pub(super) fn set_autoprobe(&self, pf: PciAddress, on: bool) -> Result<()> {
        if self.tree.sriov(pf)?.autoprobe == on {
            return Ok(());
        }
        let attribute = self.tree.device(pf).join("sriov_drivers_autoprobe");
        let bit = u8::from(on);
        self.attributes
            .write(&attribute, &bit.to_string())
            .map_err(|failed| failed.while_trying_to(format!("set sriov_drivers_autoprobe of {pf} to {bit}")))
    }

    fn write_vf_count(&self, pf: PciAddress, count: u16) -> Result<()> {
        let sriov = self.tree.sriov(pf)?;
        if sriov.num_vfs == count {
            return Ok(());
        }
        let intent = vf_count_intent(pf, count, sriov.num_vfs, sriov.total_vfs);
        if count == 0 {
            self.refuse_if_held(&sriov, &intent)?;
        }
        let attribute = self.tree.device(pf).join("sriov_numvfs");
        self.attributes.write(&attribute, &count.to_string()).map_err(|failed| failed.while_trying_to(intent))
    }

    /// A VF that a VM has open keeps the write, and this process in it, until the VM lets go
    /// (`vfio_unregister_group_dev` and `vhost_vdpa_remove` wait without limit).
    fn refuse_if_held(&self, sriov: &SrIov, intent: &str) -> Result<()> {
        match holders::of(&self.tree, &sriov.vfs)?.first() {
            None => Ok(()),
            Some(holder) => {
                let refusal = Refusal::from(Errno::EBUSY);
                Err(Error::refused(format!("{intent}: {holder} has a VF open"), refusal))
            }
        }
    }
}
