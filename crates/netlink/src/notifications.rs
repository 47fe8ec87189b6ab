//! What a family tells everyone who listens.

use std::collections::VecDeque;
use std::{fmt, io};

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, TokioSocket};

use crate::wire::{Body, Frames};
use crate::{Error, Message, socket};

/// The messages of a multicast group, from the moment of joining on. Dropping it leaves the group.
pub struct Notifications {
    socket: TokioSocket,
    family: u16,
    intent: String,
    unread: VecDeque<Message>,
}

impl Notifications {
    /// Notifications beyond this are lost (the kernel counts about 1 KiB for each). 127 VFs make some
    /// 400 of them at once: twice the kernel's usual 208 KiB.
    const BUFFER: usize = 4 << 20;

    pub(crate) fn join(family: u16, group: u32, intent: String) -> Result<Self, Error> {
        let joined = TokioSocket::new(NETLINK_GENERIC).and_then(|mut socket| {
            socket::prepare(socket.socket_mut())?;
            socket::enlarge(socket.socket_ref(), Self::BUFFER);
            socket.socket_ref().add_membership(group)?;
            Ok(socket)
        });
        match joined {
            Ok(socket) => Ok(Self { socket, family, intent, unread: VecDeque::new() }),
            Err(source) => Err(Error::Io { intent, source }),
        }
    }

    /// The next notification, whenever it comes. Nothing is lost if the future is dropped.
    ///
    /// [`Error::Overrun`] says that some were lost and that the state is to be read again; more follow.
    pub async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.unread.pop_front() {
                return Ok(message);
            }
            let received = self.socket.recv_from_full().await;
            let datagram = match received {
                Ok((bytes, from)) if from.port_number() == 0 => bytes,
                Ok(_) => continue, // some process's and not the kernel's
                Err(error) if error.raw_os_error() == Some(crate::Errno::ENOBUFS.0) => {
                    return Err(Error::Overrun { intent: self.intent.clone() });
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Io { intent: self.intent.clone(), source }),
            };
            for frame in Frames(&datagram) {
                let frame = frame.map_err(|source| Error::malformed(&self.intent, source))?;
                if let Body::Data { kind, payload } = frame.body
                    && kind == self.family
                {
                    let message = Message::from_wire(payload);
                    self.unread.push_back(message.map_err(|source| Error::malformed(&self.intent, source))?);
                }
            }
        }
    }
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications")
            .field("intent", &self.intent)
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}
