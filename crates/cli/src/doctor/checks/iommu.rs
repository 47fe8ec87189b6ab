//! The IOMMU: what the kernel was asked for, and what came of it.

use vdpa_hw::platform::{CommandLine, Vendor};

use super::super::check::Check;
use super::super::evidence::{Card, Evidence};
use super::each_card;

const CMDLINE: &str = "/proc/cmdline";
const GROUPS: &str = "/sys/kernel/iommu_groups";
const PREPARE: &str = "vdpa host prepare";

/// What the kernel was asked for.
pub(super) fn arguments(evidence: &Evidence) -> Vec<Check> {
    let platform = evidence.platform();
    let (line, cpu) = match (platform.command_line(), platform.cpu()) {
        (Ok(line), Ok(cpu)) => (line, cpu),
        (Err(error), _) | (_, Err(error)) => {
            return vec![Check::unknown("kernel", crate::Error::from(error).flat(), CMDLINE)];
        }
    };
    let asked = asked(&line);
    let fact = if asked.is_empty() { "nothing is said of the IOMMU".to_owned() } else { asked.join(" ") };
    let check = Check::pass("kernel", fact, CMDLINE);
    let is =
        |name: &str, value: &str| line.all(name).any(|argument| argument.list().any(|part| part == value));
    let off = ["iommu", "intel_iommu", "amd_iommu"].into_iter().find(|name| is(name, "off"));
    let is_on = platform.iommu().is_ok_and(|iommu| iommu.is_on());
    let passes = is("iommu", "pt") || line.value("iommu.passthrough") == Some("1");
    vec![if let Some(name) = off {
        check
            .warn(format!("`{name}=off` turns it off: no VF can be passed to a VM by VFIO"))
            .remedy(format!("{PREPARE}, and a reboot"))
    } else if cpu.vendor == Vendor::Intel && !is("intel_iommu", "on") && !is_on {
        check
            .warn("Intel's IOMMU is off unless it is asked for with `intel_iommu=on`")
            .remedy(format!("{PREPARE}, and a reboot"))
    } else if !passes {
        check
            .warn("without `iommu=pt` the DMA of the host's own devices is translated too, which costs throughput")
            .remedy(format!("{PREPARE}, and a reboot"))
    } else {
        check
    }]
}

/// The arguments that bear upon it, as they are written.
fn asked(line: &CommandLine) -> Vec<String> {
    let names = ["intel_iommu", "amd_iommu", "iommu", "iommu.passthrough", "iommu.strict"];
    let about = line.arguments().filter(|argument| names.iter().any(|name| argument.is(name)));
    about.map(|argument| argument.as_str().to_owned()).collect()
}

/// What came of it, for each card.
pub(super) fn in_force(evidence: &Evidence) -> Vec<Check> {
    let iommu = match evidence.platform().iommu() {
        Ok(iommu) => iommu,
        Err(error) => return vec![Check::unknown("host", crate::Error::from(error).flat(), GROUPS)],
    };
    if iommu.is_on() {
        return each_card(evidence, |card: &Card| {
            let Some(address) = card.address() else { return Vec::new() };
            vec![match iommu.group_of(address) {
                Some(group) => {
                    let domain = group.domain.as_deref().unwrap_or("of an unknown type");
                    Check::pass(address, format!("on: group {}, domain {domain}", group.id), GROUPS)
                }
                None => Check::pass(address, "on, and the card is in none of its groups", GROUPS)
                    .warn("its VFs cannot be passed to a VM by VFIO")
                    .remedy("look for `PCIe ACS` and `VT-d` in the firmware's setup"),
            }]
        });
    }
    let (fact, remedy) = if iommu.units.is_empty() {
        (
            "off, and the firmware shows the kernel none",
            "turn on VT-d or AMD-Vi in the firmware's setup, then `vdpa host prepare` and a reboot",
        )
    } else {
        ("off, though the firmware shows one", "vdpa host prepare, and a reboot")
    };
    let why = "nothing keeps a device that is passed to a VM by VFIO to the VM's memory, so that it cannot be passed; \
               vDPA goes by the card's own translation and works";
    vec![Check::pass("host", fact, GROUPS).warn(why).remedy(remedy)]
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy};
    use super::*;

    fn booted_with(line: &str) -> Check {
        let mut evidence = healthy();
        evidence.file("/proc/cmdline", line);
        check(&evidence, "kernel-arguments")
    }

    #[test]
    fn passthrough_is_right_and_translation_a_warning() {
        assert!(booted_with("ro intel_iommu=on,sm_on iommu=pt").passes("intel_iommu=on,sm_on iommu=pt"));
        assert!(booted_with("intel_iommu=on iommu.passthrough=1").passes("passthrough=1"));
        assert!(booted_with("intel_iommu=on").warns("throughput"));
    }

    #[test]
    fn an_argument_that_turns_it_off_is_named() {
        assert!(booted_with("intel_iommu=off iommu=pt").warns("`intel_iommu=off` turns it off"));
    }

    /// Arguments are not the fact: a kernel that was built with the IOMMU on by default needs none.
    #[test]
    fn a_kernel_that_turns_it_on_by_itself_needs_no_argument() {
        let mut evidence = healthy();
        evidence.file("/proc/cmdline", "ro iommu=pt");
        assert!(check(&evidence, "kernel-arguments").passes("iommu=pt"));
        evidence.without("/sys/kernel/iommu_groups");
        assert!(check(&evidence, "kernel-arguments").warns("unless it is asked for"));
        // AMD's is on unless it is turned off.
        evidence.file("/proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : svm\n");
        assert!(check(&evidence, "kernel-arguments").passes("iommu=pt"));
    }

    #[test]
    fn groups_make_it_on() {
        let mut evidence = healthy();
        assert!(check(&evidence, "iommu").passes("on: group 40, domain identity"));
        evidence.without("/sys/kernel/iommu_groups/40");
        evidence.file("/sys/kernel/iommu_groups/7/type", "DMA-FQ");
        assert!(check(&evidence, "iommu").warns("VFIO"));
    }

    #[test]
    fn without_groups_it_is_off_whatever_was_asked() {
        let mut evidence = healthy();
        evidence.without("/sys/kernel/iommu_groups");
        let off = check(&evidence, "iommu");
        assert!(off.warns("works") && off.fact.contains("though the firmware shows one"), "{off:?}");
        evidence.without("/sys/class/iommu");
        assert!(check(&evidence, "iommu").fact.contains("the firmware shows the kernel none"));
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let mut evidence = healthy();
        evidence.unreadable("/proc/cmdline");
        evidence.unreadable("/sys/kernel/iommu_groups");
        assert!(check(&evidence, "kernel-arguments").is_unknown("/proc/cmdline"));
        assert!(checks(&evidence, "iommu")[0].is_unknown("/sys/kernel/iommu_groups"));
    }
}
