//! A distribution's tree of files, in a directory that goes with the test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::command::{Said, install, run, vdpa};

/// A tree that `vdpa host` works on.
pub(crate) struct Root {
    directory: tempfile::TempDir,
}

/// What tells a host from another besides its files.
pub(crate) struct Kind {
    pub(crate) tree: &'static str,
    pub(crate) vendor: &'static str,
    pub(crate) release: &'static str,
    pub(crate) programs: &'static [&'static str],
    /// The file that the fake boot loader's program makes, or an entry, and what to know its line by.
    pub(crate) result: (&'static str, &'static str),
}

pub(crate) const DEBIAN_12: Kind = Kind {
    tree: "debian-12",
    vendor: "GenuineIntel",
    release: "6.1.0-28-amd64",
    programs: &["update-grub", "modprobe"],
    result: ("boot/grub/grub.cfg", "linux "),
};

pub(crate) const UBUNTU_24_04: Kind = Kind {
    tree: "ubuntu-24.04",
    vendor: "AuthenticAMD",
    release: "6.8.0-49-generic",
    programs: &["update-grub", "modprobe"],
    result: ("boot/grub/grub.cfg", "linux "),
};

pub(crate) const ROCKY_8: Kind = Kind {
    tree: "rocky-8",
    vendor: "GenuineIntel",
    release: "4.18.0-305.el8.x86_64",
    programs: &["grubby", "modprobe", "semodule"],
    result: ("boot/grub2/grubenv", "kernelopts="),
};

pub(crate) const ROCKY_9: Kind = Kind {
    tree: "rocky-9",
    vendor: "AuthenticAMD",
    release: "5.14.0-427.13.1.el9_4.x86_64",
    programs: &["grubby", "modprobe", "semodule"],
    result: (
        "boot/loader/entries/e06bb9928f4147ad9a094f74665290ac-5.14.0-427.13.1.el9_4.x86_64.conf",
        "options ",
    ),
};

pub(crate) const ALL: [Kind; 4] = [DEBIAN_12, UBUNTU_24_04, ROCKY_8, ROCKY_9];

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prepare")
}

impl Root {
    /// A host of this kind that was never prepared: two NUMA nodes, no huge pages, KVM loaded.
    pub(crate) fn new(kind: &Kind) -> Self {
        let root = Self { directory: tempfile::tempdir().unwrap() };
        copy(&here().join("roots").join(kind.tree), root.path());
        for program in kind.programs {
            root.program(program, &fs::read_to_string(here().join("programs").join(program)).unwrap());
        }
        let (kvm, release) =
            (if kind.vendor == "GenuineIntel" { "kvm_intel" } else { "kvm_amd" }, kind.release);
        root.write("proc/cmdline", &format!("BOOT_IMAGE=/boot/vmlinuz-{release} root=UUID=1 ro quiet\n"));
        root.write(
            "proc/cpuinfo",
            &format!("processor\t: 0\nvendor_id\t: {}\nflags\t\t: vmx pdpe1gb\n", kind.vendor),
        );
        root.write("proc/modules", &format!("{kvm} 413696 0 - Live 0x0000000000000000\n"));
        root.write("proc/sys/kernel/osrelease", &format!("{release}\n"));
        root.write("proc/sys/kernel/random/boot_id", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n");
        root.write(&format!("sys/module/{kvm}/parameters/nested"), "0\n");
        let modules = ["mlx5/core/mlx5_core", "vdpa/mlx5/mlx5_vdpa", "vhost/vhost_vdpa", "vfio/pci/vfio-pci"];
        let modules = modules.map(|module| format!("kernel/drivers/{module}.ko.xz:\n")).concat();
        root.write(&format!("lib/modules/{release}/modules.dep"), &modules);
        for node in ["node0", "node1"] {
            for size in ["2048", "1048576"] {
                for (attribute, text) in [("nr", "0\n"), ("free", "0\n"), ("surplus", "0\n")] {
                    root.write(
                        &format!("sys/devices/system/node/{node}/hugepages/hugepages-{size}kB/{attribute}_hugepages"),
                        text,
                    );
                }
            }
        }
        root
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.path().join("usr/sbin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(&script, text).unwrap();
        install(script.path(), &path);
    }

    /// `vdpa host …` on this tree.
    pub(crate) fn host(&self, arguments: &[&str]) -> Said {
        let root = self.path().to_str().unwrap();
        run(&mut vdpa(&[&["host"], arguments, &["--root", root]].concat()))
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        self.host(&[arguments, &["--json"]].concat()).document()
    }

    /// The arguments that the next boot will have, as the boot loader has them.
    pub(crate) fn next_boot(&self, kind: &Kind) -> Vec<String> {
        let text = self.read(kind.result.0);
        let line =
            text.lines().find(|line| line.starts_with(kind.result.1)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Every file with its content and mode, but the lock, which is no configuration.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, (u32, String)> {
        let mut files = BTreeMap::new();
        walk(self.path(), &mut |path| {
            let name = path.strip_prefix(self.path()).unwrap();
            if !name.starts_with("run") {
                let mode = fs::metadata(path).unwrap().permissions().mode();
                files.insert(name.to_owned(), (mode, fs::read_to_string(path).unwrap()));
            }
        });
        files
    }
}

fn walk(directory: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, visit) } else { visit(&path) }
    }
}

fn copy(from: &Path, to: &Path) {
    walk(from, &mut |path| {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    });
}
