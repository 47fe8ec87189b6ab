//! What goes into a domain's XML comes out without a trace, whatever the document looks like.

#[path = "lossless/documents.rs"]
mod documents;

use documents::{documents, interfaces, placements};
use proptest::prelude::*;
use vdpa_hw::{MacAddress, PciAddress, Vf};
use vdpa_vm::{Interface, Pin, Placement, Role, Source, xml};

const INSTALLED: &str = include_str!("../fixtures/cx6.1.xml");
/// As the reference how-to ends: the NIC in `<qemu:commandline>`, memory shared by its NUMA cell.
const RUNNING: &str = include_str!("../fixtures/cx6.1-running.xml");

fn vf(n: u16) -> Vf {
    Vf::new(PciAddress::new(0, 0x43, 0, 0).unwrap(), n)
}

fn interface(n: u8, source: Source) -> Interface {
    Interface {
        queues: 2.try_into().unwrap(),
        rx_ring: Some(1024),
        page_per_vq: true,
        ..Interface::new(MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, 0x60 + n]), source)
    }
}

fn client(n: u8) -> Interface {
    let socket = format!("/run/vdpa/vf{n}.sock").into();
    interface(n, Source::VhostUser { socket, role: Role::Client { reconnect: Some(1) } })
}

#[test]
fn the_how_tos_domain_gets_an_interface_and_shared_memory() {
    let wired = xml::attach(INSTALLED, vf(0), &client(0)).unwrap();
    let added: Vec<_> = wired.lines().filter(|line| !INSTALLED.lines().any(|old| old == *line)).collect();
    assert_eq!(
        added,
        [
            "    <vdpa:wiring xmlns:vdpa='https://github.com/vdpa-rs/vdpa/xmlns/domain/1.0' created='access' last-port='7'/>",
            "    <access mode='shared'/>",
            "    <interface type='vhostuser'>",
            "      <mac address='e4:11:22:33:55:60'/>",
            "      <source type='unix' path='/run/vdpa/vf0.sock' mode='client'>",
            "        <reconnect enabled='yes' timeout='1'/>",
            "      </source>",
            "      <driver queues='2' rx_queue_size='1024' page_per_vq='on'/>",
            "      <alias name='ua-vdpa-0000-43-00-0-vf0'/>",
        ]
    );
    assert_eq!(xml::detach(&wired, vf(0)).unwrap(), INSTALLED);
}

#[test]
fn memory_that_is_shared_by_its_cells_is_left_as_it_is() {
    let wired = xml::attach(RUNNING, vf(0), &client(0)).unwrap();
    assert!(!wired.contains("created=") && !wired.contains("<access"), "{wired}");
    assert_eq!(xml::detach(&wired, vf(0)).unwrap(), RUNNING);
}

#[test]
fn a_kernel_vdpa_device_leaves_the_memory_as_it_is() {
    let wanted = interface(0, Source::Vdpa { device: "/dev/vhost-vdpa-0".into() });
    let wired = xml::attach(INSTALLED, vf(0), &wanted).unwrap();
    assert!(!wired.contains("<access") && !wired.contains("created="), "{wired}");
    assert_eq!(xml::find(&wired, vf(0)).unwrap(), Some(wanted));
}

/// The lines of `wired` that `before` has not.
fn added<'w>(wired: &'w str, before: &str) -> Vec<&'w str> {
    wired.lines().map(str::trim).filter(|line| !before.lines().any(|old| old.trim() == *line)).collect()
}

#[test]
fn memory_is_shared_on_every_numa_cell() {
    let cells = "<cpu mode='host-model' check='partial'>\n    <numa>\n      <cell id='0' cpus='0' memory='4' unit='GiB'/>\n      \
                 <cell\n id='1' cpus='1' memory='4' unit='GiB' ></cell>\n    </numa>\n  </cpu>";
    let before = INSTALLED.replace("<cpu mode='host-model' check='partial'/>", cells);
    let wired = xml::attach(&before, vf(0), &client(0)).unwrap();
    assert!(wired.contains("<access mode='shared'/>") && wired.contains("cells='0 1'"), "{wired}");
    assert!(
        wired.contains("<cell memAccess='shared' id='0'")
            && wired.contains("<cell memAccess='shared'\n id='1'")
    );
    assert_eq!(xml::detach(&wired, vf(0)).unwrap(), before);
    // What somebody made of it since is theirs.
    let theirs = wired.replacen("memAccess='shared'", "memAccess='private'", 1);
    assert!(xml::detach(&theirs, vf(0)).unwrap().contains("<cell memAccess='private' id='0'"));
}

