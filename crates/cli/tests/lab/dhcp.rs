//! As much of a DHCP server (RFC 2131) as a firmware asks for.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// An address for one machine.
pub(crate) struct Lease {
    /// Its MAC.
    pub(crate) of: &'static str,
    /// What it gets.
    pub(crate) address: [u8; 4],
    /// Who gives it: an address of a network of 24 bits.
    pub(crate) server: [u8; 4],
}

/// Where the options begin: the fixed part and the magic cookie (RFC 2131, section 2 and 3).
const OPTIONS: usize = 240;

/// Types of messages (RFC 2132, section 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

impl Lease {
    /// Serves it in a network namespace until it is taken.
    pub(crate) fn offer_in(self, namespace: &str) -> JoinHandle<()> {
        let namespace = File::open(format!("/run/netns/{namespace}")).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_mins(4))).unwrap();
            self.serve(&socket);
        })
    }

    fn serve(&self, socket: &UdpSocket) {
        let mac: Vec<u8> = self.of.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let mut buffer = [0; 1500];
        loop {
            let length = socket.recv(&mut buffer).expect("the machine asks for an address");
            let asked = &buffer[..length];
            let answer = match (asked.get(28..34) == Some(&mac[..])).then(|| kind(asked)).flatten() {
                Some(DISCOVER) => OFFER,
                Some(REQUEST) => ACK,
                _ => continue,
            };
            let [a, b, c, _] = self.server;
            socket.send_to(&self.reply(asked, answer), (Ipv4Addr::new(a, b, c, 255), 68)).unwrap();
            if answer == ACK {
                return;
            }
        }
    }

    /// An answer with a file to fetch from this server, where nobody serves files: the machine stays at it.
    fn reply(&self, asked: &[u8], kind: u8) -> Vec<u8> {
        let mut reply = asked[..OPTIONS].to_vec();
        reply[0] = 2;
        reply[16..20].copy_from_slice(&self.address);
        reply[20..24].copy_from_slice(&self.server);
        reply[108..112].copy_from_slice(b"none");
        reply.extend([53, 1, kind, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 54, 4]);
        reply.extend(self.server);
        reply.push(255);
        reply
    }
}

/// The type of a message, its option 53.
fn kind(message: &[u8]) -> Option<u8> {
    let mut options = message.get(OPTIONS..)?;
    while let [code, length, rest @ ..] = options {
        match (code, rest) {
            (255, _) => return None,
            (0, _) => options = &options[1..],
            (53, [kind, ..]) => return Some(*kind),
            _ => options = rest.get(usize::from(*length)..)?,
        }
    }
    None
}
