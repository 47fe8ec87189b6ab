//! What a dpdk-vdpa process is to be: everything that makes two of them different.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vdpa_hw::{PciAddress, Vf};

use super::layout::slug;
use super::version::allow_list;
use crate::error::{Error, Result};

/// A dpdk-vdpa process as it is to be, for one VF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The VF, by the key that survives.
    pub vf: Vf,
    /// Where the VF sits on the PCI bus now.
    pub device: PciAddress,
    /// Which end of the vhost-user socket listens.
    pub mode: Mode,
    /// The program, by its full path.
    pub program: PathBuf,
    /// The CPUs it may use; the first is the main one. Empty: all, as DPDK chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<u16>,
    /// Where its memory comes from.
    pub memory: Memory,
    /// Arguments for the vDPA driver, `key=value`, as in DPDK's `vdpadevs/mlx5` guide: `event_core=3`
    /// keeps its timer thread off the main CPU, where it polls by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub driver_args: Vec<String>,
    /// Further arguments for DPDK's EAL, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub eal_args: Vec<String>,
}

/// Which end of the vhost-user socket listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The datapath listens and QEMU connects.
    #[default]
    Server,
    /// QEMU listens and the datapath connects, again and again: the datapath may restart under a
    /// running guest.
    Client,
}

/// Where a process's memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// Huge pages, as much as the program asks for, or this many megabytes at its start.
    HugePages(Option<u32>),
    /// Ordinary pages, this many megabytes (`--no-huge`): for hosts without huge pages to spare.
    Ordinary(u32),
}

impl Spec {
    /// A process for `vf`, which sits at `device`: a server, with huge pages, on any CPU.
    pub fn new(vf: Vf, device: PciAddress, program: impl Into<PathBuf>) -> Self {
        Self {
            vf,
            device,
            mode: Mode::default(),
            program: program.into(),
            cores: Vec::new(),
            memory: Memory::HugePages(None),
            driver_args: Vec::new(),
            eal_args: Vec::new(),
        }
    }

    /// The arguments that the program is started with; `version` is that of its DPDK, as it
    /// [says itself](super::DpdkVdpa::version), where it is known.
    ///
    /// The file prefix keeps the process apart from every other DPDK process. vhost's own log says what became of
    /// the socket, so its level is not left to chance.
    pub fn arguments(&self, version: Option<&str>) -> Vec<OsString> {
        let device =
            [self.device.to_string(), "class=vdpa".into()].into_iter().chain(self.driver_args.clone());
        let mut arguments = vec![allow_list(version).to_owned(), device.collect::<Vec<_>>().join(",")];
        arguments.extend(["--file-prefix".into(), format!("vdpa-{}", slug(self.vf))]);
        if !self.cores.is_empty() {
            let cores: Vec<_> = self.cores.iter().map(u16::to_string).collect();
            arguments.extend(["-l".into(), cores.join(",")]);
        }
        match self.memory {
            // A page's file is unlinked once mapped: nothing stays in hugetlbfs when the process is killed.
            Memory::HugePages(None) => arguments.push("--huge-unlink".into()),
            Memory::HugePages(Some(megabytes)) => {
                arguments.extend(["--huge-unlink".into(), "-m".into(), megabytes.to_string()]);
            }
            Memory::Ordinary(megabytes) => {
                arguments.extend(["--no-huge".into(), "-m".into(), megabytes.to_string()]);
            }
        }
        arguments.extend(["--no-telemetry".into(), "--log-level".into(), "lib.vhost.config:info".into()]);
        arguments.extend(self.eal_args.iter().cloned());
        arguments.extend(["--".into(), "-i".into()]);
        if self.mode == Mode::Client {
            arguments.push("--client".into());
        }
        arguments.into_iter().map(OsString::from).collect()
    }
}

/// Finds the dpdk-vdpa program: the configured path, or `dpdk-vdpa` (the name that DPDK's own build
/// gives it) in `PATH` and where people put it.
pub fn find_program(configured: Option<&Path>) -> Result<PathBuf> {
    let candidates: Vec<PathBuf> = if let Some(path) = configured {
        vec![path.to_owned()]
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/local/bin", "/opt/mellanox/dpdk/bin", "/opt/dpdk/bin", "/opt"];
        let directories = env::split_paths(&path).chain(usual.map(PathBuf::from));
        directories
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("dpdk-vdpa"))
            .collect()
    };
    let executable = |path: &&PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    candidates.iter().find(executable).cloned().ok_or_else(|| Error::ProgramMissing {
        looked_for: candidates.iter().map(|path| path.display().to_string()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let vf: Vf = "0000:43:00.0/vf0".parse().unwrap();
        Spec::new(vf, "0000:43:00.2".parse().unwrap(), "/opt/dpdk-vdpa")
    }

    fn line(spec: &Spec) -> String {
        spec.arguments(Some("22.11.11"))
            .iter()
            .map(|argument| argument.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_plain_process_uses_huge_pages_and_leaves_none_behind() {
        assert_eq!(
            line(&spec()),
            "-a 0000:43:00.2,class=vdpa --file-prefix vdpa-0000-43-00.0-vf0 --huge-unlink --no-telemetry \
             --log-level lib.vhost.config:info -- -i"
        );
    }

    #[test]
    fn every_setting_reaches_the_program() {
        let spec = Spec {
            mode: Mode::Client,
            cores: vec![4, 5],
            memory: Memory::Ordinary(256),
            driver_args: vec!["event_core=5".into()],
            eal_args: vec!["--no-pci".into()],
            ..spec()
        };
        assert_eq!(
            line(&spec),
            "-a 0000:43:00.2,class=vdpa,event_core=5 --file-prefix vdpa-0000-43-00.0-vf0 -l 4,5 --no-huge -m 256 \
             --no-telemetry --log-level lib.vhost.config:info --no-pci -- -i --client"
        );
    }

    #[test]
    fn a_program_of_an_old_dpdk_is_told_its_device_in_its_own_words() {
        let arguments = spec().arguments(Some("20.08.3"));
        assert_eq!(arguments[..2], ["-w", "0000:43:00.2,class=vdpa"].map(OsString::from));
    }

    #[test]
    fn a_spec_survives_being_written_down() {
        let spec = Spec { cores: vec![1], memory: Memory::HugePages(Some(64)), ..spec() };
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec);
        assert!(serde_json::from_str::<Spec>(&text.replace("\"mode\"", "\"mood\"")).is_err());
    }

    #[test]
    fn a_missing_program_is_named_and_hinted_at() {
        let error = find_program(Some(Path::new("/nowhere/dpdk-vdpa"))).unwrap_err();
        assert_eq!(error.to_string(), "there is no dpdk-vdpa program: looked for /nowhere/dpdk-vdpa");
        assert!(error.hint().unwrap().contains("examples/vdpa"));
        let here = env::current_exe().unwrap();
        assert_eq!(find_program(Some(&here)).unwrap(), here);
    }
}
