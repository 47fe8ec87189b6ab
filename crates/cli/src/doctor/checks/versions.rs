//! Versions, held against the table of minimums.

use super::super::check::{Check, Verdict};
use super::super::evidence::{Evidence, Seen};
use super::super::minimums::{Minimum, Of};
use super::each_card;
use crate::config::Datapath;

/// A version held against what counts for it here.
fn held(evidence: &Evidence, of: Of, subject: &str, version: &str, source: &str) -> Check {
    let minimums = Minimum::of(of, version, evidence);
    let check = Check::pass(subject, version, source);
    let short = minimums.iter().filter(|minimum| minimum.is_above(version));
    let Some(worst) = short.max_by_key(|minimum| minimum.verdict()) else {
        let counts = |minimum: &&Minimum| {
            !minimums.iter().any(|other| other.needs == minimum.needs && other.is_above(&minimum.version))
        };
        let least = minimums
            .iter()
            .filter(counts)
            .map(|minimum| format!("{} for {}", minimum.version, minimum.needs));
        let least = least.collect::<Vec<_>>().join(", ");
        let fact =
            if least.is_empty() { version.to_owned() } else { format!("{version} (at least {least})") };
        return Check { fact, ..check };
    };
    let why = format!("{of} {} or newer: {} ({})", worst.version, worst.reason, worst.source);
    let check = match worst.verdict() {
        Verdict::Fail => check.fail(why),
        _ => check.warn(why),
    };
    check.remedy(of.remedy())
}

/// The running kernel.
pub(super) fn kernel(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "/proc/sys/kernel/osrelease";
    vec![match evidence.files.text(SOURCE) {
        Ok(Some(release)) => {
            let check = held(evidence, Of::Kernel, "kernel", &release, SOURCE);
            match evidence.files.text("/sys/module/mlx5_core/version") {
                // The kernel's own mlx5_core has had no version since 5.7; the vendor's packages have.
                Ok(Some(driver)) => Check { fact: format!("{}; mlx5_core {driver}", check.fact), ..check },
                _ => check,
            }
        }
        Ok(None) => Check::unknown("kernel", format!("there is no {SOURCE}"), SOURCE),
        Err(why) => Check::unknown("kernel", why, SOURCE),
    }]
}

/// Each card's firmware.
pub(super) fn firmware(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        if card.address().is_none() {
            return Vec::new();
        }
        let source = "devlink dev info";
        vec![match &card.info {
            Err(why) => Check::unknown(&card.name, why, source),
            Ok(info) => match info.firmware() {
                None => Check::unknown(&card.name, "devlink tells no firmware version", source),
                Some(running) => {
                    let check = held(evidence, Of::Firmware, &card.name, running, source);
                    let board = info.psid().map_or_else(String::new, |psid| format!(", board {psid}"));
                    let stored = ["fw.version", "fw"].iter().find_map(|name| info.versions.stored.get(*name));
                    match stored.filter(|stored| *stored != running) {
                        Some(stored) if check.verdict == Verdict::Pass => {
                            let fact = format!("{running} runs, {stored} is in flash{board}");
                            Check { fact, ..check }
                                .warn("what was burnt runs only after a reset of the card")
                                .remedy("mstfwreset, or a reboot")
                        }
                        _ => Check { fact: format!("{}{board}", check.fact), ..check },
                    }
                }
            },
        }]
    })
}

/// Open vSwitch.
pub(super) fn ovs(evidence: &Evidence) -> Vec<Check> {
    let source = "ovs-vsctl get Open_vSwitch . ovs_version";
    let version = match &evidence.answers.switch {
        Err(why) => Err(why.clone()),
        Ok(switch) => {
            switch.version.clone().ok_or_else(|| "neither its database nor its daemon tells it".to_owned())
        }
    };
    vec![answered(evidence, Of::Ovs, "Open vSwitch", &version, source)]
}

/// The DPDK of dpdk-vdpa.
pub(super) fn dpdk(evidence: &Evidence) -> Vec<Check> {
    if evidence.answers.dpdk.program.is_err() || !evidence.wants(Datapath::Dpdk) {
        return Vec::new(); // the check `dpdk-vdpa` says it
    }
    vec![answered(evidence, Of::Dpdk, "DPDK", &evidence.answers.dpdk.version, "dpdk-vdpa -v --help")]
}

/// libvirt's daemon.
pub(super) fn libvirt(evidence: &Evidence) -> Vec<Check> {
    let source = "virsh version --daemon";
    let check = match &evidence.answers.libvirt {
        Ok(versions) => return vec![held(evidence, Of::Libvirt, "libvirt", &versions.libvirt, source)],
        Err(why) if why.contains("cannot reach libvirt") && !why.contains("ermission") => {
            Check::pass("libvirt", why.clone(), source)
        }
        Err(why) => return vec![Check::unknown("libvirt", why, source)],
    };
    vec![if evidence.answers.wanted.is_some() && evidence.wants_vms() {
        check
            .fail("a VF is for a VM, and there is no libvirt to wire it in")
            .remedy("systemctl start libvirtd (virtqemud on RHEL 9)")
    } else {
        check
            .warn("VFs can be set up, and no VM wired to them")
            .remedy("systemctl start libvirtd (virtqemud on RHEL 9)")
    }]
}

