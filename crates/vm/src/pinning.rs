//! Which of the host's CPUs a guest's are to run on, near the card.

use std::collections::{BTreeMap, BTreeSet};

/// One CPU for each of `vcpus` vCPUs, of those on the card's node that nobody is pinned to.
///
/// `threads` says for each CPU which core it is a thread of, by the core's first CPU; one that is not said is a core of
/// its own. Whole cores are taken first, so that two vCPUs do not share one before they have to; the node's first core is
/// left to the host as long as others are free, since that is where interrupts and kernel threads start out. `None`
/// where there are fewer CPUs than vCPUs.
pub fn propose(
    vcpus: u16,
    node: &[u32],
    threads: &BTreeMap<u32, u32>,
    taken: &BTreeSet<u32>,
) -> Option<Vec<u32>> {
    let core = |cpu: u32| threads.get(&cpu).copied().unwrap_or(cpu);
    let first = node.iter().copied().map(core).min();
    let mut order: Vec<u32> = node.iter().copied().filter(|cpu| !taken.contains(cpu)).collect();
    // A core of which a thread is taken is busy: its other threads come as late as second threads do.
    let busy: BTreeSet<u32> = taken.iter().copied().map(core).collect();
    let is_second = |cpu: u32| core(cpu) != cpu || busy.contains(&core(cpu));
    order.sort_by_key(|cpu| (is_second(*cpu), Some(core(*cpu)) == first, *cpu));
    let mut chosen: Vec<u32> = order.into_iter().take(usize::from(vcpus)).collect();
    chosen.sort_unstable();
    (chosen.len() == usize::from(vcpus)).then_some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(vcpus: u16, taken: &[u32]) -> Option<Vec<u32>> {
        // Four cores of two threads, as a kernel numbers them on node 1 of two.
        let node = [1, 3, 5, 7, 9, 11, 13, 15];
        let threads = node.iter().map(|cpu| (*cpu, if *cpu > 8 { cpu - 8 } else { *cpu })).collect();
        propose(vcpus, &node, &threads, &taken.iter().copied().collect())
    }

    #[test]
    fn whole_cores_come_first_and_the_nodes_first_one_last() {
        assert_eq!(proposed(2, &[]), Some(vec![3, 5]));
        assert_eq!(proposed(3, &[]), Some(vec![3, 5, 7]));
        assert_eq!(proposed(4, &[]), Some(vec![1, 3, 5, 7]));
        assert_eq!(proposed(8, &[]), Some(vec![1, 3, 5, 7, 9, 11, 13, 15]));
        assert_eq!(proposed(9, &[]), None);
    }

    #[test]
    fn what_others_are_pinned_to_is_left_to_them() {
        assert_eq!(proposed(2, &[3, 5]), Some(vec![1, 7]));
        assert_eq!(proposed(1, &[11]), Some(vec![5]), "the core of 3 and 11 is busy");
        assert_eq!(proposed(7, &[3, 5]), None);
        assert_eq!(propose(1, &[4], &BTreeMap::new(), &BTreeSet::new()), Some(vec![4]));
    }
}
