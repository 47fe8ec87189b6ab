//! A simulated `NetworkManager`, with systemd's timers: profiles, devices, what is in memory and what is saved.
//!
//! What it refuses: a profile that is not there ("unknown connection", exit status 10, nmcli(1)); a profile whose
//! device is not there (exit status 4); a unit that is there already (`transient_unit_...` in systemd's
//! `src/core/dbus-manager.c`: "Unit … was already loaded"). That a port brings its bridge with it, and that a NIC
//! falls back to the saved profile that comes first, is as NetworkManager 1.42 did in the lab.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tree::Tree;

/// What is installed.
pub(crate) const PROGRAMS: [&str; 3] = ["nmcli", "systemd-run", "systemctl"];

const STATE: &str = "/simulated-network.json";
const TIMER: &str = "vdpa-host-bridge-rollback.timer";

/// All that it knows.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    profiles: Vec<Profile>,
    /// Which profile is active on which device.
    active: BTreeMap<String, String>,
    /// What the timer would start.
    timer: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Profile {
    name: String,
    uuid: String,
    device: String,
    master: Option<String>,
    saved: bool,
    properties: BTreeMap<String, String>,
}

/// Makes the network, where there is none yet.
pub(crate) fn furnish(tree: &Tree) -> Result<()> {
    if tree.exists(STATE) {
        return Ok(());
    }
    let profile = |name: &str, device: &str, uuid: &str, properties: &[(&str, &str)]| Profile {
        name: name.to_owned(),
        uuid: uuid.to_owned(),
        device: device.to_owned(),
        master: None,
        saved: true,
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    let eno2 = profile(
        "eno2",
        "eno2",
        "5d0e8d1f-9c0a-4d6e-8a35-2b5f0c7e1d02",
        &[
            ("connection.zone", ""),
            ("802-3-ethernet.mtu", "auto"),
            ("802-3-ethernet.cloned-mac-address", ""),
            ("ipv4.method", "manual"),
            ("ipv4.dns", "172.21.1.1"),
            ("ipv4.addresses", "172.21.6.104/24"),
            ("ipv4.gateway", "172.21.6.254"),
            ("ipv4.routes", ""),
            ("ipv4.route-metric", "-1"),
            ("ipv4.may-fail", "yes"),
            ("ipv4.dad-timeout", "0"),
            ("IP4.ROUTE[1]", "dst = 172.21.6.0/24, nh = 0.0.0.0, mt = 102"),
            ("IP4.ROUTE[2]", "dst = 0.0.0.0/0, nh = 172.21.6.254, mt = 101"),
            ("ipv6.method", "auto"),
        ],
    );
    let mut state = State::default();
    state.active.insert("eno2".to_owned(), eno2.uuid.clone());
    state.profiles.push(eno2);
    for (name, mac, index) in [
        ("eno1", "90:b1:1c:40:59:27", "2"),
        ("eno2", "90:b1:1c:40:59:28", "3"),
        ("baremetal", "90:b1:1c:40:59:27", "9"),
    ] {
        device(tree, name, mac, index)?;
    }
    enslave(tree, "eno1", "baremetal")?;
    tree.write(Path::new("/run/systemd/system/.booted"), Some(""))?;
    state.save(tree)
}

/// Runs a program of ours; what it says in the end, where it fails.
pub(crate) fn run(tree: &Tree, words: &[&str]) -> Result<String, String> {
    let mut state = State::load(tree).map_err(|error| error.to_string())?;
    let said = match words {
        ["nmcli", words @ ..] => {
            let words = options(words);
            state.nmcli(tree, words)?
        }
        ["systemd-run", words @ ..] => {
            if state.timer.is_some() {
                return Err(format!(
                    "Failed to start transient timer unit: Unit {TIMER} was already loaded.\nexit status: 1"
                ));
            }
            state.timer = Some(words.iter().map(|word| (*word).to_owned()).collect());
            String::new()
        }
        ["systemctl", "stop", unit] => {
            if *unit != TIMER || state.timer.take().is_none() {
                return Err(format!("Failed to stop {unit}: Unit {unit} not loaded.\nexit status: 5"));
            }
            String::new()
        }
        _ => return Err("not simulated".to_owned()),
    };
    state.save(tree).map_err(|error| error.to_string())?;
    Ok(said)
}

/// `nmcli`'s words without its options.
fn options<'a>(mut words: &'a [&'a str]) -> &'a [&'a str] {
    loop {
        words = match words {
            ["--terse", rest @ ..] | ["--escape" | "--wait", _, rest @ ..] => rest,
            words => return words,
        };
    }
}

impl State {
    fn load(tree: &Tree) -> Result<Self> {
        let bad = |error: serde_json::Error| Error::Record { path: STATE.into(), why: error.to_string() };
        let text = tree.read(Path::new(STATE))?;
        text.map_or_else(|| Ok(Self::default()), |text| serde_json::from_str(&text).map_err(bad))
    }

    fn save(&self, tree: &Tree) -> Result<()> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        tree.write(Path::new(STATE), Some(&text))
    }

    fn nmcli(&mut self, tree: &Tree, words: &[&str]) -> Result<String, String> {
        let lines = |lines: Vec<String>| Ok(lines.join("\n"));
        match words {
            ["--fields", "DEVICE,STATE", "device", "status"] => {
                let names = ["eno1", "eno2", "br0"]
                    .into_iter()
                    .filter(|name| tree.exists(format!("/sys/class/net/{name}")));
                let state = |name: &str| {
                    if self.active.contains_key(name) { "connected" } else { "connected (externally)" }
                };
                lines(names.map(|name| format!("{name}:{}", state(name))).collect())
            }
            ["--fields", "DEVICE,UUID", "connection", "show", "--active"] => {
                lines(self.active.iter().map(|(device, uuid)| format!("{device}:{uuid}")).collect())
            }
            ["--fields", "UUID,FILENAME", "connection", "show"] => {
                let directory = |saved| if saved { "/etc" } else { "/run" };
                let file = |one: &Profile| {
                    format!(
                        "{}:{}/NetworkManager/system-connections/{}.nmconnection",
                        one.uuid,
                        directory(one.saved),
                        one.name
                    )
                };
                lines(self.profiles.iter().map(file).collect())
            }
            ["--fields", "NAME", "connection", "show"] => {
                lines(self.profiles.iter().map(|one| one.name.clone()).collect())
            }
            ["connection", "show", "uuid", uuid] => {
                let one = &self.profiles[self.find(|one| one.uuid == *uuid, uuid)?];
                lines(one.properties.iter().map(|(name, value)| format!("{name}:{value}")).collect())
            }
            [
                "connection",
                "add",
                "save",
                "no",
                "type",
                kind,
                "con-name",
                name,
                "ifname",
                device,
                rest @ ..,
            ] => self.add(kind, name, device, rest),
            ["connection", "up", "id", name] => {
                let at = self.find(|one| one.name == *name, name)?;
                self.up(tree, at)
            }
            ["connection", "up", "uuid", uuid, "ifname", _] => {
                let at = self.find(|one| one.uuid == *uuid, uuid)?;
                self.up(tree, at)
            }
            ["connection", "modify", "id", name, rest @ ..] => {
                let at = self.find(|one| one.name == *name, name)?;
                self.profiles[at].saved = true;
                self.profiles[at].set(rest)?;
                Ok(String::new())
            }
            ["connection", "delete", "id", name] => {
                let at = self.find(|one| one.name == *name, name)?;
                self.delete(tree, at)
            }
            _ => Err("not simulated".to_owned()),
        }
    }

    fn find(&self, is_it: impl Fn(&Profile) -> bool, named: &str) -> Result<usize, String> {
        let found = self.profiles.iter().position(is_it);
        found.ok_or_else(|| format!("Error: unknown connection '{named}'.\nexit status: 10"))
    }

    fn add(&mut self, kind: &str, name: &str, device: &str, properties: &[&str]) -> Result<String, String> {
        let uuid = format!("00000000-0000-4000-8000-{:012}", self.profiles.len());
        let mut one = Profile {
            name: name.to_owned(),
            uuid: uuid.clone(),
            device: device.to_owned(),
            ..Profile::default()
        };
        one.properties.insert("connection.type".to_owned(), kind.to_owned());
        one.set(properties)?;
        one.master = one.properties.get("connection.master").cloned();
        self.profiles.push(one);
        Ok(format!("Connection '{name}' ({uuid}) successfully added."))
    }

    fn up(&mut self, tree: &Tree, at: usize) -> Result<String, String> {
        let one = self.profiles[at].clone();
        let cannot = |error: Error| format!("Error: Connection activation failed: {error}\nexit status: 4");
        if !tree.exists(format!("/sys/class/net/{}", one.device)) {
            return Err(
                "Error: Connection activation failed: No suitable device found\nexit status: 4".to_owned()
            );
        }
        if let Some(master) = &one.master {
            let bridge = self.find(|one| one.device == *master, master)?;
            let bridge = &self.profiles[bridge];
            let mac = bridge.properties.get("802-3-ethernet.cloned-mac-address").cloned().unwrap_or_default();
            self.active.insert(master.clone(), bridge.uuid.clone());
            device(tree, master, &mac, "20")
                .and_then(|()| enslave(tree, &one.device, master))
                .map_err(cannot)?;
        }
        self.active.insert(one.device.clone(), one.uuid);
        Ok("Connection successfully activated".to_owned())
    }

    fn delete(&mut self, tree: &Tree, at: usize) -> Result<String, String> {
        let one = self.profiles.remove(at);
        if self.active.get(&one.device) == Some(&one.uuid) {
            self.active.remove(&one.device);
            let gone = |path: String| match fs::remove_file(tree.below(Path::new(&path))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            };
            if let Some(master) = &one.master {
                gone(format!("/sys/class/net/{}/master", one.device))?;
                gone(format!("/sys/class/net/{master}/brif/{}", one.device))?;
                // The saved profile that comes first of the rest.
                if let Some(next) = self.profiles.iter().find(|next| next.device == one.device) {
                    self.active.insert(one.device, next.uuid.clone());
                }
            } else {
                let bridge = tree.below(Path::new(&format!("/sys/class/net/{}", one.device)));
                fs::remove_dir_all(bridge).map_err(|error| error.to_string())?;
            }
        }
        Ok(String::new())
    }
}

impl Profile {
    fn set(&mut self, words: &[&str]) -> Result<(), String> {
        for pair in words.chunks(2) {
            let [name, value] = pair else {
                return Err(format!("Error: value for '{}' is missing.\nexit status: 2", pair[0]));
            };
            self.properties.insert((*name).to_owned(), (*value).to_owned());
        }
        Ok(())
    }
}

/// A network device of sysfs.
fn device(tree: &Tree, name: &str, mac: &str, index: &str) -> Result<()> {
    let put = |attribute: &str, text: &str| {
        tree.write(Path::new(&format!("/sys/class/net/{name}/{attribute}")), Some(&format!("{text}\n")))
    };
    put("address", mac)?;
    put("ifindex", index)?;
    put("type", "1")?;
    put("uevent", &format!("INTERFACE={name}\nIFINDEX={index}"))
}

fn enslave(tree: &Tree, nic: &str, bridge: &str) -> Result<()> {
    tree.write(Path::new(&format!("/sys/class/net/{bridge}/brif/{nic}")), Some(""))?;
    let link = tree.below(Path::new(&format!("/sys/class/net/{nic}/master")));
    symlink(format!("../{bridge}"), link).map_err(|error| Error::io(format!("enslave {nic}"), error))
}
