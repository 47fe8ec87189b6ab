//! A VM of libvirt's on the kernel's vDPA and on a dpdk-vdpa socket: wired by the host file, started by libvirt as its own
//! user, and at work. Its firmware is its driver: iPXE asks for an address over the network, and answers pings.

use std::fs;
use std::path::Path;

use super::dhcp::Lease;
use super::guest::{Guest, VFS_8, wait_for};
use super::traffic::Host;

/// VF 0 by the kernel, VF 1 by DPDK, both for one VM.
fn host_file() -> String {
    super::host_file("kernel", "dpdk").replace("datapath = \"", "vm = \"lab.2\"\ndatapath = \"")
}

const DOMAIN: &str = "<domain type='qemu'>
  <name>lab.2</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='network'/><bios rebootTimeout='1000'/></os>
  <features><acpi/></features>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>
</domain>
";

/// The processes of the VM, each with its user.
fn processes(guest: &Guest) -> Vec<String> {
    let all = guest.run("ps", &["-eo", "user:32,args"]);
    all.lines().filter(|line| line.contains("guest=lab.2,")).map(str::to_owned).collect()
}

#[test]
fn a_vm_of_the_host_file_has_live_traffic_as_libvirts_own_user_and_teardown_waits_for_it() {
    let guest = Guest::new();
    let file = Path::new("/tmp/lab.2.xml");
    fs::write(file, DOMAIN).unwrap();
    guest.run("systemctl", &["start", "libvirtd"]);
    guest.run("virsh", &["define", file.to_str().unwrap()]);
    let before = guest.run("virsh", &["dumpxml", "--inactive", "lab.2"]);
    guest.write_host_file(&host_file());
    guest.vdpa(&["setup"]).succeeds();
    let wire = Host::at_wire(&guest, "wire1", "10.9.0.3");
    let lease = Lease { of: "e4:11:22:33:55:60", address: [10, 9, 0, 4], server: [10, 9, 0, 3] };
    let taken = lease.offer_in(wire.namespace());
    guest.run("timeout", &["240", "virsh", "start", "lab.2"]);

    // QEMU has both VFs open, and is nobody's but libvirt's: not root's.
    let running = processes(&guest);
    assert!(running.len() == 1 && running[0].starts_with("libvirt-qemu "), "{running:?}");
    assert!(running[0].contains("\"type\":\"vhost-vdpa\"") && running[0].contains("\"type\":\"vhost-user\""));
    let unit = format!("vdpa-dpdk-{}-vf1.service", Guest::pf(VFS_8).replace(':', "-"));
    let served = guest.run("journalctl", &["--unit", &unit, "--output", "cat", "--no-pager"]);
    assert!(served.contains("VHOST_USER_SET_VRING_ENABLE"), "{served}");

    // Through the VF's queues, its representor, the bridge and the cable, and back: what only a driver that has set
    // DRIVER_OK can do, since the card takes nothing before.
    let log = || guest.run("tail", &["-n", "3", "/var/log/libvirt/qemu/lab.2.log"]);
    assert!(taken.join().is_ok(), "the VM did not take an address: {}", log());
    wait_for("the VM's flow in hardware", || {
        wire.pings_at("10.9.0.4", 10);
        let offloaded = guest.run("ovs-appctl", &["dpctl/dump-flows", "-m", "type=offloaded"]);
        let from_vm =
            |line: &str| line.contains("src=e4:11:22:33:55:60") && line.contains("eth_type(0x0800)");
        offloaded.lines().any(from_vm).then_some(())
    });
    let counted = guest.run("vdpa", &["dev", "vstats", "show", "vdpa-vf-0000-01-00.0-vf0", "qidx", "1"]);
    let sent: u64 = counted.split_whitespace().last().unwrap().parse().unwrap();
    assert!(sent >= 12, "{counted}");

    // What runs is not taken away from.
    let refused = guest.vdpa(&["teardown"]).fails_with(1);
    assert!(refused.contains("lab.2"), "{refused}");
    assert_eq!(processes(&guest), running);
    drop(wire);
    guest.run("virsh", &["destroy", "lab.2"]);
    guest.vdpa(&["teardown"]).succeeds();
    assert_eq!(guest.run("virsh", &["dumpxml", "--inactive", "lab.2"]), before);
    guest.run("virsh", &["undefine", "lab.2"]);
}
