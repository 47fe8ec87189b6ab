//! systemd-networkd, by files and `networkctl`: systemd.network(5), systemd.netdev(5), networkctl(1).
//!
//! The bridge gets the text of the NIC's own .network file, with another `[Match]`; the NIC gets one that makes it a port.
//! Ours come first by their names, in `/run` until they are confirmed and in `/etc` from then on. The NIC's own file is
//! never edited, and counts again when ours are gone.
//!
//! What networkd knows of a link is in `/run/systemd/netif/links/INDEX` (`link_save` in systemd's
//! `src/network/networkd-state-file.c`); `networkctl --json` has it since systemd 250 only.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vdpa_hw::NetdevName;

use super::nic::{self, Nic};
use super::{Act, Refusal, Wanted};
use crate::error::{Error, Result};
use crate::programs::Command;
use crate::tree::Tree;

const UNCONFIRMED: &str = "/run/systemd/network";
const CONFIRMED: &str = "/etc/systemd/network";

/// The first line of each file of ours.
const HEADER: &str = "# Written by `vdpa host bridge`, taken back by `vdpa host bridge --remove`.\n";

/// What says how the NIC is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) file: PathBuf,
    /// Its text with its drop-ins', without `[Match]`.
    text: String,
    /// What the NIC's DHCP client calls itself, beside the host's DUID, where that depends on the NIC (RFC 4361).
    iaid: Option<u32>,
}

/// What networkd keeps of a link.
fn state(tree: &Tree, device: &NetdevName) -> Option<String> {
    let index = nic::attribute(tree, device, "ifindex")?;
    tree.read(&Path::new("/run/systemd/netif/links").join(index)).ok().flatten()
}

fn value<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    let found = state.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(found.trim_matches('"'))
}

/// Whether networkd is there and has the device.
pub(super) fn manages(tree: &Tree, device: &NetdevName) -> bool {
    let state = state(tree, device).unwrap_or_default();
    value(&state, "ADMIN_STATE")
        .is_some_and(|state| !matches!(state, "unmanaged" | "initialized" | "pending"))
        && value(&state, "NETWORK_FILE").is_some()
}

