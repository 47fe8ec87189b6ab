//! What iproute2's grammar makes of the words after an object.
//!
//! Most words may be cut short (`dev s` is `dev show`), those that came later may not. Parameters are read in pairs,
//! and a last word without a partner is not looked at: that is how iproute2 does it, and scripts live with it.

use std::str::FromStr;

use vdpa_datapath::kernel::{DeviceName, Features, MgmtDevName, NewDevice};
use vdpa_hw::{MacAddress, ParseError};

use super::Halt;
use super::entry::Section;

const MGMTDEV_HELP: &str = "Usage: vdpa mgmtdev show [ DEV ]\n";
const CONFIG_HELP: &str = "Usage: vdpa dev config show [ DEV ]\n";
const VSTATS_HELP: &str = "Usage: vdpa dev vstats show DEV [qidx QUEUE_INDEX]\n";
const DEV_HELP: &str = "\
Usage: vdpa dev show [ DEV ]
       vdpa dev add name NAME mgmtdev MANAGEMENTDEV [ device_features DEVICE_FEATURES]
                                                    [ mac MACADDR ] [ mtu MTU ]
                                                    [ max_vqp MAX_VQ_PAIRS ]
       vdpa dev del DEV
Usage: vdpa dev config COMMAND [ OPTIONS ]
Usage: vdpa dev vstats COMMAND
";

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// `mgmtdev`
    MgmtDev,
    /// `dev`
    Dev,
}

/// What is asked of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    ShowMgmtDevs,
    ShowMgmtDev(MgmtDevName),
    ShowDevices,
    ShowDevice(DeviceName),
    ShowConfigs,
    ShowConfig(DeviceName),
    ShowStats { name: DeviceName, queue: u32 },
    Add(NewDevice),
    SetMac { name: DeviceName, mac: MacAddress },
    Delete(DeviceName),
}

impl Request {
    /// The section that its answer is shown in; `None` where nothing is shown.
    pub(super) fn section(&self) -> Option<Section> {
        match self {
            Self::ShowMgmtDevs | Self::ShowMgmtDev(_) => Some(Section::new("mgmtdev")),
            Self::ShowDevices | Self::ShowDevice(_) => Some(Section::new("dev")),
            Self::ShowConfigs | Self::ShowConfig(_) => Some(Section::new("config")),
            Self::ShowStats { .. } => Some(Section::new("vstats")),
            Self::Add(_) | Self::SetMac { .. } | Self::Delete(_) => None,
        }
    }
}

/// What the words ask for.
pub(super) fn parse(object: Object, words: &[&str]) -> Result<Request, Halt> {
    let (command, rest) = words.split_first().map_or((None, words), |(first, rest)| (Some(*first), rest));
    match object {
        Object::MgmtDev => match command {
            None => Err(Halt::help(MGMTDEV_HELP)),
            Some(word) if matches(word, "help") => Err(Halt::help(MGMTDEV_HELP)),
            Some(word) if matches(word, "show") || matches(word, "list") => show_mgmtdev(rest),
            Some(word) => Err(not_found(word)),
        },
        Object::Dev => match command {
            None => show_device(&[]),
            Some(word) if matches(word, "help") => Err(Halt::help(DEV_HELP)),
            Some(word) if matches(word, "show") || matches(word, "list") => show_device(rest),
            Some(word) if matches(word, "add") => add(rest),
            Some("set") => set(rest),
            Some(word) if matches(word, "del") => Ok(Request::Delete(handle(rest)?.0)),
            Some(word) if matches(word, "config") => config(rest),
            Some("vstats") => vstats(rest),
            Some(word) => Err(not_found(word)),
        },
    }
}

/// Whether `word` is `whole` or a beginning of it: iproute2's `matches`.
fn matches(word: &str, whole: &str) -> bool {
    !word.is_empty() && whole.starts_with(word)
}

fn not_found(word: &str) -> Halt {
    Halt::failure(format!("Command \"{word}\" not found\n"))
}

fn show_mgmtdev(words: &[&str]) -> Result<Request, Halt> {
    let Some((name, rest)) = words.split_first() else { return Ok(Request::ShowMgmtDevs) };
    let name = mgmtdev(name)?;
    nothing_in_pairs(rest)?;
    Ok(Request::ShowMgmtDev(name))
}

fn show_device(words: &[&str]) -> Result<Request, Halt> {
    if words.is_empty() {
        return Ok(Request::ShowDevices);
    }
    let (name, rest) = handle(words)?;
    nothing_in_pairs(rest)?;
    Ok(Request::ShowDevice(name))
}

fn config(words: &[&str]) -> Result<Request, Halt> {
    let Some((command, rest)) = words.split_first() else { return Ok(Request::ShowConfigs) };
    if matches(command, "help") {
        return Err(Halt::help(CONFIG_HELP));
    }
    if !matches(command, "show") {
        return Err(not_found(command));
    }
    if rest.is_empty() {
        return Ok(Request::ShowConfigs);
    }
    let (name, rest) = handle(rest)?;
    nothing_in_pairs(rest)?;
    Ok(Request::ShowConfig(name))
}

