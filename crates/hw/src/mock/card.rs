//! A card of the simulated machine: a PF, its switch, and how its driver behaves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::nouns::{MacAddress, NetdevName, Vf, VfIndex};

/// A physical function with its embedded switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SimPf {
    /// Name that udev gives its network device.
    pub netdev: NetdevName,
    /// MAC burnt into the card.
    pub permanent_mac: MacAddress,
    /// `sriov_totalvfs`.
    pub total_vfs: u16,
    /// `sriov_numvfs`.
    pub num_vfs: u16,
    /// `sriov_drivers_autoprobe`.
    pub autoprobe: bool,
    /// Routing id of the first VF, counted from the PF.
    pub first_vf_offset: u16,
    /// Routing id from one VF to the next.
    pub vf_stride: u16,
    /// What the PF keeps for its VFs.
    pub vfs: BTreeMap<VfIndex, VfSettings>,
    /// The switch.
    pub eswitch: Eswitch,
    /// The parameters of its driver.
    #[serde(default)]
    pub params: BTreeMap<String, SimParam>,
    /// How its driver behaves.
    pub profile: Profile,
    /// A write to its `sriov_numvfs` has not returned.
    #[serde(default)]
    pub stuck: bool,
}

/// A devlink parameter of a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SimParam {
    /// A text that holds at once.
    Runtime(String),
    /// A truth value that holds from the next reload on.
    Driverinit(Driverinit),
}

/// A truth value that holds from the next reload on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driverinit {
    /// What it is set to, and what devlink shows.
    pub set: bool,
    /// What it was set to when the driver was last loaded.
    pub in_force: bool,
}

impl Driverinit {
    /// On, as the driver has it when it is loaded first.
    pub const ON: Self = Self { set: true, in_force: true };

    /// The driver is loaded again.
    pub(super) fn reload(&mut self) {
        self.in_force = self.set;
    }
}

/// What a PF keeps for one VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfSettings {
    /// Administrative MAC.
    pub mac: MacAddress,
    /// Trust.
    pub trust: bool,
    /// Spoof checking.
    pub spoofchk: bool,
    /// The rates of its port in switchdev mode: share and limit, in Mbit/s, 0 for none.
    #[serde(default)]
    pub rate_mbps: (u32, u32),
}

/// A virtual function.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SimVf {
    /// Which VF of which PF.
    pub vf: Vf,
    /// The MAC it took when its driver was bound.
    pub effective_mac: Option<MacAddress>,
    /// `enable_eth`: whether it has a network device.
    #[serde(default = "on")]
    pub eth: Driverinit,
    /// `enable_vnet`: whether it has what vDPA devices are made of.
    #[serde(default = "on")]
    pub vnet: Driverinit,
    /// A reload took its driver down and did not bring it up.
    #[serde(default)]
    pub down: bool,
}

impl SimVf {
    /// A VF that no driver has had yet.
    pub fn new(vf: Vf) -> Self {
        Self { vf, effective_mac: None, eth: Driverinit::ON, vnet: Driverinit::ON, down: false }
    }
}

fn on() -> Driverinit {
    Driverinit::ON
}

/// The switch of a PF.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Eswitch {
    /// Its mode.
    pub mode: EswitchMode,
    /// Its inline mode.
    pub inline: Inline,
    /// Whether it encapsulates.
    pub encap: bool,
    /// Its switch id, in hexadecimal.
    pub switch_id: String,
}

/// `DEVLINK_ESWITCH_MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EswitchMode {
    /// 0.
    Legacy,
    /// 1.
    Switchdev,
}

/// `DEVLINK_ESWITCH_INLINE_MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// 0.
    None,
    /// 1.
    Link,
    /// 2.
    Network,
    /// 3.
    Transport,
}

/// How a driver behaves where drivers differ.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "independent knobs, each with its own evidence")]
pub struct Profile {
    /// Switchdev is refused while a VF has a driver: why guides for `ConnectX-6` Dx unbind VFs first.
    pub refuses_switchdev_with_bound_vfs: bool,
    /// Switchdev is refused without VFs: "Can't set offloads mode, SRIOV legacy not enabled" of
    /// mlx5's `eswitch_offloads.c` before kernel 5.7.
    pub refuses_switchdev_without_vfs: bool,
    /// Legacy is refused while the uplink is a port of an OVS bridge with offload in force: SR-IOV
    /// network operator, "offloaded tc rules can block the change".
    pub refuses_legacy_when_bridged: bool,
    /// Milliseconds until a VF exists after `sriov_numvfs`, for each VF: 4 took 1.6 s, 125 took 65 s
    /// on a `ConnectX-6` Lx (SR-IOV network operator #1015).
    pub vf_ms: u64,
    /// Refuse every change to switchdev with this text, as a card with old firmware does.
    #[serde(default)]
    pub refuses_switchdev: Option<String>,
    /// hw-tc-offload says yes and does nothing, as veth does.
    #[serde(default)]
    pub ignores_tc_offload: bool,
    /// The kernel lists devlink parameters for firmware settings: mlx5 from Linux 6.18 on.
    #[serde(default)]
    pub has_permanent_params: bool,
    /// Takes no flower rule, as a card does whose tables are full.
    #[serde(default)]
    pub refuses_flower: bool,
    /// Every change of the mode is refused while there are VFs: `ice_eswitch_mode_set` in Linux 6.12.
    #[serde(default)]
    pub refuses_mode_with_vfs: bool,
    /// A new `flow_steering_mode` is refused while there are VFs: the vendor's driver (netplan #608).
    #[serde(default)]
    pub refuses_steering_with_vfs: bool,
    /// A VF takes a MAC of its own when it is bound, whatever it was given.
    #[serde(default)]
    pub ignores_mac: bool,
    /// hw-tc-offload is off on all of its ports after a restart of Open vSwitch, as scripts that set it after each
    /// restart have it (os-net-config); no kernel source says why it should.
    #[serde(default)]
    pub loses_tc_offload_at_restart: bool,
    /// A write to `sriov_numvfs` does not return: a driver that waits for its firmware.
    #[serde(default)]
    pub hangs_at_vf_count: bool,
    /// Bonds of its ports do not become one in hardware.
    #[serde(default)]
    pub holds_lag: bool,
    /// VFs have a vDPA management device once `mlx5_core` is bound to them; without it, their driver has no
    /// `enable_vnet` either (`mlx5_vnet_supported` in mlx5's `dev.c`).
    pub has_vdpa: bool,
    /// VFs have no `enable_eth` and no `enable_vnet`: mlx5 before Linux 5.15.
    #[serde(default)]
    pub lacks_enable_params: bool,
    /// The module that makes vDPA devices of VFs is not installed.
    #[serde(default)]
    pub lacks_vdpa_module: bool,
    /// A reload of a function is refused with this text.
    #[serde(default)]
    pub refuses_reload: Option<String>,
    /// A reload takes the function down and fails to bring it up again.
    #[serde(default)]
    pub fails_reload: bool,
}
