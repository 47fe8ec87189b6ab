//! Domains in memory that refuse what libvirt refuses.
//!
//! Each rule says where it was seen; unless it says otherwise that is libvirt 9.0 with its QEMU driver.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::xml::{Document, Element, child};
use crate::{DomainName, Domains, Error, Result, Role, Source, Status, Versions, View, xml};

/// Called before (`false`) and after (`true`) the effect of each change, with what is done: an error
/// makes the change fail there, so that after means: changed, and yet reported as failed.
pub type Gate = Arc<dyn Fn(&str, bool) -> std::result::Result<(), String> + Send + Sync>;

/// Domains in memory. Clones share them.
#[derive(Clone)]
pub struct MockDomains {
    state: Arc<Mutex<State>>,
    gate: Gate,
}

/// What a [`MockDomains`] holds, to be kept between processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The domains by name.
    pub domains: BTreeMap<DomainName, MockDomain>,
    /// What libvirt and its hypervisor say they are.
    #[serde(default = "of_rhel_8_6")]
    pub versions: Versions,
    /// UUIDs that were given out.
    made: u32,
}

/// The versions of RHEL 8.6's module `virt:rhel`: the first of the how-to's line that keeps `page_per_vq`.
fn of_rhel_8_6() -> Versions {
    Versions { libvirt: "8.0.0".to_owned(), hypervisor: "QEMU 6.2.0".to_owned() }
}

impl Default for State {
    fn default() -> Self {
        Self { domains: BTreeMap::new(), versions: of_rhel_8_6(), made: 0 }
    }
}

/// One domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MockDomain {
    /// The definition; `None` for a transient domain.
    pub definition: Option<String>,
    /// What runs.
    pub running: Option<String>,
    /// Whether a saved state waits.
    pub managed_save: bool,
}

impl fmt::Debug for MockDomains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockDomains").field("state", &self.snapshot()).finish_non_exhaustive()
    }
}

impl Default for MockDomains {
    fn default() -> Self {
        Self::new(State::default())
    }
}

impl MockDomains {
    /// The domain of the vDPA how-to this project follows, `cx6.1`, as virt-install makes it: two vCPUs
    /// and 8 GiB on huge pages, with one interface on a bridge.
    pub const CX6_1: &str = include_str!("../fixtures/cx6.1.xml");

