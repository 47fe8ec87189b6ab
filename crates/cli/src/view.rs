//! One look at the host: each thing is read when it is first asked for, and once.
//!
//! A view is made for each stage and thrown away after it, so that nothing in it is older than the
//! stage before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use vdpa_datapath::kernel::{Config, DeviceName};
use vdpa_eswitch::{
    Auxiliaries, Auxiliary, DevlinkHandle, LagState, Param, ParamMode, ParamValue, PortRate, Representors,
    State, SteeringMode,
};
use vdpa_hw::firmware::{Setting, SettingName};
use vdpa_hw::{Bond, DriverName, Function, IfIndex, Link, PciAddress, Vf, VfAttributes, VfIndex};
use vdpa_ovs::{BridgeName, Observation};

use crate::error::Error;
use crate::host::Host;
use crate::step::Device;

/// A look at a host.
pub struct View<'a> {
    host: &'a Host,
    functions: Memo<PciAddress, Arc<Function>>,
    vf_drivers: Memo<PciAddress, Arc<Vec<Option<DriverName>>>>,
    links: Memo<(), Arc<Links>>,
    bonds: Memo<(), Arc<Vec<Bond>>>,
    vf_attributes: Memo<PciAddress, Arc<BTreeMap<VfIndex, VfAttributes>>>,
    eswitches: Memo<PciAddress, State>,
    steerings: Memo<PciAddress, Option<SteeringMode>>,
    params: Memo<(), Arc<BTreeMap<DevlinkHandle, Vec<Param>>>>,
    auxiliaries: Memo<(), Arc<BTreeMap<PciAddress, Auxiliaries>>>,
    rates: Memo<PciAddress, Arc<BTreeMap<VfIndex, PortRate>>>,
    lags: Memo<PciAddress, Option<LagState>>,
    representors: Memo<PciAddress, Arc<Representors>>,
    tc_offloads: Memo<(), Arc<BTreeSet<IfIndex>>>,
    ingress: Memo<(), Arc<BTreeSet<IfIndex>>>,
    vdpa_devices: Memo<(), Arc<BTreeSet<DeviceName>>>,
    vdpa_configs: Memo<(), Arc<BTreeMap<DeviceName, Config>>>,
    bridges: Memo<BridgeName, Arc<Observation>>,
    firmware: tokio::sync::Mutex<BTreeMap<(PciAddress, SettingName), Option<Setting>>>,
    /// Firmware settings that will be asked for: a tool is run for many at once.
    to_ask: Mutex<BTreeSet<(PciAddress, SettingName)>>,
}

/// Every network device, found without going through all of them for each.
pub struct Links {
    all: Vec<Link>,
    at: BTreeMap<IfIndex, usize>,
    of: BTreeMap<PciAddress, Vec<usize>>,
}

impl Links {
    fn new(all: Vec<Link>) -> Self {
        let (mut at, mut of) = (BTreeMap::new(), BTreeMap::<_, Vec<usize>>::new());
        for (place, link) in all.iter().enumerate() {
            at.insert(link.index, place);
            if let Some(parent) = link.parent {
                of.entry(parent).or_default().push(place);
            }
        }
        Self { all, at, of }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.all.iter()
    }

    fn with(&self, index: IfIndex) -> Option<&Link> {
        self.at.get(&index).map(|place| &self.all[*place])
    }

    fn of(&self, function: PciAddress) -> impl Iterator<Item = &Link> {
        self.of.get(&function).into_iter().flatten().map(|place| &self.all[*place])
    }
}

impl<'a> View<'a> {
    /// A view of `host` that has seen nothing yet.
    pub fn new(host: &'a Host) -> Self {
        Self {
            host,
            functions: Memo::default(),
            vf_drivers: Memo::default(),
            links: Memo::default(),
            bonds: Memo::default(),
            vf_attributes: Memo::default(),
            eswitches: Memo::default(),
            steerings: Memo::default(),
            params: Memo::default(),
            auxiliaries: Memo::default(),
            rates: Memo::default(),
            lags: Memo::default(),
            representors: Memo::default(),
            tc_offloads: Memo::default(),
            ingress: Memo::default(),
            vdpa_devices: Memo::default(),
            vdpa_configs: Memo::default(),
            bridges: Memo::default(),
            firmware: tokio::sync::Mutex::default(),
            to_ask: Mutex::default(),
        }
    }