#[test]
fn a_libvirt_that_is_too_old_is_told_on_the_command_line() {
    let old = Placement::of("7.0.0".parse().unwrap());
    let wired = xml::attach_as(INSTALLED, vf(0), &client(0), &old).unwrap();
    assert!(!wired.contains("page_per_vq"), "{wired}");
    let lines: Vec<_> = added(&wired, INSTALLED).into_iter().filter(|line| line.contains("qemu:")).collect();
    assert_eq!(
        lines,
        [
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>",
            "<qemu:arg value='-set'/>",
            "<qemu:arg value='device.ua-vdpa-0000-43-00-0-vf0.page-per-vq=on'/>",
            "</qemu:commandline>",
        ]
    );
    assert_eq!(xml::find(&wired, vf(0)).unwrap(), Some(client(0)));
    // With a newer libvirt the same statement is in other words, and the command line is gone.
    let new = xml::attach_as(&wired, vf(0), &client(0), &Placement::of("9.0.0".parse().unwrap())).unwrap();
    assert!(!new.contains("commandline") && new.contains("page_per_vq='on'"), "{new}");
    assert_eq!(xml::detach(&new, vf(0)).unwrap(), INSTALLED);
    // The how-to's own arguments stay, whatever comes and goes beside them.
    let wired = xml::attach_as(RUNNING, vf(0), &client(0), &old).unwrap();
    assert!(wired.contains("<qemu:arg value='-set'/>\n    <qemu:arg value='device.ua-"), "{wired}");
    assert_eq!(xml::detach(&wired, vf(0)).unwrap(), RUNNING);
}

/// Pitfall 35: a libvirt that lets QEMU lock less than each vhost-vdpa device needs is given a limit.
#[test]
fn memory_can_be_locked_for_each_kernel_device() {
    let kernel = |n| interface(n, Source::Vdpa { device: format!("/dev/vhost-vdpa-{n}").into() });
    for (libvirt, one, two) in
        [("7.1.0", Some(9), Some(17)), ("8.6.0", None, Some(17)), ("8.7.0", None, None)]
    {
        let place = Placement::of(libvirt.parse().unwrap());
        let limit =
            |gib: Option<u64>| gib.map(|gib| format!("<hard_limit unit='KiB'>{}</hard_limit>", gib << 20));
        let wired = xml::attach_as(INSTALLED, vf(0), &kernel(0), &place).unwrap();
        let found = |text: &str| {
            added(text, INSTALLED).into_iter().find(|line| line.contains("hard_limit")).map(str::to_owned)
        };
        assert_eq!(found(&wired), limit(one), "{libvirt}");
        let wired = xml::attach_as(&wired, vf(1), &kernel(1), &place).unwrap();
        assert_eq!(found(&wired), limit(two), "{libvirt}");
        let left = xml::detach(&wired, vf(0)).unwrap();
        assert_eq!(xml::detach(&left, vf(1)).unwrap(), INSTALLED, "{libvirt}");
    }
    let tight = INSTALLED.replace("<os>", "<memtune><hard_limit unit='GiB'>9</hard_limit></memtune><os>");
    let place = Placement::default();
    let wired = xml::attach_as(&tight, vf(0), &kernel(0), &place).unwrap();
    let error = xml::attach_as(&wired, vf(1), &kernel(1), &place).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the domain's hard limit of 9437184 KiB is less than the 17825792 KiB that QEMU locks for 2 vhost-vdpa devices"
    );
}

