//! What the host is booted with, as far as a VM shows it that no boot loader started: what the kernel gives at run time,
//! and that systemd and kmod read our files as they are meant.

use std::fs;
use std::path::Path;

use super::guest::Guest;

const PAGES: &str = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";

fn pages() -> u64 {
    fs::read_to_string(PAGES).unwrap().trim().parse().unwrap()
}

#[test]
fn huge_pages_and_modules_are_prepared_at_run_time_and_taken_back() {
    let guest = Guest::new();
    let before = pages();
    let files = ["/etc/tmpfiles.d/vdpa.conf", "/etc/modules-load.d/vdpa.conf", "/etc/modprobe.d/vdpa.conf"];

    // Nothing here takes kernel arguments: refused with the arguments to give, and nothing is written.
    let refused =
        guest.vdpa(&["host", "prepare", "--arg", "isolcpus=0", "--nested", "--apply", "--json"]).json();
    assert_eq!(refused["exit_code"], 1, "{refused:#}");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("whatever starts this kernel") && hint.contains("isolcpus=0"), "{refused:#}");
    assert!(files.iter().all(|file| !Path::new(file).exists()));

    // vhost_net is in the image and nothing else here loads it.
    let wanted = before + 44;
    let asked = format!("--hugepages=2M={wanted}@0");
    let prepare = ["host", "prepare", "--no-iommu", "--nested", "--module=vhost-net", "--apply", &asked];
    println!("{}", guest.vdpa(&prepare).succeeds());
    assert_eq!(pages(), wanted, "what the kernel has is what was asked for");
    assert!(guest.run("lsmod", &[]).lines().any(|line| line.starts_with("vhost_net ")));
    let again = guest.vdpa(&[&prepare[..], &["--json"]].concat()).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");

    // Early in the next boot systemd does it again.
    fs::write(PAGES, before.to_string()).unwrap();
    guest.run("systemd-tmpfiles", &["--create", files[0]]);
    assert_eq!(pages(), wanted);
    guest.run("modprobe", &["-r", "vhost_net"]);
    guest.run("/usr/lib/systemd/systemd-modules-load", &[files[1]]);
    assert!(guest.run("lsmod", &[]).lines().any(|line| line.starts_with("vhost_net ")));
    let options = guest.run("modprobe", &["--showconfig"]);
    assert!(
        options.lines().any(|line| line.starts_with("options kvm_") && line.ends_with(" nested=1")),
        "{options}"
    );

    // More than there is memory is refused: the kernel would take all there is, and the rest of the host starve.
    let refused = guest
        .vdpa(&["host", "prepare", "--no-iommu", "--hugepages=2M=1000000@0", "--apply", "--json"])
        .json();
    assert_eq!(refused["exit_code"], 2, "{refused:#}");
    assert_eq!(pages(), wanted);

    println!("{}", guest.vdpa(&["host", "restore"]).succeeds());
    assert_eq!(pages(), before);
    assert!(files.iter().all(|file| !Path::new(file).exists()));
}
