//! Who serves a VF, and the interface by which a domain reaches it.

use std::num::NonZeroU16;
use std::time::Duration;

use vdpa_datapath::dpdk::Mode;
use vdpa_datapath::kernel::{BusDriver, DeviceName, NewDevice};
use vdpa_hw::{PciAddress, Vf};
use vdpa_vm::{Interface, Role, Source};

use crate::config::Datapath;
use crate::error::Error;
use crate::host::Host;
use crate::report::Report;
use crate::step::{KernelDevice, Wiring};

/// How long the character device of a kernel vDPA device may take to appear.
const NODE_LIMIT: Duration = Duration::from_mins(1);

/// Seconds after which QEMU tries again to reach a datapath that went away.
const RECONNECT: Option<u32> = Some(2);

/// Slots in the rings of a guest's interface, as in the reference configuration.
const RING: u16 = 1024;

/// Makes a kernel vDPA device on the VF at `address` and gives it to `vhost_vdpa`.
pub(super) async fn serve(
    host: &Host,
    address: PciAddress,
    name: DeviceName,
    device: &KernelDevice,
    report: &dyn Report,
) -> Result<(), Error> {
    let mgmtdev = host.kernel.mgmtdev_of(address).await?.name;
    let new = NewDevice {
        mac: device.mac,
        // One pair is what every driver gives; the limit is named only to have more.
        max_vqp: (device.queues > NonZeroU16::MIN).then_some(device.queues.get()),
        ..NewDevice::new(name.clone(), mgmtdev)
    };
    let added = host.kernel.add(&new).await?;
    if let Some(refusal) = added.without_max_vqp {
        report.warn(&format!("{name} has one queue pair, not {}: {refusal}", device.queues));
    }
    host.kernel.bind(&name, Some(BusDriver::VhostVdpa)).await?;
    host.kernel.char_device(&name, NODE_LIMIT).await?;
    Ok(())
}

/// The interface that `wiring` means for `vf` now: with the socket or the device that its datapath has.
///
/// # Errors
/// Where the datapath is not there.
pub async fn interface(host: &Host, vf: Vf, wiring: &Wiring) -> Result<Interface, Error> {
    let source = match wiring.datapath {
        Datapath::Dpdk => {
            let mode = host.dpdk.observe(vf).await?.map(|process| process.spec.mode);
            Source::VhostUser { socket: host.dpdk.socket(vf), role: role(mode) }
        }
        Datapath::OvsDpdk => Source::VhostUser { socket: host.dpdk.socket(vf), role: Role::Server },
        Datapath::Kernel => {
            let name = DeviceName::of_vf(vf);
            Source::Vdpa { device: host.kernel.char_device(&name, NODE_LIMIT).await? }
        }
        Datapath::None => return Err(Error::Missing(format!("a datapath of {vf}"))),
    };
    Ok(interface_at(wiring, source))
}

/// The interface that `wiring` means, with its datapath there.
pub fn interface_at(wiring: &Wiring, source: Source) -> Interface {
    let ring = (wiring.datapath != Datapath::Kernel).then_some(RING);
    Interface {
        queues: wiring.queues,
        rx_ring: ring,
        tx_ring: ring,
        page_per_vq: true,
        ..Interface::new(wiring.mac, source)
    }
}

/// What QEMU does at the socket of a process in this mode.
pub fn role(mode: Option<Mode>) -> Role {
    match mode.unwrap_or_default() {
        Mode::Server => Role::Client { reconnect: RECONNECT },
        Mode::Client => Role::Server,
    }
}
