//! How drivers differ where what we do depends on it.
//!
//! What a card does is observed first: its parameters, its modes and its refusals are read from the kernel. A
//! profile holds only what cannot be seen before it is tried, and each line of it names its evidence (files of
//! Linux 6.12).

/// What is known of a driver beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// The PF's driver.
    pub driver: &'static str,
    /// The driver of its VFs, where that is another one.
    pub vf_driver: Option<&'static str>,
    /// Whether the eswitch can change its mode while there are VFs.
    pub switches_with_vfs: bool,
    /// What cannot be set of a VF through its PF in switchdev mode.
    pub refused_in_switchdev: &'static [VfAttribute],
    /// Whether two uplinks in a bond become one port of the switch (VF LAG), which a file of the driver's tells.
    pub bonds_in_hardware: bool,
    /// Whether it makes of its VFs what their parameters `enable_eth` and `enable_vnet` say ([`Auxiliary`](crate::Auxiliary)).
    pub makes_auxiliaries: bool,
}

/// An attribute of a VF that is set through its PF, by its word in ip-link(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VfAttribute {
    /// `trust`.
    Trust,
    /// `spoofchk`.
    Spoofchk,
}

impl std::fmt::Display for VfAttribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Trust => "trust",
            Self::Spoofchk => "spoofchk",
        })
    }
}

/// `mlx5_eswitch_set_vport_trust` and `_spoofchk` (mlx5's `esw/legacy.c`) answer EOPNOTSUPP outside of legacy mode.
/// VFs may be there when the mode changes (`mlx5_devlink_eswitch_mode_set`), though older firmware wants them unbound.
/// Bonds: `lag/lag.c`. Auxiliary devices: `dev.c`, from Linux 5.15 on.
const MLX5: Profile = Profile {
    driver: "mlx5_core",
    vf_driver: None,
    switches_with_vfs: true,
    refused_in_switchdev: &[VfAttribute::Trust, VfAttribute::Spoofchk],
    bonds_in_hardware: true,
    makes_auxiliaries: true,
};

/// `ice_eswitch_mode_set` (`ice_eswitch.c`) refuses while there are VFs; `ice_set_vf_trust` (`ice_sriov.c`) refuses in
/// switchdev mode, `ice_set_vf_spoofchk` does not. VFs belong to `iavf`.
const ICE: Profile = Profile {
    driver: "ice",
    vf_driver: Some("iavf"),
    switches_with_vfs: false,
    refused_in_switchdev: &[VfAttribute::Trust],
    bonds_in_hardware: false,
    makes_auxiliaries: false,
};

/// `nsim_set_vf_trust` and its like (`drivers/net/netdevsim/netdev.c`) ask for no mode, but for the rate, which is
/// devlink's in switchdev mode; going to 0 VFs leaves switchdev mode (`nsim_drv_configure_vfs`).
const NETDEVSIM: Profile = Profile {
    driver: "netdevsim",
    vf_driver: None,
    switches_with_vfs: true,
    refused_in_switchdev: &[],
    bonds_in_hardware: false,
    makes_auxiliaries: false,
};

/// A driver that nobody here has read: nothing is taken to be refused before the kernel has refused it.
const UNKNOWN: Profile = Profile {
    driver: "",
    vf_driver: None,
    switches_with_vfs: true,
    refused_in_switchdev: &[],
    bonds_in_hardware: false,
    makes_auxiliaries: false,
};

impl Profile {
    /// Those that are known.
    pub const ALL: &'static [Self] = &[MLX5, ICE, NETDEVSIM];

    /// The profile of the driver with this name.
    pub fn of(driver: &str) -> &'static Self {
        Self::ALL.iter().find(|profile| profile.driver == driver).unwrap_or(&UNKNOWN)
    }

    /// Whether `attribute` cannot be set in switchdev mode.
    pub fn refuses(&self, attribute: VfAttribute) -> bool {
        self.refused_in_switchdev.contains(&attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_found_by_its_name_and_an_unknown_one_is_given_its_chance() {
        for profile in Profile::ALL {
            assert_eq!(Profile::of(profile.driver), profile);
        }
        assert!(!Profile::of("ice").switches_with_vfs);
        assert!(Profile::of("nfp").switches_with_vfs && !Profile::of("nfp").refuses(VfAttribute::Trust));
    }
}
