//! From the host file and the flags to what is wanted of the host's boot.

use std::collections::{BTreeMap, BTreeSet};

use vdpa_boot::{Count, NodePages, Request, Want};
use vdpa_hw::platform::{Argument, ModuleName, PageSize, Platform, Vendor};

use super::{Asked, Prepare};
use crate::config::boot::{At, Boot, HugePages, argument};
use crate::config::{ConfigError, Datapath, HostFile, VfSpec};
use crate::error::Error;

/// The first kernel that takes `hugepages=0:8,1:8` (`hugepages_setup()` in `mm/hugetlb.c`).
const COUNTS_NODES: (u32, u32) = (5, 16);

/// What is wanted, and what the user should know of how it was decided.
pub(super) fn of(
    options: &Prepare,
    file: Option<&HostFile>,
    platform: &Platform,
) -> Result<(Request, Vec<String>), Error> {
    let boot = file.map(|file| file.boot.clone()).unwrap_or_default();
    let mut notes = Vec::new();
    let mut wants = Vec::new();
    if boot.iommu && !options.no_iommu {
        let vendor = platform.cpu()?.vendor;
        wants.extend(Want::iommu(vendor));
        if vendor == Vendor::Other {
            notes.push(
                "these CPUs are neither Intel's nor AMD's: the IOMMU's arguments are left alone".to_owned(),
            );
        }
    }
    if let Some(size) = options.default_hugepagesz.or(boot.default_huge_page) {
        wants.extend(format!("default_hugepagesz={size}").parse::<Argument>().map(Want::Only));
    }
    let (at_boot, run_time_pages) = huge_pages(options, &boot, platform, &mut notes)?;
    wants.extend(at_boot);
    for text in &options.arg {
        let argument = argument(text).map_err(|(message, hint)| usage(message, hint))?;
        wants.push(Want::Only(argument));
    }
    let flags: BTreeSet<String> =
        options.arg.iter().filter_map(|text| Some(text.split('=').next()?.to_owned())).collect();
    let of_file = boot.arguments.iter().filter(|argument| !flags.contains(argument.name()));
    wants.extend(of_file.cloned().map(Want::Only));
    let nested = options.nested || boot.nested;
    let sockets = vfs(file).any(|vf| matches!(vf.datapath, Datapath::Dpdk | Datapath::OvsDpdk));
    let modules = modules(options, &boot, file);
    Ok((Request { wants, run_time_pages, modules, nested, sockets }, notes))
}

fn vfs(file: Option<&HostFile>) -> impl Iterator<Item = &VfSpec> {
    file.into_iter().flat_map(|file| &file.nics).flat_map(|nic| &nic.vfs)
}

fn usage(message: String, hint: &str) -> Error {
    Error::Config(ConfigError { message, place: None, hint: hint.to_owned() })
}

/// Those that kernel arguments get, and those that are set at run time.
fn huge_pages(
    options: &Prepare,
    boot: &Boot,
    platform: &Platform,
    notes: &mut Vec<String>,
) -> Result<(Vec<Want>, Vec<NodePages>), Error> {
    let flags = options.hugepages.iter().map(|Asked(pages)| pages);
    let is_flagged = |pages: &&HugePages| !flags.clone().any(|flag| flag.size == pages.size);
    let all: Vec<HugePages> =
        boot.huge_pages.iter().filter(is_flagged).chain(flags.clone()).copied().collect();
    let release = platform.modules()?.release;
    let (mut on_host, mut by_node) = (BTreeMap::new(), BTreeMap::<PageSize, BTreeMap<u16, u64>>::new());
    let mut at_run = Vec::new();
    for pages in all {
        let HugePages { size, count, node, at } = pages;
        // Gigantic pages need memory in one piece, which there is for sure only at boot.
        let at = at.unwrap_or(if node.is_none() || size >= PageSize::GIB_1 { At::Boot } else { At::Run });
        match (node, at) {
            (None, _) => {
                on_host.insert(size, count);
            }
            (Some(node), At::Boot) if counts_nodes(&release) => {
                by_node.entry(size).or_default().insert(node, count);
            }
            (Some(node), at) => {
                if at == At::Boot {
                    notes.push(format!(
                        "kernel {release} takes no huge pages of a node by argument (Linux 5.16 does): those of {size} \
                         on NUMA node {node} are set at run time, where memory may be in pieces"
                    ));
                }
                at_run.push(NodePages { size, node, count });
            }
        }
    }
    if let Some(size) = on_host.keys().find(|size| by_node.contains_key(*size)) {
        let message = format!("huge pages of {size} are counted for the host and for a node");
        return Err(usage(message, "count them for each node, or for the host"));
    }
    let on_host = on_host.into_iter().map(|(size, count)| (size, Count::Host(count)));
    let by_node = by_node.into_iter().map(|(size, nodes)| (size, Count::Nodes(nodes)));
    let wants = on_host.chain(by_node).map(|(size, count)| Want::HugePages { size, count });
    Ok((wants.collect(), at_run))
}

fn counts_nodes(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= COUNTS_NODES)
}

/// The modules that the datapaths need and those that are named, each once, with the reason.
fn modules(options: &Prepare, boot: &Boot, file: Option<&HostFile>) -> Vec<(ModuleName, String)> {
    let datapaths: Vec<Datapath> = vfs(file).map(|vf| vf.datapath).collect();
    let needed = [
        (Datapath::Kernel, "mlx5_vdpa", "Makes vDPA devices of VFs with datapath = \"kernel\"."),
        (Datapath::Kernel, "vhost_vdpa", "Gives QEMU a /dev/vhost-vdpa-N for each of them."),
        (Datapath::Dpdk, "mlx5_ib", "Through it dpdk-vdpa drives VFs with datapath = \"dpdk\"."),
        (Datapath::Dpdk, "ib_uverbs", "The device files that dpdk-vdpa opens for it."),
    ];
    let needed = needed.into_iter().filter(|(datapath, ..)| datapaths.contains(datapath));
    let needed = needed.filter_map(|(_, name, reason)| Some((name.parse().ok()?, reason.to_owned())));
    let named = boot.modules.iter().chain(&options.module);
    let mut modules: Vec<(ModuleName, String)> = needed.collect();
    for module in named {
        if !modules.iter().any(|(known, _)| known == module) {
            modules.push((module.clone(), "Asked for by name.".to_owned()));
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_by_kernels_that_can() {
        for (release, can) in
            [("4.18.0-305.el8", false), ("5.15.0", false), ("5.16.0-rc1", true), ("6.12", true), ("", false)]
        {
            assert_eq!(counts_nodes(release), can, "{release}");
        }
    }
}
