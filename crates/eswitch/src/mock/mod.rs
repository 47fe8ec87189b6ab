//! The simulated machine as an [`Eswitch`]: each call is one operation of
//! [`Machine`](vdpa_hw::mock::Machine), so that it counts, comes late and fails as the machine says.
//!
//! The rules of the mode change are the machine's (`vdpa_hw::mock::kernel`); those of the other
//! settings are in [`rules`] and [`auxiliary`].

mod auxiliary;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::mock::{EswitchMode, Inline, Machine, NetdevRole, SimParam, State as Simulated, kernel};
use vdpa_hw::{IfIndex, MacAddress, PciAddress, Vf, VfIndex};
use vdpa_netlink::{Errno, Refusal};

use crate::error::{Error, Result, Sighting};
use crate::{
    Auxiliaries, DevlinkHandle, EncapMode, Eswitch, Flavour, Info, InlineMode, LagState, Mode, Param,
    ParamMode, ParamValue, Port, PortFunction, PortRate, Rate, Reload, ReloadAction, Representor,
    Representors, State, Versions,
};

/// The index of the uplink's port: mlx5 numbers ports by vport, and the uplink's is 0xffff
/// (`MLX5_VPORT_UPLINK`); VF N is on vport N + 1.
const UPLINK: u32 = 0xffff;

#[async_trait]
impl Eswitch for Machine {
    async fn devices(&self) -> Result<Vec<DevlinkHandle>> {
        // mlx5 registers a devlink instance for each function that it is bound to, VFs too; ice's VFs have none.
        Ok(self.observe(|state| {
            let bound = state.functions.iter().filter(|(_, function)| {
                function.driver.as_ref().is_some_and(|driver| matches!(driver.as_str(), "mlx5_core" | "ice"))
            });
            bound.map(|(address, _)| DevlinkHandle::from(*address)).collect()
        }))
    }

    async fn info(&self, device: &DevlinkHandle) -> Result<Info> {
        let address = function(self, device).await?;
        let driver = self.observe(|state| {
            state
                .functions
                .get(&address)
                .and_then(|function| function.driver.as_ref())
                .map(ToString::to_string)
        });
        let named = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        Ok(Info {
            driver,
            // What the lab's pretend card says, and a ConnectX-6 Dx of its time.
            versions: Versions {
                fixed: named("fw.psid", "MT_0000000359"),
                running: named("fw.version", "22.39.1002"),
                stored: named("fw.version", "22.39.1002"),
            },
            ..Info::default()
        })
    }

    async fn state(&self, device: &DevlinkHandle) -> Result<State> {
        let pf = switch(self, device, "read the eswitch mode of").await?;
        Ok(self.observe(|state| {
            state.pf(pf).map_or(State { mode: Mode::Legacy, inline: None, encap: None }, |pf| State {
                mode: match pf.eswitch.mode {
                    EswitchMode::Legacy => Mode::Legacy,
                    EswitchMode::Switchdev => Mode::Switchdev,
                },
                inline: Some(match pf.eswitch.inline {
                    Inline::None => InlineMode::None,
                    Inline::Link => InlineMode::Link,
                    Inline::Network => InlineMode::Network,
                    Inline::Transport => InlineMode::Transport,
                }),
                encap: Some(if pf.eswitch.encap { EncapMode::Basic } else { EncapMode::None }),
            })
        }))
    }

    async fn set_mode(&self, device: &DevlinkHandle, mode: Mode, _limit: Duration) -> Result<()> {
        let pf = switch(self, device, &format!("switch to {mode} the eswitch of")).await?;
        let wanted = match mode {
            Mode::Legacy => EswitchMode::Legacy,
            Mode::Switchdev => EswitchMode::Switchdev,
            // esw_mode_from_devlink in mlx5's eswitch_offloads.c before Linux 6.19.
            Mode::SwitchdevInactive => {
                return Err(refused(format!("switch the eswitch of {device} to {mode}"), Errno::EINVAL));
            }
        };
        self.operate("eswitch_mode", device, |state| kernel::set_eswitch_mode(state, pf, wanted))
            .map_err(|refusal| refused(format!("switch the eswitch of {device} to {mode}"), refusal))
    }

