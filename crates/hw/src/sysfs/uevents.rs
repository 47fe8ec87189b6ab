//! The kernel's announcements that a PCI device has come, gone or changed.
//!
//! inotify sees nothing of what the kernel itself does in sysfs; `NETLINK_KOBJECT_UEVENT` tells. The
//! kernel sends to group 1 in every network namespace whose owner is the initial user namespace
//! (`uevent_net_broadcast_untagged` in `lib/kobject_uevent.c`), and needs no privilege to listen. A VF's
//! `KOBJ_CHANGE` comes after its `virtfnN` link (`pci_iov_sysfs_link` in `drivers/pci/iov.c`).

use std::io;

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// Announcements, from the moment of opening on.
pub(super) struct Uevents {
    socket: TokioSocket,
}

impl Uevents {
    /// The kernel's own group; udev's repetition of them is group 2.
    const KERNEL: u32 = 1;

    pub(super) fn open() -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_KOBJECT_UEVENT)?;
        socket.socket_mut().bind(&SocketAddr::new(0, Self::KERNEL))?;
        Ok(Self { socket })
    }

    /// Waits until some PCI device has come, gone or changed. Lost announcements count as one.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv_from_full().await {
                Ok((event, from)) if from.port_number() == 0 && is_pci(&event) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(vdpa_netlink::Errno::ENOBUFS.0) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An event is `ACTION@DEVPATH` and then `KEY=VALUE`, each with a final NUL.
fn is_pci(event: &[u8]) -> bool {
    event.split(|&byte| byte == 0).any(|field| field == b"SUBSYSTEM=pci")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_pci_bus_count() {
        let vf =
            b"add@/devices/pci0000:00/0000:01:10.0\0ACTION=add\0SUBSYSTEM=pci\0PCI_ID=8086:10CA\0SEQNUM=1\0";
        let netdev = b"add@/devices/pci0000:00/0000:01:10.0/net/eth1\0ACTION=add\0SUBSYSTEM=net\0";
        assert!(is_pci(vf));
        assert!(!is_pci(netdev));
    }
}
