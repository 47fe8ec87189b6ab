//! Why a VF has no vDPA management device.

use std::fmt;

use vdpa_hw::{DriverName, PciAddress};

/// What is known about the absence of a management device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// The kernel has no vDPA: the module `vdpa` is not loaded and could not be.
    NoVdpaCore,
    /// There is no such PCI function.
    NoFunction,
    /// The function has no driver.
    NoDriver,
    /// The function has a driver that makes no vDPA devices, `vfio-pci` for one.
    WrongDriver(DriverName),
    /// The module that makes vDPA devices of this function's driver is not loaded and could not be.
    NoModule(&'static str),
    /// The driver has no devlink parameter `enable_vnet` for the function, though it has its like: `mlx5_vnet_supported`
    /// in mlx5's `dev.c` says no.
    NotEmulated,
    /// The driver makes no `vnet` device of the function, of which the module would make one.
    NoVnet,
    /// The module does not take the function's `vnet` device, whose name this is.
    NotTaken(String),
    /// All is loaded, and the function still has none: its firmware does not offer it, or it is turned off.
    NotOffered {
        /// The functions that have one.
        others: Vec<PciAddress>,
    },
}

impl Diagnosis {
    /// What the absence of a management device comes from: `driver` is what drives the function, `has_bus` whether
    /// the kernel's vDPA core is there (`/sys/bus/vdpa`), `is_there` whether a module is loaded or built in, and
    /// `others` are the functions that have one.
    pub fn of(
        driver: Option<DriverName>,
        has_bus: bool,
        is_there: impl FnOnce(&str) -> bool,
        others: Vec<PciAddress>,
    ) -> Self {
        let Some(driver) = driver else { return Self::NoDriver };
        match module_for(&driver) {
            None => Self::WrongDriver(driver),
            Some(_) if !has_bus => Self::NoVdpaCore,
            Some(module) if !is_there(module) => Self::NoModule(module),
            Some(_) => Self::NotOffered { others },
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoVdpaCore => {
                "the kernel needs CONFIG_VDPA (5.7 or newer); `modprobe vdpa` says what is missing"
            }
            Self::NoFunction => "`vdpa status` lists the VFs that exist",
            Self::NoDriver | Self::WrongDriver(_) => "bind the VF to mlx5_core",
            Self::NoModule(_) => {
                "install the distribution's extra kernel modules, or a kernel with CONFIG_MLX5_VDPA_NET"
            }
            Self::NotEmulated => {
                "newer firmware (22.29.2002 or newer for a ConnectX-6 Dx), or a kernel with CONFIG_MLX5_VDPA_NET"
            }
            Self::NoVnet => {
                "`vdpa setup` sets enable_vnet of the VF and reloads it; `devlink dev param show` lists what it has"
            }
            Self::NotTaken(_) => {
                "`dmesg` says why the module mlx5_vdpa does not take it; check the firmware setting UCTX_EN=1"
            }
            Self::NotOffered { .. } => {
                "`vdpa setup` sets enable_vnet of a VF and reloads it; if that is done, check the firmware (22.29.2002 \
                 or newer, UCTX_EN=1)"
            }
        }
    }
}

/// The module that makes vDPA devices of what a PCI driver drives.
pub(super) fn module_for(driver: &DriverName) -> Option<&'static str> {
    match driver.as_str() {
        "mlx5_core" => Some("mlx5_vdpa"),
        "pds_core" => Some("pds_vdpa"),
        "octeon_ep" | "octeontx_vdpa" => Some("octep_vdpa"),
        _ => None,
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVdpaCore => f.write_str("the kernel module `vdpa` is not loaded and cannot be"),
            Self::NoFunction => f.write_str("there is no such PCI function"),
            Self::NoDriver => f.write_str("no driver is bound to it"),
            Self::WrongDriver(driver) => write!(f, "its driver `{driver}` makes no vDPA devices"),
            Self::NoModule(module) => write!(f, "the kernel module `{module}` is not loaded and cannot be"),
            Self::NotEmulated => f.write_str(
                "its driver has no parameter enable_vnet for it: the firmware emulates no virtio queues for VFs, or the \
                 kernel is built without mlx5_vdpa",
            ),
            Self::NoVnet => f.write_str("its driver has made no vnet device of it, for which enable_vnet has to be in force"),
            Self::NotTaken(device) => write!(f, "the module mlx5_vdpa has not taken its device {device}"),
            Self::NotOffered { others } if others.is_empty() => {
                f.write_str("its driver offers none, and no other function has one")
            }
            Self::NotOffered { others } => {
                let others: Vec<_> = others.iter().map(PciAddress::to_string).collect();
                write!(f, "its driver offers none; these have one: {}", others.join(", "))
            }
        }
    }
}
