//! What more VFs cost: time by phase and by whom it was waited for, and how often all there is was listed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::calls::Calls;
use super::guest::{Guest, VFS_64};
use super::state::State;

const RECORD: &str = "/tmp/spans";

/// One run, as the program's own record has it.
struct Cost(Vec<Value>);

impl Cost {
    fn read() -> Self {
        let text = fs::read_to_string(RECORD).unwrap();
        Self(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// How often was listed what there is of something.
    fn listings(&self) -> BTreeMap<&str, usize> {
        let mut listings = BTreeMap::new();
        let intents = self.0.iter().filter_map(|span| span["intent"].as_str());
        for intent in intents.filter(|intent| intent.starts_with("list ")) {
            *listings.entry(intent).or_default() += 1;
        }
        listings
    }

    /// Who was asked for what, and how often: each is a round trip to the kernel, Open vSwitch, systemd or libvirt.
    fn round_trips(&self) -> BTreeMap<String, usize> {
        let mut trips = BTreeMap::new();
        for span in self.0.iter().filter(|span| span["waits_for"].is_string()) {
            let what =
                format!("{} {}", span["span"].as_str().unwrap(), span["intent"].as_str().unwrap_or_default());
            *trips.entry(what).or_default() += 1;
        }
        trips
    }

    /// Milliseconds in all, and those in which nobody was waited for.
    fn total(&self) -> (u64, u64) {
        let end = self.0.last().and_then(|last| last["to"].as_u64()).unwrap();
        (end / 1000, (end - self.waited(|_| true, 0, end)) / 1000)
    }

    /// Microseconds between two times in which at least one of these waits lasted.
    fn waited(&self, of: impl Fn(&str) -> bool, from: u64, to: u64) -> u64 {
        let waits = self.0.iter().filter(|span| span["waits_for"].as_str().is_some_and(&of));
        let mut waits: Vec<(u64, u64)> = waits
            .map(|span| (span["from"].as_u64().unwrap().max(from), span["to"].as_u64().unwrap().min(to)))
            .filter(|(from, to)| from < to)
            .collect();
        waits.sort_unstable();
        let (mut sum, mut covered) = (0, 0);
        for (from, to) in waits {
            sum += to.saturating_sub(from.max(covered));
            covered = covered.max(to);
        }
        sum
    }

    /// How many network devices udev was still naming when Open vSwitch was asked for ports.
    fn unnamed_before_ports(&self) -> usize {
        let asked = self.0.iter().find(|span| span["span"] == "ovs.apply").unwrap()["from"].as_u64();
        let later = |span: &&Value| span["span"] == "udev.await" && span["to"].as_u64() > asked;
        self.0.iter().filter(later).count()
    }

    /// A line for each phase: what it begins with, milliseconds, and those of the kernel, udev and Open vSwitch.
    fn phases(&self) -> Vec<String> {
        let mut phases: Vec<&Value> = self.0.iter().filter(|span| span["span"] == "enforce").collect();
        phases.sort_by_key(|phase| phase["from"].as_u64());
        let line = |phase: &&Value| {
            let (from, to) = (phase["from"].as_u64().unwrap(), phase["to"].as_u64().unwrap());
            let of = |whom: &str| self.waited(|other| other == whom, from, to) / 1000;
            let by = ["kernel", "udev", "ovs"].map(|whom| format!("{whom} {}", of(whom))).join(", ");
            let (first, statements) = (phase["first"].as_str().unwrap(), &phase["statements"]);
            format!("{first} and {statements} statements in all: {} ms ({by})", (to - from) / 1000)
        };
        phases.iter().map(line).collect()
    }
}

/// Pitfall 2: VFs and representors take their time each, all of them within a limit that is linear in their number.
/// Everything there is (network devices, ports, rates) is listed as often for 64 VFs as for 8.
#[test]
fn sixty_four_vfs_come_and_go_and_listings_do_not_grow_with_them() {
    let guest = Guest::new();
    let before = State::of(&guest);
    let card = Guest::pf(VFS_64);
    let (mut costs, mut looks, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for vfs in [2, 8, 64] {
        let count = vfs.to_string();
        let setup = ["setup", "--pci", &card, "--vfs", &count, "--json"];
        let done = guest.vdpa_recorded(&setup, Path::new(RECORD)).json();
        assert_eq!(done["outcome"], "done", "{done:#}");
        let cost = Cost::read();
        let (all, own) = cost.total();
        println!("{vfs} VFs: {all} ms, of which {own} ms waited for nobody");
        println!("  {}\n  {:?}", cost.phases().join("\n  "), cost.listings());
        let unnamed = cost.unnamed_before_ports();
        assert!(
            unnamed <= 8,
            "{unnamed} of {vfs} VFs came to a bridge with all its ports, which looks at each"
        );
        assert_eq!(guest.representors(&card).len(), vfs);
        let ports = guest.run("ovs-vsctl", &["list-ports", "ovs-sriov"]);
        assert_eq!(ports.lines().count(), vfs + 1, "{ports}");
        let failed = guest.run("ovs-vsctl", &["--columns=name,error", "find", "Interface", "ofport=-1"]);
        assert_eq!(failed, "");
        let again = guest.vdpa_recorded(&setup, Path::new(RECORD)).json();
        assert_eq!(again["outcome"], "unchanged", "{again:#}");
        looks.push(Cost::read().round_trips());
        if vfs > 2 {
            calls.push(Calls::of(&guest, &["status"]));
        }
        guest.vdpa_recorded(&["teardown"], Path::new(RECORD)).succeeds();
        println!("  teardown: {} ms", Cost::read().total().0);
        State::of(&guest).is(&before);
        costs.push(cost);
    }
    // Who only looks asks as often for 64 VFs as for 2, but that two who ask for the links may share a listing or not.
    println!("a look: {:?}", looks[2]);
    assert!(looks[2].values().sum::<usize>() > 5, "{:?}", looks[2]);
    for (what, times) in &looks[2] {
        let some = looks[0].get(what).copied().unwrap_or_default();
        assert!(*times <= some + 2, "{what}: {some} times for 2 VFs and {times} for 64");
    }
    the_kernel_is_asked_for_listings(&calls[0], &calls[1], 64 - 8);
    // Those who come while a listing is under way share the next one: how many that are is a matter of timing.
    let few = costs[1].listings();
    for (what, times) in costs[2].listings() {
        let some = few.get(what).copied().unwrap_or_default();
        assert!(times <= some + some / 2 + 4, "{what}: {some} times for 8 VFs and {times} for 64");
    }
    fs::remove_file(RECORD).unwrap();
}

/// By dumps, as strace sees it: as many messages with so many VFs more, and one system call for each of them, which
/// finds out its address (`virtfnN`). What comes on top of that is the answers, which are longer.
fn the_kernel_is_asked_for_listings(few: &Calls, many: &Calls, more: usize) {
    for calls in [few, many] {
        println!("status: {} system calls, of which {} read links", calls.count(), calls.links());
        println!("  {:?}", calls.messages());
    }
    assert!(few.messages().values().sum::<usize>() > 5 && few.messages()["JSON-RPC"] > 0);
    assert_eq!(few.messages(), many.messages());
    assert!(few.links() > 8 && many.links() <= few.links() + more);
    assert!(many.count() <= few.count() + 2 * more);
}
