//! Who made the CPUs, where they are, and whether guests may have guests.
//!
//! Source: `show_cpuinfo()` in `arch/x86/kernel/cpu/proc.c`, `drivers/base/node.c`,
//! `Documentation/virt/kvm/x86/running-nested-guests.rst`.

use serde::Serialize;

use super::{ModuleName, Platform};
use crate::error::{Error, Result};

/// The host's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Who made them.
    pub vendor: Vendor,
    /// Whether they can run guests: the flag `vmx` or `svm`.
    pub virtualization: bool,
    /// Whether they have pages of 1 GiB: the flag `pdpe1gb`.
    pub gib_pages: bool,
}

/// Who made a CPU, as far as it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// `GenuineIntel`.
    Intel,
    /// `AuthenticAMD`, and `HygonGenuine`, which the same drivers serve.
    Amd,
    /// Another, or no x86 at all.
    Other,
}

impl Vendor {
    /// The module that runs guests on its CPUs.
    pub fn kvm_module(self) -> Option<ModuleName> {
        match self {
            Self::Intel => "kvm_intel".parse().ok(),
            Self::Amd => "kvm_amd".parse().ok(),
            Self::Other => None,
        }
    }
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NumaNode {
    /// Its number.
    pub id: u16,
    /// Its CPUs, in order.
    pub cpus: Vec<u32>,
    /// Its memory in KiB.
    pub memory_kib: u64,
    /// What of it is free, in KiB.
    pub free_kib: u64,
}

impl Platform {
    /// The CPUs, as the first of them says.
    pub fn cpu(&self) -> Result<Cpu> {
        let text = self.text("/proc/cpuinfo")?.unwrap_or_default();
        let first = text.split("\n\n").next().unwrap_or_default();
        let field = |name: &str| {
            let of = |line: &'_ str| {
                line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, v)| v.trim().to_owned())
            };
            first.lines().find_map(of).unwrap_or_default()
        };
        let flags = field("flags");
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let vendor = match field("vendor_id").as_str() {
            "GenuineIntel" => Vendor::Intel,
            "AuthenticAMD" | "HygonGenuine" => Vendor::Amd,
            _ => Vendor::Other,
        };
        Ok(Cpu { vendor, virtualization: has("vmx") || has("svm"), gib_pages: has("pdpe1gb") })
    }

    /// Whether guests may have guests; `None` where no KVM module is loaded for these CPUs, so that it is not decided.
    pub fn nested_kvm(&self) -> Result<Option<bool>> {
        let Some(module) = self.cpu()?.vendor.kvm_module() else { return Ok(None) };
        let nested = self.module_parameter(&module, "nested")?;
        // kvm_intel prints a bool, kvm_amd an int (`module_param(nested, int, 0444)` in svm.c).
        Ok(nested.map(|nested| matches!(nested.as_str(), "Y" | "1")))
    }

    /// The NUMA nodes that are online; a kernel without NUMA has none.
    pub fn numa_nodes(&self) -> Result<Vec<NumaNode>> {
        let mut nodes = Vec::new();
        for id in self.node_numbers()? {
            let path = format!("/sys/devices/system/node/node{id}");
            let list = self.attribute(format!("{path}/cpulist"))?.unwrap_or_default();
            let cpus = cpu_list(&list)
                .ok_or_else(|| Error::Malformed { what: format!("{path}/cpulist"), text: list })?;
            let meminfo = self.text(format!("{path}/meminfo"))?.unwrap_or_default();
            // `Node 0 MemTotal:       98304000 kB`
            let kib = |name: &str| {
                let of = |line: &str| {
                    line.split_once(name).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
                };
                meminfo.lines().find_map(of).unwrap_or(0)
            };
            nodes.push(NumaNode { id, cpus, memory_kib: kib("MemTotal:"), free_kib: kib("MemFree:") });
        }
        Ok(nodes)
    }

    /// The numbers of the NUMA nodes that are online.
    pub(super) fn node_numbers(&self) -> Result<Vec<u16>> {
        let names = self.list("/sys/devices/system/node")?.unwrap_or_default();
        let mut numbers: Vec<u16> =
            names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// `0-3,8,10-11`: what `bitmap_print_to_pagebuf()` in `lib/bitmap-str.c` prints.
fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // No kernel has more CPUs than that; a torn file shall not fill the memory.
        if last.checked_sub(first)? > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Host;
    use super::*;

    const XEON: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme pdpe1gb rdtscp vmx\n\nprocessor\t: 1\nvendor_id\t: x\n";

    #[test]
    fn the_first_cpu_speaks_for_all() {
        let host = Host::with(&[("/proc/cpuinfo", XEON)]);
        let cpu = host.platform().cpu().unwrap();
        assert_eq!(cpu, Cpu { vendor: Vendor::Intel, virtualization: true, gib_pages: true });
        host.write("/proc/cpuinfo", b"processor\t: 0\nvendor_id\t: HygonGenuine\nflags\t\t: svmx svm_lock\n");
        let cpu = host.platform().cpu().unwrap();
        assert_eq!(cpu, Cpu { vendor: Vendor::Amd, virtualization: false, gib_pages: false });
        host.write("/proc/cpuinfo", b"processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n");
        assert_eq!(host.platform().cpu().unwrap().vendor, Vendor::Other);
    }

    #[test]
    fn nested_is_a_bool_or_a_number() {
        let host = Host::with(&[("/proc/cpuinfo", XEON)]);
        assert_eq!(host.platform().nested_kvm().unwrap(), None);
        for (text, nested) in [("Y\n", true), ("N\n", false), ("1\n", true), ("0\n", false)] {
            host.write("/sys/module/kvm_intel/parameters/nested", text.as_bytes());
            assert_eq!(host.platform().nested_kvm().unwrap(), Some(nested), "{text}");
        }
    }

    #[test]
    fn nodes_have_cpus_and_memory() {
        let host = Host::with(&[
            ("/sys/devices/system/node/node0/cpulist", "0-3,8\n"),
            (
                "/sys/devices/system/node/node0/meminfo",
                "Node 0 MemTotal:       98304000 kB\nNode 0 MemFree:        1024 kB\n",
            ),
            ("/sys/devices/system/node/node10/cpulist", "\n"),
            ("/sys/devices/system/node/node2/cpulist", "9\n"),
            ("/sys/devices/system/node/online", "0,2,10\n"),
        ]);
        let nodes = host.platform().numa_nodes().unwrap();
        assert_eq!(nodes.iter().map(|node| node.id).collect::<Vec<_>>(), [0, 2, 10]);
        assert_eq!(
            nodes[0],
            NumaNode { id: 0, cpus: vec![0, 1, 2, 3, 8], memory_kib: 98_304_000, free_kib: 1024 }
        );
        assert_eq!(nodes[2].cpus, [] as [u32; 0]);
    }

    #[test]
    fn a_torn_cpu_list_is_an_error() {
        for text in ["0-", "x", "3-1", "0-99999999"] {
            assert_eq!(cpu_list(text), None, "{text}");
        }
    }
}
