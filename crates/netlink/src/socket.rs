//! The sockets themselves: the one file here that talks to the kernel.

use std::io;
use std::time::{Duration, Instant};

use netlink_sys::{Socket, SocketAddr};
use rustix::net::RecvFlags;
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_timeout,
};

/// Asks the kernel to say why when it refuses on this socket, and not to repeat the request.
///
/// For an rtnetlink connection, before it is spawned: `connection.socket_mut().socket_mut()`.
/// [`Refusal::from_rtnetlink`](crate::Refusal::from_rtnetlink) then finds the kernel's sentence.
/// Source: netlink(7), `NETLINK_EXT_ACK` (Linux 4.12) and `NETLINK_CAP_ACK` (Linux 4.3).
pub fn want_extended_acks(socket: &Socket) -> io::Result<()> {
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}

/// A netlink socket of `protocol`, ready for requests.
pub(crate) fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    prepare(&mut socket)?;
    Ok(socket)
}

/// Binds the socket, connects it to the kernel and has it want extended acks.
pub(crate) fn prepare(socket: &mut Socket) -> io::Result<()> {
    want_extended_acks(socket)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))
}

/// Gives the socket room for `bytes` of unread messages, or for as many as `net.core.rmem_max` allows
/// where that is not ours to exceed.
pub(crate) fn enlarge(socket: &Socket, bytes: usize) {
    if set_socket_recv_buffer_size_force(socket, bytes).is_err()
        && let Err(error) = set_socket_recv_buffer_size(socket, bytes)
    {
        tracing::debug!(%error, bytes, "a netlink socket keeps the buffer it has");
    }
}

/// The room offered for a datagram. A listing fills what was offered last, up to this much, and gives up (EMSGSIZE) where one
/// of its messages does not fit, as a device's features do not fit into a page (`netlink_recvmsg()` and
/// `netlink_dump()` in `net/netlink/af_netlink.c`).
const ROOM: usize = 32 << 10;

/// The next datagram, whole, however long it is.
fn whole(socket: &Socket) -> io::Result<(Vec<u8>, SocketAddr)> {
    let flags = (RecvFlags::PEEK | RecvFlags::TRUNC).bits().cast_signed();
    let (length, _) = socket.recv_from(&mut Vec::new(), flags)?;
    let mut bytes = Vec::with_capacity(length.max(ROOM));
    let (_, from) = socket.recv_from(&mut bytes, 0)?;
    Ok((bytes, from))
}

/// The next datagram that the kernel sent; `TimedOut` at `deadline`.
pub(crate) fn receive(socket: &Socket, deadline: Instant) -> io::Result<Vec<u8>> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        set_socket_timeout(socket, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
        match whole(socket) {
            Ok((bytes, from)) if from.port_number() == 0 => return Ok(bytes),
            Ok(_) => {} // some process's and not the kernel's
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}
