//! The files that checks will ask for: whatever a check reads, it has to be looked at here, or it is not there.

use std::path::Path;

use vdpa_hw::platform::{Files, Platform};

use crate::doctor::evidence::Card;
use crate::doctor::recording::Recorder;
use std::sync::Arc;

/// Directories of NetworkManager's configuration, from the strongest to the weakest (NetworkManager.conf(5)).
pub(in crate::doctor) const NM_DIRECTORIES: [&str; 3] =
    ["/etc/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/usr/lib/NetworkManager/conf.d"];

/// NetworkManager's main file.
pub(in crate::doctor) const NM_FILE: &str = "/etc/NetworkManager/NetworkManager.conf";

/// Attributes of a PF's PCI Express link (`Documentation/ABI/testing/sysfs-bus-pci`).
pub(in crate::doctor) const PCIE: [&str; 4] =
    ["current_link_speed", "max_link_speed", "current_link_width", "max_link_width"];

/// Attributes of a network device's link (`Documentation/ABI/testing/sysfs-class-net`).
pub(in crate::doctor) const NETDEV: [&str; 3] = ["carrier", "operstate", "speed"];

/// Modules whose parameters are looked at.
pub(in crate::doctor) const MODULES: [&str; 3] = ["mlx5_core", "vfio", "vfio_iommu_type1"];

/// Looks at them all. What comes of it is in the recorder, errors too.
pub(super) fn look(recorder: &Arc<Recorder>, cards: &[Card]) {
    platform(&Platform::over(recorder.clone()));
    for path in ["/etc/os-release", NM_FILE, "/sys/module/mlx5_core/version"] {
        let _ = recorder.read(path.as_ref());
    }
    for path in ["/sys/bus/vdpa", "/run/NetworkManager", "/sys/class/iommu"] {
        let _ = recorder.list(path.as_ref());
    }
    for module in MODULES {
        all_in(recorder, &format!("/sys/module/{module}/parameters"), |_| true);
    }
    for directory in NM_DIRECTORIES {
        all_in(recorder, directory, |name| Path::new(name).extension().is_some_and(|end| end == "conf"));
    }
    for card in cards {
        of_card(recorder, card);
    }
}

/// What the platform's own readers ask for. Their answers are not needed yet.
fn platform(platform: &Platform) {
    let _ = platform.command_line();
    let _ = platform.cpu();
    let _ = platform.nested_kvm();
    let _ = platform.numa_nodes();
    let _ = platform.huge_pages();
    let _ = platform.modules();
    let _ = platform.iommu();
    let _ = platform.lockdown();
    let _ = platform.secure_boot();
    let _ = platform.selinux();
}

fn of_card(recorder: &Recorder, card: &Card) {
    if let Some(pf) = card.address() {
        for attribute in PCIE {
            let _ = recorder.read(format!("/sys/bus/pci/devices/{pf}/{attribute}").as_ref());
        }
    }
    if let Ok(uplink) = &card.uplink {
        for attribute in NETDEV {
            let _ = recorder.read(format!("/sys/class/net/{}/{attribute}", uplink.name).as_ref());
        }
    }
    for (index, _) in card.representors.iter().flatten() {
        let _ = recorder.read(format!("/run/NetworkManager/devices/{index}").as_ref());
    }
}

fn all_in(recorder: &Recorder, directory: &str, wanted: impl Fn(&str) -> bool) {
    for name in recorder.list(directory.as_ref()).unwrap_or_default().iter().filter(|name| wanted(name)) {
        let _ = recorder.read(Path::new(directory).join(name).as_ref());
    }
}
