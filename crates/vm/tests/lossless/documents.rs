//! Documents, interfaces and placements of every kind, for the properties.

use proptest::prelude::*;
use vdpa_vm::{Interface, Pin, Placement, Role, Source};

use super::client;

/// White space, comments and the like between elements.
fn between() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        8 => Just("\n  ".to_owned()),
        2 => Just(String::new()),
        2 => "[ \t\n]{1,4}".prop_map(|s| s),
        2 => Just("\n  <!-- </devices> <metadata> -->".to_owned()),
        1 => Just("<?pi <devices/> ?>".to_owned()),
    ];
    prop::collection::vec(one, 1..3).prop_map(|parts| parts.concat())
}

/// An element with these children, or an empty-element tag.
fn element(name: &'static str, children: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let attributes = prop_oneof![
        Just(""),
        Just(" a=\"'>'\""),
        Just("\n  b = '\"/>&lt;'  "),
        Just(" xmlns:q='urn:q' q:c=''")
    ];
    let full = (children, between()).prop_map(|(children, tail)| (children + &tail, false));
    let content = prop_oneof![4 => full, 1 => Just((String::new(), true)), 1 => Just((String::new(), false))];
    (attributes, content)
        .prop_map(move |(attributes, (content, is_empty))| {
            if is_empty {
                format!("<{name}{attributes}/>")
            } else {
                format!("<{name}{attributes}>{content}</{name} >")
            }
        })
        .boxed()
}

fn list(of: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec((between(), of), 0..4)
        .prop_map(|items| items.into_iter().map(|(between, item)| between + &item).collect())
        .boxed()
}

fn maybe(of: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![3 => (between(), of).prop_map(|(between, item)| between + &item), 2 => Just(String::new())]
        .boxed()
}

/// Domain documents that may share their memory and have no vhost-user device yet.
pub(super) fn documents() -> impl Strategy<Value = String> {
    let device = prop_oneof![
        Just("<interface type='bridge'><mac address='52:54:00:8d:b6:8e'/></interface>".to_owned()),
        Just("<disk><source file=\"a&amp;&#x41;\"/><![CDATA[ </devices> ]]></disk>".to_owned()),
        Just("<emulator>/usr/bin/&who;</emulator>".to_owned()),
    ];
    let backing = prop_oneof![
        Just("<hugepages/>".to_owned()),
        Just("<locked/>".to_owned()),
        Just("<source type='file'/>".to_owned()),
        Just("<access mode='shared'/>".to_owned()),
    ];
    let cell =
        prop_oneof![Just("<cell id='0'/>".to_owned()), Just("<cell id='0' memAccess='shared'/>".to_owned())];
    let metadata =
        prop_oneof![Just("<o:os xmlns:o='urn:o'>x</o:os>".to_owned()), Just("<p xmlns='urn:p'/>".to_owned())];
    let heads = prop_oneof![
        Just(""),
        Just("\u{feff}"),
        Just("<?xml version='1.0' encoding='UTF-8'?>\n"),
        Just("<!-- <domain> -->\n\n"),
    ];
    let once = |of: BoxedStrategy<String>| {
        prop::collection::vec((between(), of), 0..2)
            .prop_map(|items| items.into_iter().map(|(between, item)| between + &item).collect())
            .boxed()
    };
    let line = prop_oneof![
        Just("<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>".to_owned()),
        Just(
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n    \
             <qemu:arg value='-set'/><qemu:arg value='device.net0.x=y'/></qemu:commandline>"
                .to_owned()
        ),
    ];
    let tune = prop_oneof![
        Just("<memtune/><cputune></cputune>".to_owned()),
        Just(
            "<memtune><swap_hard_limit>9</swap_hard_limit></memtune><cputune><shares>2</shares></cputune>"
                .to_owned()
        ),
    ];
    let parts = (
        maybe(line.boxed()),
        maybe(tune.boxed()),
        maybe(element("metadata", once(metadata.boxed()))),
        maybe(Just("<memory unit='GiB'>8</memory>".to_owned()).boxed()),
        maybe(element("memoryBacking", once(backing.boxed()))),
        maybe(
            Just("<cpu><numa>".to_owned())
                .prop_flat_map(move |open| {
                    prop::collection::vec(cell.clone(), 0..3)
                        .prop_map(move |cells| format!("{open}{}</numa></cpu>", cells.concat()))
                })
                .boxed(),
        ),
        maybe(element("devices", list(device.boxed()))),
        between(),
    );
    (heads, any::<bool>(), any::<bool>(), parts).prop_map(|(head, name_last, crlf, parts)| {
        let (line, tune, metadata, memory, backing, cpu, devices, tail) = parts;
        let name = "\n  <name>a</name> <!-- the name --><vcpu>4</vcpu>";
        let (first, last) = if name_last { ("", name) } else { (name, "") };
        let doctype = "<!DOCTYPE domain [<!ENTITY who 'qemu'> <!-- <devices/> -->]>\n";
        let text = format!("{head}{doctype}<domain type='kvm'>{first}{metadata}{memory}{tune}{backing}{cpu}{devices}{last}{line}{tail}</domain>\n");
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

/// Every kind of interface.
pub(super) fn interfaces(n: u8) -> impl Strategy<Value = Interface> {
    let sources = prop_oneof![
        Just(Source::VhostUser { socket: format!("/run/a'b&<{n}>\".sock").into(), role: Role::Server }),
        (prop::option::of(1u32..60)).prop_map(move |reconnect| {
            Source::VhostUser { socket: format!("/run/é{n}").into(), role: Role::Client { reconnect } }
        }),
        Just(Source::Vdpa { device: format!("/dev/vhost-vdpa-{n}").into() }),
    ];
    let ring = || prop::option::of(prop_oneof![Just(256u16), Just(512), Just(1024)]);
    (sources, 1u16..5, ring(), ring(), any::<bool>()).prop_map(
        move |(source, queues, rx_ring, tx_ring, page_per_vq)| {
            let queues = queues.try_into().unwrap();
            Interface { source, queues, rx_ring, tx_ring, page_per_vq, mac: client(n).mac }
        },
    )
}

/// Every way for a domain to take an interface, save for addresses, which two could have.
pub(super) fn placements() -> impl Strategy<Value = Placement> {
    let versions = prop_oneof![
        Just(None),
        prop_oneof!["6\\.9\\.0", "7\\.8\\.0", "7\\.9\\.0", "8\\.7\\.0"]
            .prop_map(|text| Some(text.parse().unwrap())),
    ];
    let pages = prop::option::of(Just("1G".parse().unwrap()));
    (versions, 0u16..4, pages).prop_map(|(libvirt, pinned, huge_pages)| {
        let pins = (0..pinned).map(|vcpu| Pin { vcpu, cpu: 14 + u32::from(vcpu) * 2 }).collect();
        Placement { libvirt, pins, huge_pages, address: None }
    })
}
