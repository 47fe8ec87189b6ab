//! The contract on a real libvirt: a private libvirtd with its QEMU driver, as an ordinary user.
//!
//! Packages: libvirt-daemon, libvirt-clients, libxml2-utils, qemu-system-x86. No KVM is needed: guests
//! run under TCG, without a disk. `VDPA_TEST_EMULATOR` names another QEMU than the one in `PATH`.

mod documents;
mod domains;
mod guests;
mod libvirt;
mod ping;
mod pinger;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use vdpa_vm::{
    DomainName, Domains as _, Effect, Error, Interface, Placement, Role, Source, View, Virsh, contract,
    enforce, enforce_as,
};

use guests::{arguments_of_guest, connect, serve};
use libvirt::{Libvirt, client, vf};

#[tokio::test]
async fn libvirt_keeps_the_contract() {
    let libvirt = Libvirt::start();
    contract::all(&libvirt.domains(), &libvirt.template("template", "")).await;
}

#[tokio::test]
async fn a_running_domain_goes_on_as_it_is() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    domains.define(&libvirt.template("running", "")).await.unwrap();
    libvirt.virsh(&["start", "running"]);
    let name: DomainName = "running".parse().unwrap();
    contract::a_running_domain_goes_on_as_it_is(&domains, &name).await;
    // It has the id 1: virsh would take the name 1 for it.
    contract::a_name_that_looks_like_an_id_is_a_name(&domains, &libvirt.template("template", "")).await;
    libvirt.virsh(&["managedsave", "running"]);
    assert!(domains.status(&name).await.unwrap().managed_save);
}

#[tokio::test]
async fn a_transient_domain_is_left_alone() {
    let libvirt = Libvirt::start();
    let file = libvirt.directory.path().join("transient.xml");
    fs::write(&file, libvirt.template("transient", "")).unwrap();
    libvirt.virsh(&["create", file.to_str().unwrap()]);
    contract::a_transient_domain_is_left_alone(&libvirt.domains(), &"transient".parse().unwrap()).await;
}

/// `virsh dumpxml` leaves passwords out unless it is asked for them; defining that would lose them.
#[tokio::test]
async fn secrets_survive_an_edit() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let name: DomainName = "secret".parse().unwrap();
    domains.define(&libvirt.template("secret", "")).await.unwrap();
    enforce(&domains, &name, vf(), Some(&client(Path::new("/run/a.sock")))).await.unwrap();
    assert!(domains.xml(&name, View::Definition).await.unwrap().contains("passwd='secret'"));
}

/// The address is where the guest sees it, and detaching gives libvirt's definition back to the byte.
#[tokio::test]
async fn libvirt_puts_the_device_where_it_is_asked_for() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let domain: DomainName = "placed".parse().unwrap();
    domains
        .define(
            &libvirt.template(
                "placed",
                "<cpu><numa><cell id='0' cpus='0-1' memory='64' unit='MiB'/></numa></cpu>",
            ),
        )
        .await
        .unwrap();
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    let socket = libvirt.directory.path().join("placed.sock");
    let interface = Interface {
        source: Source::VhostUser { socket: socket.clone(), role: Role::Server },
        page_per_vq: true,
        ..client(&socket)
    };
    let place = Placement { address: Some("0000:00:1d.0".parse().unwrap()), ..Placement::default() };
    let effect = enforce_as(&domains, &domain, vf(), Some(&interface), place).await.unwrap();
    assert_eq!(effect, Effect::Defined);
    let datapath = std::thread::spawn(move || serve(connect(&socket)));
    libvirt.virsh(&["start", "placed"]);
    let argv = arguments_of_guest("placed", libvirt.directory.path());
    libvirt.virsh(&["destroy", "placed"]);
    datapath.join().unwrap();
    assert!(argv.contains(r#""bus":"pcie.0","addr":"0x1d""#), "{argv}");
    assert!(argv.contains(r#""share":true"#), "{argv}");
    enforce(&domains, &domain, vf(), None).await.unwrap();
    assert_eq!(domains.xml(&domain, View::Definition).await.unwrap(), before);
}

/// libvirt's test driver, on a node that each connection reads anew: what was defined is not kept, and that is told.
#[tokio::test]
async fn a_libvirt_that_does_not_keep_an_interface_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.xml");
    let domain = "<domain type='test'><name>a</name>\
        <uuid>5c9ae2b8-3cf9-4c0c-8f0e-3b7d5a1f7e11</uuid><memory>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";
    fs::write(&file, format!("<node>{domain}</node>")).unwrap();
    let domains = Virsh::new(format!("test://{}", file.display()));
    let name: DomainName = "a".parse().unwrap();
    assert_eq!(domains.list().await.unwrap(), std::slice::from_ref(&name));
    let error = enforce(&domains, &name, vf(), Some(&client(Path::new("/run/a.sock")))).await.unwrap_err();
    let Error::NotKept { domain, why } = &error else { panic!("{error:?}") };
    assert!(*domain == name && why.ends_with("found none"), "{error}");
}

#[tokio::test]
async fn no_libvirt_is_told_apart() {
    let error = Virsh::new("qemu+unix:///session?socket=/nowhere/libvirt-sock").list().await.unwrap_err();
    let Error::NoLibvirt { why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("/nowhere/libvirt-sock"), "{why}");
    let missing = Virsh::new("test:///default").with_program("/nowhere/virsh").list().await.unwrap_err();
    assert!(matches!(missing, Error::NoLibvirt { .. }), "{missing:?}");
    assert_eq!(fs::metadata("/nowhere").unwrap_err().kind(), ErrorKind::NotFound);
}
