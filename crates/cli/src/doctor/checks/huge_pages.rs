//! Huge pages against what the host file's VMs and datapaths need that do not run yet.

use std::collections::BTreeMap;

use vdpa_hw::platform::{HugePages, PageSize};
use vdpa_vm::Pages;

use super::super::check::Check;
use super::super::evidence::Evidence;
use crate::config::Datapath;

const SOURCE: &str = "/sys/kernel/mm/hugepages, /sys/devices/system/node/node*/hugepages";
const PREPARE: &str = "vdpa host prepare";

/// Who needs how many pages.
#[derive(Debug, Default)]
struct Need {
    pages: u64,
    /// Of these, on a node that is named or implied; by node.
    on: BTreeMap<u16, u64>,
    who: Vec<String>,
}

/// A check for each size that is needed; where none is, one of what there is.
pub(super) fn pools(evidence: &Evidence) -> Vec<Check> {
    let pools = match evidence.platform().huge_pages() {
        Ok(pools) => pools,
        Err(error) => return vec![Check::unknown("host", crate::Error::from(error).flat(), SOURCE)],
    };
    if evidence.answers.wanted.is_none() {
        return vec![without_a_host_file(&pools)];
    }
    let (needs, mut checks) = needs(evidence, &pools);
    if needs.is_empty() && checks.is_empty() {
        checks.push(Check::pass("host", format!("none is needed; there are {}", shown(&pools)), SOURCE));
    }
    checks.extend(needs.iter().map(|(size, need)| held_against(*size, need, &pools)));
    checks
}

fn without_a_host_file(pools: &HugePages) -> Check {
    let check = Check::pass("host", shown(pools), SOURCE);
    if pools.host.iter().any(|pool| pool.available() > 0) {
        check
    } else {
        check
            .warn("dpdk-vdpa and VMs on huge pages find none; without a host file it is not known who needs how many")
            .remedy(PREPARE)
    }
}

fn held_against(size: PageSize, need: &Need, pools: &HugePages) -> Check {
    let free = pools.pool(size, None).map_or(0, vdpa_hw::platform::Pool::available);
    let nodes: Vec<_> = pools.nodes.iter().filter(|pool| pool.size == size).collect();
    let by_node = nodes.iter().map(|pool| format!("{} on node {}", pool.free, pool.node.unwrap_or_default()));
    let by_node = by_node.collect::<Vec<_>>().join(", ");
    let fact = format!(
        "{} needed ({}); {free} free{}",
        need.pages,
        need.who.join(", "),
        if by_node.is_empty() { String::new() } else { format!(": {by_node}") }
    );
    let check = Check::pass(format_args!("{size} pages"), fact, SOURCE);
    if free < need.pages {
        let why = format!("{} more are needed, and a VM without its pages does not start", need.pages - free);
        return check.fail(why).remedy(PREPARE);
    }
    let short = need.on.iter().find(|(node, pages)| {
        let there = nodes.iter().find(|pool| pool.node == Some(**node)).map_or(0, |pool| pool.free);
        !nodes.is_empty() && there < **pages
    });
    match short {
        Some((node, pages)) => check
            .warn(format!(
                "on node {node}, where the card is, are fewer than the {pages} needed: memory on another node costs throughput"
            ))
            .remedy(PREPARE),
        None => check,
    }
}

/// What is needed, by size; and checks of what cannot be told.
fn needs(evidence: &Evidence, pools: &HugePages) -> (BTreeMap<PageSize, Need>, Vec<Check>) {
    let (mut needs, mut checks) = (BTreeMap::<PageSize, Need>::new(), Vec::new());
    for (name, domain) in &evidence.answers.domains {
        let domain = match domain {
            Ok(domain) => domain,
            Err(why) => {
                checks.push(Check::unknown(name, why, "libvirt"));
                continue;
            }
        };
        let size = match domain.profile.pages {
            Pages::Ordinary => None,
            Pages::Huge => pools.default,
            Pages::HugeOf(kib) => format!("{kib}kB").parse().ok(),
        };
        // A guest that runs has its pages.
        let Some(size) = size.filter(|_| !domain.active) else { continue };
        let pages = (domain.profile.memory_kib << 10).div_ceil(size.bytes());
        let card =
            evidence.wanted_vfs().iter().find(|vf| vf.vm.as_ref() == Some(name)).map(|vf| vf.card.as_str());
        let node = match domain.profile.nodes[..] {
            [] => card.and_then(|card| node_of(evidence, card)),
            [node] => Some(node),
            _ => None,
        };
        add(&mut needs, size, pages, node, format!("{pages} for {name}"));
    }
    for (card, processes) in processes(evidence) {
        // The smallest pages that there are, for the least that a process takes is one.
        let size = pools.host.iter().find(|pool| pool.total > 0).map(|pool| pool.size).or(pools.default);
        let Some(size) = size else {
            checks.push(Check::unknown("host", "the kernel shows no pool of huge pages", SOURCE));
            continue;
        };
        let mib = evidence.answers.wanted.as_ref().and_then(|wanted| wanted.dpdk_memory_mib).unwrap_or(0);
        let each = (u64::from(mib) << 20).div_ceil(size.bytes()).max(1);
        let node = node_of(evidence, card);
        add(
            &mut needs,
            size,
            each * processes,
            node,
            format!("{} for dpdk-vdpa of {card}", each * processes),
        );
    }
    (needs, checks)
}

