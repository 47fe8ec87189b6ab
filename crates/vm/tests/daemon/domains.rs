//! New domains.

use std::fs;
use std::path::Path;
use std::process::Command;

use vdpa_vm::{Blueprint, Disk, Domains as _, Error, Network, Pin, seed, xml};

use crate::guests::arguments_of_guest;
use crate::libvirt::{LIMIT, Libvirt, client, is_valid, vf};

/// A new domain with an overlay of an image, a seed and an interface: valid, defined, and it runs.
#[tokio::test]
async fn a_new_domain_is_made_and_runs() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let at = |name: &str| libvirt.directory.path().join(name);
    let image = Disk { path: at("image.qcow2"), size_gib: Some(1), image: None };
    image.make().await.unwrap();
    let disk = Disk { path: at("new.qcow2"), size_gib: None, image: Some(image.path.clone()) };
    disk.make().await.unwrap();
    fs::write(at("new.seed.img"), seed("CIDATA", &[("user-data", b"#cloud-config\n")]).unwrap()).unwrap();
    fs::write(at("installer.iso"), [0; 2048]).unwrap();
    // libvirtd may be another user than we are.
    for name in ["image.qcow2", "new.qcow2", "new.seed.img", "installer.iso"] {
        fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }
    let blueprint = Blueprint {
        name: "new".parse().unwrap(),
        memory_mib: 64,
        huge_pages: None,
        vcpus: 2,
        pins: Vec::new(),
        disk: disk.path.clone(),
        installer: Some(at("installer.iso")),
        seed: Some(at("new.seed.img")),
        network: Network::Absent,
        vnc: None,
        emulator: Some(libvirt.emulator.clone()),
        kvm: false,
    };
    let full = Blueprint {
        huge_pages: Some("1G".parse().unwrap()),
        pins: vec![Pin { vcpu: 0, cpu: 14 }],
        network: Network::Bridge("baremetal".to_owned()),
        vnc: Some(59000),
        kvm: true,
        ..blueprint.clone()
    };
    for text in [blueprint.xml(), full.xml()] {
        is_valid(&text, libvirt.directory.path());
        is_valid(
            &xml::attach(&text, vf(), &client(Path::new("/run/a.sock"))).unwrap(),
            libvirt.directory.path(),
        );
    }
    domains.define(&blueprint.xml()).await.unwrap();
    domains.start(&blueprint.name, LIMIT).await.unwrap();
    assert!(domains.status(&blueprint.name).await.unwrap().active);
    let argv = arguments_of_guest("new", libvirt.directory.path());
    for part in ["new.qcow2", "image.qcow2", "new.seed.img", "installer.iso", "-accel tcg"] {
        assert!(argv.contains(part), "{part}: {argv}");
    }
    let again = domains.start(&blueprint.name, LIMIT).await.unwrap_err();
    assert!(
        matches!(&again, Error::Refused { message, .. } if message.contains("already active")),
        "{again}"
    );
}

/// The seed is a file system that others read: by its label, and its files by their names.
#[test]
fn a_seed_is_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seed.img");
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(
        &file,
        seed("OEMDRV", &[("ks.cfg", b"text\n"), ("user-data of some length", &content)]).unwrap(),
    )
    .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("packages util-linux and mtools");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let path = file.to_str().unwrap();
    let probed = String::from_utf8(run("blkid", &["-p", "-o", "export", path])).unwrap();
    assert!(probed.contains("\nLABEL=OEMDRV\n") && probed.contains("\nTYPE=vfat\n"), "{probed}");
    assert_eq!(run("mtype", &["-i", path, "::ks.cfg"]), b"text\n");
    assert_eq!(run("mtype", &["-i", path, "::user-data of some length"]), content);
}