fn vstats(words: &[&str]) -> Result<Request, Halt> {
    let usage = || Halt::failure(VSTATS_HELP);
    let (command, rest) = words.split_first().ok_or_else(usage)?;
    if matches(command, "help") {
        return Err(Halt::help(VSTATS_HELP));
    }
    if !matches(command, "show") {
        return Err(not_found(command));
    }
    match rest {
        [name] => {
            noun::<DeviceName>(name)?;
            Err(Halt::failure(format!("queue index expected: vdpa dev vstats show {name} qidx 0\n")))
        }
        [name, "qidx", queue] => Ok(Request::ShowStats { name: noun(name)?, queue: number(queue)? }),
        [_, word, _] => Err(unknown(word)),
        _ => Err(usage()),
    }
}

fn add(words: &[&str]) -> Result<Request, Halt> {
    let (mut name, mut maker) = (None, None);
    let (mut address, mut mtu, mut max_vqp, mut offered) = (None, None, None, None);
    for pair in words.chunks_exact(2) {
        let [word, value] = [pair[0], pair[1]];
        match word {
            _ if matches(word, "name") => name = Some(noun(value)?),
            _ if matches(word, "mgmtdev") => maker = Some(mgmtdev(value)?),
            "mac" => address = Some(mac(value)?),
            "mtu" => mtu = Some(number(value)?),
            _ if matches(word, "max_vqp") => max_vqp = Some(number(value)?),
            "device_features" => offered = Some(features(value)?),
            _ => return Err(unknown(word)),
        }
    }
    let mgmtdev = maker.ok_or_else(|| Halt::failure("management device handle not set.\n"))?;
    let name = name.ok_or_else(nameless)?;
    Ok(Request::Add(NewDevice { name, mgmtdev, mac: address, mtu, max_vqp, features: offered }))
}

fn set(words: &[&str]) -> Result<Request, Halt> {
    let (mut name, mut address) = (None, None);
    for pair in words.chunks_exact(2) {
        let [word, value] = [pair[0], pair[1]];
        match word {
            _ if matches(word, "name") => name = Some(noun(value)?),
            "mac" => address = Some(mac(value)?),
            _ => return Err(unknown(word)),
        }
    }
    let name: DeviceName = name.ok_or_else(nameless)?;
    let nothing = || Halt::failure(format!("mac expected: vdpa dev set name {name} mac MACADDR\n"));
    Ok(Request::SetMac { mac: address.ok_or_else(nothing)?, name })
}

fn nameless() -> Halt {
    Halt::failure("device name is not set.\n")
}

fn unknown(word: &str) -> Halt {
    Halt::failure(format!("Unknown option \"{word}\"\n"))
}

/// No parameter may follow; a word alone is not looked at.
fn nothing_in_pairs(words: &[&str]) -> Result<(), Halt> {
    match words {
        [] | [_] => Ok(()),
        [word, ..] => Err(unknown(word)),
    }
}

/// The device's name, and what follows it.
fn handle<'a, 'b>(words: &'a [&'b str]) -> Result<(DeviceName, &'a [&'b str]), Halt> {
    let (name, rest) = words.split_first().ok_or_else(|| Halt::failure("String parameter expected\n"))?;
    Ok((noun(name)?, rest))
}

fn mgmtdev(text: &str) -> Result<MgmtDevName, Halt> {
    if text.matches('/').count() > 1 {
        return Err(Halt::failure(
            "Wrong vdpa mgmtdev identification string format\n\
             Expected \"mgmtdev_bus_name/mgmtdev_name\"\n\
             Expected \"mgmtdev_name\"\n",
        ));
    }
    noun(text)
}

fn noun<T: FromStr<Err = ParseError>>(text: &str) -> Result<T, Halt> {
    text.parse().map_err(|error: ParseError| Halt::failure(format!("{error}\n")))
}

/// A MAC as iproute2 takes one: six octets of one or two hexadecimal digits.
fn mac(text: &str) -> Result<MacAddress, Halt> {
    let invalid = |what: &str| Halt::failure(format!("\"{what}\" is invalid lladdr.\n"));
    let octets: Vec<u8> = text
        .split(':')
        .map(|octet| {
            let digits = octet.bytes().all(|byte| byte.is_ascii_hexdigit());
            u8::from_str_radix(octet, 16).ok().filter(|_| digits).ok_or_else(|| invalid(octet))
        })
        .collect::<Result<_, _>>()?;
    <[u8; 6]>::try_from(octets).map(MacAddress::new).map_err(|_| invalid(text))
}

fn number<T: TryFrom<u64>>(text: &str) -> Result<T, Halt> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse::<u64>().ok() } else { None };
    let bits = 8 * size_of::<T>();
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Halt::failure(format!("\"{text}\" is not a number of {bits} bits\n")))
}

/// Features in hexadecimal, with or without 0x.
fn features(text: &str) -> Result<Features, Halt> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let number = if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() };
    let malformed = || Halt::failure(format!("\"{text}\" is not a hexadecimal number of 64 bits\n"));
    number.map(Features).ok_or_else(malformed)
}