/// The hypervisor that libvirt starts.
pub(super) fn qemu(evidence: &Evidence) -> Vec<Check> {
    let source = "virsh version";
    match &evidence.answers.libvirt {
        Err(why) => vec![Check::unknown("QEMU", why, source)],
        Ok(versions) => match versions.hypervisor.strip_prefix("QEMU ") {
            Some(version) => vec![held(evidence, Of::Qemu, "QEMU", version, source)],
            None => vec![Check::unknown(
                "QEMU",
                format!("libvirt's hypervisor is {}", versions.hypervisor),
                source,
            )],
        },
    }
}

fn answered(evidence: &Evidence, of: Of, subject: &str, version: &Seen<String>, source: &str) -> Check {
    match version {
        Ok(version) => held(evidence, of, subject, version, source),
        Err(why) => Check::unknown(subject, why, source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy, refused};

    #[test]
    fn kernels_old_and_new() {
        let mut evidence = healthy();
        assert!(check(&evidence, "kernel-version").passes("at least 4.18.0-305 for every host"));
        evidence.file("/proc/sys/kernel/osrelease", "5.4.0-generic\n");
        assert!(check(&evidence, "kernel-version").warns("kernel 5.7 or newer"));
        evidence.file("/proc/sys/kernel/osrelease", "3.10.0-1160.el7.x86_64\n");
        assert!(check(&evidence, "kernel-version").fails("kernel 4.13 or newer"));
        evidence.file("/sys/module/mlx5_core/version", "5.4-3.0.3\n");
        assert!(check(&evidence, "kernel-version").fact.ends_with("mlx5_core 5.4-3.0.3"));
        evidence.unreadable("/proc/sys/kernel/osrelease");
        assert!(check(&evidence, "kernel-version").is_unknown("osrelease"));
    }

    /// Pitfall 30: the least firmware for vDPA on a ConnectX-6 Dx is 22.29.2002.
    #[test]
    fn firmware_below_what_vdpa_needs_fails() {
        let mut evidence = healthy();
        assert!(check(&evidence, "firmware-version").passes("22.39.1002 (at least 22.29.2002"));
        evidence.firmware("22.28.1002", "22.28.1002");
        assert!(check(&evidence, "firmware-version").fails("offers virtio queues"));
        evidence.firmware("22.39.1002", "22.43.1014");
        assert!(check(&evidence, "firmware-version").warns("only after a reset"));
        // Another family has numbers of its own.
        evidence.firmware("16.28.1002", "16.28.1002");
        assert!(check(&evidence, "firmware-version").passes("16.28.1002"));
        evidence.card().info = refused("ask devlink");
        assert!(check(&evidence, "firmware-version").is_unknown("ask devlink"));
        evidence.card().info = Ok(vdpa_eswitch::Info::default());
        assert!(check(&evidence, "firmware-version").is_unknown("tells no firmware version"));
    }

    #[test]
    fn switches_old_and_new() {
        let mut evidence = healthy();
        assert!(check(&evidence, "ovs-version").passes("2.14.1"));
        for (version, fails) in [("2.9.0", false), ("2.7.3", true)] {
            evidence.switch().version = Some(version.to_owned());
            let found = check(&evidence, "ovs-version");
            assert!(if fails { found.fails("hw-offload") } else { found.warns("conntrack") }, "{found:?}");
        }
        evidence.switch().version = None;
        assert!(check(&evidence, "ovs-version").is_unknown("neither its database nor its daemon"));
        evidence.answers.switch = refused("connect");
        assert!(check(&evidence, "ovs-version").is_unknown("connect"));
    }

    #[test]
    fn dpdk_old_and_new() {
        let mut evidence = healthy();
        assert!(check(&evidence, "dpdk-version").passes("20.11.3"));
        evidence.answers.dpdk.version = Ok("20.08".to_owned());
        assert!(check(&evidence, "dpdk-version").fails("`-a`"));
        evidence.answers.dpdk.version = refused("run dpdk-vdpa");
        assert!(check(&evidence, "dpdk-version").is_unknown("run dpdk-vdpa"));
        evidence.answers.dpdk.program = Err("there is no dpdk-vdpa program".to_owned());
        assert!(checks(&evidence, "dpdk-version").is_empty());
    }

    #[test]
    fn libvirt_and_qemu_old_new_and_absent() {
        let mut evidence = healthy();
        assert!(check(&evidence, "libvirt-version").passes("8.0.0"));
        assert!(check(&evidence, "qemu-version").passes("6.2.0"));
        evidence.libvirt("7.0.0", "QEMU 2.12.0");
        assert!(check(&evidence, "libvirt-version").fails("page_per_vq"));
        assert!(check(&evidence, "qemu-version").fails("host notifiers"));
        evidence.libvirt("8.0.0", "Xen 4.17.0");
        assert!(check(&evidence, "qemu-version").is_unknown("Xen"));
        evidence.answers.libvirt =
            Err("cannot reach libvirt at qemu:///system: virsh is not installed".to_owned());
        assert!(check(&evidence, "libvirt-version").fails("no libvirt"));
        assert!(check(&evidence, "qemu-version").is_unknown("virsh is not installed"));
        evidence.answers.wanted = None;
        assert!(check(&evidence, "libvirt-version").warns("no VM wired"));
        evidence.answers.libvirt = refused("reach libvirt");
        assert!(check(&evidence, "libvirt-version").is_unknown("Permission denied"));
    }
}
