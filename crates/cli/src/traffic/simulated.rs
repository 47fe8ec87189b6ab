//! Packets of a simulated host: VF 0 of the first card that is bridged speaks to the far end of its cable, as the two
//! hosts of the reference document do.

use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::mock::{Machine, NetdevRole, Packets, State, kernel};
use vdpa_hw::{IfIndex, MacAddress, Vf, VfIndex};
use vdpa_ovs::DatapathPort;

use super::{Flowing, INTERVAL, Plan, Progress, Traffic};
use crate::error::Error;

/// The VM on the reference document's other host.
const FAR_END: MacAddress = MacAddress::new([0x0c, 0x42, 0xa1, 0xfa, 0x18, 0x8e]);
/// A ping without its Ethernet header.
const LENGTH: u64 = 84;

/// Packets of a simulated host.
#[derive(Debug, Clone)]
pub struct SimulatedTraffic(pub Machine);

#[async_trait]
impl Traffic for SimulatedTraffic {
    async fn start(&self, _plan: Option<&Plan>) -> Result<Box<dyn Flowing>, Error> {
        Ok(Box::new(Pinging { machine: self.0.clone(), progress: Progress::default() }))
    }
}

struct Pinging {
    machine: Machine,
    progress: Progress,
}

#[async_trait]
impl Flowing for Pinging {
    async fn flow_for(&mut self, time: Duration) -> Result<Progress, Error> {
        let count = u64::try_from(time.as_millis() / INTERVAL.as_millis()).unwrap_or(0);
        // Time goes by on the machine's clock as whoever watches it wants it to.
        self.machine.wait(time, |_| None::<()>).await;
        let there = self.machine.observe(request);
        let Some(there) = there else { return Ok(self.progress) };
        let there = Packets { count, ..there };
        let back = Packets {
            from: there.to,
            to: there.from,
            source: there.destination,
            destination: there.source,
            ..there
        };
        self.progress.sent += count;
        let answered = self.machine.meddle(|state| {
            kernel::forward(state, &there).and_then(|()| kernel::forward(state, &back)).is_ok()
        });
        self.progress.received += if answered { count } else { 0 };
        Ok(self.progress)
    }
}

/// From a VF to the far end of the cable, as far as such ports are there.
fn request(state: &State) -> Option<Packets> {
    let ours = state.netdevs.iter().find_map(|(index, netdev)| match netdev.role {
        NetdevRole::Representor(vf) if netdev.ovs_port && vf.index == VfIndex::new(0) => Some((*index, vf)),
        _ => None,
    });
    let (from, vf): (IfIndex, Vf) = ours?;
    let (to, _) = state.netdev_with(NetdevRole::Uplink(vf.pf))?;
    let source = state.pf(vf.pf)?.vfs.get(&vf.index)?.mac;
    Some(Packets { from, to, source, destination: FAR_END, eth_type: 0x0800, count: 0, length: LENGTH })
}

/// The flows of a simulated machine as `dpctl/dump-flows -m` prints them.
pub(crate) fn dump(state: &State) -> Vec<String> {
    let name =
        |index: IfIndex| state.netdevs.get(&index).map_or_else(String::new, |netdev| netdev.name.to_string());
    let line = |flow: &vdpa_hw::mock::SimFlow| {
        use vdpa_hw::mock::Forwarder;
        let (packets, bytes) = (flow.hardware.0 + flow.software.0, flow.hardware.1 + flow.software.1);
        let ago = state.now_ms.saturating_sub(flow.used_ms);
        let by = match flow.forwarder {
            Forwarder::Card => "offloaded:yes, dp:tc",
            Forwarder::Tc => "dp:tc",
            Forwarder::Datapath => "dp:ovs",
        };
        let id = format!("{:032x}", flow.id);
        format!(
            "ufid:{}-{}-{}-{}-{}, recirc_id(0),in_port({}),eth(src={},dst={}),eth_type(0x{:04x}),ipv4(frag=no), \
             packets:{packets}, bytes:{bytes}, used:{}.{:03}s, {by}, actions:{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..],
            name(flow.from),
            flow.source,
            flow.destination,
            flow.eth_type,
            ago / 1000,
            ago % 1000,
            name(flow.to),
        )
    };
    state.flows.iter().map(line).collect()
}

/// The ports of a simulated machine's datapath.
pub(crate) fn ports(state: &State) -> Vec<DatapathPort> {
    let ports = state.netdevs.values().filter(|netdev| netdev.ovs_port);
    let ports = ports.zip(1..).map(|(netdev, number)| DatapathPort {
        number,
        name: netdev.name.to_string(),
        kind: None,
    });
    ports.collect()
}
