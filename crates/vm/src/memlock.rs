//! How much of a guest's memory QEMU locks for vhost-vdpa.
//!
//! Every vhost-vdpa device pins the whole guest for the card's DMA, each for itself, so that the limit on locked memory
//! has to hold the guest as often as there are devices, and what QEMU has beside it. With a limit that is too small the
//! guest starts, and its driver finds a dead device: `VHOST_IOTLB_MSG` fails with ENOMEM (`vhost_vdpa_pa_map` in
//! drivers/vhost/vdpa.c).

use roxmltree::Node;

use crate::xml::{Document, children};

/// What libvirt allows beside the guest's memory: 1 GiB (`qemuDomainGetMemLockLimitBytes` in `src/qemu/qemu_domain.c`).
const BESIDE_KIB: u64 = 1 << 20;

/// What QEMU may have to lock for `devices` devices of a guest with this much memory, in KiB: 1 GiB + RAM × devices.
pub fn locked_kib(memory_kib: u64, devices: u64) -> u64 {
    memory_kib.saturating_mul(devices).saturating_add(BESIDE_KIB)
}

/// How many devices of a domain lock its memory, with `more` vhost-vdpa ones: each of these, and those given to VFIO
/// together once. None where no vhost-vdpa device is among them.
pub(crate) fn devices_that_lock(document: &Document<'_>, more: usize) -> u64 {
    let devices: Vec<_> =
        children(document.domain(), "devices").flat_map(|devices| devices.children()).collect();
    let is = |node: &Node<'_, '_>, name: &str, kind: &str| {
        node.tag_name().name() == name && node.attribute("type") == Some(kind)
    };
    let vdpa = devices.iter().filter(|device| is(device, "interface", "vdpa")).count() + more;
    let vfio =
        devices.iter().any(|device| is(device, "hostdev", "pci") || is(device, "interface", "hostdev"));
    if vdpa == 0 { 0 } else { u64::try_from(vdpa).unwrap_or(u64::MAX).saturating_add(u64::from(vfio)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pitfall 35: each vDPA device locks the guest's memory once more, beside 1 GiB.
    #[test]
    fn each_device_locks_the_guest_once_more() {
        assert_eq!([0, 1, 2].map(|devices| locked_kib(8 << 20, devices)), [1 << 20, 9 << 20, 17 << 20]);
        assert_eq!(locked_kib(u64::MAX, 2), u64::MAX);
        for (inside, wanted) in [
            ("", 0),
            ("<hostdev type='pci'/>", 0),
            ("<interface type='vdpa'/>", 1),
            ("<interface type='vdpa'/><interface type='vdpa'/><interface type='bridge'/>", 2),
            ("<interface type='vdpa'/><hostdev type='pci'/><interface type='hostdev'/>", 2),
        ] {
            let text = format!("<domain><devices>{inside}</devices></domain>");
            assert_eq!(devices_that_lock(&Document::parse(&text).unwrap(), 0), wanted, "{inside}");
        }
    }
}
