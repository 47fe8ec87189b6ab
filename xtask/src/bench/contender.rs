//! Who takes part, and what they all have to reach.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::lab::{CARDS, Card};

/// A way to the end state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// `vdpa setup` with a host file.
    Ours,
    /// The shortest sequence of commands, with `udevadm settle`, without a restart of Open vSwitch.
    Floor,
    /// The same, waiting for nothing but the names that it needs.
    FloorWithoutSettle,
    /// The shortest sequence that restarts Open vSwitch once, as its manual has it for hw-offload.
    FloorWithRestart,
    /// The reference document's script.
    Reference,
}

impl Contender {
    const ALL: [Self; 5] =
        [Self::Ours, Self::Floor, Self::FloorWithoutSettle, Self::FloorWithRestart, Self::Reference];

    /// Those of a round, each round beginning with another. The scripts that restart Open vSwitch take minutes where there
    /// are many VFs.
    pub(crate) fn in_round(round: u32, reference_rounds: u32, target: Target) -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        let many = target.vfs > CARDS[0].vfs;
        all.retain(|contender| match contender {
            Self::Reference => !many && (1..=reference_rounds).contains(&round),
            Self::FloorWithRestart => !many,
            _ => true,
        });
        let first = usize::try_from(round).unwrap_or(0) % all.len();
        all.rotate_left(first);
        all
    }

    /// Its command in the guest, where the scripts and host files are in `directory`.
    pub(crate) fn argv(self, directory: &str, program: &str, target: Target) -> Vec<String> {
        let script = |name: &str| vec!["bash".to_owned(), format!("{directory}/{name}.sh")];
        match self {
            Self::Ours => {
                let file = format!("{directory}/{}", target.host_file_name());
                vec![program.to_owned(), "setup".to_owned(), "--config".to_owned(), file]
            }
            Self::Floor | Self::FloorWithRestart => script("floor"),
            Self::FloorWithoutSettle => script("floor-without-settle"),
            Self::Reference => script("reference"),
        }
    }

    /// What its script reads from the environment, beyond what the target says.
    pub(crate) fn env(self) -> Vec<(String, String)> {
        let (restart, nowait) = if self == Self::FloorWithRestart { ("1", "--no-wait") } else { ("0", "") };
        vec![("RESTART".to_owned(), restart.to_owned()), ("NOWAIT".to_owned(), nowait.to_owned())]
    }

    /// Whether it is one of the shortest sequences, which are to be beaten.
    pub(crate) fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorWithoutSettle)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "vdpa setup",
            Self::Floor => "floor.sh",
            Self::FloorWithoutSettle => "floor-without-settle.sh",
            Self::FloorWithRestart => "floor.sh RESTART=1",
            Self::Reference => "reference.sh",
        })
    }
}

impl Serialize for Contender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The end state: the pretend card with so many VFs, in switchdev mode, its ports on a bridge that offloads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// How many VFs.
    pub(crate) vfs: u16,
}

/// The most VFs that a card of the lab can have.
pub(crate) const MOST_VFS: u16 = CARDS[1].vfs;

impl Target {
    /// The first card that can have so many.
    fn card(self) -> Card {
        if self.vfs <= CARDS[0].vfs { CARDS[0] } else { CARDS[1] }
    }

