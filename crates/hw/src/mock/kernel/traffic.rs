//! Packets pass the switch: flows come, count and go.

use vdpa_netlink::Errno;

use super::Outcome;
use crate::mock::{EswitchMode, Forwarder, NetdevRole, Packets, SimFlow, State};
use crate::nouns::{IfIndex, PciAddress};

/// Milliseconds after its last packet until a flow goes: `max-idle` of ovs-vswitchd.conf.db(5).
const MAX_IDLE_MS: u64 = 10_000;

/// Lets `packets` pass from port to port.
///
/// The first goes up to ovs-vswitchd, which installs a flow and sends it on (`upcall_receive` and
/// `handle_upcalls` in OVS's `ofproto/ofproto-dpif-upcall.c`); those after it are the flow's.
pub fn forward(state: &mut State, packets: &Packets) -> Outcome {
    expire_flows(state);
    for port in [packets.from, packets.to] {
        let netdev = state.netdevs.get(&port).ok_or(Errno::ENODEV)?;
        if !netdev.ovs_port || !netdev.up {
            return Err(Errno::ENETDOWN.into());
        }
    }
    if packets.count == 0 {
        return Ok(());
    }
    pass(state, packets);
    let known = state.flows.iter().position(|flow| is_for(flow, packets));
    let left = if known.is_some() { packets.count } else { packets.count - 1 };
    let at = known.unwrap_or_else(|| {
        through_cpu(state, packets, 1);
        install(state, packets)
    });
    let (now, bytes) = (state.now_ms, left * packets.length);
    let flow = &mut state.flows[at];
    flow.used_ms = now;
    if flow.forwarder == Forwarder::Card {
        flow.hardware = (flow.hardware.0 + left, flow.hardware.1 + bytes);
    } else {
        flow.software = (flow.software.0 + left, flow.software.1 + bytes);
        through_cpu(state, packets, left);
    }
    Ok(())
}

/// Takes away the flows that nobody has used for a while, and those of ports that are gone.
pub(super) fn expire_flows(state: &mut State) {
    let now = state.now_ms;
    let open: Vec<IfIndex> =
        state.netdevs.iter().filter(|(_, netdev)| netdev.ovs_port).map(|(index, _)| *index).collect();
    state.flows.retain(|flow| {
        now.saturating_sub(flow.used_ms) < MAX_IDLE_MS && open.contains(&flow.from) && open.contains(&flow.to)
    });
}

/// Whether the card has flows of the switch that this is a port of.
pub(super) fn has_card_flows(state: &State, port: IfIndex) -> bool {
    let switch = |index: &IfIndex| switch_of(state, state.netdevs.get(index)?.role);
    let Some(switch_of_port) = switch(&port) else { return false };
    let on_card =
        |flow: &SimFlow| flow.forwarder == Forwarder::Card && switch(&flow.from) == Some(switch_of_port);
    state.flows.iter().any(on_card)
}

fn is_for(flow: &SimFlow, packets: &Packets) -> bool {
    (flow.from, flow.to, flow.source, flow.destination, flow.eth_type)
        == (packets.from, packets.to, packets.source, packets.destination, packets.eth_type)
}

/// Ports count what the card forwards too (`mlx5e_rep_get_stats` in mlx5's `en_rep.c`); with Ethernet headers.
fn pass(state: &mut State, packets: &Packets) {
    const ETHERNET_HEADER: u64 = 14;
    let bytes = packets.count * (packets.length + ETHERNET_HEADER);
    let from = state.passed.entry(packets.from).or_default();
    (from.rx_packets, from.rx_bytes) = (from.rx_packets + packets.count, from.rx_bytes + bytes);
    let to = state.passed.entry(packets.to).or_default();
    (to.tx_packets, to.tx_bytes) = (to.tx_packets + packets.count, to.tx_bytes + bytes);
}

fn through_cpu(state: &mut State, packets: &Packets, count: u64) {
    state.cpu_hits.entry(packets.from).or_default().rx += count;
    state.cpu_hits.entry(packets.to).or_default().tx += count;
}

fn install(state: &mut State, packets: &Packets) -> usize {
    state.next_flow += 1;
    let flow = SimFlow {
        id: state.next_flow,
        from: packets.from,
        to: packets.to,
        source: packets.source,
        destination: packets.destination,
        eth_type: packets.eth_type,
        forwarder: forwarder(state, packets),
        hardware: (0, 0),
        software: (0, 0),
        used_ms: state.now_ms,
    };
    state.flows.push(flow);
    state.flows.len() - 1
}

/// Who gets a flow when it is installed.
///
/// OVS gives it to tc where the port has an ingress qdisc and both ports have a flow API (`netdev_tc_flow_put` in
/// `lib/netdev-offload-tc.c`). A driver takes the rule where hw-tc-offload is on (`tc_can_offload` in
/// `include/net/pkt_cls.h`) and both ports are of one switch ("devices are not on same switch HW, can't offload
/// forwarding" in mlx5's `en/tc/act/mirred.c`).
fn forwarder(state: &State, packets: &Packets) -> Forwarder {
    let netdev = |index| state.netdevs.get(index);
    let Some((from, to)) = netdev(&packets.from).zip(netdev(&packets.to)) else { return Forwarder::Datapath };
    if !from.ingress_qdisc || !to.ingress_qdisc {
        return Forwarder::Datapath;
    }
    let switch = switch_of(state, from.role);
    let one_switch = switch.is_some() && switch == switch_of(state, to.role);
    let refused = switch.and_then(|pf| state.pf(pf)).is_some_and(|pf| pf.profile.refuses_flower);
    if one_switch && from.tc_offload == Some(true) && !refused { Forwarder::Card } else { Forwarder::Tc }
}

/// The card in whose switch a port is, in switchdev mode.
fn switch_of(state: &State, role: NetdevRole) -> Option<PciAddress> {
    let pf = match role {
        NetdevRole::Uplink(pf) => pf,
        NetdevRole::Representor(vf) => vf.pf,
        NetdevRole::VfNetdev(_) | NetdevRole::Other => return None,
    };
    state.pf(pf).filter(|pf| pf.eswitch.mode == EswitchMode::Switchdev).map(|_| pf)
}
