//! What the kernel's vDPA takes of a VF: parameters of its own devlink device, and a reload.

use std::path::Path;

use super::guest::{Guest, VFS_8, netdevs};
use super::state::State;
use super::traffic::vf_address;

/// One VF of the small card, with this datapath.
fn host_file(datapath: &str) -> String {
    format!(
        "[[nic]]\npci = \"{}\"\nvfs = 1\n[[nic.vf]]\nindex = 0\ndatapath = \"{datapath}\"\n",
        Guest::pf(VFS_8)
    )
}

fn values(guest: &Guest, vf: &str) -> [bool; 2] {
    ["enable_eth", "enable_vnet"].map(|name| {
        let device = format!("pci/{vf}");
        let shown = guest.run("devlink", &["dev", "param", "show", &device, "name", name]);
        shown.contains("cmode driverinit value true")
    })
}

fn ifindex(netdev: &str) -> String {
    std::fs::read_to_string(Path::new("/sys/class/net").join(netdev).join("ifindex")).unwrap()
}

/// Pitfall 32: the VF's network device goes before its vDPA device is made, without another reload at the second `setup`,
/// and comes back where the VF is a plain one from then on, and where somebody else's VF is given back.
#[test]
fn a_vf_is_reloaded_for_the_kernels_vdpa_and_given_back() {
    let guest = Guest::new();
    let card = Guest::pf(VFS_8);
    guest.set_vfs(&card, 1);
    let (before, vf) = (State::of(&guest), vf_address(0));
    assert_eq!((values(&guest, &vf), netdevs(&vf).len()), ([true, true], 1));

    guest.write_host_file(&host_file("kernel"));
    let said = guest.vdpa(&["setup"]).succeeds();
    assert!(said.contains("enable_eth off, enable_vnet on, in force"), "{said}");
    assert_eq!((values(&guest, &vf), netdevs(&vf).len()), ([false, true], 0));
    let offered = guest.run("vdpa", &["mgmtdev", "show"]);
    assert!(offered.contains(&format!("pci/{vf}")), "{offered}");
    assert!(guest.run("vdpa", &["dev", "show"]).contains(&format!("mgmtdev pci/{vf}")));
    let representor = guest.representors(&card).pop().unwrap();
    let index = ifindex(&representor);
    let again = guest.vdpa(&["setup", "--json"]).json();
    assert_eq!(again["outcome"], "unchanged", "{again:#}");

    guest.write_host_file(&host_file("none"));
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!((values(&guest, &vf), netdevs(&vf).len()), ([true, true], 1));
    assert_eq!(ifindex(&representor), index, "the representor is another one");
    guest.write_host_file(&host_file("kernel"));
    guest.vdpa(&["setup"]).succeeds();
    assert_eq!(netdevs(&vf).len(), 0);

    guest.vdpa(&["teardown"]).succeeds();
    guest.run("udevadm", &["settle"]);
    State::of(&guest).is(&before);
    guest.set_vfs(&card, 0);
}

/// Each cause of an empty `vdpa mgmtdev show` that the lab's card can have is named, and the host is as it was.
#[test]
fn a_vf_that_cannot_be_had_for_the_kernels_vdpa_says_why() {
    let guest = Guest::new();
    let before = State::of(&guest);
    guest.write_host_file(&host_file("kernel"));
    for (knob, value, expected) in [
        ("no_vnet", "1", "its driver has no parameter enable_vnet for it"),
        ("refuse_reload", "1", "kernel: labcx: Can't reload during firmware reset (EBUSY)"),
        ("fail_reload", "12", "action driver_reinit\n  kernel: Cannot allocate memory (ENOMEM)"),
    ] {
        let turned = guest.knob(knob, value);
        let refused = guest.vdpa(&["setup"]).fails_with(1);
        drop(turned);
        assert!(refused.contains(expected) && refused.contains("the host is as it was"), "{knob}: {refused}");
        State::of(&guest).is(&before);
    }
    guest.vdpa(&["setup"]).succeeds();
    guest.vdpa(&["teardown"]).succeeds();
    State::of(&guest).is(&before);
}
