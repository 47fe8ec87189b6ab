//! There and back again, and again: nothing of it is left, neither in the kernel nor in the daemons.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::guest::Guest;
use super::host_file;
use super::state::State;

/// How many rounds there are, where it is set.
const VARIABLE: &str = "VDPA_SOAK_ROUNDS";
/// Otherwise: a leak of one a round shows in the first.
const ROUNDS: u32 = 5;

/// What ovs-vswitchd has open.
const SWITCH: &str = "file descriptors of ovs-vswitchd";

/// How many there are of what a leak would be made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held(BTreeMap<&'static str, usize>);

impl Held {
    fn now(guest: &Guest) -> Self {
        let lines = |program: &str, arguments: &[&str]| guest.run(program, arguments).lines().count();
        let daemon = |name: &str| Path::new("/proc").join(guest.run("pidof", &["-s", name]));
        let switch = daemon("ovs-vswitchd");
        Self(BTreeMap::from([
            (SWITCH, entries(&switch.join("fd"))),
            ("threads of ovs-vswitchd", entries(&switch.join("task"))),
            ("file descriptors of ovsdb-server", entries(&daemon("ovsdb-server").join("fd"))),
            ("Unix sockets that listen", listening()),
            ("network devices", entries("/sys/class/net".as_ref())),
            ("vDPA devices", entries("/sys/bus/vdpa/devices".as_ref())),
            ("mounts", fs::read_to_string("/proc/self/mounts").unwrap().lines().count()),
            (
                "units of ours",
                lines("systemctl", &["list-units", "--all", "--plain", "--no-legend", "vdpa-*"]),
            ),
            ("units that failed", lines("systemctl", &["list-units", "--failed", "--plain", "--no-legend"])),
            ("rows of OVSDB", rows(guest)),
        ]))
    }

    /// What is held once nothing leaks, or after half a minute: daemons close what they do not need in their own time.
    fn settled(guest: &Guest, warm: &Self, rounds: u32) -> Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now = Self::now(guest);
            if now.leaked_since(warm, rounds).is_empty() || Instant::now() > deadline {
                return now;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What has come to more. ovs-vswitchd keeps up to 16 netlink sockets of each kind for the next who needs one (`nl_pool`
    /// in `lib/netlink-socket.c`), so that it may have a few more: of those a leak is one a round.
    fn leaked_since(&self, warm: &Self, rounds: u32) -> Vec<&'static str> {
        let room = |what| if what == SWITCH { rounds as usize - 1 } else { 0 };
        let leaked = self.0.iter().filter(|(what, count)| **count > warm.0[*what] + room(**what));
        leaked.map(|(what, _)| *what).collect()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "  {what}: {count}"))
    }
}

fn entries(directory: &Path) -> usize {
    // A bus that is not there yet has no devices.
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// Listening sockets have a flag of their own in /proc/net/unix (`__SO_ACCEPTCON`, include/uapi/linux/net.h).
fn listening() -> usize {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    sockets.lines().filter(|line| line.split_whitespace().nth(3) == Some("00010000")).count()
}

/// Rows of the database, in all its tables.
fn rows(guest: &Guest) -> usize {
    let dump = ["--format=json", "dump", "unix:/run/openvswitch/db.sock", "Open_vSwitch"];
    let tables = guest.run("ovsdb-client", &dump);
    let tables = serde_json::Deserializer::from_str(&tables).into_iter::<Value>();
    tables.map(|table| table.unwrap()["data"].as_array().unwrap().len()).sum()
}

fn rounds() -> u32 {
    let Ok(wanted) = std::env::var(VARIABLE) else { return ROUNDS };
    let rounds = wanted.parse().ok().filter(|rounds| *rounds > 0);
    rounds.unwrap_or_else(|| panic!("{VARIABLE} is `{wanted}` and not a number of rounds"))
}

#[test]
fn rounds_of_setup_and_teardown_leave_nothing_behind() {
    let guest = Guest::new();
    guest.write_host_file(&host_file("dpdk", "kernel"));
    let before = State::of(&guest);
    let round = |number: u32| {
        guest.vdpa(&["setup"]).succeeds();
        guest.vdpa(&["teardown"]).succeeds();
        println!("round {number} done");
    };
    // The daemons keep some things from the first time on, such as sockets for tc.
    round(0);
    State::of(&guest).is(&before);
    let warm = Held::now(&guest);
    let (rounds, began) = (rounds(), Instant::now());
    (1..=rounds).for_each(round);
    println!("{rounds} rounds in {} s", began.elapsed().as_secs());
    let end = Held::settled(&guest, &warm, rounds);
    println!("before:\n{warm}after:\n{end}");
    assert_eq!(end.leaked_since(&warm, rounds), [""; 0], "what leaks");
    State::of(&guest).is(&before);
}