    /// The PCI function at `address`.
    pub async fn function(&self, address: PciAddress) -> Result<Arc<Function>, Error> {
        self.functions.get(address, async || Ok(Arc::new(self.host.pci.function(address).await?))).await
    }

    /// Where `vf` sits; `None` while it does not exist.
    pub async fn vf_address(&self, vf: Vf) -> Result<Option<PciAddress>, Error> {
        Ok(self.function(vf.pf).await?.sriov().and_then(|sriov| sriov.vf(vf.index)))
    }

    /// The driver that `vf` is bound to, if any; `None` while the VF does not exist.
    pub async fn vf_driver(&self, vf: Vf) -> Result<Option<Option<DriverName>>, Error> {
        let read = async || {
            let function = self.function(vf.pf).await?;
            let vfs = function.sriov().map_or(&[][..], |sriov| &sriov.vfs);
            Ok(Arc::new(self.host.pci.drivers(vfs).await?))
        };
        Ok(self.vf_drivers.get(vf.pf, read).await?.get(usize::from(vf.index.get())).cloned())
    }

    /// Every network device.
    pub async fn links(&self) -> Result<Arc<Links>, Error> {
        self.links.get((), async || Ok(Arc::new(Links::new(self.host.links.links().await?)))).await
    }

    /// Every bond.
    pub async fn bonds(&self) -> Result<Arc<Vec<Bond>>, Error> {
        self.bonds.get((), async || Ok(Arc::new(self.host.links.bonds().await?))).await
    }

    /// The network device that `device` is now; `None` where there is none.
    pub async fn link(&self, device: Device) -> Result<Option<Link>, Error> {
        match self.find(device).await {
            // A card that has gone has none.
            Err(error) if error.is_absence_of(device.pf()) => Ok(None),
            found => found,
        }
    }

    async fn find(&self, device: Device) -> Result<Option<Link>, Error> {
        let links = self.links().await?;
        let found = match device {
            Device::Uplink(pf) => links.of(pf).find(|link| is_uplink(link)),
            Device::Vf(vf) => match self.vf_address(vf).await? {
                Some(address) => links.of(address).next(),
                None => None,
            },
            Device::Representor(vf) => {
                let index = self.representors(vf.pf).await?.vfs.get(&vf.index).map(|found| found.index);
                index.and_then(|index| links.with(index))
            }
            Device::Bond(pf) => {
                let uplink = links.of(pf).find(|link| is_uplink(link)).map(|link| link.index);
                let bonds = self.bonds().await?;
                let is_its = |bond: &&Bond| uplink.is_some_and(|uplink| bond.members.contains(&uplink));
                bonds.iter().find(is_its).and_then(|bond| links.with(bond.index))
            }
        };
        Ok(found.cloned())
    }

    /// Whether `device` has a network device now. It has none either where its card has gone.
    pub async fn has(&self, device: Device) -> bool {
        matches!(self.link(device).await, Ok(Some(_)))
    }

    /// What the PF keeps for its VFs; empty where it has no network device now.
    pub async fn vf_attributes(&self, pf: PciAddress) -> Result<Arc<BTreeMap<VfIndex, VfAttributes>>, Error> {
        let read = async || match self.link(Device::Uplink(pf)).await? {
            Some(uplink) => Ok(Arc::new(self.host.links.vf_attributes(uplink.index).await?)),
            None => Ok(Arc::default()),
        };
        self.vf_attributes.get(pf, read).await
    }

    /// How the eswitch of `pf` is set.
    pub async fn eswitch(&self, pf: PciAddress) -> Result<State, Error> {
        let read = async || {
            // A card that the kernel is at work on answers nobody: its function says so without a wait.
            self.function(pf).await?;
            Ok(self.host.eswitch.state(&DevlinkHandle::from(pf)).await?)
        };
        self.eswitches.get(pf, read).await
    }

    /// Who programs the flow tables of `pf`'s card, where there is a choice.
    pub async fn steering(&self, pf: PciAddress) -> Result<Option<SteeringMode>, Error> {
        let read = async || Ok(self.host.eswitch.steering(&DevlinkHandle::from(pf)).await?);
        self.steerings.get(pf, read).await
    }