    async fn set_inline(&self, device: &DevlinkHandle, inline: InlineMode) -> Result<()> {
        let pf = switch(self, device, "set the inline mode of").await?;
        self.operate("eswitch_inline", device, |state| rules::set_inline(state, pf, inline))
            .map_err(|refusal| refused(format!("set the inline mode of {device} to {inline}"), refusal))
    }

    async fn set_encap(&self, device: &DevlinkHandle, encap: EncapMode) -> Result<()> {
        let pf = switch(self, device, "set the encap mode of").await?;
        self.operate("eswitch_encap", device, |state| rules::set_encap(state, pf, encap))
            .map_err(|refusal| refused(format!("set the encap mode of {device} to {encap}"), refusal))
    }

    async fn ports(&self, device: &DevlinkHandle) -> Result<Vec<Port>> {
        self.tally("ports");
        let pf = function(self, device).await?;
        Ok(self.observe(|state| ports(state, pf)))
    }

    async fn params(&self, device: &DevlinkHandle) -> Result<Vec<Param>> {
        self.tally("params");
        let address = function(self, device).await?;
        Ok(self.observe(|state| params(state, address)))
    }

    async fn all_params(&self) -> Result<BTreeMap<DevlinkHandle, Vec<Param>>> {
        self.tally("params");
        let devices = self.devices().await?;
        Ok(self.observe(|state| {
            let of = |device: DevlinkHandle| Some((device.clone(), params(state, device.pci()?)));
            devices.into_iter().filter_map(of).filter(|(_, params)| !params.is_empty()).collect()
        }))
    }

    async fn reload(
        &self,
        device: &DevlinkHandle,
        reload: Reload,
        limit: Duration,
    ) -> Result<BTreeSet<ReloadAction>> {
        let address = function(self, device).await?;
        let intent = format!("reload {device}, {reload}");
        // `vhost_vdpa_remove` in drivers/vhost/vdpa.c waits until QEMU lets go.
        let is_held = self.observe(|state| {
            state.holders.contains_key(&address) && state.vdpa.values().any(|vdpa| vdpa.parent == address)
        });
        if is_held {
            self.wait(limit, |_| None::<()>).await;
            return Err(Error::Netlink(vdpa_netlink::Error::Timeout { intent, limit }));
        }
        self.operate("devlink_reload", device, |state| auxiliary::reload(state, address, reload))
            .map_err(|refusal| refused(intent, refusal))
    }

    async fn reload_failed(&self, device: &DevlinkHandle) -> Result<bool> {
        let address = function(self, device).await?;
        Ok(self.observe(|state| auxiliary::driven_vf(state, address).is_some_and(|vf| vf.down)))
    }

    async fn auxiliaries(&self) -> Result<BTreeMap<PciAddress, Auxiliaries>> {
        self.tally("auxiliaries");
        Ok(self.observe(|state| {
            let mlx5 = state.functions.iter().filter(|(_, function)| {
                function.driver.as_ref().is_some_and(|driver| driver.as_str() == "mlx5_core")
            });
            mlx5.map(|(address, _)| (*address, auxiliary::all(state, *address))).collect()
        }))
    }

    async fn set_param(
        &self,
        device: &DevlinkHandle,
        name: &str,
        mode: ParamMode,
        value: &ParamValue,
    ) -> Result<()> {
        let address = function(self, device).await?;
        let object = format!("{device} {name}");
        self.operate("devlink_param", &object, |state| rules::set_param(state, address, name, mode, value))
            .map_err(|refusal| {
                refused(format!("set {mode} parameter {name} of {device} to {value}"), refusal)
            })
    }

    async fn rates(&self, device: &DevlinkHandle) -> Result<BTreeMap<VfIndex, PortRate>> {
        let address = function(self, device).await?;
        self.tally("rates");
        Ok(self.observe(|state| {
            let switchdev = state.pf(address).filter(|pf| pf.eswitch.mode == EswitchMode::Switchdev);
            let vfs = switchdev.map(|pf| &pf.vfs).into_iter().flatten();
            let rate = |(min_mbps, max_mbps)| Rate { min_mbps, max_mbps };
            vfs.map(|(vf, kept)| (*vf, PortRate { port: port_of(*vf), rate: rate(kept.rate_mbps) })).collect()
        }))
    }

