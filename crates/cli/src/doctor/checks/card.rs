//! A card: its driver, how many VFs it may have, its eswitch, its link.

use std::fmt;

use vdpa_eswitch::DevlinkHandle;
use vdpa_hw::firmware::{INTERNAL_CPU_MODEL, INTERNAL_CPU_OFFLOAD_ENGINE, Setting, Value};
use vdpa_hw::{Function, PciAddress};

use super::super::check::Check;
use super::super::evidence::{Card, Evidence};
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

/// Whose the eswitch is. Only `BlueField` cards have CPUs that it could belong to; the kernel says so now, and firmware
/// now and from the next boot on.
pub(super) fn dpu_mode(evidence: &Evidence) -> Vec<Check> {
    each_card(evidence, |card| {
        let Ok(function) = &card.function else { return Vec::new() };
        let Some(name) = bluefield(function) else {
            return vec![Check::pass(
                &card.name,
                "no BlueField: the card has no CPUs of its own",
                "PCI device id",
            )];
        };
        let by_kernel = format!("devlink eswitch of {}", DevlinkHandle::from(function.address));
        let by_firmware = format!("mstconfig query {INTERNAL_CPU_MODEL} {INTERNAL_CPU_OFFLOAD_ENGINE}");
        let (now, next) = (owner(card, |setting| &setting.current), owner(card, |setting| &setting.next));
        let told = |owner: Owner, when: &str| format!("a {name} in {owner}{when}");
        vec![match (&card.eswitch, now, next) {
            (Ok(_), _, Some(Owner::Dpu)) if now != Some(Owner::Dpu) => {
                Check::pass(&card.name, told(Owner::Dpu, " from the next boot on"), by_firmware)
                    .warn("then the eswitch belongs to the card's own CPUs")
                    .remedy(format!("before it boots: {}", to_host(function.address)))
            }
            (Ok(_), now, _) => {
                // The kernel has the last word on what is: it was let in.
                let mode = now.filter(|owner| *owner != Owner::Dpu).unwrap_or(Owner::Host);
                Check::pass(&card.name, format!("a {name} whose eswitch the host may see: {mode}"), by_kernel)
            }
            (Err(why), now, next) => {
                let refused = REFUSALS.iter().any(|errno| why.contains(errno));
                let (fact, source) = match now {
                    _ if refused => {
                        (format!("a {name} whose eswitch the host may not see: {why}"), by_kernel)
                    }
                    Some(Owner::Dpu) => (told(Owner::Dpu, ""), by_firmware),
                    Some(owner) => return vec![Check::pass(&card.name, told(owner, ""), by_firmware)],
                    None => {
                        return vec![Check::unknown(&card.name, format!("a {name}, and {why}"), by_kernel)];
                    }
                };
                let remedy = match next {
                    Some(Owner::Host | Owner::Separate) => {
                        "a power cycle: its firmware has been set already".to_owned()
                    }
                    _ => format!(
                        "set it up from the DPU, or give its eswitch to the host: {}",
                        to_host(function.address)
                    ),
                };
                Check::pass(&card.name, fact, source)
                    .fail("in DPU mode the eswitch belongs to the card's own CPUs")
                    .remedy(remedy)
            }
        }]
    })
}

/// The card's name, if it has CPUs of its own.
pub(in crate::doctor) fn bluefield(function: &Function) -> Option<&'static str> {
    BLUEFIELD.into_iter().find(|(id, _)| *id == function.id.device).map(|(_, name)| name)
}

/// To whom a `BlueField`'s eswitch belongs, by its firmware.
///
/// Source: "Modes of Operation" in NVIDIA's `BlueField` DPU documentation: DPU mode, or embedded CPU function
/// ownership (`INTERNAL_CPU_MODEL=1`), separated host mode (`=0`), and NIC mode, which is the former with
/// `INTERNAL_CPU_OFFLOAD_ENGINE=1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Dpu,
    Separate,
    Host,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dpu => "DPU mode",
            Self::Separate => "separated host mode",
            Self::Host => "NIC mode",
        })
    }
}

/// What the settings mean by these values of theirs; `None` where firmware does not tell.
fn owner(card: &Card, value: fn(&Setting) -> &Option<Value>) -> Option<Owner> {
    let settings = card.firmware.as_ref().ok()?;
    let number = |name| value(settings.get(name)?).as_ref()?.number();
    match (number(INTERNAL_CPU_MODEL)?, number(INTERNAL_CPU_OFFLOAD_ENGINE)) {
        (0, _) => Some(Owner::Separate),
        (1, Some(1)) => Some(Owner::Host),
        (1, _) => Some(Owner::Dpu),
        _ => None,
    }
}

/// What gives the eswitch to the host.
fn to_host(pf: PciAddress) -> String {
    format!("vdpa firmware set --pci {pf} {INTERNAL_CPU_OFFLOAD_ENGINE}=1, then a power cycle")
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

    /// Pitfall 29: whose the eswitch is stands in the firmware as well, now and from the next boot on.
    #[test]
    fn a_bluefields_firmware_says_whose_its_eswitch_is() {
        let mut evidence = healthy();
        evidence.function().id.device = 0xa2d6;
        let says = |eswitch: Result<(), &str>, current: [&str; 2], next: [&str; 2]| {
            let mut evidence = evidence.clone();
            if let Err(why) = eswitch {
                evidence.card().eswitch = Err(why.to_owned());
            }
            for ((name, current), next) in
                ["INTERNAL_CPU_MODEL", "INTERNAL_CPU_OFFLOAD_ENGINE"].into_iter().zip(current).zip(next)
            {
                evidence.setting(name, current, next);
            }
            check(&evidence, "dpu-mode")
        };
        let refused = Err("cannot read the eswitch mode: (EPERM)");
        let unread = Err("cannot ask devlink: Permission denied (os error 13)");
        let dpu = ["EMBEDDED_CPU(1)", "ENABLED(0)"];
        let nic = ["EMBEDDED_CPU(1)", "DISABLED(1)"];
        let separate = ["SEPARATED_HOST(0)", "ENABLED(0)"];
        assert!(says(Ok(()), nic, nic).passes("may see: NIC mode"));
        assert!(says(Ok(()), separate, separate).passes("may see: separated host mode"));
        let soon = says(Ok(()), separate, dpu);
        assert!(soon.warns("then the eswitch belongs to the card's own CPUs"));
        assert!(soon.remedy.unwrap().contains("INTERNAL_CPU_OFFLOAD_ENGINE=1"));
        let now = says(refused, dpu, dpu);
        assert!(now.fails("the card's own CPUs"));
        assert!(
            now.remedy
                .unwrap()
                .contains("vdpa firmware set --pci 0000:43:00.0 INTERNAL_CPU_OFFLOAD_ENGINE=1")
        );
        let set = says(refused, dpu, separate);
        assert!(set.fails("the card's own CPUs") && set.remedy.unwrap().contains("has been set already"));
        // Where devlink says nothing, firmware is all there is.
        assert!(says(unread, dpu, dpu).fails("the card's own CPUs"));
        assert!(
            says(unread, ["EMBEDDED_CPU(1)", ""], ["", ""]).fails("the card's own CPUs"),
            "older firmware"
        );
        assert!(says(unread, separate, separate).passes("separated host mode"));
        assert!(says(unread, ["", ""], ["", ""]).is_unknown("ask devlink"));
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
