//! A libvirtd of our own, and what the tests put into it.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use vdpa_vm::{Interface, Role, Source, Virsh};

pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A libvirtd of our own, with every directory below one that goes away with it.
pub(crate) struct Libvirt {
    daemon: Child,
    pub(crate) uri: String,
    pub(crate) emulator: PathBuf,
    pub(crate) directory: tempfile::TempDir,
}

impl Libvirt {
    pub(crate) fn start() -> Self {
        let emulator = emulator();
        let directory = tempfile::Builder::new().prefix("vdpa-vm-").tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let socket = at("libvirt-sock");
        let conf = format!("unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\n", directory.path().display());
        fs::write(at("libvirtd.conf"), conf).unwrap();
        // Without virtlogd, which libvirtd would start and leave behind.
        fs::create_dir_all(at("config/libvirt")).unwrap();
        fs::write(at("config/libvirt/qemu.conf"), "stdio_handler = \"file\"\n").unwrap();
        let mut command = Command::new("/usr/sbin/libvirtd");
        command
            .args(["-f", at("libvirtd.conf").to_str().unwrap(), "-p", at("libvirtd.pid").to_str().unwrap()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("HOME", directory.path())
            .env("XDG_RUNTIME_DIR", at("run"))
            .env("XDG_CONFIG_HOME", at("config"))
            .env("XDG_CACHE_HOME", at("cache"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap());
        // As root it would be the system's libvirtd, with the system's directories.
        if fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            let (user, group) = nobody();
            for path in [directory.path().to_owned(), at("config"), at("config/libvirt")] {
                std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
            }
            command.uid(user).gid(group);
        }
        let daemon = command.spawn().expect("libvirtd starts: package libvirt-daemon");
        let uri = format!("qemu+unix:///session?socket={}", socket.display());
        let libvirt = Self { daemon, uri, emulator, directory };
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < LIMIT, "libvirtd does not listen: {}", libvirt.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        libvirt
    }

    pub(crate) fn domains(&self) -> Virsh {
        Virsh::new(&self.uri).with_limit(LIMIT)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Runs virsh past the crate, for what is the user's to do: start, stop, save.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments).expect("virsh runs: package libvirt-clients");
        assert!(output.status.success(), "virsh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_virsh(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new("timeout");
        command
            .args(["60", "virsh", "-q", "-c", &self.uri])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command.output()
    }

    /// A small guest without a disk that stops in its firmware, two vCPUs and a VNC password.
    pub(crate) fn template(&self, name: &str, more: &str) -> String {
        format!(
            "<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  {more}
  <devices>
    <emulator>{}</emulator>
    <graphics type='vnc' passwd='secret'><listen type='socket' socket='{}'/></graphics>
  </devices>
</domain>
",
            self.emulator.display(),
            // No port: several libvirts at once would each give the same one out.
            self.directory.path().join(name).with_extension("vnc").display()
        )
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // A panic on the way is reported as it is: nothing here may add another.
        let running = self.try_virsh(&["list", "--name"]).map(|output| output.stdout).unwrap_or_default();
        for domain in String::from_utf8_lossy(&running).lines().filter(|line| !line.is_empty()) {
            let _ = self.try_virsh(&["destroy", domain]);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

pub(crate) fn emulator() -> PathBuf {
    if let Some(emulator) = std::env::var_os("VDPA_TEST_EMULATOR") {
        return emulator.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|dir| dir.join("qemu-system-x86_64")).find(|file| file.is_file());
    found.expect("qemu-system-x86_64 is in PATH (package qemu-system-x86) or VDPA_TEST_EMULATOR names it")
}

/// The ids of the user nobody, from passwd(5).
pub(crate) fn nobody() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("nobody:")).expect("a user nobody");
    let fields: Vec<_> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

pub(crate) fn vf() -> vdpa_hw::Vf {
    "0000:43:00.0/vf0".parse().unwrap()
}

pub(crate) fn client(socket: &Path) -> Interface {
    let source = Source::VhostUser { socket: socket.into(), role: Role::Client { reconnect: None } };
    Interface {
        queues: 2.try_into().unwrap(),
        ..Interface::new("e4:11:22:33:55:60".parse().unwrap(), source)
    }
}

pub(crate) fn is_valid(text: &str, directory: &Path) {
    let file = directory.join("validate.xml");
    fs::write(&file, text).unwrap();
    let output = Command::new("virt-xml-validate").arg(&file).arg("domain").output();
    let output = output.expect("virt-xml-validate runs: packages libvirt-clients and libxml2-utils");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}
