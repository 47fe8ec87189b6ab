//! The kernel's announcements that a device has come, gone or changed, or got a driver.
//!
//! inotify sees nothing of what the kernel itself does in sysfs; `NETLINK_KOBJECT_UEVENT` tells. The
//! kernel sends to group 1 in every network namespace whose owner is the initial user namespace
//! (`uevent_net_broadcast_untagged` in `lib/kobject_uevent.c`), and needs no privilege to listen. A VF's
//! `KOBJ_CHANGE` comes after its `virtfnN` link (`pci_iov_sysfs_link` in `drivers/pci/iov.c`).

use std::io;

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

/// Announcements about the devices of a subsystem (`pci`, `auxiliary`), from the moment of listening on.
pub struct Uevents {
    socket: TokioSocket,
    subsystem: &'static str,
}

impl std::fmt::Debug for Uevents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uevents").field("subsystem", &self.subsystem).finish_non_exhaustive()
    }
}

impl Uevents {
    /// The kernel's own group; udev's repetition of them is group 2.
    const KERNEL: u32 = 1;

    /// Listens.
    ///
    /// # Errors
    /// Where the kernel gives no socket.
    pub fn listen(subsystem: &'static str) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_KOBJECT_UEVENT)?;
        socket.socket_mut().bind(&SocketAddr::new(0, Self::KERNEL))?;
        Ok(Self { socket, subsystem })
    }

    /// Waits until some device of the subsystem has come, gone or changed. Lost announcements count as one.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn next(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv_from_full().await {
                Ok((event, from)) if from.port_number() == 0 && is_of(self.subsystem, &event) => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(crate::Errno::ENOBUFS.0) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An event is `ACTION@DEVPATH` and then `KEY=VALUE`, each with a final NUL.
fn is_of(subsystem: &str, event: &[u8]) -> bool {
    let is_its =
        |field: &[u8]| field.strip_prefix(b"SUBSYSTEM=").is_some_and(|name| name == subsystem.as_bytes());
    event.split(|&byte| byte == 0).any(is_its)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_subsystem_count() {
        let vf =
            b"add@/devices/pci0000:00/0000:01:10.0\0ACTION=add\0SUBSYSTEM=pci\0PCI_ID=8086:10CA\0SEQNUM=1\0";
        let netdev = b"add@/devices/pci0000:00/0000:01:10.0/net/eth1\0ACTION=add\0SUBSYSTEM=net\0";
        assert!(is_of("pci", vf) && !is_of("net", vf));
        assert!(is_of("net", netdev) && !is_of("pci", netdev) && !is_of("ne", netdev));
    }
}
