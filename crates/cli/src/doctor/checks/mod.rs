//! The checks, one topic a file. [`TOPICS`] is the whole list; `docs/doctor.md` is written from it.

mod card;
mod domains;
mod dpdk;
mod dpdk_ports;
mod firmware;
mod huge_pages;
mod iommu;
mod kvm;
mod management;
mod mgmtdev;
mod modules;
mod network_manager;
mod occupied;
mod ovs_dpdk;
mod pcie;
mod security;
mod switch;
mod versions;

pub(super) use card::bluefield;

use super::check::Check;
use super::evidence::{Card, Evidence};

/// One thing that is asked of a host.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// Its name, for programs.
    pub id: &'static str,
    /// The question.
    pub asks: &'static str,
    /// Why it matters, and when it fails or warns.
    pub because: &'static str,
    run: fn(&Evidence) -> Vec<Check>,
}

/// Everything that is asked, in the order in which it is shown: from the host to its cards to what runs on them.
pub const TOPICS: &[Topic] = &[
    Topic {
        id: "kernel-version",
        asks: "Is the kernel recent enough?",
        because: "See the table of minimums; a distribution's kernel is held against its own line.",
        run: versions::kernel,
    },
    Topic {
        id: "kernel-arguments",
        asks: "Do the kernel's arguments turn the IOMMU on, in passthrough mode?",
        because: "Intel's has to be asked for (`intel_iommu=on`). Without `iommu=pt` the host's own DMA is translated too, which costs throughput.",
        run: iommu::arguments,
    },
    Topic {
        id: "iommu",
        asks: "Is the IOMMU really on, and is the card behind it?",
        because: "Arguments are a wish; groups are the fact. The datapaths here do without (the card translates by itself), VFIO passthrough does not: a warning.",
        run: iommu::in_force,
    },
    Topic {
        id: "kvm",
        asks: "Can this host run guests in hardware?",
        because: "Without KVM a guest is emulated. Fails where a VF is for a VM.",
        run: kvm::kvm,
    },
    Topic {
        id: "nested-kvm",
        asks: "May guests have guests?",
        because: "Only guests that run VMs themselves need it.",
        run: kvm::nested,
    },
    Topic {
        id: "huge-pages",
        asks: "Are there huge pages enough, of the right size and on the card's NUMA node?",
        because: "Held against the memory of the host file's domains that do not run yet, and against dpdk-vdpa processes that are still to start. Fails where the host has too few, warns where only the card's node has.",
        run: huge_pages::pools,
    },
    Topic {
        id: "modules",
        asks: "Are the kernel modules there, loaded or to be loaded, and how are they set?",
        because: "tc's flower and mirred for offload, verbs for dpdk-vdpa, vDPA for the kernel datapath. The kernel loads most when they are needed.",
        run: modules::modules,
    },
    Topic {
        id: "lockdown",
        asks: "Is the kernel locked down?",
        because: "Then firmware tools cannot reach the card, and firmware values cannot be changed; what is set goes on working.",
        run: security::lockdown,
    },
    Topic {
        id: "secure-boot",
        asks: "Is Secure Boot on?",
        because: "It locks the kernel down, takes only signed modules, and leaves firmware resets of level 4 only.",
        run: security::secure_boot,
    },
    Topic {
        id: "selinux",
        asks: "Does SELinux let QEMU open its sockets and devices?",
        because: "An enforcing policy goes by labels: `/dev/vhost-vdpa-*` and vhost-user sockets need one that QEMU's domain may use.",
        run: security::selinux,
    },
    Topic {
        id: "card",
        asks: "Is the card there, driven by mlx5_core, and may it have VFs?",
        because: "Fails where the firmware allows fewer VFs than the host file asks for.",
        run: card::card,
    },
    Topic {
        id: "firmware-version",
        asks: "Is the card's firmware recent enough?",
        because: "See the table of minimums.",
        run: versions::firmware,
    },
    Topic {
        id: "firmware-values",
        asks: "Do the card's firmware settings allow the VFs, now and after the next boot?",
        because: "`SRIOV_EN`; `UCTX_EN`, without which DPDK's and the kernel's vDPA cannot make their queues; `NUM_OF_VFS`, one number for all ports of a card, unless `PF_NUM_OF_VF_VALID` is on. What was set counts from a reset or reboot on.",
        run: firmware::values,
    },
    Topic {
        id: "dpu-mode",
        asks: "Is the eswitch the host's to set?",
        because: "On a BlueField in DPU mode it belongs to the card's own CPUs, and nothing here can be done from the host.",
        run: card::dpu_mode,
    },
    Topic {
        id: "eswitch",
        asks: "Has the card an eswitch that switchdev can be set on?",
        because: "Offload needs switchdev. What the kernel refuses to tell, it will refuse to set.",
        run: card::eswitch,
    },
    Topic {
        id: "steering",
        asks: "Who programs the card's flow tables: its firmware (dmfs) or the driver (smfs)?",
        because: "Through firmware, flows are inserted and dumped many times slower. It can be changed only in legacy mode and without VFs.",
        run: card::steering,
    },
    Topic {
        id: "link",
        asks: "Has the PF a link?",
        because: "A cable that is not there is found late otherwise. `setup` brings the device up itself.",
        run: card::link,
    },
    Topic {
        id: "pcie",
        asks: "Does the card have the PCI Express lanes and speed that it could have?",
        because: "A card in a slot with fewer lanes works, at a fraction of its throughput.",
        run: pcie::pcie,
    },
    Topic {
        id: "numa-node",
        asks: "Is it known which NUMA node the card is on?",
        because: "A VM and its memory should be on the same one. A platform that does not say leaves it to chance.",
        run: pcie::numa_node,
    },
    Topic {
        id: "management-traffic",
        asks: "Is the host managed through this card?",
        because: "An address, a default route, a bond, a bridge, a VLAN or this SSH session on the PF would be cut off. `setup` refuses then.",
        run: management::management,
    },
    Topic {
        id: "vf-in-use",
        asks: "Who holds the card's VFs?",
        because: "VFs that a VM or another process holds cannot be taken away; `setup` refuses then. Names the process and the domain.",
        run: occupied::occupied,
    },
    Topic {
        id: "mgmtdev",
        asks: "Has each VF for the kernel datapath a vDPA management device, and if not, why?",
        because: "`vdpa mgmtdev show` that prints nothing has five causes; this names the one.",
        run: mgmtdev::mgmtdev,
    },
    Topic {
        id: "network-manager",
        asks: "Does NetworkManager leave representors alone?",
        because: "It brings every device up that it manages, and configures it; rules that match VFs miss representors.",
        run: network_manager::network_manager,
    },
    Topic {
        id: "ovs-version",
        asks: "Is Open vSwitch recent enough?",
        because: "See the table of minimums.",
        run: versions::ovs,
    },
    Topic {
        id: "open-vswitch",
        asks: "Does Open vSwitch answer, does it take up what it is told, and does nothing in its settings stand against offload?",
        because: "`tc-policy=skip_sw` breaks conntrack offload, `dpdk-init` is for another datapath, a tuned `max-idle` is discouraged.",
        run: switch::open_vswitch,
    },
    Topic {
        id: "ovs-ports",
        asks: "Are our ports on the bridge all open?",
        because: "A row whose device is gone survives a reboot and is accepted in silence; only the interface's error says so.",
        run: switch::ports,
    },
    Topic {
        id: "ovs-dpdk",
        asks: "Is DPDK up in Open vSwitch, with memory and CPUs where the card is, are its ports open, and are their VMs connected?",
        because: "For VFs with `datapath = \"ovs-dpdk\"`. A `dpdk-init` that failed is told by nothing but the log; memory or polling CPUs on another node than the card's cost throughput. A port that DPDK could not open says why in its row (no such device, no such type), or, where memory is missing, in the log alone. A VM's port is open before anybody listens on its socket.",
        run: ovs_dpdk::userspace,
    },
    Topic {
        id: "dpdk-vdpa",
        asks: "Is the dpdk-vdpa program there?",
        because: "It is DPDK's example, which distributions do not ship built. Fails where a VF is to be served by it.",
        run: dpdk::program,
    },
    Topic {
        id: "dpdk-version",
        asks: "Is the DPDK that it is built of recent enough?",
        because: "See the table of minimums.",
        run: versions::dpdk,
    },
    Topic {
        id: "libvirt-version",
        asks: "Does libvirt answer, and is it recent enough?",
        because: "See the table of minimums.",
        run: versions::libvirt,
    },
    Topic {
        id: "qemu-version",
        asks: "Is the QEMU that libvirt starts recent enough?",
        because: "See the table of minimums.",
        run: versions::qemu,
    },
    Topic {
        id: "domain",
        asks: "Can each domain of the host file use its VFs: memory that can be shared, vCPUs for the queues, memory that may be locked?",
        because: "vhost-user needs shared memory. Each queue pair needs a vCPU, and two interrupt vectors beside two for the device. QEMU locks all guest memory for vhost-vdpa, once more for each further device.",
        run: domains::domains,
    },
];

