//! What a host file says of dpdk-vdpa processes: `[dpdk]` for all of them, `mode` and `cores` of a VF for its own.

use std::collections::BTreeSet;

use toml::Spanned;
use vdpa_datapath::dpdk::{Memory, Mode};

use super::parse::Reader;
use super::raw::RawDpdk;
use super::{ConfigError, Datapath, Dpdk};

/// What a process gets where it is to do without huge pages: enough for the control path.
const DEFAULT_MEGABYTES: u32 = 256;

impl Dpdk {
    pub(super) fn read(raw: RawDpdk) -> Self {
        Self {
            program: raw.program,
            memory: match (raw.hugepages.unwrap_or(true), raw.memory_mb) {
                (true, megabytes) => Memory::HugePages(megabytes),
                (false, megabytes) => Memory::Ordinary(megabytes.unwrap_or(DEFAULT_MEGABYTES)),
            },
            mode: raw.mode,
            driver_args: raw.driver_args,
            eal_args: raw.eal_args,
            group: raw.group,
        }
    }
}

impl Reader<'_> {
    /// Which end of a VF's socket listens, where the VF says it.
    pub(super) fn mode(
        &self,
        who: &str,
        mode: Option<&Spanned<Mode>>,
        datapath: Datapath,
    ) -> Result<Option<Mode>, ConfigError> {
        if let Some(mode) = mode.filter(|_| datapath != Datapath::Dpdk) {
            let message = format!("{who} has a `mode` and no dpdk-vdpa process");
            return Err(self.wrong(&mode.span(), message, "take it out, or add `datapath = \"dpdk\"`"));
        }
        Ok(mode.map(|mode| *mode.get_ref()))
    }

    /// The CPUs of a VF's process.
    pub(super) fn cores(
        &self,
        who: &str,
        cores: Option<Spanned<Vec<u16>>>,
        datapath: Datapath,
    ) -> Result<Vec<u16>, ConfigError> {
        let Some(cores) = cores else { return Ok(Vec::new()) };
        let span = cores.span();
        if datapath != Datapath::Dpdk {
            let message = format!("{who} has `cores` and no dpdk-vdpa process");
            return Err(self.wrong(&span, message, "take them out, or add `datapath = \"dpdk\"`"));
        }
        let cores = cores.into_inner();
        let mut seen = BTreeSet::new();
        if let Some(twice) = cores.iter().find(|core| !seen.insert(**core)) {
            let hint = "each CPU once; the first is the process's main one";
            return Err(self.wrong(&span, format!("{who} is to have CPU {twice} twice"), hint));
        }
        if cores.is_empty() {
            let hint = "name its CPUs, `cores = [4, 5]`, or leave it out";
            return Err(self.wrong(&span, format!("{who} is to have no CPU"), hint));
        }
        Ok(cores)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn file(vf: &str) -> String {
        format!(
            "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n[[nic.vf]]\nindex = 0\n{vf}\n[dpdk]\nmode = \"client\"\n"
        )
    }

    #[test]
    fn a_vf_has_its_own_mode_and_cpus_or_those_of_all() {
        let read = |vf: &str| parse(Path::new("host.toml"), &file(vf)).unwrap();
        let host = read("datapath = \"dpdk\"\nmode = \"server\"\ncores = [4, 5]");
        assert_eq!((host.nics[0].vfs[0].mode, host.dpdk.mode), (Some(Mode::Server), Mode::Client));
        assert_eq!(host.nics[0].vfs[0].cores, [4, 5]);
        assert_eq!(read("datapath = \"dpdk\"").nics[0].vfs[0].mode, None);
    }

    #[test]
    fn what_is_no_process_has_neither() {
        for (vf, line, message) in [
            ("mode = \"client\"", 6, "VF 0 of 0000:43:00.0 has a `mode` and no dpdk-vdpa process"),
            (
                "datapath = \"kernel\"\ncores = [1]",
                7,
                "VF 0 of 0000:43:00.0 has `cores` and no dpdk-vdpa process",
            ),
            ("datapath = \"dpdk\"\ncores = [1, 2, 1]", 7, "VF 0 of 0000:43:00.0 is to have CPU 1 twice"),
            ("datapath = \"dpdk\"\ncores = []", 7, "VF 0 of 0000:43:00.0 is to have no CPU"),
        ] {
            let error = parse(Path::new("host.toml"), &file(vf)).unwrap_err();
            assert_eq!((error.message.as_str(), error.place.map(|place| place.line)), (message, Some(line)));
        }
        let error = parse(Path::new("host.toml"), &file("datapath = \"dpdk\"\nmode = \"both\"")).unwrap_err();
        assert!(error.message.contains("unknown variant `both`"), "{}", error.message);
    }
}
