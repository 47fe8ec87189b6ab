//! What of a file is kept. A secret must not become evidence, for evidence is sent to others.
//!
//! The policy, which `docs/doctor.md` states to people:
//!
//! - **What is not asked for is not there.** Answers are typed: of a domain's XML its memory, vCPUs and NUMA nodes
//!   are kept and nothing else; of a process its number, its name and, of a VM, the domain's name.
//! - **Kernel arguments** keep their names; values are kept only of those on a list ([`HARMLESS`]).
//! - **Serial numbers** (of boards, CPUs, file systems) are left out; MAC addresses and the host's own IP addresses
//!   stay, for the checks are about them.
//! - **Kernel addresses** in `/proc/modules` are left out.
//! - Of lists as long as the machine is large only what is looked at is kept.

use std::path::Path;

use vdpa_hw::platform::CommandLine;

/// What stands for a value that was left out.
pub(super) const LEFT_OUT: &str = "...";

/// Kernel arguments whose values tell nothing but how the kernel is set.
const HARMLESS: [&str; 27] = [
    "amd_iommu",
    "audit",
    "console",
    "crashkernel",
    "default_hugepagesz",
    "efi",
    "hugepages",
    "hugepagesz",
    "intel_iommu",
    "iommu",
    "irqaffinity",
    "isolcpus",
    "lockdown",
    "lsm",
    "mitigations",
    "module_blacklist",
    "net.ifnames",
    "biosdevname",
    "nohz_full",
    "numa_balancing",
    "panic",
    "pci",
    "rcu_nocbs",
    "rdblacklist",
    "rd.driver.blacklist",
    "selinux",
    "transparent_hugepage",
];

/// Modules whose parameters on the command line are kept (`mlx5_core.prof_sel=2`).
const MODULES: [&str; 9] =
    ["amd_iommu", "intel_iommu", "iommu", "kvm", "kvm_amd", "kvm_intel", "mlx5_core", "vfio", "vfio_pci"];

/// What is kept of a file.
pub(super) fn redact(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let lines = |keep: fn(&str) -> Option<String>| {
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .filter_map(keep)
            .flat_map(|line| [line, "\n".to_owned()])
            .collect::<String>()
            .into_bytes()
    };
    let Some(path) = path.to_str() else { return bytes };
    match path {
        "/proc/cmdline" => command_line(&String::from_utf8_lossy(&bytes)).into_bytes(),
        // name size users dependents state address taint
        "/proc/modules" => lines(|line| Some(line.split_whitespace().take(5).collect::<Vec<_>>().join(" "))),
        // The first CPU speaks for all.
        "/proc/cpuinfo" => {
            let text = String::from_utf8_lossy(&bytes);
            let first = text.split("\n\n").next().unwrap_or_default();
            format!("{first}\n").into_bytes()
        }
        _ if path.starts_with("/lib/modules/") && path.ends_with("/modules.dep") => {
            lines(|line| Some(format!("{}:", line.split(':').next()?)))
        }
        _ if path.starts_with("/run/NetworkManager/devices/") => {
            lines(|line| line.starts_with("managed=").then(|| line.to_owned()))
        }
        _ if path.contains("/NetworkManager/") => lines(|line| {
            let line = line.trim();
            let kept = ["[", "unmanaged-devices", "match-device", "managed"]
                .iter()
                .any(|start| line.starts_with(start));
            kept.then(|| line.to_owned())
        }),
        _ => bytes,
    }
}

fn command_line(text: &str) -> String {
    let line = CommandLine::parse(text.trim_end());
    let shown = line.arguments().map(|argument| {
        let (name, value) = (argument.name(), argument.value());
        match value {
            Some(_) if is_harmless(name) => argument.as_str().to_owned(),
            Some(_) => format!("{name}={LEFT_OUT}"),
            None => argument.as_str().to_owned(),
        }
    });
    // What follows `--` is init's, and nobody's business here.
    let mut line = shown.collect::<Vec<_>>().join(" ");
    line.push('\n');
    line
}

fn is_harmless(name: &str) -> bool {
    // `-` and `_` are one to the kernel.
    let same = |known: &str, name: &str| known.replace('-', "_") == name.replace('-', "_");
    let module = name.split_once('.').map(|(module, _)| module);
    HARMLESS.iter().any(|known| same(known, name))
        || module.is_some_and(|module| MODULES.iter().any(|known| same(known, module)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &str, text: &str) -> String {
        String::from_utf8(redact(Path::new(path), text.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn kernel_arguments_keep_their_names_and_only_harmless_values() {
        let line = "BOOT_IMAGE=/vmlinuz root=UUID=5cbb6f7c ro quiet intel_iommu=on,sm_on iommu=pt hugepagesz=1G \
                    hugepages=16 rd.luks.key=/key ip=10.0.0.5::10.0.0.1 mlx5_core.prof_sel=2 password=\"a b\" \
                    systemd.set_credential=x:geheim rd.driver.blacklist=nouveau -- --secret=x\n";
        let kept = kept("/proc/cmdline", line);
        assert_eq!(
            kept,
            "BOOT_IMAGE=... root=... ro quiet intel_iommu=on,sm_on iommu=pt hugepagesz=1G hugepages=16 \
             rd.luks.key=... ip=... mlx5_core.prof_sel=2 password=... systemd.set_credential=... \
             rd.driver.blacklist=nouveau\n"
        );
    }

    #[test]
    fn module_addresses_and_further_cpus_are_left_out() {
        let modules = "kvm 1 0 - Live 0xffffffffc0a0b000 (OE)\nvdpa 2 1 kvm, Loading 0xffffffffc0000000\n";
        assert_eq!(kept("/proc/modules", modules), "kvm 1 0 - Live\nvdpa 2 1 kvm, Loading\n");
        assert_eq!(
            kept("/proc/cpuinfo", "processor: 0\nflags: vmx\n\nprocessor: 1\n"),
            "processor: 0\nflags: vmx\n"
        );
        assert_eq!(kept("/lib/modules/6.1/modules.dep", "kernel/a.ko: kernel/b.ko\n"), "kernel/a.ko:\n");
    }

    #[test]
    fn of_network_manager_only_what_it_manages_is_kept() {
        let state = "[device]\nmanaged=true\nconnection-uuid=5cbb6f7c\n";
        assert_eq!(kept("/run/NetworkManager/devices/7", state), "managed=true\n");
        let file = "[keyfile]\nunmanaged-devices=driver:mlx5e_rep\n[global-dns]\nsearches=intern.example\npsk=geheim\n";
        let wanted = "[keyfile]\nunmanaged-devices=driver:mlx5e_rep\n[global-dns]\n";
        assert_eq!(kept("/etc/NetworkManager/conf.d/a.conf", file), wanted);
    }

    #[test]
    fn other_files_stay_as_they_are() {
        assert_eq!(kept("/sys/kernel/security/lockdown", "[none] integrity\n"), "[none] integrity\n");
    }
}
