//! How values are written: each notation is one of the formats in lib/odp-util.c.
//!
//! Reading is generous, since what was read is printed again and compared ([`prints_as`](super::text::prints_as)):
//! only writing has to be exact.

use std::fmt;
use std::net::Ipv6Addr;

use super::Masked;

/// A way to write values of a type.
pub(super) trait Notation<T> {
    /// The value that `text` writes.
    fn read(text: &str) -> Option<T>;
    /// Writes a value.
    fn write(value: &T, f: &mut dyn fmt::Write) -> fmt::Result;
}

/// Every notation there is; what tells the compiler that [`Always`](super::fields::Always) is none.
pub(super) trait AnyNotation {}

/// A whole number.
pub(super) trait Number: Copy + TryFrom<u128> + Into<u128> {}
impl<T: Copy + TryFrom<u128> + Into<u128>> Number for T {}

/// A number as C has it: decimal, or hexadecimal after `0x`.
pub(super) fn number<T: Number>(text: &str) -> Option<T> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    T::try_from(number).ok()
}

/// `%#x`: zero has no prefix.
fn hex(number: impl Number, f: &mut dyn fmt::Write) -> fmt::Result {
    match number.into() {
        0 => f.write_str("0"),
        number => write!(f, "{number:#x}"),
    }
}

/// Notations of numbers: how the number is written, and how its mask is.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $value:expr, $mask:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;
        impl AnyNotation for $name {}

        impl<T: Number> Notation<T> for $name {
            fn read(text: &str) -> Option<T> {
                number(text)
            }

            fn write(value: &T, f: &mut dyn fmt::Write) -> fmt::Result {
                let write: fn(u128, &mut dyn fmt::Write) -> fmt::Result = $value;
                write((*value).into(), f)
            }
        }

        impl<T: Number> Notation<Masked<T>> for $name {
            fn read(text: &str) -> Option<Masked<T>> {
                Masked::read(text, number)
            }

            fn write(Masked { value, mask }: &Masked<T>, f: &mut dyn fmt::Write) -> fmt::Result {
                <Self as Notation<T>>::write(value, f)?;
                let Some(mask) = mask else { return Ok(()) };
                let write: fn(u128, &mut dyn fmt::Write) -> fmt::Result = $mask;
                f.write_char('/')?;
                write((*mask).into(), f)
            }
        }
    )*};
}

numbers! {
    /// `%u`, masked `%u/%#x`.
    Decimal: |n, f| write!(f, "{n}"), |n, f| hex(n, f);
    /// `%u`, masked `%u/0x%x`.
    DecimalPrefixed: |n, f| write!(f, "{n}"), |n, f| write!(f, "{n:#x}");
    /// `%d`, masked `%d/%x`.
    DecimalBare: |n, f| write!(f, "{n}"), |n, f| write!(f, "{n:x}");
    /// `%#x`, masked alike.
    Hex: |n, f| hex(n, f), |n, f| hex(n, f);
    /// `0x%x`, masked `0x%x/%#x`.
    Prefixed: |n, f| write!(f, "{n:#x}"), |n, f| hex(n, f);
    /// `0x%04x`, masked alike.
    FourDigits: |n, f| write!(f, "{n:#06x}"), |n, f| write!(f, "{n:#06x}");
    /// `0x%x`, masked `0x%x/0x%08x`.
    EightDigits: |n, f| write!(f, "{n:#x}"), |n, f| write!(f, "{n:#010x}");
}

/// `%u`, masked `0x%02x/0x%02x`: `format_uint8_masked`.
pub(super) struct Byte;
impl AnyNotation for Byte {}

impl Notation<Masked<u8>> for Byte {
    fn read(text: &str) -> Option<Masked<u8>> {
        Masked::read(text, number)
    }

    fn write(Masked { value, mask }: &Masked<u8>, f: &mut dyn fmt::Write) -> fmt::Result {
        match mask {
            Some(mask) => write!(f, "{value:#04x}/{mask:#04x}"),
            None => write!(f, "{value}"),
        }
    }
}

/// What has but one form of its own: addresses of all kinds but IPv6, ports, words.
pub(super) struct Plain;
impl AnyNotation for Plain {}

impl<T: fmt::Display + std::str::FromStr> Notation<T> for Plain {
    fn read(text: &str) -> Option<T> {
        text.parse().ok()
    }

    fn write(value: &T, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "{value}")
    }
}

impl<T: fmt::Display + std::str::FromStr> Notation<Masked<T>> for Plain {
    fn read(text: &str) -> Option<Masked<T>> {
        Masked::read(text, |text| text.parse().ok())
    }

    fn write(Masked { value, mask }: &Masked<T>, f: &mut dyn fmt::Write) -> fmt::Result {
        write!(f, "{value}")?;
        mask.iter().try_for_each(|mask| write!(f, "/{mask}"))
    }
}

/// What `inet_ntop` of glibc writes: unlike `Ipv6Addr`, it knows IPv4-compatible addresses (`::10.0.0.1`).
pub(super) struct Inet6;
impl AnyNotation for Inet6 {}

impl Notation<Ipv6Addr> for Inet6 {
    fn read(text: &str) -> Option<Ipv6Addr> {
        text.parse().ok()
    }

    fn write(value: &Ipv6Addr, f: &mut dyn fmt::Write) -> fmt::Result {
        match value.segments() {
            [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
                write!(f, "::{}", std::net::Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
            }
            _ => write!(f, "{value}"),
        }
    }
}

impl Notation<Masked<Ipv6Addr>> for Inet6 {
    fn read(text: &str) -> Option<Masked<Ipv6Addr>> {
        Masked::read(text, |text| text.parse().ok())
    }

    fn write(Masked { value, mask }: &Masked<Ipv6Addr>, f: &mut dyn fmt::Write) -> fmt::Result {
        Self::write(value, f)?;
        let Some(mask) = mask else { return Ok(()) };
        f.write_char('/')?;
        Self::write(mask, f)
    }
}

impl<T> Masked<T> {
    /// `value` or `value/mask`.
    pub(super) fn read(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Self> {
        Some(match text.split_once('/') {
            Some((value, mask)) => Self { value: read(value)?, mask: Some(read(mask)?) },
            None => Self { value: read(text)?, mask: None },
        })
    }
}
