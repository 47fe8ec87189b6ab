//! The kernel's "no": an errno and, where the driver gives one, its own words.
//!
//! The words are quoted verbatim wherever they are shown: they are what people search for. Source:
//! `enum nlmsgerr_attrs` in `include/uapi/linux/netlink.h`.

use std::fmt;

use netlink_packet_core::ErrorMessage;
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::wire;

/// An error number of Linux, shown by its name (`EBUSY`).
///
/// Source: `include/uapi/asm-generic/errno.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal),+ $(,)?) => {
        impl Errno {
            $(#[doc = concat!("`", stringify!($name), "`.")] pub const $name: Self = Self($number);)+

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, ENOENT = 2, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, EAGAIN = 11, ENOMEM = 12, EACCES = 13,
    EFAULT = 14, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, EINVAL = 22, EMFILE = 24, ENOSPC = 28,
    EROFS = 30, EDOM = 33, ERANGE = 34, ENODATA = 61, EPROTO = 71, EMSGSIZE = 90, ENOPROTOOPT = 92,
    EPROTONOSUPPORT = 93, EOPNOTSUPP = 95, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENETDOWN = 100,
    ENOBUFS = 105, ETIMEDOUT = 110, EALREADY = 114, EINPROGRESS = 115, EREMOTEIO = 121, ENOTSUPP = 524,
}

impl Errno {
    /// The errno in the first field of an `NLMSG_ERROR` or `NLMSG_DONE`: negative there, 0 for success.
    pub(crate) fn from_wire(code: i32) -> Option<Self> {
        (code != 0).then(|| Self(code.saturating_abs()))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why the kernel refused a request, verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The error number of the answer.
    pub errno: Errno,
    /// The message of the extended ack (`NLMSGERR_ATTR_MSG`), where there was one.
    pub message: Option<String>,
}

impl Refusal {
    /// A refusal with the kernel's own words.
    pub fn because(errno: Errno, message: impl Into<String>) -> Self {
        Self { errno, message: Some(message.into()) }
    }

    /// The refusal in an rtnetlink `NLMSG_ERROR`; `None` if it is an acknowledgement.
    ///
    /// The kernel's words are found if the connection was prepared with
    /// [`want_extended_acks`](crate::want_extended_acks); otherwise there is the errno alone.
    pub fn from_rtnetlink(error: &ErrorMessage) -> Option<Self> {
        let errno = Errno::from_wire(error.raw_code())?;
        // A capped answer repeats the request's header and not its payload (NETLINK_CAP_ACK).
        let extended = error.header.get(wire::HEADER..).unwrap_or_default();
        Some(Self { errno, message: ExtendedAck::read(extended).message })
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, message: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel: ")?;
        if let Some(message) = &self.message {
            f.write_str(message)?;
        } else {
            let text = std::io::Error::from_raw_os_error(self.errno.0).to_string();
            f.write_str(text.strip_suffix(&format!(" (os error {})", self.errno.0)).unwrap_or(&text))?;
        }
        write!(f, " ({})", self.errno)
    }
}

impl std::error::Error for Refusal {}

/// What in the request the kernel did not like, where it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// The attribute that starts at this byte of the request, counted from the netlink header.
    At(u32),
    /// A required attribute of this type, which the request lacked.
    Missing(u32),
}

/// The attributes behind an acknowledgement or a refusal (`NLM_F_ACK_TLVS`).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtendedAck {
    pub(crate) message: Option<String>,
    pub(crate) culprit: Option<Culprit>,
}

impl ExtendedAck {
    const MSG: u16 = 1;
    const OFFS: u16 = 2;
    const MISS_TYPE: u16 = 5;

    /// What can be read of it: an extended ack that is malformed takes nothing from the errno.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut ack = Self::default();
        for attribute in Attributes::new(bytes).into_iter().flatten() {
            match (attribute.kind(), attribute.u32()) {
                (Self::MSG, _) => ack.message = Some(attribute.string()).filter(|text| !text.is_empty()),
                (Self::OFFS, Ok(offset)) => ack.culprit = Some(Culprit::At(offset)),
                (Self::MISS_TYPE, Ok(kind)) => ack.culprit = Some(Culprit::Missing(kind)),
                _ => {}
            }
        }
        ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tlvs;

    #[test]
    fn a_refusal_quotes_the_kernel_and_names_the_errno() {
        let refusal = Refusal::because(Errno::EBUSY, "Can't change mode, E-Switch is busy");
        assert_eq!(refusal.to_string(), "kernel: Can't change mode, E-Switch is busy (EBUSY)");
        assert!(Refusal::from(Errno::ENOTSUPP).to_string().ends_with("(ENOTSUPP)"));
        assert_eq!(Errno(4095).to_string(), "errno 4095");
    }

    #[test]
    fn without_words_the_errno_speaks() {
        assert_eq!(Refusal::from(Errno::EBUSY).to_string(), "kernel: Device or resource busy (EBUSY)");
    }

    #[test]
    fn an_extended_ack_has_words_and_a_culprit() {
        let tlvs = Tlvs::new().string(1, "Attribute failed policy validation").u32(2, 40);
        let ack = ExtendedAck::read(tlvs.as_bytes());
        assert_eq!(ack.message.as_deref(), Some("Attribute failed policy validation"));
        assert_eq!(ack.culprit, Some(Culprit::At(40)));
        assert_eq!(ExtendedAck::read(&[9, 0, 1, 0]), ExtendedAck::default());
    }

    #[test]
    fn an_rtnetlink_error_is_read_past_the_requests_header() {
        let mut error = ErrorMessage::default();
        assert_eq!(Refusal::from_rtnetlink(&error), None);
        error.code = std::num::NonZeroI32::new(-22);
        assert_eq!(Refusal::from_rtnetlink(&error), Some(Errno::EINVAL.into()));
        error.header = [&[0; 16][..], Tlvs::new().string(1, "Invalid VF").as_bytes()].concat();
        assert_eq!(Refusal::from_rtnetlink(&error), Some(Refusal::because(Errno::EINVAL, "Invalid VF")));
    }
}
