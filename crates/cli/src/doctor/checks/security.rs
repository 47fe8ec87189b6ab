//! What keeps root, and QEMU, from the card.

use vdpa_hw::platform::{Lockdown, SecureBoot, Selinux};

use super::super::check::Check;
use super::super::evidence::Evidence;

/// Types of labels that a confined QEMU (`svirt_t`) may open: devices of vhost, and sockets that policies give it.
///
/// Source: `virt.fc` and `openvswitch.fc` of selinux-policy.
const OPEN_TO_QEMU: [&str; 6] = [
    "vhost_device_t",
    "svirt_image_t",
    "svirt_t",
    "openvswitch_var_run_t",
    "qemu_var_run_t",
    "container_file_t",
];

/// Whether the kernel is locked down.
pub(super) fn lockdown(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "/sys/kernel/security/lockdown";
    vec![match evidence.platform().lockdown() {
        Err(error) => Check::unknown("kernel", crate::Error::from(error).flat(), SOURCE),
        Ok(None) => Check::unknown(
            "kernel",
            "the kernel does not say: built without, or securityfs is not mounted",
            SOURCE,
        ),
        Ok(Some(Lockdown::None)) => Check::pass("kernel", "none", SOURCE),
        Ok(Some(level)) => {
            let level = if level == Lockdown::Integrity { "integrity" } else { "confidentiality" };
            Check::pass("kernel", level, SOURCE)
                .warn("mstconfig and mlxconfig cannot reach the card's registers, so that firmware values cannot be changed")
                .remedy("turn off Secure Boot for as long as firmware is changed, or change it by devlink where the kernel can")
        }
    }]
}

/// Whether the firmware starts only what is signed.
pub(super) fn secure_boot(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "/sys/firmware/efi/efivars/SecureBoot-*";
    vec![match evidence.platform().secure_boot() {
        Err(error) => Check::unknown("host", crate::Error::from(error).flat(), SOURCE),
        Ok(None) => Check::unknown("host", "UEFI's variables cannot be read: efivarfs is not mounted", SOURCE),
        Ok(Some(SecureBoot::NoUefi)) => Check::pass("host", "not started by UEFI", SOURCE),
        Ok(Some(SecureBoot::Off)) => Check::pass("host", "off", SOURCE),
        Ok(Some(SecureBoot::On)) => Check::pass("host", "on", SOURCE)
            .warn("the kernel loads only signed modules, and of firmware resets only level 4, a reboot, is left")
            .remedy("mokutil --sb-state"),
    }]
}

/// What SELinux does, and how what QEMU opens is labelled.
pub(super) fn selinux(evidence: &Evidence) -> Vec<Check> {
    const SOURCE: &str = "/sys/fs/selinux/enforce";
    let mode = match evidence.platform().selinux() {
        Ok(mode) => mode,
        Err(error) => return vec![Check::unknown("host", crate::Error::from(error).flat(), SOURCE)],
    };
    let fact = match mode {
        Selinux::Disabled => "disabled",
        Selinux::Permissive => "permissive",
        Selinux::Enforcing => "enforcing",
    };
    let mut checks = vec![Check::pass("host", fact, SOURCE)];
    if mode != Selinux::Disabled {
        checks.extend(evidence.answers.labels.iter().map(|(path, label)| match label {
            Err(why) => Check::unknown(path.display(), why, "security.selinux"),
            Ok(label) => {
                let check = Check::pass(path.display(), label, "security.selinux");
                let kind = label.split(':').nth(2).unwrap_or_default();
                if OPEN_TO_QEMU.contains(&kind) {
                    return check;
                }
                let why = format!("a confined QEMU may not be allowed to open what is labelled {kind}");
                let check = if mode == Selinux::Enforcing {
                    check.warn(why)
                } else {
                    check.warn(format!("{why} once SELinux is enforcing"))
                };
                // The policy knows devices; of our sockets only the module that `host prepare` installs tells it.
                let module = if path.starts_with("/dev") { "" } else { "vdpa host prepare --apply, then " };
                check.remedy(format!(
                    "{module}restorecon -v {}; `ausearch -m avc -c qemu-kvm` shows what was refused",
                    path.display()
                ))
            }
        }));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy};

    #[test]
    fn a_kernel_that_is_locked_down_keeps_firmware_tools_out() {
        let mut evidence = healthy();
        assert!(check(&evidence, "lockdown").passes("none"));
        evidence.file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        assert!(check(&evidence, "lockdown").warns("firmware values cannot be changed"));
        evidence.without("/sys/kernel/security/lockdown");
        assert!(check(&evidence, "lockdown").is_unknown("securityfs"));
        evidence.unreadable("/sys/kernel/security/lockdown");
        assert!(check(&evidence, "lockdown").is_unknown("/sys/kernel/security/lockdown"));
    }

    #[test]
    fn secure_boot_is_on_off_or_hidden() {
        let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        let mut evidence = healthy();
        assert!(check(&evidence, "secure-boot").passes("off"));
        evidence.file(variable, "\u{6}\0\0\0\u{1}");
        assert!(check(&evidence, "secure-boot").warns("signed modules"));
        evidence.without(variable);
        assert!(check(&evidence, "secure-boot").is_unknown("efivarfs"));
        evidence.without("/sys/firmware/efi");
        assert!(check(&evidence, "secure-boot").passes("not started by UEFI"));
    }

    /// Pitfall 38: `/dev/vhost-vdpa-*` needs its label.
    #[test]
    fn labels_count_where_selinux_does() {
        let mut evidence = healthy();
        assert!(check(&evidence, "selinux").passes("permissive"));
        let label = |kind: &str| Ok(format!("system_u:object_r:{kind}:s0"));
        for (path, found) in [
            ("/dev/vhost-vdpa-0", label("device_t")),
            ("/dev/vhost-vdpa-1", label("vhost_device_t")),
            ("/dev/vhost-vdpa-2", Err("cannot read the label".to_owned())),
        ] {
            evidence.answers.labels.insert(path.into(), found);
        }
        evidence.file("/sys/fs/selinux/enforce", "1");
        let found = checks(&evidence, "selinux");
        assert!(
            found[0].passes("enforcing") && found[1].warns("device_t") && found[2].passes("vhost_device_t")
        );
        assert!(found[1].remedy.as_ref().unwrap().contains("restorecon -v /dev/vhost-vdpa-0"));
        assert!(found[3].is_unknown("cannot read the label"));
        evidence.file("/sys/fs/selinux/enforce", "0");
        assert!(checks(&evidence, "selinux")[1].warns("once SELinux is enforcing"));
        evidence.without("/sys/fs/selinux");
        assert_eq!(checks(&evidence, "selinux").len(), 1, "no label counts");
        evidence.unreadable("/sys/fs/selinux/enforce");
        assert!(check(&evidence, "selinux").passes("enforcing"), "only an enforcing policy hides it");
    }
}
