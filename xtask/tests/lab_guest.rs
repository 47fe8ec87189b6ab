//! The lab's guest is what `lab/README.md` says: run in it, from a fresh boot, by `cargo xtask hw-test --tier lab`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pretend card, as the environment of a lab test names it.
struct Card {
    pci: String,
    vfs: usize,
    uplink: &'static str,
    wire: &'static str,
}

impl Card {
    fn all() -> [Self; 2] {
        let pci =
            |variable| std::env::var(variable).unwrap_or_else(|_| panic!("no {variable}: not in the lab?"));
        [
            Self { pci: pci("LAB_CARD_8"), vfs: 8, uplink: "enp1s0np0", wire: "wire1" },
            Self { pci: pci("LAB_CARD_64"), vfs: 64, uplink: "enp2s0np0", wire: "wire2" },
        ]
    }

    fn sysfs(&self, attribute: &str) -> PathBuf {
        Path::new("/sys/bus/pci/devices").join(&self.pci).join(attribute)
    }

    fn read(&self, attribute: &str) -> String {
        let path = self.sysfs(attribute);
        fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .trim()
            .to_owned()
    }
}

/// What a command prints; it has to succeed.
fn stdout(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_systemd_guest_boots_without_a_failed_unit() {
    assert_eq!(stdout("systemctl", &["is-system-running"]).trim(), "running");
    assert_eq!(
        stdout("systemctl", &["is-active", "openvswitch-switch", "ovs-vswitchd", "systemd-udevd"])
            .lines()
            .count(),
        3
    );
}

#[test]
fn both_cards_are_where_the_readme_says_untouched() {
    for card in Card::all() {
        assert_eq!(card.read("vendor"), "0x15b3");
        assert_eq!(card.read("sriov_totalvfs"), card.vfs.to_string());
        assert_eq!(card.read("sriov_numvfs"), "0");
        assert!(card.sysfs("net").join(card.uplink).exists(), "{}: no {}", card.pci, card.uplink);
        assert!(Path::new("/sys/class/net").join(card.wire).exists(), "no {}", card.wire);
        let eswitch = stdout("devlink", &["dev", "eswitch", "show", &format!("pci/{}", card.pci)]);
        assert!(eswitch.contains("mode legacy"), "{eswitch}");
    }
}

#[test]
fn the_fault_knob_refuses_switchdev_in_mlx5s_words() {
    let [card, _] = Card::all();
    let knob = "/sys/module/labcx/parameters/fail_switchdev";
    fs::write(knob, "5").unwrap();
    let device = format!("pci/{}", card.pci);
    let set = ["dev", "eswitch", "set", &device, "mode", "switchdev"];
    let refused = Command::new("devlink").args(set).output().unwrap();
    fs::write(knob, "0").unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("Failed setting eswitch to offloads"), "{said}");
}

#[test]
fn the_simulators_can_be_loaded() {
    stdout("modprobe", &["-a", "netdevsim", "vdpa_sim_net", "labcx_vdpa", "vhost_vdpa"]);
    assert!(stdout("vdpa", &["mgmtdev", "show"]).contains("vdpasim_net"));
    fs::write("/sys/bus/netdevsim/new_device", "1 1").unwrap();
    assert!(stdout("devlink", &["dev", "show"]).contains("netdevsim/netdevsim1"));
    fs::write("/sys/bus/netdevsim/del_device", "1").unwrap();
}
