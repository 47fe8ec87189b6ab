//! Reading attributes from bytes that a driver, a newer kernel or a bug has written: every length is
//! checked, nothing panics.

use thiserror::Error;

/// Bytes that are not what their place in a message says they are.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// An attribute's length is below its header's or runs past the end of what holds it.
    #[error("an attribute at byte {at} says it has {length} bytes where {left} are left")]
    Length {
        /// Where the attribute starts, in bytes from the start of its message or nest.
        at: usize,
        /// The length it states, its header included.
        length: usize,
        /// The bytes that are there.
        left: usize,
    },
    /// A payload has the wrong length for its type.
    #[error("attribute {kind} has {length} bytes where {wanted} has {size}")]
    Size {
        /// The attribute's type.
        kind: u16,
        /// The length of its payload in bytes.
        length: usize,
        /// What it was read as, with its article: "a u16".
        wanted: &'static str,
        /// The length that would have been right, in bytes.
        size: usize,
    },
    /// An attribute that the answer cannot be read without is absent.
    #[error("the answer has no attribute {kind} ({name})")]
    Absent {
        /// The attribute's type.
        kind: u16,
        /// Its name in the kernel's header.
        name: &'static str,
    },
    /// A value outside of what its attribute can say.
    #[error("attribute {kind} ({name}) has the value `{value}`")]
    Value {
        /// The attribute's type.
        kind: u16,
        /// Its name in the kernel's header.
        name: &'static str,
        /// The value as it was found.
        value: String,
    },
    /// A netlink message's length is below its header's or runs past the end of the datagram.
    #[error("a message says it has {length} bytes where {left} are left")]
    Message {
        /// The length it states, its header included.
        length: usize,
        /// The bytes that are there.
        left: usize,
    },
}

/// One attribute: its type and its payload, read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    kind: u16,
    payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// Its type, without the flags for nests and byte order (`NLA_TYPE_MASK`).
    pub fn kind(&self) -> u16 {
        self.kind
    }

    /// Its bytes, as they are.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Its payload as an array of exactly `N` bytes.
    pub fn array<const N: usize>(&self, wanted: &'static str) -> Result<[u8; N], Malformed> {
        self.payload.try_into().map_err(|_| Malformed::Size {
            kind: self.kind,
            length: self.payload.len(),
            wanted,
            size: N,
        })
    }

    /// An 8-bit number.
    pub fn u8(&self) -> Result<u8, Malformed> {
        self.array("a u8").map(u8::from_ne_bytes)
    }

    /// A 16-bit number.
    pub fn u16(&self) -> Result<u16, Malformed> {
        self.array("a u16").map(u16::from_ne_bytes)
    }

    /// A 32-bit number.
    pub fn u32(&self) -> Result<u32, Malformed> {
        self.array("a u32").map(u32::from_ne_bytes)
    }

    /// A 64-bit number.
    pub fn u64(&self) -> Result<u64, Malformed> {
        self.array("a u64").map(u64::from_ne_bytes)
    }

    /// A text up to its first NUL. Drivers pass on what firmware holds (a board's serial number), so
    /// bytes that are no UTF-8 are replaced and not refused.
    pub fn string(&self) -> String {
        let text = self.payload.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// The attributes within it.
    pub fn nest(&self) -> Attributes<'a> {
        Attributes::new(self.payload)
    }
}

/// The attributes in these bytes, read anew each time they are walked through.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first attribute of type `kind`, if all before it can be read.
    pub fn find(self, kind: u16) -> Result<Option<Attribute<'a>>, Malformed> {
        for attribute in self {
            let attribute = attribute?;
            if attribute.kind == kind {
                return Ok(Some(attribute));
            }
        }
        Ok(None)
    }

    /// The first attribute of type `kind`, which the kernel's header calls `name`.
    pub fn require(self, kind: u16, name: &'static str) -> Result<Attribute<'a>, Malformed> {
        self.find(kind)?.ok_or(Malformed::Absent { kind, name })
    }
}

impl<'a> IntoIterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;
    type IntoIter = AttributesIter<'a>;

    fn into_iter(self) -> AttributesIter<'a> {
        AttributesIter { bytes: self.0, at: 0 }
    }
}

/// Walks through [`Attributes`], first to last; ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct AttributesIter<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl AttributesIter<'_> {
    /// The length of an attribute's header.
    const HEADER: usize = 4;
    /// `NLA_TYPE_MASK`: without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const TYPE_MASK: u16 = 0x3fff;
}

