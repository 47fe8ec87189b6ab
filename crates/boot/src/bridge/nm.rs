//! `NetworkManager`, by `nmcli`: nmcli(1), nm-settings-nmcli(5).
//!
//! Two profiles come: one of the bridge, with all that the NIC's profile says of addresses, and one that makes the NIC its
//! port. They are added with `save no`, which keeps them below `/run/NetworkManager`, and saved when they are
//! confirmed. The NIC's own profile is never edited: it is displaced by the port's, which from its confirmation on comes
//! first by its priority, and is taken up again when that is deleted.

use vdpa_hw::NetdevName;

use super::nic::Nic;
use super::{Act, Refusal, Wanted};
use crate::error::{Error, Result};
use crate::programs::{Command, Programs};

/// How long a profile may take to become active, in seconds: a DHCP server may be slow, and a link that comes up.
const WAIT: &str = "45";

/// Settings that say how a host is reached, and move to the bridge as a whole.
const MOVED: [&str; 2] = ["ipv4.", "ipv6."];
/// Single properties that move with them.
const MOVED_ALONE: [&str; 5] = [
    "connection.zone",
    "connection.metered",
    "connection.mdns",
    "connection.llmnr",
    "connection.dns-over-tls",
];
/// What a property reads that nobody has set, by the end of its name (nm-settings-nmcli(5)).
const UNSET: [(&str, &str); 20] = [
    ("", ""),
    ("", "--"),
    ("", "-1"),
    ("", "0x0"),
    ("", "default"),
    ("", "unknown"),
    ("dns-priority", "0"),
    ("route-table", "0"),
    ("dhcp-timeout", "0"),
    ("ra-timeout", "0"),
    ("link-local", "0"),
    ("speed", "0"),
    ("auto-negotiate", "no"),
    ("mtu", "auto"),
    ("mtu", "0"),
    ("ignore-auto-routes", "no"),
    ("ignore-auto-dns", "no"),
    ("never-default", "no"),
    ("may-fail", "yes"),
    ("dhcp-send-hostname", "yes"),
];
/// Properties of the wire, which stay with the NIC.
const OF_THE_WIRE: [&str; 6] = [
    "802-3-ethernet.mtu",
    "802-3-ethernet.cloned-mac-address",
    "802-3-ethernet.auto-negotiate",
    "802-3-ethernet.speed",
    "802-3-ethernet.duplex",
    "802-3-ethernet.wake-on-lan",
];

/// A profile, as `nmcli` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) uuid: String,
    properties: Vec<(String, String)>,
}

/// The names of our two profiles.
struct Names {
    bridge: String,
    port: String,
}

impl Names {
    fn of(bridge: &NetdevName, nic: &NetdevName) -> Self {
        Self { bridge: format!("vdpa-{bridge}"), port: format!("vdpa-{bridge}-{nic}") }
    }
}

/// `nmcli` for programs: values to the letter, no colours, no columns.
fn nmcli<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    Command::new(["nmcli", "--terse", "--escape", "no"].into_iter().chain(words))
}

/// Whether `NetworkManager` is there and has the device.
pub(super) async fn manages(programs: &dyn Programs, nic: &NetdevName) -> bool {
    state(programs, nic).await.is_some_and(|state| state != "unmanaged" && !state.contains("externally"))
}

/// What it says of a device: `connected`, `unmanaged`; `None` where it is not there, or does not know it.
async fn state(programs: &dyn Programs, device: &NetdevName) -> Option<String> {
    if !programs.has("nmcli") {
        return None;
    }
    let asked = programs.run(&nmcli(["--fields", "DEVICE,STATE", "device", "status"])).await;
    let said = asked.inspect_err(|error| tracing::debug!(%error, "NetworkManager is not asked")).ok()?;
    value_of(&said, device.as_str())
}

/// What follows `key:` on a line of its own.
fn value_of(said: &str, key: &str) -> Option<String> {
    let mut lines = said.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| *found == key).map(|(_, value)| value.to_owned())
}

/// The UUID of the profile that is active on a device.
async fn active(programs: &dyn Programs, device: &NetdevName) -> Result<Option<String>> {
    let said = programs.run(&nmcli(["--fields", "DEVICE,UUID", "connection", "show", "--active"])).await?;
    Ok(value_of(&said, device.as_str()))
}

/// The profile of the NIC, if a bridge can be made of it.
pub(super) async fn profile(programs: &dyn Programs, wanted: &Wanted) -> Result<Profile> {
    let refuse = |why| Err(Error::Unbridgeable { nic: wanted.over.to_string(), why });
    let Some(uuid) = active(programs, &wanted.over).await? else { return refuse(Refusal::NoProfile) };
    let files = programs.run(&nmcli(["--fields", "UUID,FILENAME", "connection", "show"])).await?;
    if value_of(&files, &uuid).is_some_and(|file| file.is_empty() || file.starts_with("/run/")) {
        return refuse(Refusal::Volatile(uuid));
    }
    let known = programs.run(&nmcli(["--fields", "NAME", "connection", "show"])).await?;
    let ours = Names::of(&wanted.name, &wanted.over);
    if let Some(taken) = known.lines().find(|name| [ours.bridge.as_str(), &ours.port].contains(name)) {
        return refuse(Refusal::ProfileTaken(taken.to_owned()));
    }
    let shown = programs.run(&nmcli(["connection", "show", "uuid", &uuid])).await?;
    let properties: Vec<(String, String)> = shown
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if properties.iter().any(|(name, _)| name.starts_with("802-1x.")) {
        return refuse(Refusal::Authenticates);
    }
    Ok(Profile { uuid, properties })
}

