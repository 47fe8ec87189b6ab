//! From which version on things work: the table in `minimums.toml`, and how versions compare.

use std::fmt;

use serde::Deserialize;

use super::check::Verdict;
use super::evidence::Evidence;
use crate::config::Datapath;

/// The table.
const TABLE: &str = include_str!("minimums.toml");

/// An entry of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Minimum {
    /// Of what.
    pub(super) of: Of,
    /// From which version on.
    pub(super) version: String,
    /// For whom.
    pub(super) needs: Needs,
    /// What it means below.
    pub(super) below: Below,
    /// The versions that it is about, where there are several lines of them.
    pub(super) line: Option<String>,
    /// Why.
    pub(super) reason: String,
    /// Where that can be looked up.
    pub(super) source: String,
}

/// What has a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Of {
    /// The running kernel.
    Kernel,
    /// A card's firmware.
    Firmware,
    /// Open vSwitch.
    Ovs,
    /// The DPDK that dpdk-vdpa is built of.
    Dpdk,
    /// QEMU.
    Qemu,
    /// libvirt.
    Libvirt,
}

/// For whom a minimum counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Needs {
    /// Every host.
    Any,
    /// One with VFs behind dpdk-vdpa.
    Dpdk,
    /// One with VFs behind the kernel's vDPA.
    Kernel,
    /// One whose VFs are for VMs.
    Vm,
}

/// What it means to be below a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Below {
    /// It does not work.
    Fail,
    /// It works less well, or nobody has tried.
    Warn,
}

impl Minimum {
    /// The whole table.
    pub(super) fn all() -> Vec<Self> {
        #[derive(Deserialize)]
        struct Table {
            minimum: Vec<Minimum>,
        }
        let table: Table =
            toml::from_str(TABLE).unwrap_or_else(|error| unreachable!("minimums.toml: {error}"));
        table.minimum
    }

    /// Those that count for a version of something on this host: of its own line, or where its line has none, of no
    /// line at all.
    pub(super) fn of(of: Of, version: &str, evidence: &Evidence) -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|minimum| minimum.of == of && minimum.needs.is_so(evidence));
        let lined = all.iter().any(|minimum| minimum.line.is_some() && minimum.concerns(version));
        all.retain(|minimum| minimum.line.is_some() == lined && minimum.concerns(version));
        all
    }

    fn concerns(&self, version: &str) -> bool {
        match self.line.as_deref() {
            None => true,
            Some(line) if line.ends_with('.') => version.starts_with(line),
            Some(line) => version.contains(line),
        }
    }

    /// Whether a version is below it.
    pub(super) fn is_above(&self, version: &str) -> bool {
        numbers(version) < numbers(&self.version)
    }

    /// The verdict on a version below it.
    pub(super) fn verdict(&self) -> Verdict {
        match self.below {
            Below::Fail => Verdict::Fail,
            Below::Warn => Verdict::Warn,
        }
    }
}

impl Of {
    /// What to do about one that is too old.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Kernel => "a newer kernel: `dnf upgrade kernel`, `apt full-upgrade`, then a reboot",
            Self::Firmware => {
                "newer firmware from the card's vendor: `mstflint -d ADDRESS -i FILE burn`, then a reset"
            }
            Self::Ovs => {
                "a newer Open vSwitch: `dnf upgrade openvswitch3.*`, `apt upgrade openvswitch-switch`"
            }
            Self::Dpdk => "build examples/vdpa of a newer DPDK, and install it as /usr/local/bin/dpdk-vdpa",
            Self::Qemu => "a newer QEMU: `dnf upgrade qemu-kvm`, `apt upgrade qemu-system-x86`",
            Self::Libvirt => "a newer libvirt: `dnf upgrade libvirt`, `apt upgrade libvirt-daemon-system`",
        }
    }
}

impl Needs {
    fn is_so(self, evidence: &Evidence) -> bool {
        match self {
            Self::Any => true,
            Self::Dpdk => evidence.wants(Datapath::Dpdk),
            Self::Kernel => evidence.wants(Datapath::Kernel),
            Self::Vm => evidence.wants_vms(),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "every host",
            Self::Dpdk => "`datapath = \"dpdk\"`",
            Self::Kernel => "`datapath = \"kernel\"`",
            Self::Vm => "VFs with a `vm`",
        })
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Firmware => "firmware",
            Self::Ovs => "Open vSwitch",
            Self::Dpdk => "DPDK",
            Self::Qemu => "QEMU",
            Self::Libvirt => "libvirt",
        })
    }
}

/// The leading numbers of a version: `4.18.0-305.el8.x86_64` is 4, 18, 0, 305.
fn numbers(version: &str) -> Vec<u64> {
    let words = version.split(['.', '-', '+', '~', '_']);
    let mut numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    // 2.8 and 2.8.0 are one.
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::super::fixture::healthy;
    use super::*;

    fn below(of: Of, version: &str, evidence: &Evidence) -> Vec<(String, Below)> {
        let all = Minimum::of(of, version, evidence).into_iter();
        all.filter(|minimum| minimum.is_above(version))
            .map(|minimum| (minimum.version, minimum.below))
            .collect()
    }

    #[test]
    fn every_entry_has_a_version_a_reason_and_a_source() {
        let all = Minimum::all();
        assert!(all.len() > 10);
        for minimum in all {
            assert!(!numbers(&minimum.version).is_empty(), "{minimum:?}");
            assert!(minimum.reason.len() > 20 && minimum.source.len() > 10, "{minimum:?}");
        }
    }

    #[test]
    fn versions_compare_number_by_number() {
        for (small, large) in [
            ("2.8", "2.13"),
            ("4.18.0-304.el8", "4.18.0-305"),
            ("22.29.1998", "22.29.2002"),
            ("5.7-rc1", "5.7.1"),
            ("20.11.3", "21.05"),
        ] {
            assert!(numbers(small) < numbers(large), "{small} {large}");
        }
        assert_eq!(numbers("2.8.0"), numbers("2.8"));
        assert_eq!(numbers("6.12.6-1~bpo12+1-amd64"), [6, 12, 6, 1]);
    }

    #[test]
    fn a_distributions_kernel_is_held_against_its_own_line() {
        let evidence = healthy();
        assert_eq!(below(Of::Kernel, "4.18.0-305.el8.x86_64", &evidence), []);
        assert_eq!(
            below(Of::Kernel, "4.18.0-240.el8.x86_64", &evidence),
            [("4.18.0-305".to_owned(), Below::Warn)]
        );
        assert_eq!(below(Of::Kernel, "4.18.0", &evidence), [("5.7".to_owned(), Below::Warn)]);
        assert_eq!(below(Of::Kernel, "6.12.6", &evidence), []);
    }

    #[test]
    fn what_nobody_asks_for_is_no_minimum() {
        let mut evidence = healthy();
        assert_eq!(below(Of::Dpdk, "20.08", &evidence).len(), 1);
        evidence.answers.wanted.as_mut().unwrap().vfs.clear();
        assert_eq!(below(Of::Dpdk, "20.08", &evidence), []);
        evidence.answers.wanted = None;
        assert_eq!(
            below(Of::Dpdk, "20.08", &evidence).len(),
            1,
            "without a host file anything may be asked for"
        );
    }
}
