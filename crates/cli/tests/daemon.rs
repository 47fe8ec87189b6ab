//! The command on the running kernel, in namespaces of its own: a full disk, a /run that cannot be written, and users
//! who may only look. Needs root, or a user who may make user namespaces.

mod common;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::command::{Said, install, run};

/// A directory that anybody may enter, with the program in it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("vdpa-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        install(env!("CARGO_BIN_EXE_vdpa").as_ref(), &directory.path().join("vdpa"));
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn program(&self) -> PathBuf {
        self.path().join("vdpa")
    }

    /// Runs the program in a mount namespace of its own, after a shell has done `before` there.
    fn isolated(&self, before: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-ec"]).arg(format!("{before}; exec \"$@\"")).arg("sh");
        run(command.arg(self.program()).args(arguments))
    }

    /// Runs the program as somebody who may do nothing.
    fn as_nobody(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(self.program());
        command.args(arguments).env_remove("XDG_STATE_HOME").env("HOME", "/nonexistent");
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        run(&mut command)
    }

    /// Runs the program as root without a capability.
    fn without(&self, capability: &str, arguments: &[&str]) -> Said {
        let mut command = Command::new("setpriv");
        if !rustix::process::geteuid().is_root() {
            command = Command::new("unshare");
            command.args(["--map-root-user", "setpriv"]);
        }
        command.arg(format!("--bounding-set=-{capability}")).arg(format!("--inh-caps=-{capability}"));
        run(command.arg(self.program()).args(arguments))
    }
}

#[test]
fn a_full_disk_stops_setup_before_anything_is_changed() {
    let place = Place::new();
    let mount = place.path().join("small");
    std::fs::create_dir(&mount).unwrap();
    // One page, which the lock takes.
    let before = format!("mount -t tmpfs -o size=4k tmpfs '{}'", mount.display());
    let said = place.isolated(&before, &["setup", &format!("--simulate={}", mount.display())]).exits(1);
    said.is_an_error("cannot write the receipt", "look for a full disk");
    assert!(said.err.contains("No space left on device"), "{said}");
    assert!(!said.err.contains("rolled back"), "something was changed: {said}");
}

#[test]
fn a_run_that_cannot_be_written_stops_setup_and_teardown_before_they_look() {
    let place = Place::new();
    for arguments in [&["setup", "--pci", "0000:43:00.0", "--vfs", "2"][..], &["teardown"]] {
        let said = place.isolated("mount -t tmpfs -o ro tmpfs /run", arguments).exits(1);
        said.is_an_error("cannot use /run/vdpa/lock", "df -h /run");
        assert!(said.err.contains("Read-only file system"), "{said}");
    }
}

#[test]
fn what_a_command_needs_is_asked_before_it_begins() {
    let place = Place::new();
    for (command, arguments) in
        [("setup", &["setup", "--pci", "0000:43:00.0", "--vfs", "2"][..]), ("teardown", &["teardown"])]
    {
        for said in [place.as_nobody(arguments), place.without("net_admin", arguments)] {
            let said = said.exits(1);
            said.is_an_error(
                &format!("`vdpa {command}` needs CAP_NET_ADMIN"),
                &format!("sudo vdpa {command}"),
            );
        }
    }
    let verify = ["verify", "--from", "vm0", "--to", "10.0.0.2"];
    for said in [place.as_nobody(&verify), place.without("sys_admin", &verify)] {
        said.exits(1).is_an_error("`vdpa verify` needs CAP_SYS_ADMIN", "sudo vdpa verify");
    }
    let bench = ["bench", "--from", "vm0", "--to", "10.0.0.2"];
    for said in [place.as_nobody(&bench), place.without("sys_admin", &bench)] {
        said.exits(1).is_an_error("`vdpa bench` needs CAP_SYS_ADMIN", "sudo vdpa bench");
    }
}

#[test]
fn who_may_do_nothing_may_look() {
    let place = Place::new();
    // What there is to see differs from machine to machine; that nobody is sent away for want of privilege does not.
    for arguments in [
        &["doctor", "--json"][..],
        &["host", "prepare", "--json"],
        &["topology", "--json"],
        &["firmware", "show", "--json"],
    ] {
        let said = place.as_nobody(arguments);
        let document = said.document();
        assert!(document["exit_code"].is_number(), "{said}");
        assert!(!said.out.contains("run as root: `sudo vdpa setup`"), "{said}");
        assert!(!said.out.contains("CAP_"), "{said}");
    }
    // The kernel tells everybody; one without vDPA tells nobody.
    for arguments in [["mgmtdev", "show"], ["dev", "show"]] {
        let (nobody, root) =
            (place.as_nobody(&arguments), run(Command::new(place.program()).args(arguments)));
        assert_eq!((nobody.code, nobody.out, nobody.err), (root.code, root.out, root.err));
    }
    // Without a receipt there is nothing to have a status.
    let said = place.as_nobody(&["status", "--pci", "ffff:ff:1f.7", "--vfs", "1"]).exits(2);
    said.is_an_error("ffff:ff:1f.7", "lspci");
    let said =
        place.as_nobody(&["plan", "--pci", "ffff:ff:1f.7", "--vfs", "1", "--ovsdb", "/nonexistent"]).exits(2);
    said.is_an_error("ffff:ff:1f.7", "lspci");
}