#[test]
fn vcpus_are_pinned_where_nobody_pins_them() {
    let pins = [(0, 14), (1, 16)].map(|(vcpu, cpu)| Pin { vcpu, cpu }).to_vec();
    let place = Placement { pins: pins.clone(), ..Placement::default() };
    let error = xml::attach_as(INSTALLED, vf(0), &client(0), &place).unwrap_err();
    assert_eq!(error.to_string(), "the domain pins its vCPUs already");
    let start = INSTALLED.find("  <cputune>").unwrap();
    let end = INSTALLED.find("</cputune>\n").unwrap() + "</cputune>\n".len();
    let free = [&INSTALLED[..start], &INSTALLED[end..]].concat();
    let wired = xml::attach_as(&free, vf(0), &client(0), &place).unwrap();
    assert_eq!(xml::pins(&wired).unwrap(), pins);
    assert!(wired.contains("</vcpu>\n  <cputune>\n    <vcpupin vcpu='0' cpuset='14'/>\n"), "{wired}");
    let other = Placement { pins: vec![Pin { vcpu: 0, cpu: 2 }], ..place };
    let moved = xml::attach_as(&wired, vf(0), &client(0), &other).unwrap();
    assert_eq!(xml::pins(&moved).unwrap(), other.pins);
    assert_eq!(xml::detach(&moved, vf(0)).unwrap(), free);
}

#[test]
fn the_guest_sees_the_device_where_it_is_asked_for() {
    let at = |address: &str| Placement { address: Some(address.parse().unwrap()), ..Placement::default() };
    let wired = xml::attach_as(INSTALLED, vf(0), &client(0), &at("0000:07:00.0")).unwrap();
    let line = "<address type='pci' domain='0x0000' bus='0x07' slot='0x00' function='0x0'/>";
    assert!(added(&wired, INSTALLED).contains(&line), "{wired}");
    // Left to libvirt it stays where it is; asked for elsewhere it moves.
    assert_eq!(xml::attach(&wired, vf(0), &client(0)).unwrap(), wired);
    let moved = xml::attach_as(&wired, vf(0), &client(0), &at("0000:00:1f.1")).unwrap();
    assert!(moved.contains("bus='0x00' slot='0x1f' function='0x1'") && !moved.contains(line), "{moved}");
    let error = xml::attach_as(INSTALLED, vf(0), &client(0), &at("0000:04:00.0")).unwrap_err();
    assert_eq!(error.to_string(), "0000:04:00.0 in the guest is where a <disk> is");
}

#[test]
fn memory_is_made_of_huge_pages_where_that_is_asked_for() {
    let plain = "<domain>\n  <name>a</name>\n  <memory unit='GiB'>8</memory>\n  <vcpu>2</vcpu>\n</domain>\n";
    let place = Placement { huge_pages: Some("1G".parse().unwrap()), ..Placement::default() };
    let wired = xml::attach_as(plain, vf(0), &client(0), &place).unwrap();
    assert!(wired.contains("<page size='1048576' unit='KiB'/>") && !wired.contains("memfd"), "{wired}");
    assert_eq!(xml::detach(&wired, vf(0)).unwrap(), plain);
    let there = xml::attach_as(INSTALLED, vf(0), &client(0), &place).unwrap();
    assert_eq!(there.matches("<hugepages>").count(), 1);
}

#[test]
fn what_a_user_added_to_our_interface_survives_a_change_of_it() {
    let wired = xml::attach(INSTALLED, vf(0), &client(0)).unwrap();
    let alias = "<alias name='ua-vdpa-0000-43-00-0-vf0'/>";
    let touched = wired
        .replace(alias, &format!("{alias}\n      <mtu size=\"9000\" />\n      <boot order='2'/>"))
        .replace("<driver queues", "<driver iommu='on' queues");
    let changed = xml::attach(&touched, vf(0), &Interface { rx_ring: None, ..client(0) }).unwrap();
    assert!(changed.contains("<driver queues='2' page_per_vq='on' iommu='on'/>"), "{changed}");
    assert!(changed.contains("<mtu size=\"9000\" />") && changed.contains("<boot order='2'/>"), "{changed}");
}

#[test]
fn memory_that_someone_else_needs_by_now_stays_shared() {
    let wired = xml::attach(INSTALLED, vf(0), &client(0)).unwrap();
    let other =
        "<interface type='vhostuser'><source type='unix' path='/x' mode='client'/></interface></devices>";
    let detached = xml::detach(&wired.replace("</devices>", other), vf(0)).unwrap();
    assert!(detached.contains("<access mode='shared'/>"), "{detached}");
    assert!(!detached.contains("vdpa:wiring"), "{detached}");
}

