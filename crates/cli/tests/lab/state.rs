//! Everything of the machine that `vdpa` could change, as the system's own tools show it, compared as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::guest::{Guest, VFS_8, VFS_64, wait_for};

/// The machine at one time, part by part.
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    /// The machine now.
    pub(crate) fn of(guest: &Guest) -> Self {
        let mut parts = BTreeMap::new();
        let mut add = |name: &str, text: String| drop(parts.insert(name.to_owned(), text));
        add("devlink devices", by_name(&guest.run("devlink", &["-j", "dev", "show"])));
        add("devlink ports", by_name(&guest.run("devlink", &["-j", "port", "show"])));
        add("devlink parameters", by_name(&guest.run("devlink", &["-j", "dev", "param", "show"])));
        add("links", links(guest));
        add("addresses and routes", routes(guest));
        add("qdiscs", qdiscs(guest));
        add("OVSDB", ovsdb(guest));
        // The netlink family is not there before its module is.
        guest.run("modprobe", &["vdpa"]);
        add("vDPA devices", guest.run("vdpa", &["-j", "dev", "show"]));
        add("processes", processes());
        add("units", guest.run("systemctl", &["list-units", "--all", "--plain", "--no-legend", "vdpa-*"]));
        add(
            "files of ours",
            sorted(&guest.run(
                "find",
                &[
                    "/run",
                    "/tmp",
                    "-path",
                    "*vdpa*",
                    "-not",
                    "-name",
                    "lock",
                    "-not",
                    "-path",
                    "/run/vdpa",
                    // systemd's own, one for each start of a unit.
                    "-not",
                    "-path",
                    "/tmp/systemd-private-*",
                ],
            )),
        );
        for card in [VFS_8, VFS_64] {
            let pf = Guest::pf(card);
            let mode = guest.run("devlink", &["dev", "eswitch", "show", &format!("pci/{pf}")]);
            add(&format!("eswitch of {pf}"), mode);
            add(&format!("sysfs of {pf}"), sysfs(&pf));
            for feature in features(guest, &pf) {
                add(&feature.0, feature.1);
            }
        }
        Self(parts)
    }

    /// Panics with what differs.
    pub(crate) fn is(&self, before: &Self) {
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let differ: Vec<String> = names
            .into_iter()
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .map(|name| {
                let show =
                    |state: &Self| state.0.get(name).cloned().unwrap_or_else(|| "(not there)".to_owned());
                format!("== {name}, before:\n{}\n== {name}, now:\n{}", show(before), show(self))
            })
            .collect();
        assert!(differ.is_empty(), "not as it was:\n{}", differ.join("\n"));
    }
}

/// Routes, without those that the kernel makes by itself some time after a link has come up (RFC 4862).
fn routes(guest: &Guest) -> String {
    let text = guest.run("ip", &["route", "show", "table", "all"]);
    text.lines().filter(|line| !line.contains("fe80::")).collect::<Vec<_>>().join("\n")
}

/// JSON with its objects by name: devlink lists devices in the order in which they came.
fn by_name(json: &str) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    value.sort_all_objects();
    value.to_string()
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Every network device with all its attributes but its index and counters, by name.
fn links(guest: &Guest) -> String {
    let text = guest.run("ip", &["-d", "-j", "link", "show"]);
    let mut links: Vec<Value> = serde_json::from_str(&text).unwrap();
    for link in &mut links {
        if let Some(link) = link.as_object_mut() {
            link.remove("ifindex");
            // A device that was up once keeps what stands for "no queue" in its place of "no operation"
            // (`attach_one_default_qdisc` in net/sched/sch_generic.c); nobody can take that back.
            link.remove("qdisc");
        }
    }
    links.sort_by_key(|link| link["ifname"].to_string());
    let shown: Vec<String> = links.iter().map(ToString::to_string).collect();
    shown.join("\n")
}

/// Qdiscs, without the handles that the kernel counts up.
fn qdiscs(guest: &Guest) -> String {
    let text = guest.run("tc", &["-j", "qdisc", "show"]);
    let mut qdiscs: Vec<Value> = serde_json::from_str(&text).unwrap();
    for qdisc in &mut qdiscs {
        if let Some(qdisc) = qdisc.as_object_mut() {
            qdisc.remove("handle");
        }
    }
    qdiscs.retain(|qdisc| qdisc["kind"] != "noqueue");
    let mut lines: Vec<String> = qdiscs.iter().map(ToString::to_string).collect();
    lines.sort();
    lines.join("\n")
}

/// Every row of the database but what ovs-vswitchd writes by itself.
fn ovsdb(guest: &Guest) -> String {
    const OF_THE_DAEMON: [&str; 14] = [
        "next_cfg",
        "cur_cfg",
        "statistics",
        "status",
        "lacp_current",
        "ifindex",
        "mac_in_use",
        "link_resets",
        "link_state",
        "admin_state",
        "duplex",
        "link_speed",
        "mtu",
        "rstp_statistics",
    ];
    let text = guest
        .run("ovsdb-client", &["--format=json", "dump", "unix:/run/openvswitch/db.sock", "Open_vSwitch"]);
    let mut lines = Vec::new();
    for table in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let table = table.unwrap();
        let headings: Vec<String> =
            table["headings"].as_array().unwrap().iter().map(|h| h.as_str().unwrap().to_owned()).collect();
        for row in table["data"].as_array().unwrap() {
            let fields = headings.iter().zip(row.as_array().unwrap());
            let kept = fields.filter(|(name, _)| !OF_THE_DAEMON.contains(&name.as_str()));
            let row: Vec<String> = kept.map(|(name, value)| format!("{name}={value}")).collect();
            lines.push(format!("{} {}", table["caption"], row.join(" ")));
        }
    }
    lines.sort();
    lines.join("\n")
}

/// Every attribute of a PCI function, and those of its VFs.
fn sysfs(pf: &str) -> String {
    let mut lines = Vec::new();
    let device = Path::new("/sys/bus/pci/devices").join(pf);
    let mut functions = vec![device.clone()];
    functions.extend((0..64).map(|n| device.join(format!("virtfn{n}"))).filter(|path| path.exists()));
    for function in functions {
        for entry in fs::read_dir(&function).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix("/sys/bus/pci/devices").unwrap().display().to_string();
            // A log of the device's ups and downs, and what only root of a real card can read.
            let counts =
                ["uevent", "rom", "vpd", "config", "reset", "resource"].iter().any(|end| name.contains(end));
            match fs::read_link(&path) {
                Ok(target) => lines.push(format!("{name} -> {}", target.display())),
                Err(_) if counts || path.is_dir() => {}
                Err(_) => {
                    lines.push(format!("{name} = {}", fs::read_to_string(&path).unwrap_or_default().trim()));
                }
            }
        }
    }
    lines.sort();
    lines.join("\n")
}

fn features(guest: &Guest, pf: &str) -> Vec<(String, String)> {
    // A representor that goes with its VFs may be on its way out while we look.
    let uplink = wait_for("the uplink", || Some(guest.uplink(pf)));
    vec![(format!("features of {uplink}"), guest.run("ethtool", &["-k", &uplink]))]
}

fn processes() -> String {
    let mut names: Vec<String> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("comm")).ok())
        .filter(|name| name.contains("vdpa") || name.contains("ovs"))
        .collect();
    names.sort();
    names.concat()
}
