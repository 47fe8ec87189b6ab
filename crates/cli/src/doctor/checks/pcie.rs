//! Where a card sits: its lanes, and its NUMA node.

use super::super::check::Check;
use super::super::evidence::Evidence;
use super::each_card;

/// Lanes and speed against what the card could have.
pub(super) fn pcie(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Some(address) = card.address() else { return Vec::new() };
        let directory = format!("/sys/bus/pci/devices/{address}");
        let read = |attribute: &str| match evidence.files.text(&format!("{directory}/{attribute}")) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(format!("there is no {directory}/{attribute}")),
            Err(why) => Err(why),
        };
        let all = ["current_link_speed", "max_link_speed", "current_link_width", "max_link_width"].map(read);
        let [Ok(speed), Ok(max_speed), Ok(width), Ok(max_width)] = &all else {
            let why = all.iter().find_map(|read| read.as_ref().err()).cloned().unwrap_or_default();
            return vec![Check::unknown(&card.name, why, directory)];
        };
        // `16.0 GT/s PCIe`, `Unknown`; width 0 and 255 are no width (`enum pcie_link_width`).
        let gigatransfers = |text: &str| text.split(' ').next().and_then(|number| number.parse::<f64>().ok());
        let lanes = |text: &str| text.parse::<u16>().ok().filter(|lanes| (1..=32).contains(lanes));
        let (Some(now), Some(could), Some(has), Some(might)) =
            (gigatransfers(speed), gigatransfers(max_speed), lanes(width), lanes(max_width))
        else {
            let why = format!("the kernel says {speed}, x{width} of {max_speed}, x{max_width}");
            return vec![Check::unknown(&card.name, why, directory)];
        };
        let fact = format!("{now} GT/s x{has} of {could} GT/s x{might}");
        let check = Check::pass(&card.name, fact, directory);
        vec![if now < could || has < might {
            let share = now * f64::from(has) / (could * f64::from(might)) * 100.0;
            check
                .warn(format!("it has {share:.0} % of the throughput that it could have"))
                .remedy(format!("another slot or its setting in the firmware's setup; `lspci -vv -s {address}` shows LnkCap and LnkSta"))
        } else {
            check
        }]
    })
}

/// Which node it is on.
pub(super) fn numa_node(evidence: &Evidence) -> Vec<Check> {
    let nodes = evidence.platform().numa_nodes();
    each_card(evidence, |card| {
        let Ok(function) = &card.function else { return Vec::new() };
        let source = format!("/sys/bus/pci/devices/{}/numa_node", function.address);
        vec![match (function.numa_node, &nodes) {
            (Some(node), Ok(nodes)) => {
                let cpus = nodes.iter().find(|known| known.id == node).map(|node| ranges(&node.cpus));
                let cpus = cpus.map_or_else(String::new, |cpus| format!(", CPUs {cpus}"));
                Check::pass(&card.name, format!("{node}{cpus}"), source)
            }
            (Some(node), Err(_)) => Check::pass(&card.name, node.to_string(), source),
            // With one node there is no choice.
            (None, Ok(nodes)) if nodes.len() <= 1 => Check::pass(&card.name, "the host has one node", source),
            (None, _) => Check::pass(&card.name, "the platform does not say", source)
                .warn("VMs and datapaths cannot be kept near the card")
                .remedy(
                    "look for the slot's node in the board's manual, and for NUMA in the firmware's setup",
                ),
        }]
    })
}

/// `0-3,8`.
fn ranges(cpus: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => ranges.push((*cpu, *cpu)),
        }
    }
    let shown = ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{check, checks, healthy, refused};
    use super::ranges;

    const DEVICE: &str = "/sys/bus/pci/devices/0000:43:00.0";

    #[test]
    fn fewer_lanes_and_less_speed_are_warnings() {
        let mut evidence = healthy();
        assert!(check(&evidence, "pcie").passes("16 GT/s x16 of 16 GT/s x16"));
        evidence.file(&format!("{DEVICE}/current_link_width"), "8\n");
        assert!(check(&evidence, "pcie").warns("50 %"));
        evidence.file(&format!("{DEVICE}/current_link_speed"), "8.0 GT/s PCIe\n");
        assert!(check(&evidence, "pcie").warns("25 %"));
    }

    #[test]
    fn what_the_kernel_does_not_know_is_unknown() {
        let mut evidence = healthy();
        evidence.file(&format!("{DEVICE}/max_link_width"), "255\n");
        assert!(check(&evidence, "pcie").is_unknown("x255"));
        evidence.without(&format!("{DEVICE}/max_link_width"));
        assert!(check(&evidence, "pcie").is_unknown("there is no"));
        evidence.unreadable(&format!("{DEVICE}/max_link_width"));
        assert!(check(&evidence, "pcie").is_unknown("cannot read"));
    }

    #[test]
    fn the_node_is_known_or_of_no_matter_or_a_warning() {
        let mut evidence = healthy();
        assert!(check(&evidence, "numa-node").passes("1, CPUs 1,3,5,7,9,11,13,15,17,19,21,23"));
        evidence.function().numa_node = None;
        assert!(check(&evidence, "numa-node").warns("near the card"));
        evidence.without("/sys/devices/system/node/node1");
        assert!(check(&evidence, "numa-node").passes("the host has one node"));
        evidence.card().function = refused("read");
        assert!(checks(&evidence, "numa-node").is_empty(), "the check `card` says it");
    }

    #[test]
    fn cpus_are_shown_in_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 8, 10, 11]), "0-2,8,10-11");
        assert_eq!(ranges(&[]), "");
    }
}
