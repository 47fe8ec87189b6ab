//! Kernel modules: which of those that may be needed are there, and how they are set.

use std::path::Path;

use vdpa_hw::platform::{Files as _, ModuleName, ModuleState};

use super::super::check::Check;
use super::super::collect::MODULES_WITH_PARAMETERS;
use super::super::evidence::Evidence;
use super::kvm::word;
use crate::config::Datapath;

const SOURCE: &str = "/proc/modules, /lib/modules";

/// A module that something needs.
struct Needed {
    name: &'static str,
    /// What for.
    what: &'static str,
    /// The VFs that need it; every host, where none are named.
    datapath: Option<Datapath>,
}

const NEEDED: [Needed; 8] = [
    Needed { name: "openvswitch", what: "Open vSwitch's datapath", datapath: None },
    Needed { name: "cls_flower", what: "offloaded flows", datapath: None },
    Needed { name: "act_mirred", what: "offloaded flows", datapath: None },
    Needed { name: "ib_uverbs", what: "dpdk-vdpa's way to the card", datapath: Some(Datapath::Dpdk) },
    Needed { name: "mlx5_ib", what: "dpdk-vdpa's way to the card", datapath: Some(Datapath::Dpdk) },
    Needed { name: "vdpa", what: "the kernel datapath", datapath: Some(Datapath::Kernel) },
    Needed { name: "mlx5_vdpa", what: "the kernel datapath", datapath: Some(Datapath::Kernel) },
    Needed { name: "vhost_vdpa", what: "the kernel datapath", datapath: Some(Datapath::Kernel) },
];

/// A check for each module that is needed here, and one of their parameters.
pub(super) fn modules(evidence: &Evidence) -> Vec<Check> {
    let platform = evidence.platform();
    let modules = match platform.modules() {
        Ok(modules) => modules,
        Err(error) => return vec![Check::unknown("kernel", crate::Error::from(error).flat(), SOURCE)],
    };
    // In a container, the kernel's modules are not where its programs look.
    let listed =
        evidence.files.read(Path::new(&format!("/lib/modules/{}/modules.dep", modules.release))).is_ok();
    let certain = |needed: &Needed| match &evidence.answers.wanted {
        None => needed.datapath.is_none(),
        Some(_) => true,
    };
    let check = |needed: &Needed| {
        let name: ModuleName = needed.name.parse().ok()?;
        let state = modules.state(&name);
        let check = Check::pass(&name, format!("{}, for {}", word(state), needed.what), SOURCE);
        Some(match state {
            ModuleState::Missing if !listed => Check::unknown(
                &name,
                format!("not loaded, and there is no list of the modules of {}", modules.release),
                SOURCE,
            ),
            ModuleState::Missing => {
                let why = format!("nothing of it is there for {}", modules.release);
                let check = if certain(needed) { check.fail(why) } else { check.warn(why) };
                check.remedy("install the distribution's extra modules: `dnf install kernel-modules-extra`, `apt install linux-modules-extra-$(uname -r)`")
            }
            _ => check,
        })
    };
    let needed =
        NEEDED.iter().filter(|needed| needed.datapath.is_none_or(|datapath| evidence.wants(datapath)));
    let mut checks: Vec<Check> = needed.filter_map(check).collect();
    checks.extend(MODULES_WITH_PARAMETERS.iter().filter_map(|module| parameters(evidence, module)));
    checks
}

/// How a module is set, where it has parameters.
fn parameters(evidence: &Evidence, module: &str) -> Option<Check> {
    let directory = format!("/sys/module/{module}/parameters");
    let names = match evidence.files.list(directory.as_ref()) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(Check::unknown(module, format!("cannot read {directory}: {error}"), directory));
        }
    };
    let value = |name: &String| match evidence.files.text(&format!("{directory}/{name}")) {
        Ok(Some(value)) => format!("{name}={value}"),
        Ok(None) | Err(_) => format!("{name}: not readable"),
    };
    let shown = names.iter().map(value).collect::<Vec<_>>().join(" ");
    let check = Check::pass(format_args!("{module}'s parameters"), shown, &directory);
    let is = |name: &str, value: &str| {
        evidence.files.text(&format!("{directory}/{name}")).is_ok_and(|found| found.as_deref() == Some(value))
    };
    Some(match module {
        // `Documentation/driver-api/vfio.rst`.
        "vfio" if is("enable_unsafe_noiommu_mode", "Y") => check
            .warn("devices can be passed to programs that nothing keeps to their own memory")
            .remedy("take `enable_unsafe_noiommu_mode` out of /etc/modprobe.d"),
        // `profile[]` in `mlx5_core/main.c`: log_max_qp of profile 1 is 12, and 18 of the default.
        "mlx5_core" if is("prof_sel", "1") => check
            .warn("the driver's profile 1 allows a function 4096 queues; 2 is the default")
            .remedy("take `prof_sel` out of /etc/modprobe.d"),
        _ => check,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::check::Check;
    use super::super::super::evidence::Evidence;
    use super::super::super::fixture::{checks, healthy};
    use crate::config::Datapath;

    fn of(evidence: &Evidence, module: &str) -> Check {
        let all = checks(evidence, "modules");
        all.into_iter().find(|check| check.subject == module).unwrap_or_else(|| panic!("{module}"))
    }

    #[test]
    fn loaded_and_to_be_loaded_are_both_right() {
        let evidence = healthy();
        assert!(of(&evidence, "openvswitch").passes("loaded, for Open vSwitch's datapath"));
        assert!(of(&evidence, "cls_flower").passes("not loaded, and there to be"));
        assert!(
            checks(&evidence, "modules").iter().all(|check| check.subject != "mlx5_vdpa"),
            "nobody needs it"
        );
    }

    #[test]
    fn a_missing_module_fails_where_it_is_needed() {
        let mut evidence = healthy();
        evidence.answers.wanted.as_mut().unwrap().vfs[1].datapath = Datapath::Kernel;
        assert!(of(&evidence, "mlx5_vdpa").passes("loaded"));
        evidence.file("/proc/modules", "");
        assert!(of(&evidence, "mlx5_vdpa").fails("nothing of it is there"));
        evidence.answers.wanted = None;
        assert!(of(&evidence, "mlx5_vdpa").warns("nothing of it is there"));
        assert!(of(&evidence, "openvswitch").fails("nothing of it is there"));
    }

    #[test]
    fn without_a_list_of_modules_nothing_is_called_missing() {
        let mut evidence = healthy();
        evidence.file("/proc/modules", "");
        evidence.without("/lib/modules");
        assert!(of(&evidence, "openvswitch").is_unknown("no list of the modules"));
        evidence.unreadable("/proc/modules");
        assert!(of(&evidence, "kernel").is_unknown("/proc/modules"));
    }

    #[test]
    fn parameters_are_shown_and_judged() {
        let mut evidence = healthy();
        assert!(of(&evidence, "mlx5_core's parameters").passes("prof_sel=2"));
        evidence.file("/sys/module/mlx5_core/parameters/prof_sel", "1\n");
        assert!(of(&evidence, "mlx5_core's parameters").warns("4096 queues"));
        evidence.file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
        assert!(of(&evidence, "vfio's parameters").warns("nothing keeps to their own memory"));
        evidence.unreadable("/sys/module/mlx5_core/parameters");
        assert!(of(&evidence, "mlx5_core").is_unknown("/sys/module/mlx5_core/parameters"));
    }
}