    async fn set_rate(&self, device: &DevlinkHandle, port: u32, rate: Rate) -> Result<()> {
        let address = function(self, device).await?;
        let object = format!("{device}/{port}");
        self.operate("devlink_rate", &object, |state| rules::set_rate(state, address, port, rate))
            .map_err(|refusal| refused(format!("set the rate of port {object}: {rate}"), refusal))
    }

    async fn lag(&self, device: &DevlinkHandle) -> Result<Option<LagState>> {
        let address = function(self, device).await?;
        Ok(self.observe(|state| lag_state(state, address)))
    }

    async fn await_lag(&self, device: &DevlinkHandle, wanted: LagState, limit: Duration) -> Result<()> {
        let address = function(self, device).await?;
        let found = self.wait(limit, |state| lag_state(state, address).filter(|seen| *seen == wanted)).await;
        found.map(|_| ()).ok_or_else(|| Error::LagStays {
            device: device.clone(),
            seen: self.observe(|state| lag_state(state, address)),
            limit,
        })
    }

    async fn representors(&self, device: &DevlinkHandle) -> Result<Representors> {
        self.tally("representors");
        let pf = function(self, device).await?;
        Ok(self.observe(|state| representors(state, pf)))
    }

    async fn await_representors(
        &self,
        device: &DevlinkHandle,
        vfs: &[VfIndex],
        limit: Duration,
    ) -> Result<Representors> {
        let pf = function(self, device).await?;
        let missing = |found: &Representors| -> Vec<VfIndex> {
            vfs.iter().copied().filter(|vf| !found.vfs.contains_key(vf)).collect()
        };
        let all = |state: &Simulated| Some(representors(state, pf)).filter(|found| missing(found).is_empty());
        if let Some(found) = self.wait(limit, all).await {
            return Ok(found);
        }
        let seen = self.observe(|state| representors(state, pf));
        let missing = missing(&seen);
        Err(Error::NoRepresentor { device: device.clone(), missing, limit, seen: Box::new(sighting(seen)) })
    }

    async fn await_uplink(&self, device: &DevlinkHandle, limit: Duration) -> Result<Representor> {
        let pf = function(self, device).await?;
        let found = self.wait(limit, |state| representors(state, pf).uplink).await;
        found.ok_or_else(|| {
            let seen = self.observe(|state| representors(state, pf));
            Error::NoUplink { device: device.clone(), limit, seen: Box::new(sighting(seen)) }
        })
    }

    async fn tc_offload(&self, link: IfIndex) -> Result<bool> {
        self.observe(|state| state.netdevs.get(&link).map(|netdev| netdev.tc_offload == Some(true)))
            .ok_or(Error::NoLink(link))
    }

    async fn tc_offloads(&self) -> Result<BTreeSet<IfIndex>> {
        self.tally("features");
        Ok(self.observe(|state| {
            let offloading = state.netdevs.iter().filter(|(_, netdev)| netdev.tc_offload == Some(true));
            offloading.map(|(index, _)| *index).collect()
        }))
    }

    async fn set_tc_offload(&self, link: IfIndex, on: bool) -> Result<()> {
        let changeable =
            self.observe(|state| state.netdevs.get(&link).map(|netdev| netdev.tc_offload.is_some()));
        let changeable = changeable.ok_or(Error::NoLink(link))?;
        // By name: the same device has another index after each mode change.
        let name = self.observe(|state| state.netdevs.get(&link).map(|netdev| netdev.name.to_string()));
        let active = self
            .operate("tc_offload", &name.unwrap_or_default(), |state| kernel::set_tc_offload(state, link, on))
            .map_err(|refusal| {
                let state = if on { "on" } else { "off" };
                refused(format!("turn hw-tc-offload of network device {link} {state}"), refusal)
            })?;
        if active == on { Ok(()) } else { Err(Error::OffloadStays { link, on, changeable }) }
    }

    async fn set_function_mac(&self, device: &DevlinkHandle, vf: VfIndex, mac: MacAddress) -> Result<()> {
        let pf = function(self, device).await?;
        let port = self.observe(|state| ports(state, pf).into_iter().any(|port| port.local_vf() == Some(vf)));
        if !port {
            return Err(Error::NoPort { device: device.clone(), vf });
        }
        let object = Vf { pf, index: vf };
        self.operate("port_function", &object, |state| rules::set_function_mac(state, object, mac))
            .map_err(|refusal| refused(format!("set the MAC address of {device} vf {vf} to {mac}"), refusal))
    }
}

