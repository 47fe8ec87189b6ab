//! DPDK in Open vSwitch: whether it came up, and whether its memory and CPUs are where the cards are.

use std::collections::BTreeSet;

use super::super::check::Check;
use super::super::evidence::{Evidence, Switch};
use super::dpdk_ports;
use super::huge_pages::node_of;
use crate::config::Datapath;

const SOURCE: &str = "ovs-vsctl list Open_vSwitch";

/// Whether DPDK is up where the host file has VFs for it, with memory and CPUs on the nodes of their cards, and whether
/// its ports work.
pub(super) fn userspace(evidence: &Evidence) -> Vec<Check> {
    let switch = match &evidence.answers.switch {
        Ok(switch) if !evidence.is_userspace() => return dpdk_ports::of(evidence, switch),
        Err(_) if !evidence.is_userspace() => return Vec::new(),
        Ok(switch) => switch,
        Err(why) => return vec![Check::unknown("Open vSwitch", why, SOURCE)],
    };
    let mut checks = vec![of_dpdk(switch)];
    for (card, node) in nodes(evidence) {
        checks.extend(evidence.socket_mem().map(|memory| of_memory(card, node, memory)));
        checks.extend(evidence.pmd_cpu_mask().map(|mask| of_cpus(evidence, card, node, mask)));
    }
    checks.extend(dpdk_ports::of(evidence, switch));
    checks
}

fn of_dpdk(switch: &Switch) -> Check {
    let check = |fact: String| Check::pass("DPDK", fact, SOURCE);
    let Some(version) = &switch.dpdk else {
        return check("not built into this Open vSwitch".to_owned())
            .fail("VFs with `datapath = \"ovs-dpdk\"` need a build that has it")
            .remedy("apt-get install openvswitch-switch-dpdk, and choose it by update-alternatives; or the vendor's");
    };
    match switch.other_config.get("dpdk-init").map(String::as_str) {
        _ if switch.dpdk_initialized => check(format!("{version}, up")),
        Some(init @ ("true" | "try")) => check(format!("{version}, not up although dpdk-init is {init}"))
            .fail("ovs-vswitchd could not start it: most often huge pages are missing, or its arguments are wrong")
            .remedy("journalctl -u ovs-vswitchd; grep dpdk /var/log/openvswitch/ovs-vswitchd.log"),
        _ => check(format!("{version}, not up; `setup` sets dpdk-init")),
    }
}

/// The cards that it is to serve, each with its node.
fn nodes(evidence: &Evidence) -> Vec<(&str, u16)> {
    let served = evidence.wanted_vfs().iter().filter(|vf| vf.datapath == Datapath::OvsDpdk);
    let cards: BTreeSet<&str> = served.map(|vf| vf.card.as_str()).collect();
    cards.into_iter().filter_map(|card| Some((card, node_of(evidence, card)?))).collect()
}

/// `dpdk-socket-mem`: megabytes, node by node (ovs-vswitchd.conf.db(5)).
fn of_memory(card: &str, node: u16, memory: &str) -> Check {
    let check = Check::pass(card, format!("on node {node}; dpdk-socket-mem is {memory}"), SOURCE);
    match memory.split(',').nth(node.into()).map(str::trim) {
        None | Some("" | "0") => check
            .warn(format!(
                "DPDK has no memory on node {node}, where the card is: its packets would lie on another one"
            ))
            .remedy(format!("[ovs_dpdk] socket_mem = \"{}\"", with_node(memory, node))),
        Some(_) => check,
    }
}

/// The same memory, with a gigabyte on this node.
fn with_node(memory: &str, node: u16) -> String {
    let mut nodes: Vec<&str> = memory.split(',').map(str::trim).collect();
    nodes.resize(nodes.len().max(usize::from(node) + 1), "0");
    nodes[usize::from(node)] = "1024";
    nodes.join(",")
}

/// `pmd-cpu-mask`: the CPUs that poll, in hexadecimal (ovs-vswitchd.conf.db(5)).
fn of_cpus(evidence: &Evidence, card: &str, node: u16, mask: &str) -> Check {
    let source = format!("{SOURCE}, /sys/devices/system/node/node{node}/cpulist");
    let near = match evidence.platform().numa_nodes() {
        Ok(nodes) => nodes.into_iter().find(|found| found.id == node).map(|found| found.cpus),
        Err(error) => return Check::unknown(card, crate::Error::from(error).flat(), source),
    };
    let near = near.unwrap_or_default();
    let check = Check::pass(card, format!("on node {node}; pmd-cpu-mask is {mask}"), source);
    if near.iter().any(|cpu| is_in(mask, *cpu)) {
        return check;
    }
    let check = check.warn(format!(
        "no CPU of node {node}, where the card is, polls: its queues would be polled from another node"
    ));
    match near[..] {
        [] => check.remedy("lscpu, which shows the CPUs of each node"),
        [first, ..] => check.remedy(format!("[ovs_dpdk] pmd_cpu_mask = \"{:#x}\"", 1_u128 << first.min(127))),
    }
}