#[test]
fn what_a_user_put_into_our_memory_backing_stays() {
    let plain =
        "<domain>\n  <name>a</name>\n  <memory>1</memory>\n  <vcpu>2</vcpu>\n  <devices/>\n</domain>\n";
    let wired = xml::attach(plain, vf(0), &client(0)).unwrap();
    let locked = wired.replace("<access mode='shared'/>", "<access mode='shared'/><locked/>");
    let detached = xml::detach(&locked, vf(0)).unwrap();
    assert!(detached.contains("<memoryBacking><locked/>\n  </memoryBacking>"), "{detached}");
    assert!(!detached.contains("access") && detached.contains("<devices/>"), "{detached}");
}

/// What libvirt does on define where no root port is free: the interface gets a new one, number `port`.
fn on_port(xml: &str, n: u16, port: u32) -> String {
    let controller = format!(
        "<controller type='pci' index='{port}' model='pcie-root-port'/>\n    <controller type='virtio-serial'"
    );
    let alias = format!("<alias name='ua-vdpa-0000-43-00-0-vf{n}'/>");
    let address = format!(
        "{alias}\n      <address type='pci' domain='0x0000' bus='0x{port:02x}' slot='0x00' function='0x0'/>"
    );
    xml.replace("<controller type='virtio-serial'", &controller).replace(&alias, &address)
}

#[test]
fn root_ports_that_libvirt_made_for_us_go_with_us() {
    let one = on_port(&xml::attach(INSTALLED, vf(0), &client(0)).unwrap(), 0, 8);
    let two = on_port(&xml::attach(&one, vf(1), &client(1)).unwrap(), 1, 9);
    for first in [0, 1] {
        let left = xml::detach(&two, vf(first)).unwrap();
        assert!(left.contains("index='8'"), "port 8 is in use, or below one that is: {left}");
        assert_eq!(left.contains("index='9'"), first == 0, "{left}");
        assert_eq!(xml::detach(&left, vf(1 - first)).unwrap(), INSTALLED);
    }
}

#[test]
fn root_ports_that_are_not_ours_stay() {
    let wired = on_port(&xml::attach(INSTALLED, vf(0), &client(0)).unwrap(), 0, 8);
    // Another device has come onto it; or a port after it; or ours was moved to a port there was before.
    let disk = "<disk><address type='pci' bus='0x08' slot='0x00' function='0x1'/></disk></devices>";
    let after = "<controller type='pci' index='9' model='pcie-root-port'/></devices>";
    for changed in [
        wired.replace("</devices>", disk),
        wired.replace("</devices>", after),
        wired.replace("bus='0x08'", "bus='0x07'"),
    ] {
        let detached = xml::detach(&changed, vf(0)).unwrap();
        assert!(detached.contains("index='8'") && detached.contains("index='7'"), "{detached}");
        assert!(!detached.contains("wiring"), "{detached}");
    }
}

