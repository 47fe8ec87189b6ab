//! Writing attributes: each is a length, a type and a payload, padded to four bytes.
//!
//! Source: `struct nlattr` in `include/uapi/linux/netlink.h`; numbers are in host byte order.

/// Attributes in the order they were added, as the kernel reads them.
///
/// ```
/// use vdpa_netlink::Tlvs;
///
/// let eswitch_set = Tlvs::new().string(1, "pci").string(2, "0000:43:00.0").u16(25, 1);
/// assert_eq!(eswitch_set.as_bytes().len(), 8 + 20 + 8);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tlvs {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Tlvs {
    /// `NLA_F_NESTED`: the payload is attributes itself. Strict families refuse a nest without it.
    const NESTED: u16 = 1 << 15;
    /// The length of an attribute's header.
    const HEADER: usize = 4;

    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds attribute `kind` with these bytes as its payload.
    #[must_use]
    pub fn bytes(mut self, kind: u16, payload: &[u8]) -> Self {
        // The length field has 16 bits. Such a message is never sent: see `is_too_long`.
        let Ok(length) = u16::try_from(Self::HEADER + payload.len()) else {
            self.too_long = true;
            return self;
        };
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an 8-bit number.
    #[must_use]
    pub fn u8(self, kind: u16, value: u8) -> Self {
        self.bytes(kind, &[value])
    }

    /// Adds a 16-bit number.
    #[must_use]
    pub fn u16(self, kind: u16, value: u16) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a 32-bit number.
    #[must_use]
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a 64-bit number.
    #[must_use]
    pub fn u64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// Adds a text with its final NUL (`NLA_NUL_STRING`).
    #[must_use]
    pub fn string(self, kind: u16, text: &str) -> Self {
        let mut payload = text.as_bytes().to_vec();
        payload.push(0);
        self.bytes(kind, &payload)
    }

    /// Adds an attribute whose presence is the message (`NLA_FLAG`).
    #[must_use]
    pub fn flag(self, kind: u16) -> Self {
        self.bytes(kind, &[])
    }

    /// Adds attributes within an attribute.
    #[must_use]
    pub fn nest(mut self, kind: u16, inner: &Self) -> Self {
        self.too_long |= inner.too_long;
        self.bytes(kind | Self::NESTED, &inner.bytes)
    }

    /// Adds all of `more` after what is there.
    #[must_use]
    pub fn and(mut self, more: &Self) -> Self {
        self.bytes.extend_from_slice(&more.bytes);
        self.too_long |= more.too_long;
        self
    }

    /// The attributes as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a payload did not fit its 16-bit length field: [`crate::Family`] refuses to send it.
    pub fn is_too_long(&self) -> bool {
        self.too_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What iproute2 6.1 sends for `devlink dev eswitch set pci/0000:43:00.0 mode switchdev`, captured
    /// with nlmon on x86-64; the generic-netlink header is left out.
    #[test]
    #[cfg(target_endian = "little")]
    fn eswitch_set_is_written_as_iproute2_writes_it() {
        let golden = b"\x08\0\x01\0pci\0\x11\0\x02\x000000:43:00.0\0\0\0\0\x06\0\x19\0\x01\0\0\0";
        let ours = Tlvs::new().string(1, "pci").string(2, "0000:43:00.0").u16(25, 1);
        assert_eq!(ours.as_bytes(), golden);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_nest_carries_its_flag_and_its_padding() {
        let function = Tlvs::new().bytes(1, &[0xe4, 0x11, 0x22, 0x33, 0x55, 0x60]);
        let port = Tlvs::new().nest(145, &function);
        assert_eq!(
            port.as_bytes(),
            [16, 0, 145, 0x80, 10, 0, 1, 0, 0xe4, 0x11, 0x22, 0x33, 0x55, 0x60, 0, 0]
        );
    }

    #[test]
    fn a_payload_past_the_length_field_is_remembered_through_nests() {
        let long = Tlvs::new().bytes(1, &vec![0; 65532]);
        assert!(long.is_too_long());
        assert!(Tlvs::new().nest(2, &long).is_too_long());
        assert!(Tlvs::new().and(&long).is_too_long());
        assert!(!Tlvs::new().bytes(1, &vec![0; 65531]).is_too_long());
    }
}
