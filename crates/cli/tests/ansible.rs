//! The Ansible role of docs/ansible, played by ansible-playbook on this machine for a simulated host.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::command::{Said, run};

/// A playbook, a directory for a host, and a program that is `vdpa` on that host.
struct Play {
    directory: tempfile::TempDir,
}

impl Play {
    fn new() -> Self {
        let play = Self { directory: tempfile::tempdir().unwrap() };
        // A program that is to be run is written by a child: see `install` in common/command.rs.
        let script = format!(
            "printf '#!/bin/sh\\nexec %s \"$@\" --simulate=%s\\n' '{}' '{}' >vdpa-here && chmod 755 vdpa-here",
            env!("CARGO_BIN_EXE_vdpa"),
            play.path("simulated").display()
        );
        let said = run(Command::new("sh").args(["-c", &script]).current_dir(play.directory.path()));
        assert_eq!(said.code, Some(0), "{said}");
        play.host_has("{ index: 0, datapath: dpdk, queues: 2, vm: cx6.1 }");
        play
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the playbook: a host with one card of two VFs, the first one as said.
    fn host_has(&self, vf: &str) {
        let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ansible").canonicalize().unwrap();
        let text = format!(
            r#"
- hosts: all
  gather_facts: false
  roles:
    - role: {role}
      vdpa_program: {program}
      vdpa_host_file: {file}
      vdpa_host:
        bridge: {{ name: ovs-sriov }}
        nic:
          - pci: "0000:43:00.0"
            vfs: 2
            vf:
              - {vf}
"#,
            role = role.display(),
            program = self.path("vdpa-here").display(),
            file = self.path("host.toml").display(),
        );
        std::fs::write(self.path("site.yml"), text).unwrap();
    }

    fn play(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new("ansible-playbook");
        command.args(["--inventory", "localhost,", "--connection", "local"]).args(arguments);
        command.arg(self.path("site.yml"));
        for name in ["HOME", "ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP"] {
            command.env(name, self.path("ansible"));
        }
        // It wants a locale of UTF-8.
        command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_NOCOWS", "1");
        run(&mut command)
    }

    fn vdpa(&self, arguments: &[&str]) -> Said {
        run(Command::new(self.path("vdpa-here")).args(arguments))
    }
}

/// Whether the play went well and changed so many things.
fn changed(said: &Said, many: u32) {
    assert_eq!(said.code, Some(0), "{said}");
    let recap = said.out.lines().find(|line| line.starts_with("localhost") && line.contains("changed="));
    assert!(recap.is_some_and(|line| line.contains(&format!("changed={many} "))), "{said}");
}

#[test]
fn the_role_sets_a_host_up_once_and_a_second_play_changes_nothing() {
    let play = Play::new();
    assert_eq!(play.play(&["--syntax-check"]).code, Some(0));
    // Check mode before there is a host file: it shows the file.
    let shown = play.play(&["--check", "--diff"]);
    assert!(shown.out.contains("+vfs = 2"), "{shown}");
    changed(&shown, 2);
    assert!(!play.path("host.toml").exists(), "check mode has written the file");
    let file = play.path("host.toml");
    let config = ["--config", file.to_str().unwrap()];

    // The plan that is not empty, the file, the setup, the units.
    changed(&play.play(&[]), 4);
    let status = play.vdpa(&[&["status"], &config[..]].concat());
    assert_eq!(status.code, Some(0), "{status}");
    assert!(status.out.contains("cx6.1"), "{status}");
    changed(&play.play(&[]), 0);

    // Another host file is followed; in check mode it is shown and nothing is done.
    play.host_has("{ index: 0, datapath: kernel }");
    let shown = play.play(&["--check", "--diff"]);
    assert!(shown.out.contains("+datapath = \"kernel\""), "{shown}");
    changed(&shown, 2);
    assert_eq!(
        play.vdpa(&[&["status"], &config[..]].concat()).code,
        Some(0),
        "check mode has changed the host"
    );
    changed(&play.play(&[]), 3);
}

#[test]
fn a_host_file_with_a_mistake_never_takes_the_place_of_a_good_one() {
    let play = Play::new();
    changed(&play.play(&[]), 4);
    let good = std::fs::read_to_string(play.path("host.toml")).unwrap();
    play.host_has("{ index: 0, datapath: tcp }");
    let refused = play.play(&[]);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert_eq!(std::fs::read_to_string(play.path("host.toml")).unwrap(), good);
}