impl<'a> Iterator for AttributesIter<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (at, rest) = (self.at, self.bytes.get(self.at..)?);
        if rest.is_empty() {
            return None;
        }
        let field = |from: usize| Some(u16::from_ne_bytes([*rest.get(from)?, *rest.get(from + 1)?]));
        let length = field(0).map_or(rest.len(), usize::from);
        let Some((kind, payload)) = field(2).zip(rest.get(Self::HEADER..length)) else {
            self.at = self.bytes.len();
            return Some(Err(Malformed::Length { at, length, left: rest.len() }));
        };
        // The last attribute of a message may come without its padding.
        self.at = at + length.next_multiple_of(4).min(rest.len());
        Some(Ok(Attribute { kind: kind & Self::TYPE_MASK, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tlvs;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Tree {
        Leaf(u16, Vec<u8>),
        Nest(u16, Vec<Tree>),
    }

    fn write(trees: &[Tree]) -> Tlvs {
        trees.iter().fold(Tlvs::new(), |tlvs, tree| match tree {
            Tree::Leaf(kind, bytes) => tlvs.bytes(*kind, bytes),
            Tree::Nest(kind, inner) => tlvs.nest(*kind, &write(inner)),
        })
    }

    fn assert_reads_as(attributes: Attributes<'_>, trees: &[Tree]) {
        let mut attributes = attributes.into_iter();
        for tree in trees {
            let attribute = attributes.next().unwrap().unwrap();
            match tree {
                Tree::Leaf(kind, bytes) => {
                    assert_eq!((attribute.kind(), attribute.payload()), (*kind, &bytes[..]));
                }
                Tree::Nest(kind, inner) => {
                    assert_eq!(attribute.kind(), *kind);
                    assert_reads_as(attribute.nest(), inner);
                }
            }
        }
        assert!(attributes.next().is_none());
    }

    fn trees() -> impl Strategy<Value = Vec<Tree>> {
        let leaf =
            (0u16..0x4000, prop::collection::vec(any::<u8>(), 0..9)).prop_map(|(k, b)| Tree::Leaf(k, b));
        let tree = leaf.prop_recursive(3, 24, 4, |inner| {
            (0u16..0x4000, prop::collection::vec(inner, 0..4)).prop_map(|(k, t)| Tree::Nest(k, t))
        });
        prop::collection::vec(tree, 0..5)
    }

    /// Reads everything there is in every way there is.
    fn read_all(attributes: Attributes<'_>, depth: u8) {
        for attribute in attributes.into_iter().flatten() {
            let _ = (attribute.u8(), attribute.u16(), attribute.u32(), attribute.u64());
            let _ = attribute.string();
            if depth < 8 {
                read_all(attribute.nest(), depth + 1);
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(trees in trees()) {
            assert_reads_as(Attributes::new(write(&trees).as_bytes()), &trees);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            read_all(Attributes::new(&bytes), 0);
        }

        #[test]
        fn a_message_cut_short_is_malformed_or_shorter(trees in trees(), cut in 0usize..200) {
            let written = write(&trees);
            let cut = cut.min(written.as_bytes().len());
            let attributes = Attributes::new(&written.as_bytes()[..cut]);
            prop_assert!(attributes.into_iter().flatten().count() <= trees.len());
            read_all(attributes, 0);
        }
    }

    #[test]
    fn numbers_have_their_size() {
        let tlvs = Tlvs::new().u8(1, 7).u16(2, 600).u32(3, 70_000).u64(4, 1 << 40);
        let attributes = Attributes::new(tlvs.as_bytes());
        let of = |kind| attributes.require(kind, "TEST").unwrap();
        assert_eq!(of(1).u8(), Ok(7));
        assert_eq!(of(2).u16(), Ok(600));
        assert_eq!(of(3).u32(), Ok(70_000));
        assert_eq!(of(4).u64(), Ok(1 << 40));
        assert_eq!(of(3).u16(), Err(Malformed::Size { kind: 3, length: 4, wanted: "a u16", size: 2 }));
        assert_eq!(attributes.require(9, "NINE"), Err(Malformed::Absent { kind: 9, name: "NINE" }));
    }

    #[test]
    fn a_text_ends_at_its_nul_and_may_lack_it() {
        let tlvs = Tlvs::new().string(1, "pci").bytes(2, b"pci").bytes(3, b"a\xffb\0c").flag(4);
        let texts: Vec<_> =
            Attributes::new(tlvs.as_bytes()).into_iter().map(|a| a.unwrap().string()).collect();
        assert_eq!(texts, ["pci", "pci", "a\u{fffd}b", ""]);
    }

    #[test]
    fn a_length_that_lies_ends_the_reading() {
        for bytes in [&[3, 0, 1, 0][..], &[9, 0, 1, 0, 1, 2, 3, 4], &[8, 0], &[8]] {
            let mut attributes = Attributes::new(bytes).into_iter();
            assert!(matches!(attributes.next(), Some(Err(Malformed::Length { .. }))), "{bytes:?}");
            assert!(attributes.next().is_none(), "{bytes:?}");
        }
    }
}