    /// Domains in this state.
    pub fn new(state: State) -> Self {
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::new(|_, _| Ok(())) }
    }

    /// With a gate before and after each change.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    /// The state now.
    pub fn snapshot(&self) -> State {
        self.lock().clone()
    }

    /// Defines a domain past the gate: a host as it was found.
    pub fn add(&self, xml: &str) -> Result<()> {
        self.lock().define(xml)
    }

    /// Starts a domain as it is defined. `false` where there is none, or it runs.
    pub fn start(&self, domain: &DomainName) -> bool {
        let mut state = self.lock();
        let Some(domain) = state.domains.get_mut(domain).filter(|domain| domain.running.is_none()) else {
            return false;
        };
        domain.running.clone_from(&domain.definition);
        domain.managed_save = false;
        true
    }

    /// Stops a domain. A transient one is gone with that.
    pub fn stop(&self, domain: &DomainName) {
        let mut state = self.lock();
        if let Some(stopped) = state.domains.get_mut(domain) {
            stopped.running = None;
            if stopped.definition.is_none() {
                state.domains.remove(domain);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self, doing: &str, done: bool) -> Result<()> {
        (self.gate)(doing, done).map_err(|message| Error::Refused { doing: doing.to_owned(), message })
    }

    fn look<T>(&self, domain: &DomainName, at: impl FnOnce(&MockDomain) -> T) -> Result<T> {
        self.lock().domains.get(domain).map(at).ok_or_else(|| Error::UnknownDomain(domain.clone()))
    }
}

#[async_trait]
impl Domains for MockDomains {
    async fn list(&self) -> Result<Vec<DomainName>> {
        Ok(self.lock().domains.keys().cloned().collect())
    }

    async fn status(&self, domain: &DomainName) -> Result<Status> {
        self.look(domain, |domain| Status {
            active: domain.running.is_some(),
            persistent: domain.definition.is_some(),
            managed_save: domain.managed_save,
        })
    }

    async fn xml(&self, domain: &DomainName, view: View) -> Result<String> {
        // virsh is a process: whoever else is at work goes on meanwhile.
        tokio::task::yield_now().await;
        let found = self.look(domain, |domain| match view {
            View::Definition => domain.definition.clone().or_else(|| domain.running.clone()),
            View::Current => domain.running.clone().or_else(|| domain.definition.clone()),
        })?;
        found.ok_or_else(|| Error::UnknownDomain(domain.clone()))
    }

    async fn define(&self, xml: &str) -> Result<()> {
        let doing = format!("define domain `{}`", xml::name(xml)?);
        self.gate(&doing, false)?;
        self.lock().define(xml)?;
        self.gate(&doing, true)
    }

    async fn start(&self, domain: &DomainName, limit: Duration) -> Result<()> {
        let doing = format!("start domain `{domain}`");
        self.gate(&doing, false)?;
        let definition = self.look(domain, |domain| domain.definition.clone())?.unwrap_or_default();
        // QEMU is to listen, and on a simulated host nobody comes.
        let listens = xml::interfaces(&definition)?
            .into_iter()
            .any(|(_, interface)| matches!(interface.source, Source::VhostUser { role: Role::Server, .. }));
        if listens {
            return Err(Error::StartHangs { domain: domain.clone(), limit });
        }
        if !MockDomains::start(self, domain) {
            return Err(Error::Refused { doing, message: "Domain is already active".to_owned() });
        }
        self.gate(&doing, true)
    }

    async fn versions(&self) -> Result<Versions> {
        Ok(self.lock().versions.clone())
    }
}

impl State {
    fn define(&mut self, xml: &str) -> Result<()> {
        let name = xml::name(xml)?;
        let refused = |message: String| Error::Refused { doing: format!("define domain `{name}`"), message };
        let document = Document::parse(xml)?;
        fits(&document).map_err(refused)?;
        let uuid = document.at(&["uuid"]).and_then(|uuid| uuid.text()).map(|uuid| uuid.trim().to_owned());
        let mut text = xml.to_owned();
        // "operation failed: domain 'a' already exists with uuid …", also where the new one names none.
        if let Some(known) = self.uuid(&name) {
            if uuid.as_ref() != Some(&known) {
                return Err(refused(format!(
                    "operation failed: domain '{name}' already exists with uuid {known}"
                )));
            }
        } else if let Some(uuid) = &uuid {
            // "operation failed: domain 'a' is already defined with uuid …".
            let other = self.domains.keys().find(|other| self.uuid(other).as_ref() == Some(uuid));
            if let Some(other) = other {
                let message =
                    format!("operation failed: domain '{other}' is already defined with uuid {uuid}");
                return Err(refused(message));
            }
        } else {
            self.made += 1;
            let uuid =
                Element::new("uuid").holding_verbatim(&format!("00000000-0000-4000-8000-{:012x}", self.made));
            let name = document.at(&["name"]).unwrap_or_else(|| document.domain());
            text = document.insert_after(name, |_| uuid.write(&crate::xml::Layout::default()))?.apply(xml);
        }
        self.domains.entry(name).or_default().definition = Some(text);
        Ok(())
    }

    fn uuid(&self, name: &DomainName) -> Option<String> {
        let domain = self.domains.get(name)?;
        let text = domain.definition.as_ref().or(domain.running.as_ref())?;
        let document = Document::parse(text).ok()?;
        Some(document.at(&["uuid"])?.text()?.trim().to_owned())
    }
}

/// What libvirt looks at in the devices when it parses a definition.
fn fits(document: &Document<'_>) -> std::result::Result<(), String> {
    let mut aliases = BTreeSet::new();
    for device in document.at(&["devices"]).into_iter().flat_map(|devices| devices.children()) {
        let alias = child(device, "alias").and_then(|alias| alias.attribute("name"));
        if let Some(alias) = alias.filter(|alias| alias.starts_with("ua-"))
            && !aliases.insert(alias)
        {
            return Err(format!("unsupported configuration: non unique alias detected: {alias}"));
        }
        let driver = child(device, "driver").filter(|_| device.has_tag_name("interface"));
        for name in ["rx_queue_size", "tx_queue_size"] {
            let size = driver.and_then(|driver| driver.attribute(name)).map(str::parse::<u32>);
            // A size that is a power of two and too large for QEMU is taken; the start fails.
            if size.is_some_and(|size| !size.is_ok_and(u32::is_power_of_two)) {
                return Err(format!("unsupported configuration: {name} has to be a power of two"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vdpa_hw::Vf;

    use super::*;
    use crate::contract;
    use crate::{Effect, Interface, enforce, observe};

    const PLAIN: &str = include_str!("../fixtures/cx6.1.xml");

    fn cx6_1() -> (MockDomains, DomainName) {
        let domains = MockDomains::default();
        domains.add(MockDomains::CX6_1).unwrap();
        (domains, "cx6.1".parse().unwrap())
    }

    fn kernel() -> Interface {
        let device = "/dev/vhost-vdpa-0".into();
        Interface::new("e4:11:22:33:55:60".parse().unwrap(), Source::Vdpa { device })
    }

    #[tokio::test]
    async fn the_mock_keeps_the_contract() {
        contract::all(&MockDomains::default(), PLAIN).await;
    }

    #[tokio::test]
    async fn the_mock_keeps_the_contract_of_running_domains() {
        let (domains, name) = cx6_1();
        assert!(domains.start(&name));
        contract::a_running_domain_goes_on_as_it_is(&domains, &name).await;
    }

    #[tokio::test]
    async fn the_mock_keeps_the_contract_of_transient_domains() {
        let name: DomainName = "cx6.1".parse().unwrap();
        let transient = MockDomain { running: Some(PLAIN.to_owned()), ..MockDomain::default() };
        let state = State { domains: [(name.clone(), transient)].into(), ..State::default() };
        contract::a_transient_domain_is_left_alone(&MockDomains::new(state), &name).await;
    }

    #[tokio::test]
    async fn a_saved_state_is_reported() {
        let (domains, name) = cx6_1();
        domains.lock().domains.get_mut(&name).unwrap().managed_save = true;
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        let effect = enforce(&domains, &name, vf, Some(&kernel())).await.unwrap();
        assert_eq!(effect, Effect::AfterSavedState);
    }

    #[tokio::test]
    async fn the_gate_fails_before_and_after() {
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        for after in [false, true] {
            let (domains, name) = cx6_1();
            let failing = domains.clone().with_gate(Arc::new(move |doing, done| {
                assert_eq!(doing, "define domain `cx6.1`");
                if done == after { Err("fuse".to_owned()) } else { Ok(()) }
            }));
            let error = enforce(&failing, &name, vf, Some(&kernel())).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot define domain `cx6.1`: fuse");
            assert_eq!(observe(&domains, &name, vf).await.unwrap().is_some(), after);
        }
    }

    #[test]
    fn the_state_outlives_a_process() {
        let (domains, name) = cx6_1();
        domains.start(&name);
        let json = serde_json::to_string(&domains.snapshot()).unwrap();
        assert_eq!(serde_json::from_str::<State>(&json).unwrap(), domains.snapshot());
    }
}