/// What the NIC has now, if a bridge can be made of it.
pub(super) fn network(tree: &Tree, wanted: &Wanted, nic: &Nic) -> Result<Network> {
    let state = state(tree, &wanted.over).unwrap_or_default();
    let refuse = |why| Err(Error::Unbridgeable { nic: wanted.over.to_string(), why });
    let Some(file) = value(&state, "NETWORK_FILE").map(PathBuf::from) else {
        return refuse(Refusal::NoProfile);
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if *name < *stem(wanted) {
        return refuse(Refusal::ReadBefore(file.display().to_string()));
    }
    let drop_ins = value(&state, "NETWORK_FILE_DROPINS").unwrap_or_default();
    let mut text = String::new();
    for path in std::iter::once(file.as_path()).chain(drop_ins.split_whitespace().map(Path::new)) {
        let missing = || Error::io(format!("read {}", path.display()), std::io::ErrorKind::NotFound.into());
        text += &without_match(&tree.read(path)?.ok_or_else(missing)?);
    }
    let lease = tree.read(&Path::new("/run/systemd/netif/leases").join(nic.index.to_string()))?;
    let iaid = lease.as_deref().and_then(|lease| iaid(value(lease, "CLIENTID")?));
    Ok(Network { file, text, iaid })
}

/// What begins the names of our files. `-` comes before every digit and letter.
fn stem(wanted: &Wanted) -> String {
    format!("0-vdpa-{}", wanted.name)
}

/// A .network file's sections but `[Match]`.
fn without_match(text: &str) -> String {
    let mut matching = false;
    let kept = text.lines().filter(|line| {
        if line.trim_start().starts_with('[') {
            matching = line.trim() == "[Match]";
        }
        !matching
    });
    kept.fold(String::new(), |text, line| text + line + "\n")
}

/// The IAID in a client identifier of the kind that RFC 4361 has: 255, IAID, DUID, in hexadecimal.
fn iaid(client: &str) -> Option<u32> {
    u32::from_str_radix(client.strip_prefix("ff")?.get(..8)?, 16).ok()
}

/// Our files, by the ends of their names.
fn files(wanted: &Wanted, nic: &Nic, network: &Network) -> [(&'static str, String); 3] {
    let (bridge, over) = (&wanted.name, &wanted.over);
    let netdev =
        format!("{HEADER}[NetDev]\nName={bridge}\nKind=bridge\nMACAddress={}\n\n[Bridge]\nSTP=no\n", nic.mac);
    let mut of_bridge = format!("{HEADER}[Match]\nName={bridge}\n\n{}", network.text);
    if let Some(iaid) = network.iaid {
        // It is made from the device's name (`dhcp_identifier_set_iaid`), and a server leases by it.
        let _ = write!(of_bridge, "\n[DHCPv4]\nIAID={iaid}\n");
    }
    let of_port = format!(
        "{HEADER}[Match]\nName={over}\n\n[Network]\nBridge={bridge}\nLinkLocalAddressing=no\nLLDP=no\nIPv6AcceptRA=no\n"
    );
    [(".netdev", netdev), (".network", of_bridge), ("-port.network", of_port)]
}

fn networkctl<'a>(words: impl IntoIterator<Item = &'a str>) -> Act {
    Act::Run(Command::new(["networkctl"].into_iter().chain(words)))
}

fn write(directory: &str, wanted: &Wanted, files: &[(&str, String)]) -> impl Iterator<Item = Act> {
    let at = |end: &str| Path::new(directory).join(stem(wanted) + end);
    let acts: Vec<_> =
        files.iter().map(|(end, text)| Act::Write { path: at(end), text: text.clone() }).collect();
    acts.into_iter()
}

fn remove(directory: &str, wanted: &Wanted, files: &[(&str, String)]) -> impl Iterator<Item = Act> {
    let at = |end: &str| Path::new(directory).join(stem(wanted) + end);
    let acts: Vec<_> = files.iter().map(|(end, _)| Act::Remove(at(end))).collect();
    acts.into_iter()
}

/// What makes the bridge.
pub(super) fn make(wanted: &Wanted, nic: &Nic, network: &Network) -> Vec<Act> {
    write(UNCONFIRMED, wanted, &files(wanted, nic, network)).chain([networkctl(["reload"])]).collect()
}

/// What makes it last. Nothing is reloaded: what is in force says the same.
pub(super) fn confirm(wanted: &Wanted, nic: &Nic, network: &Network) -> Vec<Act> {
    let files = files(wanted, nic, network);
    write(CONFIRMED, wanted, &files).chain(remove(UNCONFIRMED, wanted, &files)).collect()
}

/// What goes back.
pub(super) fn take_back(wanted: &Wanted, nic: &Nic, network: &Network) -> Vec<Act> {
    let files = files(wanted, nic, network);
    let gone = remove(UNCONFIRMED, wanted, &files).chain(remove(CONFIRMED, wanted, &files));
    // networkd deletes no device that it made.
    gone.chain([networkctl(["delete", wanted.name.as_str()]), networkctl(["reload"])]).collect()
}

/// Whether the bridge has its addresses.
pub(super) fn is_up(tree: &Tree, bridge: &NetdevName) -> bool {
    let state = state(tree, bridge).unwrap_or_default();
    value(&state, "ADMIN_STATE") == Some("configured")
}

/// Whether the NIC has its own file.
pub(super) fn is_back(tree: &Tree, nic: &NetdevName, file: &str) -> bool {
    let state = state(tree, nic).unwrap_or_default();
    value(&state, "NETWORK_FILE") == Some(file) && value(&state, "ADMIN_STATE") == Some("configured")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_keeps_all_but_what_it_matches() {
        let text = "# mine\n[Match]\nName=eno1\nKernelVersion=6.*\n\n[Link]\nMTUBytes=9000\n[Network]\nDHCP=yes\n [Match]\nType=ether\n";
        assert_eq!(without_match(text), "# mine\n[Link]\nMTUBytes=9000\n[Network]\nDHCP=yes\n");
    }

    #[test]
    fn a_client_identifier_of_rfc_4361_has_an_iaid_and_a_mac_has_none() {
        assert_eq!(iaid("ffb6220feb00020000ab11d258482fc7eee651"), Some(0xb622_0feb));
        assert_eq!(iaid("01e4112233445566"), None);
        assert_eq!(iaid("ffb6"), None);
        let lease = "# private\nADDRESS=10.0.0.5\nCLIENTID=ff00000001\n";
        assert_eq!(value(lease, "CLIENTID").and_then(iaid), Some(1));
    }
}