fn add(needs: &mut BTreeMap<PageSize, Need>, size: PageSize, pages: u64, node: Option<u16>, who: String) {
    let need = needs.entry(size).or_default();
    need.pages += pages;
    need.who.push(who);
    if let Some(node) = node {
        *need.on.entry(node).or_default() += pages;
    }
}

/// How many dpdk-vdpa processes are still to start on huge pages, by card.
fn processes(evidence: &Evidence) -> Vec<(&str, u64)> {
    let Some(wanted) = evidence.answers.wanted.as_ref().filter(|wanted| wanted.dpdk_huge_pages) else {
        return Vec::new();
    };
    let running = |card: &str| {
        let address = evidence.cards().iter().find(|found| found.name == card).and_then(super::Card::address);
        evidence.answers.dpdk.serves.iter().flatten().filter(|vf| Some(vf.pf) == address).count()
    };
    let names = evidence.cards().iter().map(|card| card.name.as_str());
    names
        .map(|card| {
            let due = wanted.count(card, Datapath::Dpdk).saturating_sub(running(card));
            (card, u64::try_from(due).unwrap_or(u64::MAX))
        })
        .filter(|(_, due)| *due > 0)
        .collect()
}

/// The NUMA node of a card that the host file names.
pub(super) fn node_of(evidence: &Evidence, card: &str) -> Option<u16> {
    let card = evidence.cards().iter().find(|found| found.name == card)?;
    card.function.as_ref().ok()?.numa_node
}

/// `16 of 16 pages of 1G free, 0 of 0 pages of 2M free`.
fn shown(pools: &HugePages) -> String {
    let shown = pools
        .host
        .iter()
        .rev()
        .map(|pool| format!("{} of {} pages of {} free", pool.available(), pool.total, pool.size));
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() { "no pool of huge pages".to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::super::super::check::Verdict;
    use super::super::super::fixture::{check, checks, healthy, with_pages};
    use super::*;

    #[test]
    fn enough_on_the_cards_node_is_right() {
        let found = check(&healthy(), "huge-pages");
        assert!(found.passes(
            "9 needed (8 for cx6.1, 1 for dpdk-vdpa of 0000:43:00.0); 24 free: 12 on node 0, 12 on node 1"
        ));
        assert_eq!(found.subject, "1G pages");
    }

    #[test]
    fn too_few_on_the_cards_node_is_a_warning_and_too_few_on_the_host_a_failure() {
        assert!(check(&with_pages(20, 4), "huge-pages").warns("on node 1, where the card is"));
        assert!(check(&with_pages(4, 4), "huge-pages").fails("1 more are needed"));
    }

    #[test]
    fn what_runs_has_its_pages() {
        let mut evidence = with_pages(0, 0);
        evidence.domain("cx6.1").active = true;
        evidence.answers.dpdk.serves = Ok(vec!["0000:43:00.0/vf0".parse().unwrap()]);
        assert!(check(&evidence, "huge-pages").passes("none is needed"));
    }

    #[test]
    fn ordinary_memory_needs_none() {
        let mut evidence = with_pages(0, 0);
        evidence.domain("cx6.1").profile.pages = Pages::Ordinary;
        evidence.answers.wanted.as_mut().unwrap().dpdk_huge_pages = false;
        assert!(check(&evidence, "huge-pages").passes("none is needed"));
    }

    #[test]
    fn a_domain_that_names_its_node_is_counted_there() {
        let mut evidence = with_pages(24, 1);
        assert!(check(&evidence, "huge-pages").warns("node 1"));
        evidence.domain("cx6.1").profile.nodes = vec![0];
        assert!(check(&evidence, "huge-pages").passes("9 needed"));
    }

    #[test]
    fn what_dpdk_asks_for_is_counted_in_pages() {
        let mut evidence = healthy();
        evidence.answers.wanted.as_mut().unwrap().dpdk_memory_mib = Some(2500);
        assert!(check(&evidence, "huge-pages").passes("3 for dpdk-vdpa"));
    }

    #[test]
    fn without_a_host_file_any_will_do() {
        let mut evidence = healthy();
        evidence.answers.wanted = None;
        evidence.answers.domains.clear();
        assert!(check(&evidence, "huge-pages").passes("24 of 24 pages of 1G free"));
        let mut evidence = with_pages(0, 0);
        evidence.answers.wanted = None;
        assert!(check(&evidence, "huge-pages").warns("find none"));
    }

    #[test]
    fn a_domain_that_cannot_be_read_is_unknown_and_so_are_unreadable_pools() {
        let mut evidence = healthy();
        evidence.answers.domains.insert("cx6.1".parse().unwrap(), Err("cannot reach libvirt".to_owned()));
        let found = checks(&evidence, "huge-pages");
        assert!(found[0].is_unknown("cannot reach libvirt"), "{found:?}");
        assert_eq!(found[1].verdict, Verdict::Pass, "the datapath's page is counted all the same");
        evidence.unreadable("/sys/kernel/mm/hugepages");
        assert!(check(&evidence, "huge-pages").is_unknown("/sys/kernel/mm/hugepages"));
    }
}
