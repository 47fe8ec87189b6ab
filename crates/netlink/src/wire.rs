//! Netlink messages in a datagram: a 16-byte header each, padded to four bytes.
//!
//! Source: `struct nlmsghdr` and `struct nlmsgerr` in `include/uapi/linux/netlink.h`,
//! `struct genlmsghdr` in `include/uapi/linux/genetlink.h`, RFC 3549 section 2.3.2.

use crate::attributes::Malformed;
use crate::refusal::{Errno, ExtendedAck};

/// The length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// The length of `struct genlmsghdr`.
pub(crate) const GENL_HEADER: usize = 4;

/// `NLM_F_REQUEST`.
pub(crate) const REQUEST: u16 = 1;
/// `NLM_F_ACK`.
pub(crate) const ACK: u16 = 4;
/// `NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x300;

/// `NLM_F_DUMP_INTR`: the listing changed while it was read.
const DUMP_INTR: u16 = 0x10;
/// `NLM_F_CAPPED`: the request is not repeated behind its header.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: an extended ack follows.
const ACK_TLVS: u16 = 0x200;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// One message as it stands in a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u32,
    pub(crate) interrupted: bool,
    pub(crate) body: Body<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// Something that was asked for: the message's type, and all that is behind the header.
    Data { kind: u16, payload: &'a [u8] },
    /// The end of the answer: an errno or success, and what the kernel had to say about it.
    End { errno: Option<Errno>, said: ExtendedAck },
    /// Nothing to act on.
    Noop,
}

/// A request as it goes on the wire; `None` if it is too long.
pub(crate) fn request(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Option<Vec<u8>> {
    let length = HEADER + payload.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).ok()?.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes()); // the port: the kernel fills it in
    bytes.extend(payload);
    Some(bytes)
}

/// What a generic-netlink message has behind its header: a command, and attributes.
pub(crate) fn generic(payload: &[u8]) -> Result<(u8, &[u8]), Malformed> {
    let short = Malformed::Message { length: HEADER + GENL_HEADER, left: HEADER + payload.len() };
    payload.split_at_checked(GENL_HEADER).map(|(header, rest)| (header[0], rest)).ok_or(short)
}

/// The messages of one datagram, first to last; ends after the first that is malformed.
pub(crate) struct Frames<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        if bytes.is_empty() {
            return None;
        }
        let length = u32_at(bytes, 0).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let Some(frame) = bytes.get(..length).and_then(frame) else {
            self.0 = &[];
            return Some(Err(Malformed::Message { length, left: bytes.len() }));
        };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(frame))
    }
}

/// The message in exactly these bytes; `None` if they are too few for what it is.
fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
    let sequence = u32_at(bytes, 8)?;
    let payload = bytes.get(HEADER..)?;
    let body = match kind {
        NLMSG_NOOP => Body::Noop,
        NLMSG_ERROR => {
            let request = payload.get(4..)?;
            let repeated =
                if flags & CAPPED == 0 { usize::try_from(u32_at(request, 0)?).ok()? } else { HEADER };
            end(payload, flags, request.get(repeated.next_multiple_of(4)..))?
        }
        NLMSG_DONE => end(payload, flags, payload.get(4..))?,
        _ => Body::Data { kind, payload },
    };
    Some(Frame { sequence, interrupted: flags & DUMP_INTR != 0, body })
}

fn end<'a>(payload: &[u8], flags: u16, extended: Option<&[u8]>) -> Option<Body<'a>> {
    let code = i32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    let extended = extended.filter(|_| flags & ACK_TLVS != 0).unwrap_or_default();
    Some(Body::End { errno: Errno::from_wire(code), said: ExtendedAck::read(extended) })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tlvs;
    use proptest::prelude::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + payload.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn only(bytes: &[u8]) -> Frame<'_> {
        let mut frames = Frames(bytes);
        let first = frames.next().unwrap().unwrap();
        assert!(frames.next().is_none());
        first
    }

    fn end_with(errno: Option<Errno>, message: &str) -> Body<'static> {
        Body::End { errno, said: ExtendedAck { message: Some(message.into()), culprit: None } }
    }

    #[test]
    fn a_refusal_is_found_behind_a_capped_and_behind_a_repeated_request() {
        let busy = (-16i32).to_ne_bytes();
        let tlvs = Tlvs::new().string(1, "E-Switch is busy");
        // The header says 56 bytes of request; capped, only the header itself is repeated.
        let header = message(0x1c, 5, &[0; 40])[..HEADER].to_vec();
        let capped = [&busy[..], &header, tlvs.as_bytes()].concat();
        let whole = [&busy[..], &message(0x1c, 5, &[0; 40]), tlvs.as_bytes()].concat();
        for (flags, payload) in [(CAPPED | ACK_TLVS, capped), (ACK_TLVS, whole)] {
            let bytes = message(NLMSG_ERROR, flags, &payload);
            assert_eq!(only(&bytes).body, end_with(Some(Errno::EBUSY), "E-Switch is busy"));
        }
    }

    #[test]
    fn success_may_come_with_a_remark() {
        let payload =
            [&0i32.to_ne_bytes()[..], &[0; HEADER], Tlvs::new().string(1, "deprecated").as_bytes()].concat();
        let bytes = message(NLMSG_ERROR, CAPPED | ACK_TLVS, &payload);
        assert_eq!(only(&bytes).body, end_with(None, "deprecated"));
    }

    #[test]
    fn a_dump_ends_with_its_own_code() {
        let payload = [&(-95i32).to_ne_bytes()[..], Tlvs::new().string(1, "no dump").as_bytes()].concat();
        let frame_bytes = message(NLMSG_DONE, ACK_TLVS | DUMP_INTR, &payload);
        let frame = only(&frame_bytes);
        assert!(frame.interrupted);
        assert_eq!(frame.body, end_with(Some(Errno::EOPNOTSUPP), "no dump"));
    }

    #[test]
    fn a_request_is_read_back() {
        let tlvs = Tlvs::new().string(1, "pci");
        let payload = [&[30, 1, 0, 0], tlvs.as_bytes()].concat();
        let bytes = request(0x1c, ACK, 7, &payload).unwrap();
        let frame = only(&bytes);
        assert_eq!(frame.sequence, 7);
        assert_eq!(frame.body, Body::Data { kind: 0x1c, payload: &payload });
        assert_eq!(generic(&payload), Ok((30, tlvs.as_bytes())));
        assert!(generic(&payload[..3]).is_err());
    }

    proptest! {
        #[test]
        fn no_datagram_panics_or_goes_on_for_ever(bytes: Vec<u8>) {
            prop_assert!(Frames(&bytes).count() <= bytes.len());
        }

        #[test]
        fn no_payload_panics(kind in 0u16..5, flags: u16, payload: Vec<u8>) {
            let bytes = message(kind, flags, &payload);
            prop_assert!(Frames(&bytes).count() >= 1);
        }
    }
}
