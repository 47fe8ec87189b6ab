//! A flow of Open vSwitch with its tc filter.

use std::collections::HashMap;

use serde::Serialize;
use vdpa_ovs::flow::{Action, Attribute, EthAddr, Flow, Masked, Offloaded, Port};
use vdpa_tc::{Counters, Filter, Key, Split};

/// A flow, and the filter that was made of it.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Its filter; absent where tc has none.
    pub filter: Option<&'a Filter>,
}

/// Who forwards the packets of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarder {
    /// The card.
    Hardware,
    /// The kernel's tc.
    Tc,
    /// The kernel module of Open vSwitch.
    Datapath,
}

/// Filters, to be found by their flows.
pub(super) struct Index<'a> {
    by_ufid: HashMap<String, &'a Filter>,
    /// Those without a cookie, with the ports that they are on: somebody else's, or of a driver that keeps none.
    nameless: Vec<&'a (String, Filter)>,
}

impl<'a> Index<'a> {
    pub(super) fn of(filters: &'a [(String, Filter)]) -> Self {
        let ufid = |filter: &'a Filter| Some((filter.cookie()?.ufid()?, filter));
        Self {
            by_ufid: filters.iter().filter_map(|(_, filter)| ufid(filter)).collect(),
            nameless: filters.iter().filter(|(_, filter)| filter.cookie().is_none()).collect(),
        }
    }
}

impl<'a> Joined<'a> {
    /// The flow with its filter: the one that has its UFID for a cookie; of those without a cookie, the one on its port
    /// with its addresses and Ethernet type.
    pub(super) fn of(flow: &'a Flow, filters: &Index<'a>) -> Self {
        let by_cookie = flow.ufid.and_then(|ufid| filters.by_ufid.get(&ufid.to_string()).copied());
        let this = Self { flow, filter: by_cookie };
        let by_match = || {
            let mut on_port =
                filters.nameless.iter().filter(|(port, _)| Some(port.as_str()) == this.in_port());
            on_port.find(|(_, filter)| this.has_match_of(filter)).map(|(_, filter)| filter)
        };
        Self { flow, filter: by_cookie.or_else(by_match) }
    }

    fn has_match_of(&self, filter: &Filter) -> bool {
        let Some(rule) = filter.flower() else { return false };
        let (source, destination) = self.addresses();
        let same = |key: Key, value: Option<Vec<u8>>| match (rule.key(key), value) {
            (Some(wanted), Some(value)) => wanted.mask.is_none() && wanted.value == value,
            (None, None) => true,
            _ => false,
        };
        same(Key::SrcMac, source.map(|mac| mac.0.to_vec()))
            && same(Key::DstMac, destination.map(|mac| mac.0.to_vec()))
            && self.eth_type().is_none_or(|eth_type| filter.protocol == eth_type)
            && self.flow.key.recirc_id().unwrap_or(0) == filter.chain
    }

    /// The device that its packets come in by.
    pub fn in_port(&self) -> Option<&'a str> {
        match self.flow.key.in_port()? {
            Port::Name(name) => Some(name),
            Port::Number(_) => None,
        }
    }

    /// The devices that its packets leave by.
    pub fn outputs(&self) -> Vec<&'a str> {
        let output = |action: &'a Action| match action {
            Action::Output(Port::Name(name)) => Some(name.as_str()),
            _ => None,
        };
        self.flow.actions.0.iter().filter_map(output).collect()
    }

    /// Exact source and destination addresses.
    pub fn addresses(&self) -> (Option<EthAddr>, Option<EthAddr>) {
        let exact = |address: Option<Masked<EthAddr>>| address.filter(|a| a.mask.is_none()).map(|a| a.value);
        let eth = self.flow.key.0.iter().find_map(|attribute| match attribute {
            Attribute::Eth(eth) => Some(eth),
            _ => None,
        });
        eth.map_or((None, None), |eth| (exact(eth.src), exact(eth.dst)))
    }

    /// Its Ethernet type.
    pub fn eth_type(&self) -> Option<u16> {
        self.flow.key.0.iter().find_map(|attribute| match attribute {
            Attribute::EthType(eth_type) => Some(eth_type.value),
            _ => None,
        })
    }

    /// Whether it is for IP packets to one station.
    pub fn is_unicast_ip(&self) -> bool {
        let group = self.addresses().1.is_some_and(|destination| destination.0[0] & 1 == 1);
        !group && matches!(self.eth_type(), None | Some(0x0800 | 0x86dd))
    }

    /// Who forwards.
    pub fn forwarder(&self) -> Forwarder {
        let by_filter = self.filter.and_then(Filter::in_hardware);
        let in_tc = self.filter.is_some() || self.flow.stats.dp.as_deref() == Some("tc");
        match (by_filter, &self.flow.stats.offloaded) {
            (Some(true), _) | (None, Some(Offloaded::Yes)) => Forwarder::Hardware,
            _ if in_tc => Forwarder::Tc,
            _ => Forwarder::Datapath,
        }
    }

    /// What was forwarded, by whom.
    pub fn counters(&self) -> Split {
        if let Some(filter) = self.filter {
            return filter.counters();
        }
        let counted = Counters { packets: self.flow.stats.packets, bytes: self.flow.stats.bytes };
        match self.forwarder() {
            Forwarder::Hardware => Split { hardware: counted, software: Counters::default() },
            Forwarder::Tc | Forwarder::Datapath => Split { hardware: Counters::default(), software: counted },
        }
    }
}
