//! What systemd is told of a process's unit: when it is started again, what it may use, what it may see.
//!
//! The process runs as root, for DPDK's drivers want capabilities; of everything else it has what it needs and no
//! more. What DPDK needs stays open: /sys and devlink (mlx5 turns `RoCE` off), uverbs and VFIO devices, hugetlbfs
//! wherever it is mounted, and locked memory without a limit, because the guest's RAM is pinned for the card.
//!
//! A system administrator may loosen or tighten it with a drop-in for the unit's name.

use std::fs;
use std::path::PathBuf;

use super::layout::Home;
use super::supervise::Limits;
use super::{Spec, backoff};

/// The oldest systemd that is known to run such units: RHEL 8's. One whose version cannot be read is taken to be it.
pub(super) const OLDEST: u32 = 239;

/// Properties, systemd.service(5), systemd.exec(5) and systemd.resource-control(5), and the version of systemd that
/// has them (systemd's NEWS): one that it does not know makes `systemd-run` fail.
const PROPERTIES: &[(u32, &str)] = &[
    // Life. How long to wait is the supervisor's business; a supervisor that crashes itself is given up.
    (0, "Restart=on-failure"),
    (0, "RestartSec=200ms"),
    (230, "StartLimitIntervalSec=60"),
    (0, "StartLimitBurst=20"),
    (0, "KillMode=mixed"),
    (0, "UMask=0007"),
    // Limits. Memory is mapped from files of the guest's RAM, which must not land in a core dump.
    (0, "LimitMEMLOCK=infinity"),
    (0, "LimitNOFILE=65536"),
    (0, "LimitCORE=0"),
    (227, "TasksMax=512"),
    (0, "OOMScoreAdjust=-500"),
    // Capabilities, by the guides of DPDK and its mlx5 drivers: devlink, DevX, pinned memory, CPU affinity; and
    // QEMU's socket, which is its own (client mode).
    (
        0,
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_IPC_LOCK CAP_SYS_RAWIO CAP_SYS_NICE CAP_DAC_OVERRIDE",
    ),
    (187, "NoNewPrivileges=yes"),
    (239, "SystemCallFilter=@system-service"),
    (0, "SystemCallErrorNumber=EPERM"),
    (0, "SystemCallArchitectures=native"),
    (0, "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"),
    (233, "RestrictNamespaces=yes"),
    (231, "RestrictRealtime=yes"),
    (242, "RestrictSUIDSGID=yes"),
    (235, "LockPersonality=yes"),
    (235, "KeyringMode=private"),
    // Devices beyond the usual harmless ones: InfiniBand verbs, VFIO, UIO.
    (0, "DevicePolicy=closed"),
    (0, "DeviceAllow=char-infiniband_verbs rw"),
    (0, "DeviceAllow=char-vfio rw"),
    (0, "DeviceAllow=/dev/vfio/vfio rw"),
    (0, "DeviceAllow=char-uio rw"),
    // Files.
    (232, "ProtectSystem=strict"),
    (0, "ProtectHome=read-only"),
    (0, "PrivateTmp=yes"),
    (232, "ProtectControlGroups=yes"),
    (232, "ProtectKernelModules=yes"),
    (242, "ProtectHostname=yes"),
    (244, "ProtectKernelLogs=yes"),
    (245, "ProtectClock=yes"),
];

/// The properties of the unit of `spec`'s process, for systemd of this version.
pub(super) fn properties(version: u32, spec: &Spec, home: &Home, limits: Limits) -> Vec<String> {
    let known = PROPERTIES.iter().filter(|(since, _)| *since <= version);
    let mut properties: Vec<String> = known.map(|(_, property)| (*property).to_owned()).collect();
    let start = limits.start + backoff::LONGEST;
    properties.push(format!("TimeoutStartSec={}", start.as_secs() + 5));
    properties.push(format!("TimeoutStopSec={}", limits.stop.as_secs() + 5));
    // All else is read-only now.
    properties.push(format!("ReadWritePaths={}", home.path().display()));
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    properties.extend(huge_pages(&mounts).iter().map(|path| format!("ReadWritePaths=-{}", path.display())));
    if !spec.cores.is_empty() {
        let cores: Vec<_> = spec.cores.iter().map(u16::to_string).collect();
        properties.push(format!("CPUAffinity={}", cores.join(" ")));
    }
    properties
}

/// The version in the first line of `systemctl --version`: `systemd 252 (252.39-1~deb12u1)`.
pub(super) fn version(said: &str) -> Option<u32> {
    let word = said.strip_prefix("systemd ")?.split_whitespace().next()?;
    word.split(|other: char| !other.is_ascii_digit()).next()?.parse().ok()
}

/// Where hugetlbfs is mounted, by /proc/self/mounts (fstab(5)).
fn huge_pages(mounts: &str) -> Vec<PathBuf> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        // Blanks in it are octal escapes, which systemd would read otherwise.
        (kind == "hugetlbfs" && !path.contains('\\')).then(|| PathBuf::from(path))
    };
    mounts.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn of(version: u32) -> Vec<String> {
        let vf: vdpa_hw::Vf = "0000:43:00.0/vf0".parse().unwrap();
        let spec = Spec {
            cores: vec![4, 5],
            ..Spec::new(vf, "0000:43:00.2".parse().unwrap(), "/usr/bin/dpdk-vdpa")
        };
        properties(version, &spec, &Home::of(Path::new("/run/vdpa"), vf), Limits::default())
    }

    #[test]
    fn the_unit_has_what_it_needs_and_no_more() {
        let properties = of(252);
        for wanted in [
            "Restart=on-failure",
            "ProtectSystem=strict",
            "ReadWritePaths=/run/vdpa/0000-43-00.0-vf0",
            "LimitMEMLOCK=infinity",
            "LimitCORE=0",
            "TimeoutStartSec=125",
            "TimeoutStopSec=15",
            "CPUAffinity=4 5",
            "ProtectClock=yes",
        ] {
            assert!(
                properties.iter().any(|property| property == wanted),
                "{wanted} is not in {properties:?}"
            );
        }
        assert!(!properties.iter().any(|property| property.contains("CAP_SYS_ADMIN")));
    }

    #[test]
    fn an_older_systemd_is_told_nothing_that_it_does_not_know() {
        let properties = of(OLDEST);
        for later in ["RestrictSUIDSGID", "ProtectHostname", "ProtectKernelLogs", "ProtectClock"] {
            assert!(!properties.iter().any(|property| property.starts_with(later)), "{later}");
        }
        assert!(properties.iter().any(|property| property == "SystemCallFilter=@system-service"));
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (said, expected) in [
            ("systemd 252 (252.39-1~deb12u1)\n+PAM", Some(252)),
            ("systemd 239 (239-82.el8_10.2)", Some(239)),
            ("systemd 256~rc3", Some(256)),
            ("bash: systemctl", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }

    #[test]
    fn huge_pages_may_be_mounted_anywhere() {
        let mounts = "proc /proc proc rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n\
                      none /mnt/huge_1G hugetlbfs rw 0 0\nnone /mnt/a\\040b hugetlbfs rw 0 0\n";
        assert_eq!(huge_pages(mounts), ["/dev/hugepages", "/mnt/huge_1G"].map(PathBuf::from));
    }
}
