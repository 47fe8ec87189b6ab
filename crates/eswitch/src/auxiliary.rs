//! The auxiliary devices that a driver makes of a function, one for each class of what it can do.
//!
//! mlx5 makes them by three parameters of the function's own devlink device, each of which holds from its next reload on.
//! What a parameter is set to devlink shows; what is in force it does not (`devlink_nl_param_fill` in
//! `net/devlink/param.c` shows the value that is set last), but the devices that are there do.
//!
//! ```text
//!  VF with mlx5_core ─┬─ mlx5_core.eth.N    its network device     enable_eth
//!                     ├─ mlx5_core.rdma.N   its RDMA device        enable_rdma
//!                     └─ mlx5_core.vnet.N   what vDPA is made of   enable_vnet
//! ```
//!
//! Sources: `Documentation/networking/devlink/devlink-params.rst`, `mlx5_devlink_auxdev_params_register` in mlx5's
//! `devlink.c` and `mlx5_adev_devices` in its `dev.c`, both since Linux 5.15; `drivers/base/auxiliary.c`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vdpa_hw::PciAddress;

/// A class of auxiliary devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auxiliary {
    /// Ethernet: the function's network device.
    Eth,
    /// RDMA.
    Rdma,
    /// Virtio networking: what `mlx5_vdpa` makes a vDPA management device of. VFs and SFs have it, PFs have not.
    Vnet,
}

/// The auxiliary devices of a function.
pub type Auxiliaries = BTreeSet<Auxiliary>;

impl Auxiliary {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Eth, Self::Rdma, Self::Vnet];

    /// The generic devlink parameter by which a driver makes one or not.
    pub fn param(self) -> &'static str {
        match self {
            Self::Eth => "enable_eth",
            Self::Rdma => "enable_rdma",
            Self::Vnet => "enable_vnet",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Eth => "eth",
            Self::Rdma => "rdma",
            Self::Vnet => "vnet",
        }
    }

    /// Whose it is, and its class, by its path in sysfs: `…/0000:43:00.2/mlx5_core.vnet.5`.
    pub(crate) fn from_path(path: &Path) -> Option<(PciAddress, Self)> {
        let function = path.parent()?.file_name()?.to_str()?.parse().ok()?;
        // `auxiliary_device_add` names it by its driver's module, its own name and a number.
        let name = path.file_name()?.to_str()?;
        let (rest, number) = name.rsplit_once('.')?;
        let (_, suffix) = rest.rsplit_once('.')?;
        let class = Self::ALL.into_iter().find(|class| class.suffix() == suffix)?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some((function, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_whose_it_is_and_of_which_class() {
        let of = |path: &str| Auxiliary::from_path(Path::new(path));
        let devices = "../../../devices/pci0000:00/0000:00:02.0";
        let vf: PciAddress = "0000:43:00.2".parse().unwrap();
        assert_eq!(of(&format!("{devices}/0000:43:00.2/mlx5_core.vnet.5")), Some((vf, Auxiliary::Vnet)));
        assert_eq!(of(&format!("{devices}/0000:43:00.2/mlx5_core.eth.5")), Some((vf, Auxiliary::Eth)));
        // A representor's RDMA, a SF, what hangs on a SF, and another driver's.
        for other in
            ["mlx5_core.rdma-rep.5", "mlx5_core.sf.4", "mlx5_core.sf.4/mlx5_core.eth.6", "ice.roce.0"]
        {
            assert_eq!(of(&format!("{devices}/0000:43:00.2/{other}")), None, "{other}");
        }
    }
}
