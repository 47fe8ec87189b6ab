//! That something has become of a network device.

use std::io;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::Error;

/// Announcements of rtnetlink that a network device came, went or changed (`RTNLGRP_LINK`).
///
/// What became of which is not told: whoever waits looks again.
pub struct LinkEvents {
    socket: TokioSocket,
}

impl LinkEvents {
    const INTENT: &str = "listen to rtnetlink";

    /// Starts to listen: what happens from now on will be announced.
    pub fn listen() -> Result<Self, Error> {
        /// `RTNLGRP_LINK` in `include/uapi/linux/rtnetlink.h`.
        const LINK: u32 = 1;
        let listening = TokioSocket::new(NETLINK_ROUTE).and_then(|mut socket| {
            socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
            socket.socket_ref().add_membership(LINK)?;
            Ok(Self { socket })
        });
        listening.map_err(Self::failed)
    }

    /// Returns when something was announced; losing announcements counts as one.
    pub async fn next(&mut self) -> Result<(), Error> {
        match self.socket.recv_from_full().await {
            Ok(_) => Ok(()),
            Err(error) if error.raw_os_error() == Some(crate::Errno::ENOBUFS.0) => Ok(()),
            Err(error) => Err(Self::failed(error)),
        }
    }

    fn failed(source: io::Error) -> Error {
        Error::Io { intent: Self::INTENT.to_owned(), source }
    }
}
