//! Echo requests and their replies: RFC 792, RFC 4443 section 4.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send, socket_with,
};

use super::{INTERVAL, Plan, Shared};
use crate::error::Error;

/// Of the packet behind the IP header, as ping(8) has it: 8 of ICMP, 56 of nothing.
const LENGTH: usize = 64;

/// Begins to ping.
pub(super) async fn ping(plan: &Plan, shared: Arc<Shared>) -> Result<(), Error> {
    let to = plan.to;
    plan.from.run(move || open(to), move |socket| work(&socket, to, &shared)).await
}

/// A raw socket: it needs `CAP_NET_RAW`.
fn open(to: IpAddr) -> Result<OwnedFd, String> {
    let (family, protocol) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let opened =
        socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).and_then(|socket| {
            set_socket_timeout(&socket, Timeout::Recv, Some(INTERVAL))?;
            connect(&socket, &SocketAddr::new(to, 0))?;
            Ok(socket)
        });
    opened.map_err(|error| format!("cannot send echo requests to {to}: {error}"))
}

fn work(socket: &OwnedFd, to: IpAddr, shared: &Shared) {
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
    let mut next = Instant::now();
    for sequence in 0u16.. {
        if shared.is_stopped() {
            return;
        }
        match send(socket, &request(to, id, sequence), SendFlags::empty()) {
            Ok(_) => drop(shared.sent.fetch_add(1, Ordering::Relaxed)),
            // Nobody has answered ARP yet, or a queue is full: like a lost packet.
            Err(rustix::io::Errno::HOSTUNREACH | rustix::io::Errno::NOBUFS) => {}
            Err(error) => return shared.fail(format!("cannot send echo requests to {to}: {error}")),
        }
        next += INTERVAL;
        while Instant::now() < next {
            receive(socket, to, id, shared);
        }
    }
}

/// Waits for replies, no longer than the interval.
fn receive(socket: &OwnedFd, to: IpAddr, id: u16, shared: &Shared) {
    let mut buffer = [MaybeUninit::uninit(); 2048];
    match recv(socket, &mut buffer, RecvFlags::empty()) {
        Ok(((bytes, _), _)) if is_reply(bytes, to, id) => {
            shared.received.fetch_add(1, Ordering::Relaxed);
        }
        Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
        // What an ICMP error about an earlier request left here; it will be said again when sending.
        Err(_) => std::thread::sleep(Duration::from_millis(1)),
    }
}

fn request(to: IpAddr, id: u16, sequence: u16) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[0] = if to.is_ipv4() { 8 } else { 128 };
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    // The kernel computes that of ICMPv6, which covers addresses too (RFC 3542, section 3.1).
    if to.is_ipv4() {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// An IPv4 raw socket gets the IP header too, an IPv6 one does not.
fn is_reply(bytes: &[u8], to: IpAddr, id: u16) -> bool {
    let (icmp, kind) = match to {
        IpAddr::V4(_) => {
            let header = usize::from(bytes.first().copied().unwrap_or(0) & 0x0f) * 4;
            (bytes.get(header..).unwrap_or_default(), 0)
        }
        IpAddr::V6(_) => (bytes, 129),
    };
    icmp.first() == Some(&kind) && icmp.get(4..6) == Some(&id.to_be_bytes())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_sums_up_to_nothing_and_its_reply_is_known() {
        let to: IpAddr = "192.0.2.1".parse().unwrap();
        let mut packet = request(to, 7, 9);
        assert_eq!(checksum(&packet), 0);
        packet[0] = 0;
        let reply = [&[0x45u8][..], &[0; 19], &packet].concat();
        assert!(is_reply(&reply, to, 7));
        assert!(!is_reply(&reply, to, 8) && !is_reply(&reply[..20], to, 7) && !is_reply(&[], to, 7));
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let mut packet = request(v6, 7, 9);
        assert_eq!(packet[0], 128);
        packet[0] = 129;
        assert!(is_reply(&packet, v6, 7));
    }
}
