//! Firmware settings: the stand-in for mstconfig keeps them, and the pretend card has as many VFs as they say from its next
//! probe on.

use std::fs;

use super::guest::{Guest, VFS_8};

/// The lab's card as its firmware is at first: it allows eight VFs, and afterwards again.
struct Firmware<'a> {
    guest: &'a Guest,
    pf: String,
}

impl<'a> Firmware<'a> {
    fn of(guest: &'a Guest) -> Self {
        let firmware = Self { guest, pf: Guest::pf(VFS_8) };
        assert_eq!(firmware.allowed(), "8");
        firmware
    }

    /// What somebody does who has been told to.
    fn reset_card(&self) {
        self.guest.run("mstfwreset", &["-d", &self.pf, "-l", "3", "-y", "reset"]);
        self.guest.run("udevadm", &["settle"]);
    }

    /// What somebody else sets, and has put into force.
    fn is_made_to_allow(&self, vfs: u16) {
        self.guest.run("mstconfig", &["-d", &self.pf, "-y", "set", &format!("NUM_OF_VFS={vfs}")]);
        self.reset_card();
    }

    fn allowed(&self) -> String {
        let path = format!("/sys/bus/pci/devices/{}/sriov_totalvfs", self.pf);
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// Its current and next values, as the product tells them.
    fn values(&self) -> [String; 2] {
        let shown = self.guest.vdpa(&["firmware", "show", "--pci", &self.pf, "NUM_OF_VFS", "--json"]).json();
        let setting = &shown["cards"][0]["settings"][0];
        assert_eq!(setting["keeper"], "mstconfig", "{shown:#}");
        ["current", "next"].map(|moment| setting[moment].as_str().unwrap().to_owned())
    }
}

#[test]
fn firmware_settings_are_shown_set_and_reset_by_the_cards_tool() {
    let guest = Guest::new();
    let card = Firmware::of(&guest);
    let all = guest.vdpa(&["firmware", "show"]).succeeds();
    assert!(all.contains("firmware settings of 0000:01:00.0 (enp1s0np0), by mstconfig"), "{all}");
    assert!(all.contains("MEMIC_BAR_SIZE") && all.contains("firmware settings of 0000:02:00.0"), "{all}");

    let set = guest.vdpa(&["firmware", "set", "--pci", &card.pf, "NUM_OF_VFS=4"]).succeeds();
    assert!(set.contains("NUM_OF_VFS: 8 → 4 from the next boot on"), "{set}");
    let reset = format!("mstfwreset -d {} -l 3 -y reset", card.pf);
    assert!(set.contains(&format!("(level 3: Driver restart and PCI reset): `{reset}`")), "{set}");
    assert_eq!((card.values(), card.allowed()), (["8".to_owned(), "4".to_owned()], "8".to_owned()));
    let own = guest.run("mstconfig", &["-d", &card.pf, "-e", "q", "NUM_OF_VFS"]);
    let own =
        own.lines().find(|line| line.contains("NUM_OF_VFS")).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(own, ["*", "NUM_OF_VFS", "0", "8", "4"]);

    // Pitfall 26: only a reset puts it into force.
    card.reset_card();
    assert_eq!((card.values(), card.allowed()), (["4".to_owned(), "4".to_owned()], "4".to_owned()));
    let refused = guest.vdpa(&["setup", "--pci", &card.pf, "--vfs", "5"]).fails_with(2);
    assert!(refused.contains("its firmware allows 4") && refused.contains("NUM_OF_VFS = 16"), "{refused}");

    guest.vdpa(&["firmware", "reset", "--pci", &card.pf, "NUM_OF_VFS"]).succeeds();
    assert_eq!(card.values(), ["4", "0"]);
    let unknown = guest.vdpa(&["firmware", "set", "--pci", &card.pf, "NUM_OF_VFZ=4"]).fails_with(2);
    assert!(unknown.contains("the firmware of 0000:01:00.0 has no setting NUM_OF_VFZ"), "{unknown}");
    card.is_made_to_allow(8);
}

#[test]
fn vfs_that_the_firmware_does_not_allow_come_after_setup_firmware_and_a_reset() {
    let guest = Guest::new();
    let card = Firmware::of(&guest);
    card.is_made_to_allow(4);
    guest.write_host_file(&format!(
        "[[nic]]\npci = \"{}\"\nvfs = 6\nfirmware = {{ NUM_OF_VFS = 8, UCTX_EN = true }}\n",
        card.pf
    ));

    let refused = guest.vdpa(&["setup"]).fails_with(1);
    assert!(refused.contains("NUM_OF_VFS of 0000:01:00.0 at the next boot: 4, and is to be 8"), "{refused}");
    assert_eq!(card.values(), ["4", "4"]);

    let written = guest.vdpa(&["setup", "--firmware"]).fails_with(10);
    println!("{written}");
    assert!(written.contains("0000:01:00.0 needs a firmware reset (level 3"), "{written}");
    assert_eq!(card.values(), ["4", "8"]);
    // Nothing else was done, and nothing else is before the reset.
    assert!(guest.vdpa(&["setup"]).fails_with(10).contains("is 4 now and 8 from the next boot on"));
    assert_eq!(guest.representors(&card.pf), Vec::<String>::new());

    card.reset_card();
    assert_eq!(card.allowed(), "8");
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!(guest.representors(&card.pf).len(), 6);
    let status = guest.vdpa(&["status", "--json"]).json();
    assert_eq!(status["outcome"], "holds", "{status:#}");

    // What firmware was before is brought back, and said to count later.
    let down = guest.vdpa(&["teardown"]).succeeds();
    assert!(down.contains("needs a firmware reset"), "{down}");
    assert_eq!(card.values(), ["8", "4"]);
    card.is_made_to_allow(8);
}