impl Profile {
    /// Those that somebody has set and that `wanted` holds of, as arguments.
    fn arguments(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
        let unset =
            |name: &str, value: &str| UNSET.iter().any(|(end, unset)| name.ends_with(end) && value == *unset);
        let set = self.properties.iter().filter(move |(name, value)| {
            // Shown for old clients, and refused.
            wanted(name) && !unset(name, value) && !name.ends_with("-deprecated")
        });
        set.flat_map(|(name, value)| [name.as_str(), value])
    }
}

/// The metric that the NIC's routes have where its profile leaves it to `NetworkManager`, as arguments: a bridge's would be
/// higher, and another NIC's default route come first. Source: `IP4.ROUTE[1]:dst = 0.0.0.0/0, nh = …, mt = 100`.
fn metrics(profile: &Profile) -> Vec<String> {
    let metric = |family: char, default: &str| {
        let property = format!("ipv{family}.route-metric");
        let routes = || {
            let start = format!("IP{family}.ROUTE[");
            profile
                .properties
                .iter()
                .filter(move |(name, _)| name.starts_with(&start))
                .map(|(_, route)| route)
        };
        let free = profile.properties.iter().any(|(name, value)| *name == property && value == "-1");
        let by = |route: &String| {
            route.split(", ").find_map(|part| Some(part.trim().strip_prefix("mt = ")?.to_owned()))
        };
        let leaving = format!("dst = {default},");
        let route = routes()
            .find(|route| route.starts_with(&leaving))
            .or_else(|| routes().next().filter(|_| family == '4'));
        Some([property, route.filter(|_| free).and_then(by)?])
    };
    [metric('4', "0.0.0.0/0"), metric('6', "::/0")].into_iter().flatten().flatten().collect()
}

/// What makes the bridge.
pub(super) fn make(wanted: &Wanted, nic: &Nic, profile: &Profile) -> Vec<Act> {
    let (bridge, over) = (wanted.name.as_str(), wanted.over.as_str());
    let names = Names::of(&wanted.name, &wanted.over);
    let mac = nic.mac.to_string();
    let metrics = metrics(profile);
    let add = ["connection", "add", "save", "no", "type"];
    let moved =
        |name: &str| MOVED.iter().any(|prefix| name.starts_with(prefix)) || MOVED_ALONE.contains(&name);
    let of_bridge = ["bridge", "con-name", &names.bridge, "ifname", bridge, "connection.autoconnect", "no"];
    // Its own forward delay would keep packets back for half a minute: there is one way out of it.
    let like_the_nic = ["bridge.stp", "no", "802-3-ethernet.cloned-mac-address", &mac];
    let of_port = ["ethernet", "con-name", &names.port, "ifname", over, "connection.autoconnect", "no"];
    let enslaved = ["connection.slave-type", "bridge", "connection.master", bridge];
    vec![
        Act::Run(nmcli(
            add.into_iter()
                .chain(of_bridge)
                .chain(like_the_nic)
                .chain(profile.arguments(moved))
                .chain(metrics.iter().map(String::as_str)),
        )),
        Act::Run(nmcli(
            add.into_iter()
                .chain(of_port)
                .chain(enslaved)
                .chain(profile.arguments(|name| OF_THE_WIRE.contains(&name))),
        )),
        // The port takes the NIC from its profile, and the bridge comes with it.
        Act::Run(nmcli(["--wait", WAIT, "connection", "up", "id", &names.port])),
    ]
}

/// What makes it last: saved, and active from the next boot on.
pub(super) fn confirm(wanted: &Wanted) -> Vec<Act> {
    let names = Names::of(&wanted.name, &wanted.over);
    let last = |name: &str, more: &[&str]| {
        let modify = ["connection", "modify", "id", name, "connection.autoconnect", "yes"];
        Act::Run(nmcli(modify.into_iter().chain(more.iter().copied())))
    };
    // 999 is the highest that there is: the NIC's own profile comes after it.
    vec![last(&names.bridge, &[]), last(&names.port, &["connection.autoconnect-priority", "999"])]
}

/// What takes ours away: `NetworkManager` then takes up what comes first of the rest.
pub(super) fn take_back(wanted: &Wanted) -> Vec<Act> {
    let names = Names::of(&wanted.name, &wanted.over);
    let delete = |name: &str| Act::Run(nmcli(["--wait", WAIT, "connection", "delete", "id", name]));
    vec![delete(&names.port), delete(&names.bridge)]
}

/// What takes up the NIC's own profile, whatever else would come first.
pub(super) fn take_up(wanted: &Wanted, profile: &Profile) -> Act {
    let up = ["--wait", WAIT, "connection", "up", "uuid", &profile.uuid, "ifname", wanted.over.as_str()];
    Act::Run(nmcli(up))
}

/// Whether the bridge has its addresses.
pub(super) async fn is_up(programs: &dyn Programs, bridge: &NetdevName) -> bool {
    state(programs, bridge).await.is_some_and(|state| state == "connected")
}

/// Whether the NIC has its own profile.
pub(super) async fn is_back(programs: &dyn Programs, nic: &NetdevName, uuid: &str) -> bool {
    active(programs, nic).await.ok().flatten().as_deref() == Some(uuid)
}
