//! The units: what each does, and when.
//!
//! One unit cannot do it. The uplink is another network device after the eswitch was switched, and representors have
//! their names from that moment on, so the card has its turn before NetworkManager and its kin take network devices up
//! and before ovs-vswitchd opens the ports that its database remembers. The bridge is made by way of ovsdb-server, after
//! it. libvirt starts its autostart domains when it starts, so datapaths are there before it; and whether a domain's
//! definition is as the host file says can only be asked of libvirt, after it.
//!
//! ```text
//! openibd, udev ─► vdpa-card ─► network managers, Open vSwitch ─► vdpa-datapath ─► libvirt ─► vdpa-domains ─► libvirt-guests
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::until::Until;

/// A unit of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    /// Its file's name.
    pub(super) name: &'static str,
    until: Until,
    description: &'static str,
    /// Lines of its section `[Unit]` about order.
    order: &'static [&'static str],
}

/// What every unit runs, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// This program.
    pub program: PathBuf,
    /// The host file.
    pub config: PathBuf,
    /// Where ovsdb-server listens, if not where it usually does.
    pub ovsdb: Option<PathBuf>,
}

impl Runs {
    /// The first path that no line of a unit can hold. A line break in one would be a line of the unit's own, which root
    /// runs.
    pub(super) fn unspeakable(&self) -> Option<&Path> {
        let paths = [Some(&self.program), Some(&self.config), self.ovsdb.as_ref()];
        let speakable = |path: &Path| path.to_str().is_some_and(|text| !text.chars().any(char::is_control));
        paths.into_iter().flatten().map(PathBuf::as_path).find(|path| !speakable(path))
    }
}

/// The units in the order of a boot.
pub(super) const UNITS: [Unit; 3] = [
    Unit {
        name: "vdpa-card.service",
        until: Until::Card,
        description: "vDPA host: switchdev mode and VFs of its cards",
        order: &[
            // Network managers and Open vSwitch come before sysinit.target where cloud-init waits for them.
            "DefaultDependencies=no",
            "Conflicts=shutdown.target",
            "Before=shutdown.target",
            // openibd loads the drivers of NVIDIA's own packages.
            "After=local-fs.target systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service openibd.service",
            "Before=NetworkManager.service systemd-networkd.service networking.service network.service wicked.service",
            "Before=ovsdb-server.service ovs-vswitchd.service openvswitch-switch.service openvswitch.service",
            "Before=network.target",
        ],
    },
    Unit {
        name: "vdpa-datapath.service",
        until: Until::Datapath,
        description: "vDPA host: bridge and datapaths of its VFs",
        order: &[
            "After=vdpa-card.service",
            "After=ovsdb-server.service ovs-vswitchd.service openvswitch-switch.service openvswitch.service",
            "Before=libvirtd.service virtqemud.service",
        ],
    },
    Unit {
        name: "vdpa-domains.service",
        until: Until::Domains,
        description: "vDPA host: domains on its VFs",
        order: &[
            "After=vdpa-datapath.service",
            "After=libvirtd.service libvirtd.socket virtqemud.service virtqemud.socket",
            "Before=libvirt-guests.service",
        ],
    },
];

/// Where everything of a boot is pulled in from.
pub(super) const WANTED_BY: &str = "multi-user.target";

/// What a `setup` may do, systemd.exec(5). It has to write to /sys, load modules, program the card through netlink, see
/// who holds a VF open, and give a socket's directory to QEMU's group; nothing else.
const SANDBOX: &str = "\
CapabilityBoundingSet=CAP_NET_ADMIN CAP_SYS_MODULE CAP_SYS_PTRACE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID
DevicePolicy=closed
IPAddressDeny=any
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectSystem=strict
ReadWritePaths=/run
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @module
SystemCallFilter=~@obsolete
";

impl Unit {
    /// The unit's text.
    pub(super) fn text(self, runs: &Runs) -> String {
        let mut text = format!("[Unit]\nDescription={}\n", self.description);
        for line in self.order {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "RequiresMountsFor={} {}", word(&runs.program), word(&runs.config));
        text.push_str("\n[Service]\nType=oneshot\nRemainAfterExit=yes\n");
        let _ = writeln!(text, "ExecStart={}", self.command(runs));
        // 128 VFs were seen to take over a minute, and a unit that is killed in the middle leaves half a host.
        let _ = writeln!(text, "TimeoutStartSec=15min");
        let _ = write!(text, "\n{SANDBOX}\n[Install]\nWantedBy={WANTED_BY}\n");
        text
    }

    fn command(self, runs: &Runs) -> String {
        let until = match self.until {
            Until::Card => " --until card",
            Until::Datapath => " --until datapath",
            Until::Domains => "",
        };
        let ovsdb =
            runs.ovsdb.as_ref().map(|socket| format!(" --ovsdb {}", argument(socket))).unwrap_or_default();
        format!("{} setup{until} --config {}{ovsdb}", argument(&runs.program), argument(&runs.config))
    }
}

/// A path as a word of a command line, where `$` would begin a variable: systemd.service(5).
fn argument(path: &Path) -> String {
    word(path).replace('$', "$$")
}

/// A path as a word of a unit's line: systemd.syntax(7) and the specifiers of systemd.unit(5).
fn word(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if text.contains(|character: char| character.is_whitespace() || "'\"\\;".contains(character)) {
        format!("\"{text}\"")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Runs {
        Runs { program: "/usr/local/bin/vdpa".into(), config: "/etc/vdpa/host.toml".into(), ovsdb: None }
    }

    #[test]
    fn each_unit_goes_as_far_as_its_time_allows() {
        let commands = UNITS.map(|unit| unit.command(&runs()));
        let expected = [
            "/usr/local/bin/vdpa setup --until card --config /etc/vdpa/host.toml",
            "/usr/local/bin/vdpa setup --until datapath --config /etc/vdpa/host.toml",
            "/usr/local/bin/vdpa setup --config /etc/vdpa/host.toml",
        ];
        assert_eq!(commands, expected);
    }

    #[test]
    fn a_path_is_one_word_to_systemd() {
        let odd =
            Runs { config: "/etc/my vdpa/50%.toml".into(), ovsdb: Some("/run/x.sock".into()), ..runs() };
        assert_eq!(
            UNITS[2].command(&odd),
            "/usr/local/bin/vdpa setup --config \"/etc/my vdpa/50%%.toml\" --ovsdb /run/x.sock"
        );
    }

    #[test]
    fn a_variable_is_none_in_a_command_line_and_nothing_special_elsewhere() {
        let text = UNITS[2].text(&Runs { config: "/etc/$HOME.toml".into(), ..runs() });
        assert!(text.contains("RequiresMountsFor=/usr/local/bin/vdpa /etc/$HOME.toml\n"), "{text}");
        assert!(text.contains("--config /etc/$$HOME.toml\n"), "{text}");
    }
}