    /// What udev and we begin its names with: `p1s0`.
    fn place(self) -> &'static str {
        if self.vfs <= CARDS[0].vfs { "p1s0" } else { "p2s0" }
    }

    fn pf(self) -> String {
        format!("en{}np0", self.place())
    }

    /// Where a VF sits. Those of the small card begin at routing id 0x180 and are two apart; those of the other follow
    /// their PF.
    fn address(self, index: u16) -> String {
        let (routing_id, function) = if self.vfs <= CARDS[0].vfs {
            (0x180 + 2 * index, 2 * (index % 4))
        } else {
            (0x201 + index, (index + 1) % 8)
        };
        format!("0000:{:02x}:{:02x}.{function}", routing_id >> 8, routing_id >> 3 & 0x1f)
    }

    fn each(self, name: impl Fn(u16) -> String) -> Vec<String> {
        (0..self.vfs).map(name).collect()
    }

    fn mac(index: u16) -> String {
        format!("e4:11:22:33:55:{:02x}", 0x60 + index)
    }

    /// Names that udev gives the representors of the lab's card: by itself, and with the rules that `vdpa setup` writes.
    fn representors(self, contender: Contender) -> Vec<String> {
        self.each(|index| match contender {
            Contender::Ours => format!("{}f0v{index}", self.place()),
            _ => format!("en{}npf0vf{index}", self.place()),
        })
    }

    fn netdevs(self) -> Vec<String> {
        self.each(|index| format!("en{}v{index}", self.place()))
    }

    /// What the scripts read from the environment.
    pub(crate) fn env(self) -> Vec<(String, String)> {
        let words = [
            ("PCINUM", self.card().pci.to_owned()),
            ("IFNAME", self.pf()),
            ("N", self.vfs.to_string()),
            ("REPS", self.representors(Contender::Reference).join(" ")),
            ("VFS", self.netdevs().join(" ")),
            ("VFA", self.each(|index| self.address(index)).join(" ")),
        ];
        words.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The name of our host file for it.
    pub(crate) fn host_file_name(self) -> String {
        format!("host-{}.toml", self.vfs)
    }

    /// Our host file for it.
    pub(crate) fn host_file(self) -> String {
        let vf = |index| format!("\n[[nic.vf]]\nindex = {index}\nmac = \"{}\"\n", Self::mac(index));
        let vfs = self.each(vf).concat();
        format!(
            "[bridge]\nname = \"ovs-sriov\"\n\n[[nic]]\npci = \"{}\"\nvfs = {}\n{vfs}",
            self.card().pci,
            self.vfs
        )
    }

    /// The name of a VF's netdev, if it has the VF's MAC.
    fn netdev(state: &str, index: u16) -> Option<String> {
        let named = format!("netdev of {index} ");
        let (name, mac) = state.lines().find_map(|line| line.strip_prefix(&named))?.split_once(' ')?;
        (mac == Self::mac(index)).then(|| name.to_owned())
    }

    /// Which facts of the end state the state lacks that a contender has brought about. More than these may differ: only
    /// ours turns hw-tc-offload of the uplink on.
    pub(crate) fn missing(self, contender: Contender, state: &str) -> Vec<String> {
        let (pf, representors) = (self.pf(), self.representors(contender));
        let mut wanted = vec![
            "eswitch mode switchdev".to_owned(),
            format!("numvfs {}", self.vfs),
            r#"hw-offload="true""#.to_owned(),
            format!("bridge ovs-sriov: {pf} {} ", sorted(&representors)),
        ];
        wanted.extend(self.each(|index| format!("vf {index} mac {}", Self::mac(index))));
        wanted.extend(self.each(|index| format!("driver of {index} mlx5_core")));
        // udev calls a VF's netdev now this, now that (and by the other name too): the state says how.
        let of_vfs =
            self.each(|index| Self::netdev(state, index).unwrap_or_else(|| format!("of VF {index}")));
        let links = representors.into_iter().chain(of_vfs).chain([pf]);
        wanted.extend(links.map(|link| format!("link {link} 1 ")));
        wanted.retain(|fact| !state.contains(fact.as_str()));
        wanted
    }
}

/// As sort(1) puts them with `LC_ALL=C`.
fn sorted(names: &[String]) -> String {
    let mut names = names.to_vec();
    names.sort();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_card() {
        let env = Target { vfs: 6 }.env();
        let (_, addresses) = env.iter().find(|(name, _)| name == "VFA").unwrap();
        assert_eq!(
            addresses,
            "0000:01:10.0 0000:01:10.2 0000:01:10.4 0000:01:10.6 0000:01:11.0 0000:01:11.2"
        );
        let many = Target { vfs: 64 };
        assert_eq!(
            [0, 6, 7, 63].map(|index| many.address(index)),
            ["0000:02:00.1", "0000:02:00.7", "0000:02:01.0", "0000:02:08.0"]
        );
    }

    #[test]
    fn every_round_has_every_floor_and_begins_with_another() {
        let [first, second] = [1, 2].map(|round| Contender::in_round(round, 1, Target { vfs: 2 }));
        assert_eq!((first.len(), second.len()), (5, 4));
        assert_ne!(first[0], second[0]);
        assert!(!second.contains(&Contender::Reference));
    }

    #[test]
    fn a_fact_that_is_not_there_is_named() {
        let missing = Target { vfs: 2 }.missing(Contender::Ours, "eswitch mode legacy\nnumvfs 2\n");
        assert_eq!(missing[0], "eswitch mode switchdev");
        assert!(!missing.iter().any(|fact| fact == "numvfs 2"));
        let netdevs = "netdev of 0 ens17f128 e4:11:22:33:55:60\nlink ens17f128 1 \nnetdev of 1 enp1s0v1 00:00:00:00:00:00\nlink enp1s0v1 1 \n";
        let missing = Target { vfs: 2 }.missing(Contender::Ours, netdevs);
        assert!(!missing.iter().any(|fact| fact.contains("ens17f128")), "{missing:?}");
        assert!(missing.iter().any(|fact| fact == "link of VF 1 1 "), "{missing:?}");
    }
}
