//! `kill -9` in the middle: what the receipt says is enough to go on, and to go back.
//!
//! Each kill comes when a statement has become true, while others of its stage are on their way. Every point on a
//! simulated host is `tests/interruption.rs`'s; these are a kernel, systemd and Open vSwitch that do not stop with us.

use std::fs;

use super::guest::{Guest, VFS_8, VFS_64};
use super::host_file;
use super::state::State;

/// After which statements a command is killed, and what is run next.
type Points = [(&'static str, &'static str)];

/// Each kind of statement that this host file needs, in the order in which they become true. Those about a domain,
/// firmware and a bond come below. Those about DPDK in Open vSwitch (`datapath = "ovs-dpdk"`) cannot become true here: this
/// VM's Open vSwitch is a build without DPDK, and DPDK has no driver for the ports of the pretend card. They are killed on
/// a real Open vSwitch of the host's, with the rest simulated: `tests/killed_dpdk.rs`, in the daemon tier.
const IN_SETUP: &Points = &[
    ("flow steering of", "setup"),
    ("encapsulation of", "teardown"),
    ("driver probing of", "setup"),
    ("representor names of", "teardown"),
    ("eswitch of", "setup"),
    ("VFs of", "teardown"),
    ("MAC of", "setup"),
    ("rate of", "teardown"),
    ("hw-tc-offload of", "setup"),
    ("bridge ovs-sriov", "teardown"),
    ("driver of", "setup"),
    ("link of", "teardown"),
    ("dpdk-vdpa process of", "setup"),
    ("kernel vDPA device of", "teardown"),
];
/// One in each stage. The way back begins where the way there ends.
const IN_TEARDOWN: &Points = &[
    ("dpdk-vdpa process of", "setup"),
    ("kernel vDPA device of", "teardown"),
    ("bridge ovs-sriov", "setup"),
    ("VFs of", "teardown"),
];

/// A host file that sets what can be set.
fn everything() -> String {
    host_file("dpdk", "kernel")
        .replace("vfs = 2", "vfs = 2\nsteering_mode = \"smfs\"\nencap_mode = \"none\"")
        .replace("datapath = \"kernel\"", "datapath = \"kernel\"\nmax_rate_mbps = 1000\nvlan = 100")
}

#[test]
fn kill_minus_nine_in_a_setup_and_it_goes_on_or_goes_back() {
    let guest = Guest::new();
    guest.write_host_file(&everything());
    let before = State::of(&guest);
    for &(stop_at, next) in IN_SETUP {
        guest.kill_after(&["setup"], stop_at);
        goes_on(&guest, &before, &format!("a setup killed after `{stop_at}`"), &[next]);
        if next == "setup" {
            guest.vdpa(&["teardown"]).succeeds();
        }
    }
    State::of(&guest).is(&before);
}

#[test]
fn kill_minus_nine_in_a_teardown_and_it_goes_on_or_is_set_up_again() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let before = State::of(&guest);
    for &(stop_at, next) in IN_TEARDOWN {
        guest.vdpa(&["setup"]).succeeds();
        guest.kill_after(&["teardown"], stop_at);
        goes_on(&guest, &before, &format!("a teardown killed after `{stop_at}`"), &[next]);
    }
}

/// Two VFs for one VM: the first is in its definition, the second is on its way there.
#[test]
fn kill_minus_nine_while_libvirt_is_told_of_a_vms_interfaces() {
    let guest = Guest::new();
    let file = "/tmp/lab.3.xml";
    let domain = "<domain type='qemu'><name>lab.3</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
                  <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>\
                  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>\n";
    fs::write(file, domain).unwrap();
    guest.run("systemctl", &["start", "libvirtd"]);
    guest.run("virsh", &["define", file]);
    let definition = || guest.run("virsh", &["dumpxml", "--inactive", "lab.3"]);
    let interfaces = || definition().matches("<interface type='vdpa'>").count();
    let (before, defined) = (State::of(&guest), definition());
    guest.write_host_file(
        &host_file("kernel", "kernel").replace("datapath = \"", "vm = \"lab.3\"\ndatapath = \""),
    );
    killed_there(&guest, &before, &["setup"], "interface of lab.3", || assert_ne!(interfaces(), 0));
    assert_eq!(interfaces(), 2);
    killed_on_the_way_back(&guest, &before, "interface of lab.3", || assert_ne!(interfaces(), 2));
    assert_eq!(definition(), defined);
    guest.run("virsh", &["undefine", "lab.3"]);
}

