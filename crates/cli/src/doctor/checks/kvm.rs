//! KVM, and KVM below KVM.

use vdpa_hw::platform::{ModuleState, Vendor};

use super::super::check::Check;
use super::super::evidence::Evidence;

/// Whether guests run in hardware.
pub(super) fn kvm(evidence: &Evidence) -> Vec<Check> {
    let platform = evidence.platform();
    let (cpu, modules) = match (platform.cpu(), platform.modules()) {
        (Ok(cpu), Ok(modules)) => (cpu, modules),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Check::unknown(
                "host",
                crate::Error::from(error).flat(),
                "/proc/cpuinfo, /proc/modules",
            )];
        }
    };
    let amiss =
        |check: Check, why: &str| if evidence.wants_vms() { check.fail(why) } else { check.warn(why) };
    vec![match cpu.vendor.kvm_module() {
        None => Check::unknown("host", "neither Intel's nor AMD's CPUs: not known here", "/proc/cpuinfo"),
        Some(_) if !cpu.virtualization => {
            let check = Check::pass("host", "the CPUs show no virtualization", "/proc/cpuinfo");
            amiss(check, "guests are emulated").remedy("turn on VT-x or AMD-V in the firmware's setup")
        }
        Some(module) => {
            let state = modules.state(&module);
            let check = Check::pass("host", format!("{module} is {}", word(state)), "/proc/modules");
            if state.is_there() {
                check
            } else {
                amiss(check, "guests are emulated until it is loaded").remedy(format!("modprobe {module}"))
            }
        }
    }]
}

/// A module's state in words.
pub(super) fn word(state: ModuleState) -> &'static str {
    match state {
        ModuleState::BuiltIn => "built in",
        ModuleState::Loaded => "loaded",
        ModuleState::Changing => "being loaded or unloaded",
        ModuleState::Available => "not loaded, and there to be",
        ModuleState::Missing => "not there",
    }
}

/// Whether guests may have guests.
pub(super) fn nested(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "/sys/module/kvm_*/parameters/nested";
    let platform = evidence.platform();
    let vendor = platform.cpu().map_or(Vendor::Other, |cpu| cpu.vendor);
    vec![match platform.nested_kvm() {
        Err(error) => Check::unknown("host", crate::Error::from(error).flat(), SOURCE),
        Ok(None) => match vendor.kvm_module() {
            Some(module) => {
                Check::unknown("host", format!("{module} is not loaded, so that nothing is decided"), SOURCE)
            }
            None => Check::unknown("host", "neither Intel's nor AMD's CPUs: not known here", SOURCE),
        },
        Ok(Some(true)) => Check::pass("host", "on", SOURCE),
        Ok(Some(false)) => Check::pass("host", "off", SOURCE)
            .warn("a guest that runs VMs itself has them emulated; other guests lose nothing")
            .remedy("vdpa host prepare"),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, healthy};

    #[test]
    fn a_loaded_module_is_what_it_takes() {
        let mut evidence = healthy();
        assert!(check(&evidence, "kvm").passes("kvm_intel is loaded"));
        evidence.file("/proc/modules", "");
        assert!(check(&evidence, "kvm").fails("guests are emulated"));
        evidence.answers.wanted.as_mut().unwrap().vfs.iter_mut().for_each(|vf| vf.vm = None);
        assert!(check(&evidence, "kvm").warns("guests are emulated"));
        evidence.file("/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu\n");
        assert!(check(&evidence, "kvm").warns("emulated"));
        evidence.file("/proc/cpuinfo", "CPU implementer : 0x41\n");
        assert!(check(&evidence, "kvm").is_unknown("neither Intel's nor AMD's"));
    }

    #[test]
    fn nested_is_on_off_or_undecided() {
        let mut evidence = healthy();
        assert!(check(&evidence, "nested-kvm").passes("on"));
        evidence.file("/sys/module/kvm_intel/parameters/nested", "N\n");
        assert!(check(&evidence, "nested-kvm").warns("emulated"));
        evidence.without("/sys/module/kvm_intel/parameters/nested");
        assert!(check(&evidence, "nested-kvm").is_unknown("kvm_intel is not loaded"));
        evidence.unreadable("/proc/cpuinfo");
        assert!(check(&evidence, "nested-kvm").is_unknown("/proc/cpuinfo"));
    }
}
