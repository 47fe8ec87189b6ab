//! What can be asked of the switches of a host.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use vdpa_hw::{IfIndex, MacAddress, PciAddress, VfIndex};

use crate::error::Result;
use crate::{
    Auxiliaries, DevlinkHandle, EncapMode, Info, InlineMode, LagState, Mode, Param, ParamMode, ParamValue,
    Port, PortRate, Rate, Reload, ReloadAction, Representor, Representors, State, SteeringMode, steering,
};

/// The switches of a host's cards, and the representors through which the host programs them.
///
/// Reads need no privilege; writes need `CAP_NET_ADMIN` in the initial user namespace.
/// Sources: devlink(8), `Documentation/networking/devlink`, `Documentation/networking/representors.rst`.
#[async_trait]
pub trait Eswitch: Send + Sync {
    /// Every devlink device, by handle.
    async fn devices(&self) -> Result<Vec<DevlinkHandle>>;

    /// What the device says of itself.
    async fn info(&self, device: &DevlinkHandle) -> Result<Info>;

    /// How its switch is set. Refused (EOPNOTSUPP) by a device that has none, such as a VF.
    async fn state(&self, device: &DevlinkHandle) -> Result<State>;

    /// Switches the mode and returns when the kernel has answered; the mode it has is no change.
    ///
    /// Representors may come later: [`await_representors`](Self::await_representors). mlx5 works on the
    /// answer for as long as it takes to make or remove them; see [`patience`].
    async fn set_mode(&self, device: &DevlinkHandle, mode: Mode, limit: Duration) -> Result<()>;

    /// Sets the inline mode. Refused (EOPNOTSUPP) by cards that need none and drivers that know none.
    async fn set_inline(&self, device: &DevlinkHandle, inline: InlineMode) -> Result<()>;

    /// Sets the encapsulation mode. Refused by mlx5 while flows are offloaded.
    async fn set_encap(&self, device: &DevlinkHandle, encap: EncapMode) -> Result<()>;

    /// The ports of the switch, by index.
    async fn ports(&self, device: &DevlinkHandle) -> Result<Vec<Port>>;

    /// The parameters of the device's driver.
    async fn params(&self, device: &DevlinkHandle) -> Result<Vec<Param>>;

    /// Sets a parameter, to hold from the moment that `mode` says.
    async fn set_param(
        &self,
        device: &DevlinkHandle,
        name: &str,
        mode: ParamMode,
        value: &ParamValue,
    ) -> Result<()>;

    /// The parameters of all devices that have any, in one listing.
    async fn all_params(&self) -> Result<BTreeMap<DevlinkHandle, Vec<Param>>>;

    /// Loads the driver of a device again (`net/devlink/dev.c`: `devlink_reload`), and returns when that is done: down,
    /// parameters, up. Tells what was done, which is what was asked for at least. Needs `CAP_NET_ADMIN`.
    ///
    /// What the driver had made goes and is made again. Of an mlx5 VF that is its network device, with another index, and
    /// its vDPA management device with all devices of it, which waits without limit while QEMU has one open
    /// (`vhost_vdpa_remove`); its representor, which is the PF's, stays. An mlx5 PF is in legacy mode afterwards, and
    /// refuses while its ports are one with another's in hardware. See [`patience`] for the `limit`.
    ///
    /// A driver that does not come up again is refused with its reason, and [`reload_failed`](Self::reload_failed) until
    /// it does at a later one.
    async fn reload(
        &self,
        device: &DevlinkHandle,
        reload: Reload,
        limit: Duration,
    ) -> Result<BTreeSet<ReloadAction>>;

    /// Whether the device's last reload took its driver down and did not bring it up.
    async fn reload_failed(&self, device: &DevlinkHandle) -> Result<bool>;

    /// The auxiliary devices that drivers have made of PCI functions, in one listing: which of the parameters that
    /// [`Auxiliary`](crate::Auxiliary) names are in force.
    async fn auxiliaries(&self) -> Result<BTreeMap<PciAddress, Auxiliaries>>;