/// Asks everything.
pub fn examine(evidence: &Evidence) -> Vec<Check> {
    let ask = |topic: &'static Topic| {
        (topic.run)(evidence).into_iter().map(|check| Check { id: topic.id, ..check })
    };
    TOPICS.iter().flat_map(ask).collect()
}

/// The same question about each card; where it is not known which cards there are, that is the answer.
fn each_card(evidence: &Evidence, ask: impl Fn(&Card) -> Vec<Check>) -> Vec<Check> {
    match &evidence.answers.cards {
        Err(why) => vec![Check::unknown("cards", why, "/sys/bus/pci/devices")],
        Ok(cards) => cards.iter().flat_map(ask).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::check::Verdict;
    use super::super::fixture::{blind, healthy};
    use super::*;

    #[test]
    fn ids_are_unique_and_every_topic_says_what_it_asks() {
        let ids: BTreeSet<_> = TOPICS.iter().map(|topic| topic.id).collect();
        assert_eq!(ids.len(), TOPICS.len());
        for topic in TOPICS {
            assert!(topic.asks.ends_with('?') && topic.because.ends_with('.'), "{}", topic.id);
        }
    }

    #[test]
    fn a_healthy_host_passes_every_check_and_every_topic_has_one() {
        let checks = examine(&healthy());
        let amiss: Vec<_> = checks.iter().filter(|check| check.verdict != Verdict::Pass).collect();
        assert!(amiss.is_empty(), "{amiss:#?}");
        let answered: BTreeSet<_> = checks.iter().map(|check| check.id).collect();
        let silent: Vec<_> =
            TOPICS.iter().map(|topic| topic.id).filter(|id| !answered.contains(id)).collect();
        assert_eq!(silent, ["mgmtdev", "ovs-dpdk"], "there is no VF for these datapaths");
        for check in checks {
            assert!(!check.fact.is_empty() && !check.source.is_empty(), "{check:?}");
        }
    }

    #[test]
    fn a_host_that_tells_nothing_is_unknown_with_a_reason_and_never_passes() {
        let checks = examine(&blind());
        // Where even the mode is hidden, SELinux is enforcing.
        for check in checks.iter().filter(|check| check.id != "selinux") {
            assert_eq!(check.verdict, Verdict::Unknown, "{check:#?}");
            assert!(check.fact.contains("ermission") || check.fact.contains("nobody answers"), "{check:#?}");
        }
        assert!(checks.len() > 15, "{checks:#?}");
    }

    #[test]
    fn what_is_amiss_says_why() {
        for check in examine(&blind()).into_iter().chain(examine(&healthy())) {
            let amiss = matches!(check.verdict, Verdict::Warn | Verdict::Fail);
            assert_eq!(check.why.is_some(), amiss, "{check:?}");
        }
    }
}
