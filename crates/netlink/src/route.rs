//! rtnetlink, one request at a time: for tables that are read now and then (tc's filters, statistics).
//!
//! Whoever asks often, or listens too, keeps a connection of its own (`vdpa_hw::RtnlLinks` does).

use netlink_sys::protocols::NETLINK_ROUTE;
use tracing::Instrument as _;

use crate::attributes::{Attributes, Malformed};
use crate::conversation::{DEFAULT_LIMIT, converse};
use crate::{Error, Tlvs, wire};

/// A message of rtnetlink: its type (`RTM_…`), a fixed header that goes with the type, and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMessage {
    kind: u16,
    body: Vec<u8>,
}

impl RouteMessage {
    /// A message of type `kind` with these bytes as its fixed header.
    pub fn new(kind: u16, header: &[u8], attributes: &Tlvs) -> Self {
        Self { kind, body: [header, attributes.as_bytes()].concat() }
    }

    /// Its type.
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// A 32-bit number of the fixed header, in host byte order.
    pub fn u32(&self, at: usize) -> Result<u32, Malformed> {
        let bytes = self.body.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or(Malformed::Message { length: at + 4, left: self.body.len() })
    }

    /// The attributes behind a fixed header of `length` bytes.
    pub fn attributes(&self, length: usize) -> Attributes<'_> {
        Attributes::new(self.body.get(length..).unwrap_or_default())
    }

    /// Sends it as a request and returns what comes before its acknowledgement.
    ///
    /// `intent` reads on after "cannot": `read the statistics of eth0`.
    pub async fn request(self, intent: impl Into<String>) -> Result<Vec<Self>, Error> {
        self.ask(intent.into(), wire::ACK).await
    }

    /// Sends it as a request for a listing. One that changed while it was read is read again.
    pub async fn dump(self, intent: impl Into<String>) -> Result<Vec<Self>, Error> {
        self.ask(intent.into(), wire::DUMP).await
    }

    async fn ask(self, intent: String, flags: u16) -> Result<Vec<Self>, Error> {
        let waiting =
            tracing::debug_span!("rtnetlink.request", waits_for = "kernel", kind = self.kind, intent);
        converse(NETLINK_ROUTE, intent, DEFAULT_LIMIT, move |conversation| {
            let answer = conversation.until_steady(|route| route.exchange(self.kind, flags, &self.body))?;
            Ok(answer.into_iter().map(|(kind, body)| Self { kind, body }).collect())
        })
        .instrument(waiting)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_one_cut_short_is_malformed() {
        let message = RouteMessage::new(44, &[0, 0, 0, 0, 7, 0, 0, 0], &Tlvs::new().u32(1, 9));
        assert_eq!(message.u32(4), Ok(u32::from_ne_bytes([7, 0, 0, 0])));
        assert!(message.u32(20).is_err());
        assert_eq!(message.attributes(8).require(1, "ONE").unwrap().u32(), Ok(9));
        assert_eq!(message.attributes(99).into_iter().count(), 0);
    }
}