#[test]
fn an_interface_that_was_changed_beyond_us_is_named() {
    let wired = xml::attach(INSTALLED, vf(0), &client(0)).unwrap();
    let error = xml::find(&wired.replace("type='vhostuser'", "type='bridge'"), vf(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "interface ua-vdpa-0000-43-00-0-vf0 was changed by hand: its type is `bridge`"
    );
}

#[test]
fn an_interface_that_says_the_same_in_other_words_is_left_alone() {
    let wired = xml::attach(INSTALLED, vf(0), &client(0)).unwrap();
    let (start, end) =
        (wired.find("<interface type='vhostuser'>").unwrap(), wired.rfind("</interface>").unwrap());
    let reworded =
        [&wired[..start], &wired[start..end].replace('\'', "\"").replace("      <", "<"), &wired[end..]]
            .concat();
    assert_ne!(reworded, wired);
    assert_eq!(xml::attach(&reworded, vf(0), &client(0)).unwrap(), reworded);
}

#[test]
fn a_misfit_is_refused() {
    let taken = Interface { mac: "52:54:00:8d:b6:8e".parse().unwrap(), ..client(0) };
    let error = xml::attach(INSTALLED, vf(0), &taken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "52:54:00:8d:b6:8e is already the MAC of the interface 52:54:00:8d:b6:8e of type bridge"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn attach_then_detach_is_nothing(document in documents(), wanted in interfaces(0)) {
        let wired = xml::attach(&document, vf(0), &wanted).unwrap();
        prop_assert_eq!(xml::find(&wired, vf(0)).unwrap(), Some(wanted.clone()));
        prop_assert_eq!(&xml::attach(&wired, vf(0), &wanted).unwrap(), &wired, "twice is once");
        prop_assert_eq!(&xml::detach(&wired, vf(0)).unwrap(), &document, "by way of {}", wired);
        prop_assert_eq!(&xml::detach(&document, vf(0)).unwrap(), &document);
    }

    #[test]
    fn two_vfs_leave_in_any_order(document in documents(), a in interfaces(0), b in interfaces(1), first in 0u16..2) {
        let one = xml::attach(&document, vf(0), &a).unwrap();
        let two = xml::attach(&one, vf(1), &b).unwrap();
        prop_assert_eq!(xml::interfaces(&two).unwrap(), [(vf(0).into(), a), (vf(1).into(), b.clone())]);
        let left = xml::detach(&two, vf(first)).unwrap();
        prop_assert_eq!(xml::interfaces(&left).unwrap().len(), 1);
        prop_assert_eq!(&xml::detach(&left, vf(1 - first)).unwrap(), &document, "by way of {} and {}", two, left);
    }

    #[test]
    fn however_it_is_placed_it_leaves_no_trace(
        document in documents(), a in interfaces(0), b in interfaces(1), place in placements(), first in 0u16..2,
    ) {
        let one = xml::attach_as(&document, vf(0), &a, &place).unwrap();
        prop_assert_eq!(xml::find(&one, vf(0)).unwrap(), Some(a.clone()), "in {}", one);
        prop_assert_eq!(&xml::attach_as(&one, vf(0), &a, &place).unwrap(), &one, "twice is once");
        prop_assert_eq!(&xml::detach(&one, vf(0)).unwrap(), &document, "by way of {}", one);
        let two = xml::attach_as(&one, vf(1), &b, &place).unwrap();
        prop_assert_eq!(&xml::attach_as(&two, vf(1), &b, &place).unwrap(), &two, "twice is once");
        prop_assert_eq!(xml::find(&two, vf(0)).unwrap(), Some(a));
        let left = xml::detach(&two, vf(first)).unwrap();
        prop_assert_eq!(&xml::detach(&left, vf(1 - first)).unwrap(), &document, "by way of {} and {}", two, left);
    }

    #[test]
    fn an_interface_without_a_vf_is_known_by_its_mac(document in documents(), wanted in interfaces(0)) {
        let mac = wanted.mac;
        let wired = xml::attach(&document, mac, &wanted).unwrap();
        prop_assert_eq!(xml::with_mac(&wired, mac).unwrap(), Some(mac.into()));
        prop_assert_eq!(&xml::attach(&wired, mac, &wanted).unwrap(), &wired, "twice is once");
        prop_assert_eq!(&xml::detach(&wired, mac).unwrap(), &document, "by way of {}", wired);
    }

    #[test]
    fn a_change_leaves_everything_else(document in documents(), a in interfaces(0), b in interfaces(0)) {
        let wired = xml::attach(&document, vf(0), &a).unwrap();
        let changed = xml::attach(&wired, vf(0), &b).unwrap();
        prop_assert_eq!(xml::find(&changed, vf(0)).unwrap(), Some(b));
        prop_assert_eq!(&xml::detach(&changed, vf(0)).unwrap(), &document, "by way of {} and {}", wired, changed);
    }

    #[test]
    fn no_text_panics(text in ".{0,80}", cut in 0usize..4000) {
        let _ = xml::attach(&text, vf(0), &client(0));
        let cut = INSTALLED.char_indices().map(|(at, _)| at).take_while(|at| *at <= cut).last().unwrap_or(0);
        prop_assert!(xml::attach(&INSTALLED[..cut], vf(0), &client(0)).is_err());
        prop_assert!(xml::detach(&INSTALLED[..cut], vf(0)).is_err());
    }
}
