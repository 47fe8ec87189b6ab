//! Documents that we write, as libvirt's schema and QEMU see them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use vdpa_vm::{Interface, Pin, Placement, Role, Source, xml};

use crate::libvirt::{client, emulator, is_valid, vf};

#[test]
fn every_edited_document_is_valid_by_libvirts_schema() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = Source::Vdpa { device: "/dev/vhost-vdpa-0".into() };
    let full = Interface {
        rx_ring: Some(256),
        tx_ring: Some(1024),
        page_per_vq: true,
        ..client(Path::new("/run/vdpa/a & 'b'.sock"))
    };
    let source = |role| Source::VhostUser { socket: "/run/vdpa/vf0.sock".into(), role };
    let interfaces = [
        full.clone(),
        client(Path::new("/run/vdpa/vf0.sock")),
        Interface { source: kernel, ..full.clone() },
        Interface { source: source(Role::Client { reconnect: Some(5) }), ..full.clone() },
        Interface { source: source(Role::Server), ..full },
    ];
    let bare = "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os></domain>";
    for document in
        [include_str!("../../fixtures/cx6.1.xml"), include_str!("../../fixtures/cx6.1-running.xml"), bare]
    {
        is_valid(document, directory.path());
        for interface in &interfaces {
            // The bare one has one vCPU, which is a warning and no more.
            let wired = xml::attach(document, vf(), interface).unwrap();
            is_valid(&wired, directory.path());
            assert_eq!(xml::detach(&wired, vf()).unwrap(), document);
        }
    }
}

/// Whatever else comes with an interface: words for an old libvirt, a limit, pins, pages, an address, shared cells.
#[test]
fn every_placement_is_valid_by_libvirts_schema() {
    let directory = tempfile::tempdir().unwrap();
    let pins = [(0, 0), (1, 1)].map(|(vcpu, cpu)| Pin { vcpu, cpu }).to_vec();
    let cells = "<cpu><numa><cell id='0' cpus='0' memory='4' unit='GiB'/><cell id='1' cpus='1' memory='4' unit='GiB'/></numa></cpu>";
    let fixture =
        include_str!("../../fixtures/cx6.1.xml").replace("<cpu mode='host-model' check='partial'/>", cells);
    let bare = "<domain type='kvm'><name>a</name><memory unit='GiB'>8</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";
    let free = fixture.lines().filter(|line| !line.contains("vcpupin")).collect::<Vec<_>>().join("\n");
    let kernel = |n: u8| Interface {
        source: Source::Vdpa { device: format!("/dev/vhost-vdpa-{n}").into() },
        mac: vdpa_hw::MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, n]),
        page_per_vq: true,
        ..client(Path::new("/x"))
    };
    for document in [free.as_str(), fixture.as_str(), bare] {
        for libvirt in ["7.1.0", "8.0.0", "9.0.0"] {
            let address = Some("0000:00:1e.0".parse().unwrap());
            let pins = if document == fixture { Vec::new() } else { pins.clone() };
            let place = Placement {
                libvirt: Some(libvirt.parse().unwrap()),
                address,
                pins,
                huge_pages: Some("1G".parse().unwrap()),
            };
            let user = Interface { page_per_vq: true, ..client(Path::new("/run/vdpa/vf0.sock")) };
            let one = xml::attach_as(document, vf(), &user, &place).unwrap();
            is_valid(&one, directory.path());
            assert_eq!(xml::detach(&one, vf()).unwrap(), document);
            let anywhere = Placement { address: None, ..place };
            let one = xml::attach_as(document, vf(), &kernel(0), &anywhere).unwrap();
            let two = xml::attach_as(&one, kernel(1).mac, &kernel(1), &anywhere).unwrap();
            assert_eq!(two.contains("hard_limit"), libvirt < "8.7.0", "{two}");
            is_valid(&two, directory.path());
        }
    }
}

/// The two arguments that an old libvirt is given do in QEMU what `page_per_vq` does.
#[test]
fn qemu_takes_the_arguments_for_an_old_libvirt() {
    let interface = Interface { page_per_vq: true, ..client(Path::new("/x")) };
    let place = Placement::of("7.0.0".parse().unwrap());
    let text = xml::attach_as(include_str!("../../fixtures/cx6.1.xml"), vf(), &interface, &place).unwrap();
    let value =
        |line: &str| line.trim().strip_prefix("<qemu:arg value='")?.strip_suffix("'/>").map(str::to_owned);
    let set: Vec<String> = text.lines().filter_map(value).collect();
    assert_eq!(set.len(), 2, "{text}");
    // As libvirt before 7.9 wrote a device: its id is the alias.
    let device = format!("virtio-net-pci,netdev=n0,id={}", vdpa_vm::Alias::from(vf()));
    let mut qemu = Command::new(emulator())
        .args(["-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none", "-monitor", "stdio"])
        .args(["-netdev", "hubport,id=n0,hubid=0", "-device", &device])
        .args(&set)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    qemu.stdin.take().unwrap().write_all(b"info qtree\nquit\n").unwrap();
    let said = qemu.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("page-per-vq = true"), "{said}");
}
