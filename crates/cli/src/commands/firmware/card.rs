//! A card with its firmware settings, for people and programs.

use serde::Serialize;
use vdpa_hw::firmware::{
    Activation, NUM_OF_VFS, PF_NUM_OF_VF_VALID, SRIOV_EN, Setting, SettingName, Settings, Value,
    functions_of_card,
};
use vdpa_hw::{Function, NetdevName, PciAddress, Role};

use crate::error::Error;
use crate::firmware;
use crate::host::Host;
use crate::report::{Output, Report as _, count};
use crate::view::View;

/// Mellanox, now NVIDIA.
const VENDOR: u16 = 0x15b3;

/// A card and its settings.
#[derive(Debug, Serialize)]
pub(super) struct FirmwareCard {
    /// Its first port; `None` for saved output.
    pub(super) pci: Option<PciAddress>,
    /// Its ports.
    pub(super) ports: Vec<Port>,
    /// As the tool names it.
    pub(super) device: Option<String>,
    /// Its kind.
    pub(super) kind: Option<String>,
    /// Its part number.
    pub(super) part: Option<String>,
    /// What it is in words.
    pub(super) description: Option<String>,
    /// Its settings.
    pub(super) settings: Vec<Setting>,
    /// Those whose next value is another than the current one.
    pub(super) pending: Vec<SettingName>,
    /// What it takes until none is pending.
    pub(super) activation: Option<Activation>,
    /// The same for people, with what has to go before.
    #[serde(skip)]
    needs: Option<String>,
    /// Why there may be more settings.
    pub(super) not_asked: Option<String>,
}

/// A port of a card.
#[derive(Debug, Serialize)]
pub(super) struct Port {
    /// Its PF.
    pub(super) pci: PciAddress,
    /// Its network device.
    pub(super) netdev: Option<NetdevName>,
}

impl FirmwareCard {
    /// The settings that somebody saved.
    pub(super) fn saved(settings: Settings) -> Self {
        Self::new(None, Vec::new(), settings)
    }

    fn new(pci: Option<PciAddress>, ports: Vec<Port>, settings: Settings) -> Self {
        let pending = settings.settings.iter().filter(|setting| setting.is_pending());
        Self {
            pci,
            ports,
            pending: pending.map(|setting| setting.name.clone()).collect(),
            device: settings.card.device,
            kind: settings.card.kind,
            part: settings.card.part,
            description: settings.card.description,
            settings: settings.settings,
            activation: None,
            needs: None,
            not_asked: settings.not_asked,
        }
    }

    /// Reads the settings of the card that `pf` is a port of, and what it takes where some are pending.
    pub(super) async fn read(host: &Host, pf: PciAddress, names: &[SettingName]) -> Result<Self, Error> {
        let functions = host.pci.functions().await?;
        let view = View::new(host);
        let links = view.links().await?;
        let netdev = |pci| {
            let mut own = links.iter().filter(|link| link.parent == Some(pci));
            own.find(|link| link.phys_port_name.as_ref().is_none_or(|name| !name.contains("vf")))
                .map(|link| link.name.clone())
        };
        let ports: Vec<Port> = functions_of_card(&functions, pf)
            .into_iter()
            .map(|pci| Port { pci, netdev: netdev(pci) })
            .collect();
        let settings = host.firmware.settings(pf, names).await?;
        if let Some(name) = names.iter().find(|name| settings.get(name.as_str()).is_none()) {
            return Err(vdpa_hw::Error::NoSetting { pf, name: name.clone() }.into());
        }
        let mut card = Self::new(ports.first().map(|port| port.pci), ports, settings);
        if !card.pending.is_empty() {
            card.takes(host, pf, firmware::activation(host, pf).await).await;
        }
        Ok(card)
    }

    /// Says what it takes until nothing is pending.
    pub(super) async fn takes(&mut self, host: &Host, pf: PciAddress, activation: Activation) {
        self.needs = Some(firmware::explained(pf, &activation, &firmware::ports_with_vfs(host, pf).await));
        self.activation = Some(activation);
    }

