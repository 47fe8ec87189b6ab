//! A VF's interface goes into any domain's XML and out again, and every byte is as it was.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vdpa_hw::Vf;
use vdpa_vm::{Interface, Role, Source, xml};

static VF: LazyLock<Vf> = LazyLock::new(|| "0000:43:00.0/vf0".parse().expect("a VF"));
static INTERFACE: LazyLock<Interface> = LazyLock::new(|| {
    let source = Source::VhostUser { socket: "/run/vdpa/vf0/socket".into(), role: Role::Server };
    Interface::new("e4:11:22:33:55:60".parse().expect("a MAC"), source)
});

fuzz_target!(|text: &str| {
    // What has no name is no domain's definition.
    if xml::name(text).is_err() {
        return;
    }
    let Ok(wired) = xml::attach(text, *VF, &INTERFACE) else { return };
    assert_eq!(xml::find(&wired, *VF).expect("what was attached can be read"), Some(INTERFACE.clone()));
    // A document that was ours before is not given back as it came, but as it was before us.
    if xml::find(text, *VF).is_ok_and(|found| found.is_none()) && !text.contains("vdpa") {
        assert_eq!(xml::detach(&wired, *VF).expect("what was attached can be detached"), text);
    }
});
