//! A card: its driver, how many VFs it may have, its eswitch, its link.

use vdpa_eswitch::DevlinkHandle;

use super::super::check::Check;
use super::super::evidence::Evidence;
use super::each_card;

/// `BlueField` cards by PCI device id: 1, 2, 3 (`mlx5_core_pci_table` in `mlx5_core/main.c`).
const BLUEFIELD: [(u16, &str); 3] = [(0xa2d2, "BlueField"), (0xa2d6, "BlueField-2"), (0xa2dc, "BlueField-3")];

/// How the kernel refuses an eswitch that is not the host's (`mlx5_devlink_eswitch_get` in `eswitch_offloads.c`).
const REFUSALS: [&str; 2] = ["(EOPNOTSUPP)", "(EPERM)"];

/// Whether it is there, driven, and may have the VFs that are asked for.
pub(super) fn card(evidence: &Evidence) -> Vec<Check> {
    if evidence.answers.cards.as_ref().is_ok_and(Vec::is_empty) {
        let check = Check::pass("cards", "no Mellanox or NVIDIA PF on the PCI bus", "/sys/bus/pci/devices");
        return vec![check.fail("there is nothing to set up").remedy("lspci -D -d 15b3:")];
    }
    each_card(evidence, |card| {
        let source = "/sys/bus/pci/devices";
        let function = match &card.function {
            Ok(function) => function,
            // What the host file names and is not there is no puzzle.
            Err(why) if why.contains("there is no PCI function") || why.contains("no PCI function has") => {
                let check = Check::pass(&card.name, why.clone(), source);
                return vec![
                    check.fail("the host file names a card that is not there").remedy("lspci -D -d 15b3:"),
                ];
            }
            Err(why) => return vec![Check::unknown(&card.name, why, source)],
        };
        let Some(sriov) = function.sriov() else {
            let check = Check::pass(&card.name, format!("{} has no SR-IOV", function.id), source);
            let remedy = format!(
                "vdpa firmware set --pci {} SRIOV_EN=1 NUM_OF_VFS=8, then a reboot; and turn on SR-IOV in the firmware's setup",
                function.address
            );
            return vec![check.fail("it may have no VFs").remedy(remedy)];
        };
        let driver = function.driver.as_ref().map_or("no driver", |driver| driver.as_str());
        let asked = evidence.wanted_vfs().iter().filter(|vf| vf.card == card.name).count();
        let total = usize::from(sriov.total_vfs);
        let fact = format!("{} on {driver}, {} of {total} VFs", function.id, sriov.num_vfs);
        let check = Check::pass(&card.name, fact, source);
        vec![if asked > total {
            let why = format!("{asked} VFs are asked for, and the firmware allows {total}");
            let remedy = format!(
                "vdpa firmware set --pci {} SRIOV_EN=1 NUM_OF_VFS={asked}, then a reboot",
                function.address
            );
            check.fail(why).remedy(remedy)
        } else if total == 0 {
            let remedy = format!(
                "vdpa firmware set --pci {} SRIOV_EN=1 NUM_OF_VFS=8, then a reboot",
                function.address
            );
            check.fail("its firmware allows no VFs").remedy(remedy)
        } else if driver != "mlx5_core" {
            check
                .fail("its eswitch is set through mlx5_core")
                .remedy(format!("modprobe mlx5_core; `lspci -k -s {}` shows who has it", function.address))
        } else {
            check
        }]
    })
}

/// Whose the eswitch is. Only `BlueField` cards have CPUs that it could belong to.
pub(super) fn dpu_mode(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Ok(function) = &card.function else { return Vec::new() };
        let device = function.id.device;
        let Some((_, name)) = BLUEFIELD.into_iter().find(|(id, _)| *id == device) else {
            return vec![Check::pass(
                &card.name,
                "no BlueField: the card has no CPUs of its own",
                "PCI device id",
            )];
        };
        let source = format!("devlink eswitch of {}", DevlinkHandle::from(function.address));
        vec![match &card.eswitch {
            Ok(_) => Check::pass(&card.name, format!("a {name} whose eswitch the host may see: NIC mode"), source),
            Err(why) if !REFUSALS.iter().any(|errno| why.contains(errno)) => {
                Check::unknown(&card.name, format!("a {name}, and {why}"), source)
            }
            Err(why) => Check::pass(&card.name, format!("a {name} whose eswitch the host may not see: {why}"), source)
                .fail("in DPU mode the eswitch belongs to the card's own CPUs")
                .remedy(format!(
                    "set it up from the DPU, or put it into NIC mode: mlxconfig -d {} set INTERNAL_CPU_OFFLOAD_ENGINE=1, then a power cycle",
                    function.address
                )),
        }]
    })
}

