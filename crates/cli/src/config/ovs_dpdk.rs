//! What a host file says of Open vSwitch's userspace datapath: `[ovs_dpdk]`, and VFs with `datapath = "ovs-dpdk"`.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::parse::Reader;
use super::{BondSpec, ConfigError, Datapath, HostFile, Nic};

/// How DPDK is run in ovs-vswitchd; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct OvsDpdk {
    /// Megabytes of huge pages for each NUMA node: `1024,0`.
    pub socket_mem: Option<String>,
    /// The CPUs of the threads that poll: a hexadecimal mask.
    pub pmd_cpu_mask: Option<String>,
    /// Further words for DPDK's EAL.
    pub extra: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOvsDpdk {
    socket_mem: Option<Spanned<String>>,
    pmd_cpu_mask: Option<Spanned<String>>,
    #[serde(default)]
    extra: Vec<String>,
}

impl HostFile {
    /// Whether the bridge is one of the userspace datapath.
    pub fn is_userspace(&self) -> bool {
        self.nics.iter().flat_map(|nic| &nic.vfs).any(|vf| vf.datapath == Datapath::OvsDpdk)
    }
}

impl Reader<'_> {
    pub(super) fn ovs_dpdk(&self, raw: RawOvsDpdk) -> Result<OvsDpdk, ConfigError> {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(wrong) = raw.socket_mem.as_ref().filter(|text| !text.get_ref().split(',').all(digits)) {
            let message = format!("`{}` is no memory for each NUMA node", wrong.get_ref());
            return Err(self.wrong(&wrong.span(), message, "write megabytes, node by node: \"1024,0\""));
        }
        let is_mask = |text: &str| {
            let text = text.strip_prefix("0x").unwrap_or(text);
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if let Some(wrong) = raw.pmd_cpu_mask.as_ref().filter(|text| !is_mask(text.get_ref())) {
            let message = format!("`{}` is no mask of CPUs", wrong.get_ref());
            return Err(self.wrong(
                &wrong.span(),
                message,
                "write it in hexadecimal: \"0x30\" is CPU 4 and 5",
            ));
        }
        Ok(OvsDpdk {
            socket_mem: raw.socket_mem.map(Spanned::into_inner),
            pmd_cpu_mask: raw.pmd_cpu_mask.map(Spanned::into_inner),
            extra: raw.extra,
        })
    }

    /// A bridge has one datapath: beside ports of DPDK there is no place for the kernel's.
    pub(super) fn one_datapath(&self, nics: &[Nic], bonds: &[BondSpec]) -> Result<(), ConfigError> {
        let vfs = || nics.iter().flat_map(|nic| nic.vfs.iter().map(move |vf| (nic, vf)));
        let Some((of, user)) = vfs().find(|(_, vf)| vf.datapath == Datapath::OvsDpdk) else { return Ok(()) };
        let other = vfs().find(|(_, vf)| !matches!(vf.datapath, Datapath::OvsDpdk | Datapath::None));
        let user = format!("VF {} of {} is Open vSwitch's in userspace", user.index, of.pf);
        if let Some((nic, vf)) = other {
            let message = format!("{user}, and VF {} of {} is not", vf.index, nic.pf);
            let hint = "a bridge has one datapath: `datapath = \"ovs-dpdk\"` for every VF that a VM gets, or for none";
            return Err(self.wrong(&(0..0), message, hint));
        }
        if let Some(bond) = bonds.first() {
            let message = format!("{user}, and the bond {} is the kernel's", bond.name);
            return Err(self.wrong(&(0..0), message, "take the bond out, or give the VFs another datapath"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{HostFile, parse};
    use super::*;

    fn read(rest: &str) -> Result<HostFile, ConfigError> {
        let text = format!(
            "[[nic]]\npci = \"0000:43:00.0\"\nvfs = 2\n[[nic.vf]]\nindex = 0\ndatapath = \"ovs-dpdk\"\n{rest}"
        );
        parse(Path::new("host.toml"), &text)
    }

    #[test]
    fn memory_and_cpus_are_checked_for_their_form() {
        let file =
            read("[ovs_dpdk]\nsocket_mem = \"1024,0\"\npmd_cpu_mask = \"0x30\"\nextra = [\"--no-huge\"]")
                .unwrap();
        assert!(file.is_userspace());
        assert_eq!(file.ovs_dpdk.socket_mem.as_deref(), Some("1024,0"));
        let wrong = |rest: &str| read(rest).unwrap_err();
        assert!(wrong("[ovs_dpdk]\nsocket_mem = \"1G\"").message.contains("`1G` is no memory"));
        assert!(wrong("[ovs_dpdk]\npmd_cpu_mask = \"4-5\"").message.contains("`4-5` is no mask"));
        assert_eq!(wrong("[ovs_dpdk]\npmd_cpu_mask = \"4-5\"").place.unwrap().line, 8);
    }

    #[test]
    fn a_bridge_has_one_datapath() {
        let mixed = read("[[nic.vf]]\nindex = 1\ndatapath = \"kernel\"").unwrap_err();
        assert!(mixed.message.contains("VF 1 of 0000:43:00.0 is not"), "{}", mixed.message);
        read("[[nic.vf]]\nindex = 1\ndatapath = \"none\"").unwrap();
    }
}