    /// Shows the card, its table, and what is pending.
    pub(super) fn show(&self, output: &Output) {
        let ports = self.ports.iter().map(|port| match &port.netdev {
            Some(netdev) => format!("{} ({netdev})", port.pci),
            None => port.pci.to_string(),
        });
        let ports: Vec<String> = ports.collect();
        if !ports.is_empty() {
            let keepers = self.keepers().join(" and ");
            let which = if ports.len() > 1 { ", which are one card" } else { "" };
            output.line(format_args!("firmware settings of {}{which}, by {keepers}", ports.join(" and ")));
        }
        output.line(self.as_settings());
        for warning in self.warnings() {
            output.warn(&warning);
        }
        if let Some(why) = &self.not_asked {
            output.warn(&format!("there may be more settings: {why}"));
        }
        if !self.pending.is_empty() {
            let names = self.pending.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            output.note(&format!("{} from the next boot on: {names}", changes(self.pending.len())));
            if let Some(needs) = &self.needs {
                output.note(needs);
            }
        }
    }

    /// What looks right and has no effect, or not the one that one would think.
    fn warnings(&self) -> Vec<String> {
        let next = |name: &str| {
            let setting = self.settings.iter().find(|setting| setting.name.as_str() == name)?;
            setting.next.as_ref().and_then(Value::number)
        };
        let mut warnings = Vec::new();
        if next(NUM_OF_VFS).is_some_and(|number| number > 0) && next(SRIOV_EN) == Some(0) {
            warnings
                .push(format!("{NUM_OF_VFS} has no effect while {SRIOV_EN} is False: set {SRIOV_EN}=true"));
        }
        if next(NUM_OF_VFS).is_some() && next(PF_NUM_OF_VF_VALID) == Some(1) {
            warnings.push(format!(
                "{NUM_OF_VFS} does not count while {PF_NUM_OF_VF_VALID} is True, which gives each port a number of its own \
                 (PF_NUM_OF_VF): set {PF_NUM_OF_VF_VALID}=false"
            ));
        }
        warnings
    }

    fn keepers(&self) -> Vec<String> {
        let mut keepers: Vec<String> =
            self.settings.iter().map(|setting| setting.keeper.to_string()).collect();
        keepers.sort_unstable();
        keepers.dedup();
        keepers
    }

    fn as_settings(&self) -> Settings {
        let card = vdpa_hw::firmware::Card {
            device: self.device.clone(),
            kind: self.kind.clone(),
            part: self.part.clone(),
            description: self.description.clone(),
        };
        Settings { card, settings: self.settings.clone(), not_asked: None }
    }
}

fn changes(pending: usize) -> String {
    if pending == 1 {
        "one setting changes".to_owned()
    } else {
        format!("{} change", count(pending, "setting"))
    }
}

/// A port of each card of this host, or of the one that is named.
pub(super) async fn cards(host: &Host, named: Option<PciAddress>) -> Result<Vec<PciAddress>, Error> {
    let functions = host.pci.functions().await?;
    if let Some(pf) = named {
        let function =
            functions.iter().find(|function| function.address == pf).ok_or(vdpa_hw::Error::NoFunction(pf))?;
        return match function.role {
            Role::Vf(vf) => Ok(vec![vf.pf]),
            Role::Pf(_) | Role::Plain => Ok(vec![pf]),
        };
    }
    let is_port = |function: &&Function| {
        let driven = function.driver.as_ref().is_some_and(|driver| driver.as_str() == "mlx5_core");
        function.id.vendor == VENDOR
            && !matches!(function.role, Role::Vf(_))
            && (driven || function.sriov().is_some())
    };
    let mut cards: Vec<PciAddress> = Vec::new();
    for port in functions.iter().filter(is_port) {
        if !cards.iter().any(|card| card.first_function() == port.address.first_function()) {
            cards.push(port.address);
        }
    }
    if cards.is_empty() {
        return Err(Error::WhichCard("this host has no card of Mellanox or NVIDIA with a driver".to_owned()));
    }
    Ok(cards)
}

/// The card that is named, or the only one.
pub(super) async fn only_card(host: &Host, named: Option<PciAddress>) -> Result<PciAddress, Error> {
    match cards(host, named).await?.as_slice() {
        [card] => Ok(*card),
        several => {
            let list = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Error::WhichCard(format!("there are {} cards: {list}", several.len())))
        }
    }
}
