//! rtnetlink messages as bytes: a fixed header by type, then attributes.
//!
//! Numbers and layouts: `include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`.

use std::convert::Infallible;

use netlink_packet_core::{NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use vdpa_netlink::{Attributes, Malformed, Tlvs};

use crate::error::Error;
use crate::nouns::IfIndex;

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_SETLINK: u16 = 19;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_GETROUTE: u16 = 26;
pub(super) const RTM_DELQDISC: u16 = 37;
pub(super) const RTM_GETQDISC: u16 = 38;

/// `AF_UNSPEC`.
pub(super) const UNSPEC: u8 = 0;
/// `IFF_UP`.
pub(super) const IFF_UP: u32 = 1;

/// A message without its netlink header: its type and everything behind.
///
/// It is kept as bytes so that a message of a newer kernel, or of a driver with ideas of its own, fails
/// where it is read and not in the connection, which would drop it and leave its request waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u16,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// A message of type `kind` about one device, or about all where `index` is 0: `struct ifinfomsg`.
    pub(super) fn about_link(kind: u16, index: IfIndex, attributes: &Tlvs) -> Self {
        Self::about_link_flags(kind, index, 0, 0, attributes)
    }

    /// The same with the flags to be set, and a mask of those that are to change.
    pub(super) fn about_link_flags(kind: u16, index: IfIndex, flags: u32, mask: u32, more: &Tlvs) -> Self {
        let mut body = vec![UNSPEC, 0, 0, 0];
        for word in [index.0, flags, mask] {
            body.extend(word.to_ne_bytes());
        }
        body.extend(more.as_bytes());
        Self { kind, body }
    }

    /// A request for a listing of a table that is kept by address family: a header of `length` bytes that
    /// says nothing but the family (`struct ifaddrmsg`, `rtmsg`, `tcmsg`).
    pub(super) fn listing(kind: u16, family: u8, length: usize) -> Self {
        let mut body = vec![0; length];
        body[0] = family;
        Self { kind, body }
    }

    /// The bytes of the fixed header from `at` on.
    pub(super) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], Malformed> {
        let bytes = self.body.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or(Malformed::Message { length: at + N, left: self.body.len() })
    }

    /// A 32-bit number of the fixed header.
    pub(super) fn u32(&self, at: usize) -> Result<u32, Malformed> {
        self.array(at).map(u32::from_ne_bytes)
    }

    /// The attributes behind a fixed header of `length` bytes.
    pub(super) fn attributes(&self, length: usize) -> Attributes<'_> {
        Attributes::new(self.body.get(length..).unwrap_or_default())
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.body.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer[..self.body.len()].copy_from_slice(&self.body);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { kind: header.message_type, body: payload.to_vec() })
    }
}

/// This layer's error for a message that cannot be read.
pub(super) fn malformed(what: &str) -> impl Fn(Malformed) -> Error + '_ {
    move |malformed| Error::Malformed { what: what.to_owned(), text: malformed.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What iproute2 6.1 sends for `ip link set dev ethX up`, but for its flags that ask for nothing.
    #[test]
    #[cfg(target_endian = "little")]
    fn setting_a_device_up_is_an_ifinfomsg_with_one_flag() {
        let up = Message::about_link_flags(RTM_SETLINK, IfIndex(7), IFF_UP, IFF_UP, &Tlvs::new());
        assert_eq!(up.body, [0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_header_that_is_cut_short_is_malformed() {
        let message = Message { kind: RTM_NEWLINK, body: vec![0; 6] };
        assert!(message.u32(4).is_err());
        assert_eq!(message.u32(2), Ok(0));
        assert_eq!(message.attributes(16).into_iter().count(), 0);
    }
}
