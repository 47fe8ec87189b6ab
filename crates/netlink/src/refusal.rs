//! The kernel's "no": an errno and, where the driver gives one, its own words.

use std::fmt;

use serde::{Deserialize, Serialize};

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
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self { errno, message: None }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "kernel: {message} ({})", self.errno),
            None => write!(f, "kernel: {} ({})", std::io::Error::from_raw_os_error(self.errno.0), self.errno),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_quotes_the_kernel_and_names_the_errno() {
        let refusal = Refusal::because(Errno::EBUSY, "Can't change mode, E-Switch is busy");
        assert_eq!(refusal.to_string(), "kernel: Can't change mode, E-Switch is busy (EBUSY)");
        assert!(Refusal::from(Errno::ENOTSUPP).to_string().ends_with("(ENOTSUPP)"));
        assert_eq!(Errno(4095).to_string(), "errno 4095");
    }
}
