//! What every [`Pci`], [`Links`] and [`Firmware`](crate::firmware::Firmware) does, the simulated one and the real one.
//!
//! Each function shows one rule on a PF that it may do with as it likes, panics with what was
//! seen where the rule is broken, and leaves the PF as it found it. Unit tests run them on the
//! [`mock`](crate::mock) and, those of [`Pci`], on file trees as the kernel makes them; `examples/contract.rs`
//! runs them on a real card.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "to panic where a rule is broken is what a contract is for"
)]

mod firmware;
mod links;
mod pci;

use std::time::Duration;

use crate::error::Error;
use crate::link::Links;
use crate::nouns::{DriverName, PciAddress};
use crate::pci::{Function, Pci, SrIov};

pub use firmware::{
    a_card_that_is_not_there_is_an_error, a_reset_brings_back_the_default_of_what_is_named,
    a_setting_is_told_by_its_name_and_among_all, firmware, several_settings_are_set_at_once,
    what_is_set_counts_from_the_next_boot_on, what_it_takes_is_said,
    what_the_card_does_not_have_is_not_told_and_not_set,
};
pub use links::{
    a_multicast_mac_is_refused, a_vf_takes_its_mac_at_the_next_bind, a_vf_that_does_not_exist_is_refused,
    an_unbound_vf_has_no_netdev, settings_read_back_or_are_refused, the_uplink_belongs_to_the_pf,
    the_uplink_goes_up_and_down,
};
pub use pci::{
    addresses_that_are_no_pf_are_told_apart, an_unknown_driver_is_named_and_nothing_is_unbound,
    counts_go_through_zero, too_many_vfs_are_refused, vfs_bind_though_autoprobe_is_off,
    with_autoprobe_on_vfs_are_bound,
};

/// The PF that a contract is shown on. It must have no VFs, and nothing must depend on it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The PF.
    pub pf: PciAddress,
    /// The driver that its VFs bind to, which makes a network device for each.
    pub driver: DriverName,
    /// How many VFs to use: at least 2, at most `sriov_totalvfs`.
    pub vfs: u16,
    /// How long anything may take.
    pub limit: Duration,
}

/// Every rule of [`Pci`].
pub async fn pci(pci: &dyn Pci, subject: &Subject) {
    addresses_that_are_no_pf_are_told_apart(pci, subject).await;
    counts_go_through_zero(pci, subject).await;
    too_many_vfs_are_refused(pci, subject).await;
    with_autoprobe_on_vfs_are_bound(pci, subject).await;
    vfs_bind_though_autoprobe_is_off(pci, subject).await;
    an_unknown_driver_is_named_and_nothing_is_unbound(pci, subject).await;
}

/// Every rule of [`Links`].
pub async fn links(pci: &dyn Pci, links: &dyn Links, subject: &Subject) {
    the_uplink_belongs_to_the_pf(pci, links, subject).await;
    the_uplink_goes_up_and_down(pci, links, subject).await;
    a_vf_that_does_not_exist_is_refused(pci, links, subject).await;
    a_multicast_mac_is_refused(pci, links, subject).await;
    settings_read_back_or_are_refused(pci, links, subject).await;
    an_unbound_vf_has_no_netdev(pci, links, subject).await;
    a_vf_takes_its_mac_at_the_next_bind(pci, links, subject).await;
}

/// A PF that is in use by a rule, and what it was before.
struct Borrowed<'a> {
    pci: &'a dyn Pci,
    subject: &'a Subject,
    before: Function,
}

impl<'a> Borrowed<'a> {
    async fn take(pci: &'a dyn Pci, subject: &'a Subject) -> Self {
        let before = works(pci.function(subject.pf).await, "read the PF");
        let sriov = before.sriov().unwrap_or_else(|| panic!("{} is no PF", subject.pf));
        assert_eq!(sriov.num_vfs, 0, "{} must have no VFs to begin with", subject.pf);
        assert!((2..=sriov.total_vfs).contains(&subject.vfs), "{} VFs of {}", subject.vfs, sriov.total_vfs);
        Self { pci, subject, before }
    }

    async fn sriov(&self) -> SrIov {
        let function = works(self.pci.function(self.subject.pf).await, "read the PF");
        function.sriov().cloned().unwrap_or_else(|| panic!("{} is no PF any more", self.subject.pf))
    }

    async fn switch_vfs(&self, count: u16) {
        let Subject { pf, limit, .. } = self.subject;
        works(self.pci.set_vf_count(*pf, count, *limit).await, "switch VFs");
    }

    /// Switches the subject's VFs on, with or without autoprobe.
    async fn make_vfs(&self, autoprobe: bool) -> Vec<PciAddress> {
        works(self.pci.set_autoprobe(self.subject.pf, autoprobe).await, "set autoprobe");
        self.switch_vfs(self.subject.vfs).await;
        let vfs = self.sriov().await.vfs;
        assert_eq!(vfs.len(), usize::from(self.subject.vfs), "VFs are there when the call returns");
        vfs
    }

    async fn bind(&self, vf: PciAddress) {
        works(self.pci.set_driver(vf, Some(&self.subject.driver)).await, "bind a VF");
    }

    async fn driver(&self, vf: PciAddress) -> Option<DriverName> {
        works(self.pci.function(vf).await, "read a VF").driver
    }

    async fn give_back(self) {
        self.switch_vfs(0).await;
        let autoprobe = self.before.sriov().is_some_and(|sriov| sriov.autoprobe);
        works(self.pci.set_autoprobe(self.subject.pf, autoprobe).await, "set autoprobe back");
        let after = works(self.pci.function(self.subject.pf).await, "read the PF");
        assert_eq!(after, self.before, "the PF is as it was");
    }
}

#[track_caller]
fn works<T>(result: Result<T, Error>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}: {error:?}"))
}

/// The errno of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, what: &str) -> vdpa_netlink::Errno {
    match result {
        Err(Error::Refused { refusal, .. }) => refusal.errno,
        other => panic!("{what} is to be refused: {other:?}"),
    }
}
