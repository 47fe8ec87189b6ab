//! One look at the host: each thing is read when it is first asked for, and once.
//!
//! A view is made for each stage and thrown away after it, so that nothing in it is older than the
//! stage before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use vdpa_eswitch::{DevlinkHandle, Representors, State};
use vdpa_hw::firmware::{Setting, SettingName};
use vdpa_hw::{Function, IfIndex, Link, PciAddress, Vf, VfAttributes, VfIndex};
use vdpa_ovs::{BridgeName, Observation};

use crate::error::Error;
use crate::host::Host;
use crate::step::Device;

/// A look at a host.
pub struct View<'a> {
    host: &'a Host,
    functions: Memo<PciAddress, Function>,
    links: Memo<(), Arc<Vec<Link>>>,
    vf_attributes: Memo<PciAddress, BTreeMap<VfIndex, VfAttributes>>,
    eswitches: Memo<PciAddress, State>,
    representors: Memo<PciAddress, Representors>,
    tc_offloads: Memo<IfIndex, bool>,
    ingress: Memo<(), Arc<BTreeSet<IfIndex>>>,
    bridges: Memo<BridgeName, Arc<Observation>>,
    firmware: tokio::sync::Mutex<BTreeMap<(PciAddress, SettingName), Option<Setting>>>,
    /// Firmware settings that will be asked for: a tool is run for many at once.
    to_ask: Mutex<BTreeSet<(PciAddress, SettingName)>>,
}

impl<'a> View<'a> {
    /// A view of `host` that has seen nothing yet.
    pub fn new(host: &'a Host) -> Self {
        Self {
            host,
            functions: Memo::default(),
            links: Memo::default(),
            vf_attributes: Memo::default(),
            eswitches: Memo::default(),
            representors: Memo::default(),
            tc_offloads: Memo::default(),
            ingress: Memo::default(),
            bridges: Memo::default(),
            firmware: tokio::sync::Mutex::default(),
            to_ask: Mutex::default(),
        }
    }

    /// The PCI function at `address`.
    pub async fn function(&self, address: PciAddress) -> Result<Function, Error> {
        self.functions.get(address, async || Ok(self.host.pci.function(address).await?)).await
    }

    /// Where `vf` sits; `None` while it does not exist.
    pub async fn vf_address(&self, vf: Vf) -> Result<Option<PciAddress>, Error> {
        Ok(self.function(vf.pf).await?.sriov().and_then(|sriov| sriov.vf(vf.index)))
    }

    /// Every network device.
    pub async fn links(&self) -> Result<Arc<Vec<Link>>, Error> {
        self.links.get((), async || Ok(Arc::new(self.host.links.links().await?))).await
    }

    /// The network device that `device` is now; `None` where there is none.
    pub async fn link(&self, device: Device) -> Result<Option<Link>, Error> {
        let links = self.links().await?;
        let found = match device {
            Device::Uplink(pf) => links.iter().find(|link| link.parent == Some(pf) && is_uplink(link)),
            Device::Vf(vf) => match self.vf_address(vf).await? {
                Some(address) => links.iter().find(|link| link.parent == Some(address)),
                None => None,
            },
            Device::Representor(vf) => {
                let index = self.representors(vf.pf).await?.vfs.get(&vf.index).map(|found| found.index);
                index.and_then(|index| links.iter().find(|link| link.index == index))
            }
        };
        Ok(found.cloned())
    }

    /// Whether `device` has a network device now. It has none either where its card has gone.
    pub async fn has(&self, device: Device) -> bool {
        matches!(self.link(device).await, Ok(Some(_)))
    }

    /// What the PF keeps for its VFs; empty where it has no network device now.
    pub async fn vf_attributes(&self, pf: PciAddress) -> Result<BTreeMap<VfIndex, VfAttributes>, Error> {
        let read = async || match self.link(Device::Uplink(pf)).await? {
            Some(uplink) => Ok(self.host.links.vf_attributes(uplink.index).await?),
            None => Ok(BTreeMap::new()),
        };
        self.vf_attributes.get(pf, read).await
    }

    /// How the eswitch of `pf` is set.
    pub async fn eswitch(&self, pf: PciAddress) -> Result<State, Error> {
        self.eswitches.get(pf, async || Ok(self.host.eswitch.state(&DevlinkHandle::from(pf)).await?)).await
    }

    /// The representors of `pf`.
    pub async fn representors(&self, pf: PciAddress) -> Result<Representors, Error> {
        self.representors
            .get(pf, async || Ok(self.host.eswitch.representors(&DevlinkHandle::from(pf)).await?))
            .await
    }

    /// Whether hw-tc-offload is active on `link`.
    pub async fn tc_offload(&self, link: IfIndex) -> Result<bool, Error> {
        self.tc_offloads.get(link, async || Ok(self.host.eswitch.tc_offload(link).await?)).await
    }

    /// The network devices with an ingress qdisc.
    pub async fn with_ingress_qdisc(&self) -> Result<Arc<BTreeSet<IfIndex>>, Error> {
        self.ingress.get((), async || Ok(Arc::new(self.host.links.with_ingress_qdisc().await?))).await
    }

    /// Says which firmware settings will be asked for.
    pub fn will_ask(&self, settings: impl IntoIterator<Item = (PciAddress, SettingName)>) {
        self.to_ask.lock().unwrap_or_else(PoisonError::into_inner).extend(settings);
    }

    /// A firmware setting of a card; `None` where the card has no such setting.
    pub async fn firmware(&self, card: PciAddress, name: &SettingName) -> Result<Option<Setting>, Error> {
        // One tool at a time: they take a lock in the card.
        let mut known = self.firmware.lock().await;
        let key = (card, name.clone());
        if let Some(setting) = known.get(&key) {
            return Ok(setting.clone());
        }
        self.will_ask([key.clone()]);
        let asked: Vec<_> = {
            let to_ask = self.to_ask.lock().unwrap_or_else(PoisonError::into_inner);
            to_ask.iter().filter(|key| key.0 == card && !known.contains_key(*key)).cloned().collect()
        };
        let names: Vec<SettingName> = asked.iter().map(|(_, name)| name.clone()).collect();
        let told = self.host.firmware.settings(card, &names).await?;
        for key in asked {
            let setting = told.get(key.1.as_str()).cloned();
            known.insert(key, setting);
        }
        Ok(known.get(&key).cloned().flatten())
    }

    /// Open vSwitch as seen from `bridge`.
    pub async fn bridge(&self, bridge: &BridgeName) -> Result<Arc<Observation>, Error> {
        let read = async || Ok(Arc::new(self.host.vswitch.observe(bridge).await?));
        self.bridges.get(bridge.clone(), read).await
    }
}

/// Since kernel 5.8 representors hang on the PF's PCI function too (pitfall 17): the uplink is the one
/// without a port name (legacy mode) or with that of a physical port.
fn is_uplink(link: &Link) -> bool {
    link.phys_port_name.as_ref().is_none_or(|name| {
        name.strip_prefix('p')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// Values that are read once each, also when they are asked for side by side.
struct Memo<K, V>(Mutex<BTreeMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<K: Ord, V: Clone> Memo<K, V> {
    async fn get(&self, key: K, read: impl AsyncFnOnce() -> Result<V, Error>) -> Result<V, Error> {
        let cell = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        cell.get_or_try_init(async || read().await).await.cloned()
    }
}
