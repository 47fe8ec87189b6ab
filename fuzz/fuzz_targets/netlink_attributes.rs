//! Attributes of a netlink message, as a kernel, a driver or a bug may have written them: read without a stumble to any
//! depth, and those that are sound, written again, are read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vdpa_netlink::{Attributes, Tlvs};

/// As deep as devlink's and tc's messages nest, and some.
const DEPTH: u8 = 8;

fuzz_target!(|bytes: &[u8]| {
    walk(Attributes::new(bytes), DEPTH);
});

fn walk(attributes: Attributes<'_>, depth: u8) {
    let mut again = Tlvs::new();
    let mut sound = Vec::new();
    for attribute in attributes {
        let Ok(attribute) = attribute else { break };
        // Each as everything that it could be.
        let _ = (attribute.u8(), attribute.u16(), attribute.u32(), attribute.u64(), attribute.string());
        let _ = attribute.array::<6>("a MAC address");
        if depth > 0 {
            walk(attribute.nest(), depth - 1);
        }
        // 65531 bytes are the most that the length of an attribute can say.
        if attribute.payload().len() <= 65_531 {
            again = again.bytes(attribute.kind(), attribute.payload());
            sound.push((attribute.kind(), attribute.payload()));
        }
    }
    let read: Vec<_> = Attributes::new(again.as_bytes()).into_iter().map(|found| found.expect("what we write is sound")).collect();
    let read: Vec<_> = read.iter().map(|attribute| (attribute.kind(), attribute.payload())).collect();
    assert_eq!(read, sound);
}
