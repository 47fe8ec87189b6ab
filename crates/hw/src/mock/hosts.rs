//! Ready-made machines.

use std::collections::BTreeMap;

use super::{
    Driverinit, Eswitch, EswitchMode, Inline, Netdev, NetdevRole, Profile, SimFunction, SimNv, SimParam,
    SimPf, SimRole, State,
};
use crate::link::ManagementUse;
use crate::nouns::{IfIndex, MacAddress, NetdevName, PciAddress, PciId};

/// `ConnectX-6` Dx: MT2892 Family.
pub const CONNECTX_6_DX: PciId = PciId { vendor: 0x15b3, device: 0x101d };

/// The reference document's host 105: a dual-port `ConnectX-6` Dx at 0000:43:00, managed through `eno1`
/// below the bridge `baremetal`. `total_vfs` is its `NUM_OF_VFS`, 8.
pub fn host_105() -> State {
    let mut state = State { drivers: names(["mlx5_core", "vfio-pci"]), next_ifindex: 10, ..State::default() };
    let ports = [
        (0, "enp67s0f0", [0x0c, 0x42, 0xa1, 0xfa, 0x18, 0xa2]),
        (1, "enp67s0f1", [0x0c, 0x42, 0xa1, 0xfa, 0x18, 0xa3]),
    ];
    for (function, netdev, mac) in ports {
        if let Some(address) = PciAddress::new(0, 0x43, 0, function) {
            // As lspci shows the reference card: VFs of function 0 start at 43:00.2, of function 1 behind them.
            add_pf(&mut state, address, name(netdev), MacAddress::new(mac), 8, 2 + 7 * u16::from(function));
        }
    }
    add_management(&mut state);
    state
}

/// A host with one card at `address` that allows `total_vfs` VFs.
pub fn one_card(address: PciAddress, netdev: NetdevName, total_vfs: u16) -> State {
    let mut state = State { drivers: names(["mlx5_core", "vfio-pci"]), next_ifindex: 10, ..State::default() };
    add_pf(&mut state, address, netdev, MacAddress::new([0x0c, 0x42, 0xa1, 0, 0, 1]), total_vfs, 2);
    add_management(&mut state);
    state
}

/// How `mlx5_core` behaves on a current kernel.
pub fn mlx5() -> Profile {
    Profile {
        refuses_switchdev_with_bound_vfs: true,
        refuses_switchdev_without_vfs: false,
        refuses_legacy_when_bridged: true,
        vf_ms: 400,
        refuses_switchdev: None,
        ignores_tc_offload: false,
        has_permanent_params: false,
        refuses_flower: false,
        refuses_mode_with_vfs: false,
        refuses_steering_with_vfs: false,
        ignores_mac: false,
        loses_tc_offload_at_restart: false,
        hangs_at_vf_count: false,
        holds_lag: false,
        has_vdpa: true,
        lacks_enable_params: false,
        lacks_vdpa_module: false,
        refuses_reload: None,
        fails_reload: false,
    }
}

/// How `ice` behaves: the mode changes only without VFs (`ice_eswitch_mode_set`), and there is no vDPA.
pub fn ice() -> Profile {
    Profile { refuses_mode_with_vfs: true, has_vdpa: false, ..mlx5() }
}

/// Gives the PF at `address` another driver, whose VFs belong to `vf_driver`, and no parameters.
pub fn drive(state: &mut State, address: PciAddress, driver: &str, vf_driver: &str, profile: Profile) {
    state.drivers.extend([driver, vf_driver].iter().filter_map(|name| name.parse().ok()));
    if let Some(function) = state.functions.get_mut(&address) {
        function.driver = driver.parse().ok();
    }
    if let Some(pf) = state.pf_mut(address) {
        (pf.profile, pf.params) = (profile, BTreeMap::new());
    }
}

/// The devlink parameters that matter here of a PF with `mlx5_core`, with its defaults
/// (`Documentation/networking/devlink/mlx5.rst`). It has no `enable_vnet`: that is for VFs (`mlx5_vnet_supported` in
/// mlx5's `dev.c`).
fn mlx5_params() -> BTreeMap<String, SimParam> {
    let driverinit = ["enable_eth", "enable_rdma", "enable_roce"];
    let driverinit = driverinit.map(|name| (name.to_owned(), SimParam::Driverinit(Driverinit::ON)));
    let steering = ("flow_steering_mode".to_owned(), SimParam::Runtime("dmfs".to_owned()));
    driverinit.into_iter().chain([steering]).collect()
}

/// Puts a PF with its network device into the machine.
pub fn add_pf(
    state: &mut State,
    address: PciAddress,
    netdev: NetdevName,
    permanent_mac: MacAddress,
    total_vfs: u16,
    first_vf_offset: u16,
) {
    let function = SimFunction {
        id: CONNECTX_6_DX,
        driver: "mlx5_core".parse().ok(),
        driver_override: None,
        numa_node: Some(1),
        iommu_group: Some(40 + u32::try_from(state.functions.len()).unwrap_or(0)),
        role: SimRole::Pf(Box::new(SimPf {
            netdev: netdev.clone(),
            permanent_mac,
            total_vfs,
            num_vfs: 0,
            autoprobe: true,
            first_vf_offset,
            vf_stride: 1,
            vfs: BTreeMap::new(),
            eswitch: Eswitch {
                mode: EswitchMode::Legacy,
                inline: Inline::None,
                encap: true,
                switch_id: permanent_mac.to_string().replace(':', ""),
            },
            params: mlx5_params(),
            profile: mlx5(),
            stuck: false,
        })),
    };
    state.functions.insert(address, function);
    state.nv.entry(address.first_function()).or_insert_with(|| SimNv::connectx(total_vfs));
    let uplink = Netdev {
        name: netdev,
        udev_name: None,
        role: NetdevRole::Uplink(address),
        up: true,
        mac: permanent_mac,
        tc_offload: Some(false),
        ingress_qdisc: false,
        ovs_port: false,
        bond: None,
        master: None,
        uses: Vec::new(),
    };
    state.next_ifindex += 1;
    state.netdevs.insert(IfIndex(state.next_ifindex), uplink);
}

fn add_management(state: &mut State) {
    let eno1 = Netdev {
        name: name("eno1"),
        udev_name: None,
        role: NetdevRole::Other,
        up: true,
        mac: MacAddress::new([0x90, 0xb1, 0x1c, 0x40, 0x59, 0x27]),
        tc_offload: None,
        ingress_qdisc: false,
        ovs_port: false,
        bond: None,
        master: None,
        uses: vec![ManagementUse::MemberOf(name("baremetal")), ManagementUse::DefaultRoute],
    };
    state.netdevs.insert(IfIndex(2), eno1);
}

fn name(text: &str) -> NetdevName {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn names<const N: usize>(list: [&str; N]) -> std::collections::BTreeSet<crate::nouns::DriverName> {
    list.iter().filter_map(|text| text.parse().ok()).collect()
}