/// The port of a VF: mlx5's number of its vport.
fn port_of(vf: VfIndex) -> u32 {
    u32::from(vf.get()) + 1
}

fn lag_state(state: &Simulated, pf: PciAddress) -> Option<LagState> {
    state.pf(pf)?;
    Some(if kernel::is_bonded_in_hardware(state, pf) { LagState::Active } else { LagState::Disabled })
}

/// The function behind a device that has devlink.
async fn function(machine: &Machine, device: &DevlinkHandle) -> Result<PciAddress> {
    let known = machine.devices().await?.contains(device);
    device.pci().filter(|_| known).ok_or_else(|| Error::NoDevice(device.clone()))
}

/// The PF behind a device that has a switch: VFs have none (`mlx5_eswitch_check` in mlx5's eswitch.c).
async fn switch(machine: &Machine, device: &DevlinkHandle, intent: &str) -> Result<PciAddress> {
    let address = function(machine, device).await?;
    let is_pf = machine.observe(|state| state.pf(address).is_some());
    if is_pf { Ok(address) } else { Err(refused(format!("{intent} {device}"), Errno::EOPNOTSUPP)) }
}

fn refused(intent: String, refusal: impl Into<Refusal>) -> Error {
    Error::Refused { intent, refusal: refusal.into() }
}

fn sighting(representors: Representors) -> Sighting {
    Sighting { representors, looked_in: "the simulated machine".to_owned() }
}

fn representors(state: &Simulated, pf: PciAddress) -> Representors {
    let representor = |role| {
        let (index, netdev) = state.netdev_with(role)?;
        Some(Representor { index, name: netdev.name.clone() })
    };
    let vfs = state.netdevs.values().filter_map(|netdev| match netdev.role {
        NetdevRole::Representor(vf) if vf.pf == pf => Some((vf.index, representor(netdev.role)?)),
        _ => None,
    });
    Representors { uplink: representor(NetdevRole::Uplink(pf)), vfs: vfs.collect() }
}

/// The uplink's port, and in switchdev mode one for each VF; a port may be there before its netdev.
fn ports(state: &Simulated, address: PciAddress) -> Vec<Port> {
    let Some(pf) = state.pf(address) else { return Vec::new() };
    let Representors { uplink, mut vfs } = representors(state, address);
    let netdev = |representor: Option<Representor>| representor.map(|r| (r.index, r.name));
    let blank = Port {
        index: UPLINK,
        flavour: Some(Flavour::Physical),
        number: Some(0),
        pf: None,
        vf: None,
        controller: None,
        external: false,
        netdev: netdev(uplink),
        function: None,
    };
    let of_vf = |(index, settings): (&VfIndex, &vdpa_hw::mock::VfSettings)| Port {
        index: port_of(*index),
        flavour: Some(Flavour::PciVf),
        number: None,
        pf: Some(0),
        vf: Some(*index),
        controller: Some(0),
        external: false,
        netdev: netdev(vfs.remove(index)),
        function: Some(PortFunction { hw_addr: Some(settings.mac), state: None }),
    };
    let switchdev = pf.eswitch.mode == EswitchMode::Switchdev;
    let vf_ports: Vec<_> = pf.vfs.iter().filter(|_| switchdev).map(of_vf).collect();
    vf_ports.into_iter().chain([blank]).collect()
}

/// The parameters of a function's driver.
fn params(state: &Simulated, address: PciAddress) -> Vec<Param> {
    let pf = state.pf(address).map(|pf| &pf.params).into_iter().flatten();
    pf.map(|(name, value)| param(name, value))
        .chain(rules::permanent_params(state, address))
        .chain(
            auxiliary::vf_params(state, address)
                .map(|(name, value)| param(name, &SimParam::Driverinit(value))),
        )
        .collect()
}

fn param(name: &str, param: &SimParam) -> Param {
    let (mode, value) = match param {
        SimParam::Runtime(text) => (ParamMode::Runtime, ParamValue::Text(text.clone())),
        // The value that is set, in force or not (`devlink_nl_param_fill`).
        SimParam::Driverinit(value) => (ParamMode::Driverinit, ParamValue::Bool(value.set)),
    };
    Param {
        name: name.to_owned(),
        generic: matches!(param, SimParam::Driverinit(_)),
        values: [(mode, value)].into(),
    }
}

#[cfg(test)]
mod tests;
