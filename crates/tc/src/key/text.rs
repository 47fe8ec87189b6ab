//! How values are written and read, as tc(8) does.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How a key's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Mac,
    EthType,
    IpProto,
    Ip,
    Number,
    Hex,
    IpFlags,
    CtState,
    /// Every digit in hexadecimal.
    Digits,
}

/// Ethernet types with names of their own (`flower_print_eth_type` in iproute2's `tc/f_flower.c`).
const ETH_TYPES: [(u16, &str); 6] = [
    (0x0800, "ipv4"),
    (0x86dd, "ipv6"),
    (0x0806, "arp"),
    (0x8035, "rarp"),
    (0x8100, "802.1Q"),
    (0x88a8, "802.1ad"),
];
const IP_PROTOS: [(u8, &str); 5] = [(1, "icmp"), (6, "tcp"), (17, "udp"), (58, "icmpv6"), (132, "sctp")];
/// `TCA_FLOWER_KEY_CT_FLAGS_*`.
const CT_STATES: [(u16, &str); 6] =
    [(1, "new"), (2, "est"), (4, "rel"), (8, "trk"), (16, "inv"), (32, "rpl")];
/// In the order in which tc writes them.
const CT_ORDER: [&str; 6] = ["trk", "new", "est", "rel", "inv", "rpl"];
/// `TCA_FLOWER_KEY_FLAGS_*`.
const IP_FLAGS: [(u32, &str); 2] = [(1, "frag"), (2, "firstfrag")];

pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    form: Form,
    value: &[u8],
    mask: Option<&[u8]>,
) -> fmt::Result {
    let number = number(value);
    match form {
        Form::IpFlags => {
            let words = IP_FLAGS
                .iter()
                .filter(|(bit, _)| self::number(mask.unwrap_or(&[0xff; 4])) & u128::from(*bit) != 0);
            let words: Vec<String> =
                words
                    .map(|(bit, name)| {
                        if number & u128::from(*bit) == 0 { format!("no{name}") } else { (*name).to_owned() }
                    })
                    .collect();
            return f.write_str(&words.join("/"));
        }
        Form::CtState => {
            let counts = mask.map_or(0x3f, self::number);
            for name in CT_ORDER {
                let bit =
                    CT_STATES.iter().find(|(_, known)| *known == name).map_or(0, |(bit, _)| u128::from(*bit));
                if counts & bit != 0 {
                    write!(f, "{}{name}", if number & bit == 0 { '-' } else { '+' })?;
                }
            }
            return Ok(());
        }
        Form::Mac => write!(f, "{}", mac(value))?,
        Form::Digits => write!(f, "{}", digits(value))?,
        Form::EthType => match ETH_TYPES.iter().find(|(known, _)| u128::from(*known) == number) {
            Some((_, name)) => f.write_str(name)?,
            None => write!(f, "{number:04x}")?,
        },
        Form::IpProto => match IP_PROTOS.iter().find(|(known, _)| u128::from(*known) == number) {
            Some((_, name)) => f.write_str(name)?,
            None => write!(f, "{number:02x}")?,
        },
        Form::Ip => match ip(value) {
            Some(address) => write!(f, "{address}")?,
            None => write!(f, "{}", digits(value))?,
        },
        Form::Number => write!(f, "{number}")?,
        Form::Hex => write!(f, "0x{number:x}")?,
    }
    let Some(mask) = mask else { return Ok(()) };
    match form {
        Form::Mac => write!(f, "/{}", mac(mask)),
        Form::Digits => write!(f, "/{}", digits(mask)),
        Form::Ip => match prefix(mask) {
            Some(length) => write!(f, "/{length}"),
            None => write!(f, "/{}", ip(mask).map_or_else(|| digits(mask), |mask| mask.to_string())),
        },
        _ => write!(f, "/0x{:x}", self::number(mask)),
    }
}

pub(super) fn parse(form: Form, text: &str) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    match form {
        Form::IpFlags => return parse_ip_flags(text),
        Form::CtState => return parse_ct_state(text),
        _ => {}
    }
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (parse_value(form, value)?, Some(mask)),
        None => (parse_value(form, text)?, None),
    };
    let mask = match mask {
        None => None,
        Some(length) if form == Form::Ip && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(mask_of(length.parse().ok()?, value.len())?)
        }
        Some(mask) => Some(parse_value(form, mask)?).filter(|mask| mask.len() == value.len()).map(Some)?,
    };
    Some((value, mask.filter(|mask| mask.iter().any(|byte| *byte != 0xff))))
}

fn parse_value(form: Form, text: &str) -> Option<Vec<u8>> {
    match form {
        Form::Mac => {
            let bytes: Option<Vec<u8>> =
                text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
            bytes.filter(|bytes| bytes.len() == 6)
        }
        Form::Ip => Some(match text.parse().ok()? {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        }),
        Form::EthType => {
            match ETH_TYPES.iter().find(|(_, name)| *name == text || (*name == "ipv4" && text == "ip")) {
                Some((number, _)) => Some(number.to_be_bytes().to_vec()),
                None => u16::from_str_radix(text.trim_start_matches("0x"), 16)
                    .ok()
                    .map(|n| n.to_be_bytes().to_vec()),
            }
        }
        Form::IpProto => match IP_PROTOS.iter().find(|(_, name)| *name == text) {
            Some((number, _)) => Some(vec![*number]),
            None => u8::from_str_radix(text.trim_start_matches("0x"), 16).ok().map(|n| vec![n]),
        },
        Form::Digits => {
            let pairs =
                (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
            pairs.collect()
        }
        Form::Number | Form::Hex => {
            let number = match text.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None if form == Form::Hex => u32::from_str_radix(text, 16).ok()?,
                None => text.parse().ok()?,
            };
            Some(number.to_be_bytes().to_vec())
        }
        Form::IpFlags | Form::CtState => None,
    }
}

fn parse_ip_flags(text: &str) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (mut value, mut mask) = (0u32, 0u32);
    for word in text.split('/') {
        let (wanted, set) = word.strip_prefix("no").map_or((word, true), |rest| (rest, false));
        let (bit, _) = IP_FLAGS.iter().find(|(_, name)| *name == wanted)?;
        mask |= bit;
        value |= if set { *bit } else { 0 };
    }
    Some((value.to_be_bytes().to_vec(), Some(mask.to_be_bytes().to_vec())))
}

fn parse_ct_state(text: &str) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let (mut value, mut mask) = (0u16, 0u16);
    let mut rest = text;
    while !rest.is_empty() {
        let set = rest.starts_with('+');
        rest = rest.strip_prefix(['+', '-'])?;
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let (bit, _) = CT_STATES.iter().find(|(_, name)| *name == &rest[..end])?;
        mask |= bit;
        value |= if set { *bit } else { 0 };
        rest = &rest[end..];
    }
    Some((value.to_be_bytes().to_vec(), Some(mask.to_be_bytes().to_vec())))
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// The length of a mask that is a prefix.
fn prefix(mask: &[u8]) -> Option<u32> {
    let ones = mask.iter().map(|byte| byte.count_ones()).sum();
    (mask_of(ones, mask.len())? == mask).then_some(ones)
}

fn mask_of(ones: u32, bytes: usize) -> Option<Vec<u8>> {
    let ones = usize::try_from(ones).ok().filter(|ones| *ones <= bytes * 8)?;
    let byte = |at: usize| {
        let ones = u32::try_from(ones.saturating_sub(at * 8).min(8)).unwrap_or(8);
        !0xffu8.checked_shr(ones).unwrap_or(0)
    };
    Some((0..bytes).map(byte).collect())
}
