//! The simulated machine as a [`Tc`]: the filters that Open vSwitch makes of its flows.
//!
//! Which flows there are, who forwards them and what is counted are the machine's rules
//! (`vdpa_hw::mock::kernel::forward`).

use async_trait::async_trait;
use vdpa_hw::IfIndex;
use vdpa_hw::mock::{Forwarder, Machine, SimFlow, State};

use crate::error::Result;
use crate::tc::{SlowPath, Tc};
use crate::{
    Action, ActionKind, Chain, Classifier, Control, Cookie, Counters, Direction, Filter, Flags, Flower, Hook,
    HwStats, Key, Match, Place, QdiscKind, Stats,
};

#[async_trait]
impl Tc for Machine {
    async fn hooks(&self) -> Result<Vec<Hook>> {
        let hook = |link: &IfIndex| Hook {
            link: *link,
            kind: QdiscKind::Ingress,
            ingress_block: None,
            egress_block: None,
        };
        Ok(self.observe(|state| {
            let with_qdisc = state.netdevs.iter().filter(|(_, netdev)| netdev.ingress_qdisc);
            with_qdisc.map(|(index, _)| hook(index)).collect()
        }))
    }

    async fn filters(&self, link: IfIndex, direction: Direction) -> Result<Vec<Filter>> {
        Ok(self.observe(|state| match direction {
            Direction::Ingress => filters(state, link),
            Direction::Egress => Vec::new(),
        }))
    }

    async fn chains(&self, link: IfIndex, direction: Direction) -> Result<Vec<Chain>> {
        let some = !self.filters(link, direction).await?.is_empty();
        Ok(some.then_some(Chain { index: 0, template: false }).into_iter().collect())
    }

    async fn slow_path(&self, link: IfIndex) -> Result<Option<SlowPath>> {
        // `mlx5e_rep_has_offload_stats`: representors have it, and so has the uplink in switchdev mode.
        Ok(self.observe(|state| {
            state.netdevs.get(&link)?.tc_offload?;
            let hits = state.cpu_hits.get(&link).copied().unwrap_or_default();
            Some(SlowPath { rx_packets: hits.rx, tx_packets: hits.tx })
        }))
    }
}

fn filters(state: &State, link: IfIndex) -> Vec<Filter> {
    let in_tc = state.flows.iter().filter(|flow| flow.from == link && flow.forwarder != Forwarder::Datapath);
    in_tc.map(|flow| filter(state, flow)).collect()
}

/// What `tc_replace_flower` in OVS's `lib/tc.c` makes of a flow that forwards.
fn filter(state: &State, flow: &SimFlow) -> Filter {
    let in_hw = flow.forwarder == Forwarder::Card;
    let ago = std::time::Duration::from_millis(state.now_ms.saturating_sub(flow.used_ms));
    let counters = |(packets, bytes)| Counters { packets, bytes };
    let total = counters(flow.hardware) + counters(flow.software);
    let hardware = in_hw.then(|| counters(flow.hardware));
    let mirred = ActionKind::Mirred { to: flow.to, mirror: false, ingress: false };
    let redirect = Action {
        index: flow.id,
        stats: Some(Stats { total, hardware, ..Stats::default() }),
        cookie: Cookie::of_ufid(&format!("{:032x}", flow.id)),
        used_hw_stats: in_hw.then_some(HwStats::Delayed),
        used: Some(ago),
        ..Action::new(mirred, Control::Stolen)
    };
    let rule = Flower {
        matches: vec![
            Match::exactly(Key::DstMac, flow.destination.octets()),
            Match::exactly(Key::SrcMac, flow.source.octets()),
            Match::exactly(Key::EthType, flow.eth_type.to_be_bytes()),
        ],
        flags: if in_hw { Flags::IN_HW } else { Flags::NOT_IN_HW },
        in_hw_count: in_hw.then_some(1),
        actions: vec![redirect],
        ..Flower::default()
    };
    Filter {
        place: Place::Link(flow.from, Direction::Ingress),
        chain: 0,
        priority: 2,
        protocol: flow.eth_type,
        handle: flow.id,
        classifier: Classifier::Flower(Box::new(rule)),
    }
}

#[cfg(test)]
mod tests {
    use vdpa_hw::MacAddress;
    use vdpa_hw::mock::{EswitchMode, NetdevRole, Packets, hosts, kernel};

    use super::*;
    use crate::contract::{self, Subject};