/// Whether a hexadecimal mask of any length has this CPU.
fn is_in(mask: &str, cpu: u32) -> bool {
    let digits = mask.trim().trim_start_matches("0x");
    let place = usize::try_from(cpu / 4).unwrap_or(usize::MAX);
    let digit = digits.chars().rev().nth(place).and_then(|digit| digit.to_digit(16));
    digit.is_some_and(|digit| digit >> (cpu % 4) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy};
    use super::*;

    /// The simulated host 105, whose card is on node 1, with its VFs for Open vSwitch's userspace datapath.
    fn userspace() -> Evidence {
        let mut evidence = healthy();
        let wanted = evidence.answers.wanted.as_mut().unwrap();
        wanted.vfs.iter_mut().for_each(|vf| vf.datapath = Datapath::OvsDpdk);
        let switch = evidence.switch();
        (switch.dpdk, switch.dpdk_initialized) = (Some("DPDK 22.11.4".into()), true);
        switch.other_config.insert("dpdk-init".into(), "true".into());
        evidence
    }

    #[test]
    fn dpdk_that_did_not_come_up_is_named() {
        assert!(checks(&healthy(), "ovs-dpdk").is_empty(), "no VF is to be served by it");
        let mut evidence = userspace();
        assert!(check(&evidence, "ovs-dpdk").passes("DPDK 22.11.4, up"));
        evidence.switch().dpdk_initialized = false;
        let failed = check(&evidence, "ovs-dpdk");
        assert!(failed.fails("huge pages are missing") && failed.fact.contains("dpdk-init is true"));
        evidence.switch().other_config.clear();
        assert!(check(&evidence, "ovs-dpdk").passes("`setup` sets dpdk-init"));
        evidence.switch().dpdk = None;
        assert!(check(&evidence, "ovs-dpdk").fails("need a build that has it"));
        evidence.answers.switch = Err("nobody answers".into());
        assert!(check(&evidence, "ovs-dpdk").is_unknown("nobody answers"));
    }

    #[test]
    fn what_is_wanted_for_userspace_is_not_advised_against() {
        let evidence = userspace();
        let settings = checks(&evidence, "open-vswitch");
        assert!(
            settings.iter().any(|check| check.subject == "other_config:dpdk-init" && check.passes("true"))
        );
    }

    #[test]
    fn memory_and_cpus_on_another_node_than_the_card_are_named() {
        let mut evidence = userspace();
        let of_card = |evidence: &Evidence| checks(evidence, "ovs-dpdk").split_off(1);
        assert!(of_card(&evidence).is_empty(), "nothing is set, and DPDK takes what it needs");
        let wanted = evidence.answers.wanted.as_mut().unwrap();
        (wanted.socket_mem, wanted.pmd_cpu_mask) = (Some("1024".into()), Some("0x4".into()));
        let found = of_card(&evidence);
        assert!(found[0].warns("no memory on node 1"), "{found:#?}");
        assert_eq!(found[0].remedy.as_deref(), Some("[ovs_dpdk] socket_mem = \"1024,1024\""));
        assert!(found[1].warns("no CPU of node 1"), "{found:#?}");
        assert_eq!(found[1].remedy.as_deref(), Some("[ovs_dpdk] pmd_cpu_mask = \"0x2\""));

        // What the host file leaves open stays as it is set.
        let wanted = evidence.answers.wanted.as_mut().unwrap();
        (wanted.socket_mem, wanted.pmd_cpu_mask) = (None, None);
        let settings = &mut evidence.switch().other_config;
        settings.insert("dpdk-socket-mem".into(), "0,2048".into());
        settings.insert("pmd-cpu-mask".into(), "0x20".into());
        let found = of_card(&evidence);
        assert!(found[0].passes("0,2048") && found[1].passes("0x20"), "{found:#?}");
    }

    #[test]
    fn a_mask_may_be_longer_than_any_number() {
        let mask = format!("0x8{}", "0".repeat(40));
        assert!(is_in(&mask, 163) && !is_in(&mask, 162) && !is_in(&mask, 164));
        assert!(is_in("30", 4) && is_in("30", 5) && !is_in("30", 6));
    }
}
