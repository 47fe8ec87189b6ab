//! What a simulated host holds outside its machine, kept after each change.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use vdpa_ovs::mock::MockVswitch;
use vdpa_ovs::{Applied, BridgeName, Change, Observation, Vswitch};
use vdpa_vm::mock::MockDomains;
use vdpa_vm::{DomainName, Domains, Status, View};

use super::SimulatedHost;

/// A part of a simulated host that has the host saved after each of its changes, also after one that failed: it may
/// have taken effect.
pub(super) struct Kept<T> {
    part: Arc<T>,
    host: SimulatedHost,
}

impl<T> Kept<T> {
    pub(super) fn new(part: Arc<T>, host: SimulatedHost) -> Self {
        Self { part, host }
    }
}

impl<T: fmt::Debug> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.part.fmt(f)
    }
}

#[async_trait]
impl Vswitch for Kept<MockVswitch> {
    async fn observe(&self, bridge: &BridgeName) -> Result<Observation, vdpa_ovs::Error> {
        self.part.observe(bridge).await
    }

    async fn glance(&self, bridge: &BridgeName) -> Result<Observation, vdpa_ovs::Error> {
        self.part.glance(bridge).await
    }

    async fn apply(&self, change: &Change) -> Result<Applied, vdpa_ovs::Error> {
        let applied = self.part.apply(change).await;
        self.host.keep();
        applied
    }

    fn writes(&self) -> u64 {
        self.part.writes()
    }
}

#[async_trait]
impl Domains for Kept<MockDomains> {
    async fn list(&self) -> vdpa_vm::Result<Vec<DomainName>> {
        self.part.list().await
    }

    async fn status(&self, domain: &DomainName) -> vdpa_vm::Result<Status> {
        self.part.status(domain).await
    }

    async fn xml(&self, domain: &DomainName, view: View) -> vdpa_vm::Result<String> {
        self.part.xml(domain, view).await
    }

    async fn define(&self, xml: &str) -> vdpa_vm::Result<()> {
        let defined = self.part.define(xml).await;
        self.host.keep();
        defined
    }

    async fn start(&self, domain: &DomainName, limit: std::time::Duration) -> vdpa_vm::Result<()> {
        let started = Domains::start(&*self.part, domain, limit).await;
        self.host.keep();
        started
    }

    async fn versions(&self) -> vdpa_vm::Result<vdpa_vm::Versions> {
        self.part.versions().await
    }
}