    const A: MacAddress = MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, 0x60]);
    const B: MacAddress = MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, 0x61]);

    /// Host 105 with both ports of its card on a bridge that offloads, and 50 packets from one to the other.
    async fn forwarding(prepare: impl FnOnce(&mut State)) -> (Machine, IfIndex, IfIndex) {
        let machine = Machine::new(hosts::host_105());
        let pf: vdpa_hw::PciAddress = "0000:43:00.0".parse().unwrap();
        machine.meddle(|state| kernel::set_vf_count(state, pf, 2)).unwrap();
        machine.settle().await;
        machine.meddle(|state| {
            for vf in [0, 1].map(vdpa_hw::VfIndex::new) {
                let address = state.vf_address(vdpa_hw::Vf { pf, index: vf }).unwrap();
                kernel::unbind(state, address).unwrap();
            }
            kernel::set_eswitch_mode(state, pf, EswitchMode::Switchdev).unwrap();
        });
        machine.settle().await;
        let ports = machine.meddle(|state| {
            let role =
                |index| NetdevRole::Representor(vdpa_hw::Vf { pf, index: vdpa_hw::VfIndex::new(index) });
            let ports = [0, 1].map(|vf| state.netdev_with(role(vf)).unwrap().0);
            let names: Vec<String> = ports.iter().map(|port| state.netdevs[port].name.to_string()).collect();
            for port in ports {
                kernel::set_up(state, port, true).unwrap();
                kernel::set_tc_offload(state, port, true).unwrap();
            }
            kernel::set_ovs_ports(state, &names, true);
            prepare(state);
            let [from, to] = ports;
            let packets =
                Packets { from, to, source: A, destination: B, eth_type: 0x0800, count: 50, length: 84 };
            kernel::forward(state, &packets).unwrap();
            ports
        });
        (machine, ports[0], ports[1])
    }

    async fn holds(machine: &Machine, link: IfIndex, to: IfIndex, in_hw: bool) {
        let bare =
            machine.observe(|state| state.netdevs.iter().find(|(_, n)| !n.ingress_qdisc).map(|(i, _)| *i));
        let (destination, eth_type, bare) = (B, 0x0800, bare.unwrap());
        let subject = Subject { tc: machine, link, to, destination, eth_type, in_hw, packets: 49, bare };
        contract::all(&subject).await;
    }

    #[tokio::test]
    async fn a_machine_that_offloads_keeps_the_contract() {
        let (machine, from, to) = forwarding(|_| {}).await;
        holds(&machine, from, to, true).await;
        // The first packet alone met the slow path.
        let hits = machine.slow_path(from).await.unwrap().unwrap();
        assert_eq!(hits, SlowPath { rx_packets: 1, tx_packets: 0 });
    }

    #[tokio::test]
    async fn a_machine_whose_card_refuses_keeps_the_contract() {
        let (machine, from, to) = forwarding(|state| {
            state.pf_mut("0000:43:00.0".parse().unwrap()).unwrap().profile.refuses_flower = true;
        })
        .await;
        holds(&machine, from, to, false).await;
        assert_eq!(machine.slow_path(from).await.unwrap().unwrap().rx_packets, 50);
    }

    #[tokio::test]
    async fn flows_go_when_nobody_uses_them() {
        let (machine, from, _) = forwarding(|_| {}).await;
        machine.elapse(std::time::Duration::from_secs(11));
        let packets = machine.observe(|state| {
            let flow = &state.flows[0];
            Packets {
                from: flow.from,
                to: flow.to,
                source: B,
                destination: A,
                eth_type: 0x0800,
                count: 1,
                length: 84,
            }
        });
        machine.meddle(|state| kernel::forward(state, &packets)).unwrap();
        let filters = machine.filters(from, Direction::Ingress).await.unwrap();
        assert_eq!(filters.len(), 1, "{filters:?}");
        assert_eq!(filters[0].counters().total().packets, 0, "the flow of before is gone");
    }

    /// Pitfall 7: hw-tc-offload of a card that has rules cannot be turned off: they go first, with their ports.
    #[tokio::test]
    async fn hw_tc_offload_stays_on_while_the_card_has_flows() {
        let (machine, from, to) = forwarding(|state| {
            let uplink = state.netdev_with(NetdevRole::Uplink("0000:43:00.0".parse().unwrap())).unwrap().0;
            kernel::set_tc_offload(state, uplink, true).unwrap();
        })
        .await;
        let uplink = machine.observe(|state| {
            state.netdev_with(NetdevRole::Uplink("0000:43:00.0".parse().unwrap())).unwrap().0
        });
        for port in [from, to, uplink] {
            let off = machine.meddle(|state| kernel::set_tc_offload(state, port, false));
            assert_eq!(off.unwrap_err().errno, vdpa_netlink::Errno::EINVAL, "{port}");
            assert!(machine.meddle(|state| kernel::set_tc_offload(state, port, true)).unwrap(), "{port}");
        }
        // The bridge lets go of its ports, and the rules go with them.
        machine.meddle(|state| kernel::set_ovs_ports(state, &[], true));
        for port in [from, to, uplink] {
            assert!(!machine.meddle(|state| kernel::set_tc_offload(state, port, false)).unwrap(), "{port}");
        }
    }
}