    /// What a function's parameter about `class` is set to; `None` where its driver has none.
    pub async fn enabled(&self, function: PciAddress, class: Auxiliary) -> Result<Option<bool>, Error> {
        let read = async || Ok(Arc::new(self.host.eswitch.all_params().await?));
        let all = self.params.get((), read).await?;
        let param = all.get(&DevlinkHandle::from(function)).into_iter().flatten();
        let mut values = param.filter(|param| param.name == class.param()).map(|param| &param.values);
        Ok(match values.next().and_then(|values| values.get(&ParamMode::Driverinit)) {
            Some(ParamValue::Bool(on)) => Some(*on),
            _ => None,
        })
    }

    /// What drivers have made of functions.
    pub async fn auxiliaries(&self) -> Result<Arc<BTreeMap<PciAddress, Auxiliaries>>, Error> {
        self.auxiliaries.get((), async || Ok(Arc::new(self.host.eswitch.auxiliaries().await?))).await
    }

    /// Whether a function's driver is known to make no network device of it.
    pub async fn lacks_eth(&self, function: PciAddress) -> Result<bool, Error> {
        let made = self.auxiliaries().await?;
        Ok(made.get(&function).is_some_and(|made| !made.contains(&Auxiliary::Eth)))
    }

    /// The rates of the ports of `pf`'s VFs, where there are any.
    pub async fn rates(&self, pf: PciAddress) -> Result<Arc<BTreeMap<VfIndex, PortRate>>, Error> {
        let read = async || Ok(Arc::new(self.host.eswitch.rates(&DevlinkHandle::from(pf)).await?));
        self.rates.get(pf, read).await
    }

    /// Whether the ports of `pf`'s card are one in hardware, where the driver tells.
    pub async fn lag(&self, pf: PciAddress) -> Result<Option<LagState>, Error> {
        self.lags.get(pf, async || Ok(self.host.eswitch.lag(&DevlinkHandle::from(pf)).await?)).await
    }

    /// The representors of `pf`.
    pub async fn representors(&self, pf: PciAddress) -> Result<Arc<Representors>, Error> {
        let read = async || {
            self.function(pf).await?;
            Ok(Arc::new(self.host.eswitch.representors(&DevlinkHandle::from(pf)).await?))
        };
        self.representors.get(pf, read).await
    }

    /// Whether hw-tc-offload is active on `link`.
    pub async fn tc_offload(&self, link: IfIndex) -> Result<bool, Error> {
        let read = async || Ok(Arc::new(self.host.eswitch.tc_offloads().await?));
        Ok(self.tc_offloads.get((), read).await?.contains(&link))
    }

    /// The network devices with an ingress qdisc.
    pub async fn with_ingress_qdisc(&self) -> Result<Arc<BTreeSet<IfIndex>>, Error> {
        self.ingress.get((), async || Ok(Arc::new(self.host.links.with_ingress_qdisc().await?))).await
    }

    /// What the kernel's vDPA device of this name shows its guest; `None` where there is no such device.
    pub async fn vdpa_config(&self, name: &DeviceName) -> Result<Option<Config>, Error> {
        let kernel = &self.host.kernel;
        let names = async || {
            let devices = kernel.devices().await?;
            Ok(Arc::new(devices.into_iter().map(|device| device.name).collect::<BTreeSet<_>>()))
        };
        if !self.vdpa_devices.get((), names).await?.contains(name) {
            return Ok(None);
        }
        let configs = async || {
            let configs = kernel.configs().await?;
            Ok(Arc::new(
                configs.into_iter().map(|config| (config.name.clone(), config)).collect::<BTreeMap<_, _>>(),
            ))
        };
        match self.vdpa_configs.get((), configs).await?.get(name) {
            Some(config) => Ok(Some(config.clone())),
            // That listing ends without a word at a device, anybody's, that has none to show
            // (`vdpa_nl_cmd_dev_config_get_dumpit()` in drivers/vdpa/vdpa.c).
            None => Ok(Some(kernel.config(name).await?)),
        }
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
        let read = async || Ok(Arc::new(self.host.vswitch.glance(bridge).await?));
        self.bridges.get(bridge.clone(), read).await
    }
}

/// Since kernel 5.8 representors hang on the PF's PCI function too: the uplink is the one
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