/// Whether there is an eswitch to set.
pub(super) fn eswitch(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Some(address) = card.address() else { return Vec::new() };
        let source = format!("devlink dev eswitch show {}", DevlinkHandle::from(address));
        vec![match &card.eswitch {
            Err(why) => Check::unknown(&card.name, why, source)
                .remedy("look for the driver: `lspci -k`; the kernel needs CONFIG_MLX5_ESWITCH"),
            Ok(state) => {
                let inline = state.inline.map(|inline| format!("inline mode {inline}"));
                let encap = state.encap.map(|encap| format!("encapsulation {encap}"));
                let parts = std::iter::once(state.mode.to_string()).chain(inline).chain(encap);
                Check::pass(&card.name, parts.collect::<Vec<_>>().join(", "), source)
            }
        }]
    })
}

/// Who programs the flow tables.
pub(super) fn steering(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Some(address) = card.address() else { return Vec::new() };
        let handle = DevlinkHandle::from(address);
        let source = format!("devlink dev param show {handle} name flow_steering_mode");
        let mode = match (&card.params, card.param("flow_steering_mode")) {
            (Err(why), _) => return vec![Check::unknown(&card.name, why, source)],
            (Ok(_), None) => {
                return vec![Check::unknown(&card.name, "its driver has no such parameter", source)];
            }
            (Ok(_), Some(mode)) => mode,
        };
        let check = Check::pass(&card.name, &mode, source);
        vec![if mode == "dmfs" {
            check
                .warn("the firmware programs each flow: many are inserted and dumped slowly")
                .remedy(format!(
                    "in legacy mode and without VFs: devlink dev param set {handle} name flow_steering_mode value smfs cmode runtime"
                ))
        } else {
            check
        }]
    })
}

/// Whether the PF has a link.
pub(super) fn link(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        if card.address().is_none() {
            return Vec::new();
        }
        let uplink = match &card.uplink {
            Ok(uplink) => uplink,
            Err(why) => return vec![Check::unknown(&card.name, why, "rtnetlink")],
        };
        let directory = format!("/sys/class/net/{}", uplink.name);
        if !uplink.up {
            // The kernel answers EINVAL for the carrier of a device that is down.
            let check = Check::pass(&card.name, format!("{} is down", uplink.name), "rtnetlink");
            return vec![
                check
                    .warn("whether a cable is in shows only when it is up; `setup` brings it up")
                    .remedy(format!("ip link set {} up", uplink.name)),
            ];
        }
        let read = |attribute: &str| evidence.files.text(&format!("{directory}/{attribute}"));
        vec![match (read("carrier"), read("speed")) {
            (Err(why), _) => Check::unknown(&card.name, why, directory),
            (Ok(None), _) => {
                Check::unknown(&card.name, format!("there is no {directory}/carrier"), directory)
            }
            (Ok(Some(carrier)), speed) => {
                let speed = speed.ok().flatten().and_then(|speed| speed.parse::<u64>().ok());
                let speed = speed.map_or_else(String::new, |mbit| format!(", {} Gbit/s", mbit / 1000));
                if carrier == "1" {
                    Check::pass(&card.name, format!("{} has a link{speed}", uplink.name), directory)
                } else {
                    Check::pass(&card.name, format!("{} is up and has no link", uplink.name), directory)
                        .warn("nothing reaches the wire")
                        .remedy(format!(
                            "look at the cable and the switch; `ethtool {}` says more",
                            uplink.name
                        ))
                }
            }
        }]
    })
}

#[cfg(test)]
mod tests {
    use vdpa_hw::Role;

    use super::super::super::fixture::{check, checks, healthy, refused};

    #[test]
    fn the_card_is_there_driven_and_may_have_its_vfs() {
        let mut evidence = healthy();
        assert!(check(&evidence, "card").passes("15b3:101d on mlx5_core, 0 of 8 VFs"));
        evidence.function().driver = Some("vfio-pci".parse().unwrap());
        assert!(check(&evidence, "card").fails("through mlx5_core"));
        evidence.function().driver = None;
        assert!(check(&evidence, "card").fails("through mlx5_core"));
    }