/// The card's tool has written it and kept what it was before; nothing else of the host file is there yet.
#[test]
fn kill_minus_nine_when_firmware_is_written() {
    let guest = Guest::new();
    let pf = Guest::pf(VFS_8);
    let next = || {
        let shown = guest.run("mstconfig", &["-d", &pf, "q", "UCTX_EN"]);
        let line = shown.lines().find(|line| line.contains("UCTX_EN")).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(next(), "True(1)");
    let before = State::of(&guest);
    guest.write_host_file(&format!("[[nic]]\npci = \"{pf}\"\nvfs = 1\nfirmware = {{ UCTX_EN = false }}\n"));
    let (setup, stop_at) = (["setup", "--firmware"], "UCTX_EN of");
    killed_there(&guest, &before, &setup, stop_at, || assert_eq!(next(), "False(0)"));
    assert_eq!(guest.representors(&pf).len(), 1);
    killed_on_the_way_back(&guest, &before, stop_at, || assert_eq!(next(), "True(1)"));
    assert_eq!(next(), "True(1)", "what it was before the setup that was killed");
    assert!(!fs::exists("/var/lib/vdpa/firmware.json").unwrap(), "what it was before is still kept");
}

/// The kernel has both uplinks in the bond, and the bridge does not have it yet; on the way back, it has it no more.
#[test]
fn kill_minus_nine_when_a_bond_is_made() {
    let guest = Guest::new();
    // Loaded by itself, the module would make a bond0 that stays.
    guest.run("modprobe", &["bonding", "max_bonds=0"]);
    let (first, second) = (Guest::pf(VFS_8), Guest::pf(VFS_64));
    let bonded = || {
        let in_bond = |pf: &&String| {
            let uplink = guest.uplink(pf);
            guest.run("ip", &["-d", "link", "show", "dev", &uplink]).contains("master bond7")
        };
        [&first, &second].iter().filter(|pf| in_bond(pf)).count()
    };
    let before = State::of(&guest);
    guest.write_host_file(&format!(
        "[[nic]]\npci = \"{first}\"\nvfs = 1\n[[nic]]\npci = \"{second}\"\nvfs = 1\n\
         [[bond]]\nname = \"bond7\"\nmode = \"active-backup\"\nnics = [\"{first}\", \"{second}\"]\n"
    ));
    killed_there(&guest, &before, &["setup"], "bond bond7", || assert_eq!(bonded(), 2));
    assert_eq!(guest.run("ovs-vsctl", &["port-to-br", "bond7"]), "ovs-sriov");
    killed_on_the_way_back(&guest, &before, "bond bond7", || assert_eq!(bonded(), 0));
}

/// Runs `next` on a host on which a command was killed: after a `setup` what is wanted holds, after a `teardown` the
/// host is as it was.
fn goes_on(guest: &Guest, before: &State, case: &str, next: &[&str]) {
    println!("{case}, then {}", next.join(" "));
    guest.vdpa(next).succeeds();
    if next[0] == "setup" {
        guest.vdpa(&["status"]).succeeds();
    } else {
        State::of(guest).is(before);
        assert!(!fs::exists("/run/vdpa/receipt.json").unwrap(), "{case}: the receipt is left");
    }
}

/// Kills a setup when a statement has become true, which `shows`; and has it go on.
fn killed_there(guest: &Guest, before: &State, setup: &[&str], stop_at: &str, shows: impl FnOnce()) {
    guest.kill_after(setup, stop_at);
    shows();
    goes_on(guest, before, &format!("a setup killed after `{stop_at}`"), setup);
}

/// Kills a teardown when it has taken the same back, which `shows`; and has it go on.
fn killed_on_the_way_back(guest: &Guest, before: &State, stop_at: &str, shows: impl FnOnce()) {
    guest.kill_after(&["teardown"], stop_at);
    shows();
    goes_on(guest, before, &format!("a teardown killed after `{stop_at}`"), &["teardown"]);
}