    /// Who programs the card's flow tables; `None` where the driver leaves no choice, or a newer one than is
    /// known here.
    async fn steering(&self, device: &DevlinkHandle) -> Result<Option<SteeringMode>> {
        let params = self.params(device).await?;
        let param = params.into_iter().find(|param| param.name == steering::PARAM);
        Ok(param.and_then(|param| match param.values.get(&ParamMode::Runtime)? {
            ParamValue::Text(text) => text.parse().ok(),
            _ => None,
        }))
    }

    /// Sets who programs the card's flow tables. mlx5 refuses a new one in switchdev mode.
    async fn set_steering(&self, device: &DevlinkHandle, mode: SteeringMode) -> Result<()> {
        let value = ParamValue::Text(mode.to_string());
        self.set_param(device, steering::PARAM, ParamMode::Runtime, &value).await
    }

    /// The rates of the VFs' ports, which exist in switchdev mode only; empty where the driver has none.
    async fn rates(&self, device: &DevlinkHandle) -> Result<BTreeMap<VfIndex, PortRate>>;

    /// Sets the rates of a port. mlx5 refuses (EINVAL) what the cable cannot carry.
    async fn set_rate(&self, device: &DevlinkHandle, port: u32, rate: Rate) -> Result<()>;

    /// Whether the card's ports are one in hardware; `None` where its driver does not tell. Needs root.
    async fn lag(&self, device: &DevlinkHandle) -> Result<Option<LagState>>;

    /// Waits until the card's ports are one in hardware, or are none any more, no longer than `limit`.
    async fn await_lag(&self, device: &DevlinkHandle, wanted: LagState, limit: Duration) -> Result<()>;

    /// The representors that are there now.
    async fn representors(&self, device: &DevlinkHandle) -> Result<Representors>;

    /// The representors, as soon as there is one for each of `vfs`; waits no longer than `limit` and
    /// looks once in any case.
    async fn await_representors(
        &self,
        device: &DevlinkHandle,
        vfs: &[VfIndex],
        limit: Duration,
    ) -> Result<Representors>;

    /// The uplink, as soon as it is there; waits no longer than `limit` and looks once in any case.
    async fn await_uplink(&self, device: &DevlinkHandle, limit: Duration) -> Result<Representor>;

    /// Whether the network device hands tc rules to its hardware (`ethtool -k`: hw-tc-offload).
    async fn tc_offload(&self, link: IfIndex) -> Result<bool>;

    /// The network devices that hand tc rules to their hardware, all of them in one listing.
    async fn tc_offloads(&self) -> Result<BTreeSet<IfIndex>>;

    /// Has it hand tc rules to its hardware, or not, and reads back whether it does.
    ///
    /// The kernel answers "done" where the feature is fixed: that is an error here.
    async fn set_tc_offload(&self, link: IfIndex, on: bool) -> Result<()>;

    /// Sets the MAC address of the VF's function through its port, which exists in switchdev mode only.
    ///
    /// The VF takes it when a driver binds to it (`devlink port function set … hw_addr`).
    async fn set_function_mac(&self, device: &DevlinkHandle, vf: VfIndex, mac: MacAddress) -> Result<()>;
}

/// How long to wait for something that the kernel does for each of `vfs` VFs: a mode change, or their
/// representors.
///
/// 20 s, and 1 s for each VF: 125 VFs took 65 s on a `ConnectX-6` Lx (SR-IOV network operator #1015),
/// and a slow machine is no broken one. Linear, so that no number of VFs gets none at all.
pub fn patience(vfs: usize) -> Duration {
    let vfs = u64::try_from(vfs).unwrap_or(u64::from(u16::MAX)).min(u64::from(u16::MAX));
    Duration::from_secs(20 + vfs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_vfs_have_more_time_and_none_has_no_time() {
        let all = [0, 1, 16, 17, 63, 64, 127, usize::MAX].map(patience);
        assert!(all.is_sorted() && all[0] >= Duration::from_secs(10), "{all:?}");
        assert!(patience(125) >= Duration::from_secs(2 * 65), "{:?}", patience(125));
    }
}