    #[test]
    fn a_card_that_may_have_fewer_vfs_than_asked_for_fails() {
        let mut evidence = healthy();
        let Role::Pf(sriov) = &mut evidence.function().role else { panic!() };
        sriov.total_vfs = 1;
        let found = check(&evidence, "card");
        assert!(found.fails("2 VFs are asked for, and the firmware allows 1"));
        assert!(found.remedy.unwrap().contains("NUM_OF_VFS=2"));
        evidence.function().role = Role::Plain;
        assert!(check(&evidence, "card").fails("it may have no VFs"));
    }

    #[test]
    fn a_card_that_is_not_there_fails_and_one_that_cannot_be_read_is_unknown() {
        let mut evidence = healthy();
        evidence.card().function = Err("there is no PCI function 0000:43:00.0".to_owned());
        assert!(check(&evidence, "card").fails("names a card that is not there"));
        evidence.card().function = refused("read /sys/bus/pci/devices/0000:43:00.0/vendor");
        assert!(check(&evidence, "card").is_unknown("vendor"));
        evidence.answers.cards = Ok(Vec::new());
        assert!(check(&evidence, "card").fails("nothing to set up"));
        evidence.answers.cards = refused("list /sys/bus/pci/devices");
        assert!(check(&evidence, "card").is_unknown("list /sys/bus/pci/devices"));
    }

    /// Pitfall 29: a card in DPU mode is refused, since its eswitch is not the host's.
    #[test]
    fn a_bluefield_whose_eswitch_the_host_may_not_see_is_in_dpu_mode() {
        let mut evidence = healthy();
        assert!(check(&evidence, "dpu-mode").passes("no BlueField"));
        evidence.function().id.device = 0xa2d6;
        assert!(check(&evidence, "dpu-mode").passes("NIC mode"));
        evidence.card().eswitch = Err("cannot read the eswitch mode: (EOPNOTSUPP)".to_owned());
        assert!(check(&evidence, "dpu-mode").fails("the card's own CPUs"));
        evidence.card().eswitch = refused("ask devlink");
        assert!(check(&evidence, "dpu-mode").is_unknown("ask devlink"));
        evidence.card().function = refused("read");
        assert!(checks(&evidence, "dpu-mode").is_empty(), "the check `card` says it");
    }

    #[test]
    fn the_eswitch_is_shown_or_unknown_with_the_kernels_words() {
        let mut evidence = healthy();
        assert!(check(&evidence, "eswitch").passes("legacy, inline mode none, encapsulation basic"));
        evidence.card().eswitch = refused("ask devlink");
        assert!(check(&evidence, "eswitch").is_unknown("ask devlink"));
    }

    /// Pitfall 5: steering through firmware (dmfs) slows flow dumps, and can change only in legacy mode without VFs.
    #[test]
    fn steering_through_firmware_is_a_warning() {
        let mut evidence = healthy();
        assert!(check(&evidence, "steering").passes("smfs"));
        evidence.steering("dmfs");
        let found = check(&evidence, "steering");
        assert!(found.warns("slowly") && found.remedy.unwrap().contains("in legacy mode and without VFs"));
        evidence.card().params = Ok(Vec::new());
        assert!(check(&evidence, "steering").is_unknown("no such parameter"));
        evidence.card().params = refused("ask devlink");
        assert!(check(&evidence, "steering").is_unknown("ask devlink"));
    }

    #[test]
    fn a_link_is_up_down_or_without_a_cable() {
        let mut evidence = healthy();
        assert!(check(&evidence, "link").passes("enp67s0f0 has a link, 100 Gbit/s"));
        evidence.file("/sys/class/net/enp67s0f0/carrier", "0\n");
        assert!(check(&evidence, "link").warns("nothing reaches the wire"));
        evidence.unreadable("/sys/class/net/enp67s0f0/carrier");
        assert!(check(&evidence, "link").is_unknown("/sys/class/net/enp67s0f0/carrier"));
        evidence.card().uplink.as_mut().unwrap().up = false;
        assert!(check(&evidence, "link").warns("`setup` brings it up"));
        evidence.card().uplink = Err("a network device of 0000:43:00.0 is not there".to_owned());
        assert!(check(&evidence, "link").is_unknown("a network device"));
    }
}
