//! Whether there is memory for the huge pages that are asked for.
//!
//! The kernel gives what it has and keeps nothing back (`hugetlb_hstate_alloc_pages()` in `mm/hugetlb.c` stops only when
//! there is no more): a host that is booted with too many does not come up.

use std::collections::BTreeMap;

use crate::Host;
use crate::error::{Error, Result};
use crate::plan::{NodePages, Request};
use crate::want::{Count, Want};

impl Host {
    /// Huge pages are taken from everything else: what cannot be is refused, what leaves little is said.
    pub(crate) fn check_memory(&self, request: &Request, notes: &mut Vec<String>) -> Result<()> {
        let numa = self.platform.numa_nodes()?;
        let mut asked: BTreeMap<Option<u16>, u64> = BTreeMap::new();
        for want in &request.wants {
            if let Want::HugePages { size, count } = want {
                let mut add =
                    |node, count: u64| *asked.entry(node).or_default() += count.saturating_mul(size.mib());
                match count {
                    Count::Host(count) => add(None, *count),
                    Count::Nodes(counts) => counts.iter().for_each(|(node, count)| add(Some(*node), *count)),
                }
            }
        }
        for NodePages { size, node, count } in &request.run_time_pages {
            *asked.entry(Some(*node)).or_default() += count.saturating_mul(size.mib());
        }
        let of_nodes: u64 = asked.iter().filter(|(node, _)| node.is_some()).map(|(_, mib)| mib).sum();
        asked.entry(None).and_modify(|mib| *mib += of_nodes);
        for (node, asked_mib) in asked {
            let here = numa.iter().filter(|here| node.is_none_or(|node| node == here.id));
            let memory_mib = here.map(|here| here.memory_kib).sum::<u64>() >> 10;
            let place = node.map_or_else(|| "the host".to_owned(), |node| format!("NUMA node {node}"));
            if memory_mib == 0 {
                continue;
            }
            if asked_mib >= memory_mib {
                return Err(Error::NoMemory { asked_mib, place, memory_mib });
            }
            if asked_mib > memory_mib / 10 * 9 {
                let left = memory_mib - asked_mib;
                notes.push(format!(
                    "huge pages leave {left} MiB of {memory_mib} MiB on {place} for everything else"
                ));
            }
        }
        Ok(())
    }
}
