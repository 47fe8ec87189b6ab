//! The contract on a real libvirt: a private libvirtd with its QEMU driver, as an ordinary user.
//!
//! Packages: libvirt-daemon, libvirt-clients, libxml2-utils, qemu-system-x86. No KVM is needed: guests
//! run under TCG, without a disk. `VDPA_TEST_EMULATOR` names another QEMU than the one in `PATH`.

use std::fs;
use std::io::ErrorKind;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use vdpa_vm::{
    DomainName, Domains, Error, Holder, Interface, Resource, Role, Source, View, Virsh, contract, enforce,
    holders, xml,
};

const LIMIT: Duration = Duration::from_mins(1);

/// A libvirtd of our own, with every directory below one that goes away with it.
struct Libvirt {
    daemon: Child,
    uri: String,
    emulator: PathBuf,
    directory: tempfile::TempDir,
}

impl Libvirt {
    fn start() -> Self {
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

    fn domains(&self) -> Virsh {
        Virsh::new(&self.uri).with_limit(LIMIT)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Runs virsh past the crate, for what is the user's to do: start, stop, save.
    fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments).expect("virsh runs: package libvirt-clients");
        assert!(output.status.success(), "virsh {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn try_virsh(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new("timeout");
        command
            .args(["60", "virsh", "-q", "-c", &self.uri])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command.output()
    }

    /// A small guest without a disk that stops in its firmware, two vCPUs and a VNC password.
    fn template(&self, name: &str, more: &str) -> String {
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
    <graphics type='vnc' passwd='secret'/>
  </devices>
</domain>
",
            self.emulator.display()
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

fn emulator() -> PathBuf {
    if let Some(emulator) = std::env::var_os("VDPA_TEST_EMULATOR") {
        return emulator.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|dir| dir.join("qemu-system-x86_64")).find(|file| file.is_file());
    found.expect("qemu-system-x86_64 is in PATH (package qemu-system-x86) or VDPA_TEST_EMULATOR names it")
}

/// The ids of the user nobody, from passwd(5).
fn nobody() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("nobody:")).expect("a user nobody");
    let fields: Vec<_> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

fn vf() -> vdpa_hw::Vf {
    "0000:43:00.0/vf0".parse().unwrap()
}

fn client(socket: &Path) -> Interface {
    let source = Source::VhostUser { socket: socket.into(), role: Role::Client { reconnect: None } };
    Interface {
        queues: 2.try_into().unwrap(),
        ..Interface::new("e4:11:22:33:55:60".parse().unwrap(), source)
    }
}

fn is_valid(text: &str, directory: &Path) {
    let file = directory.join("validate.xml");
    fs::write(&file, text).unwrap();
    let output = Command::new("virt-xml-validate").arg(&file).arg("domain").output();
    let output = output.expect("virt-xml-validate runs: packages libvirt-clients and libxml2-utils");
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn libvirt_keeps_the_contract() {
    let libvirt = Libvirt::start();
    contract::all(&libvirt.domains(), &libvirt.template("template", "")).await;
}

#[tokio::test]
async fn a_running_domain_goes_on_as_it_is() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    domains.define(&libvirt.template("running", "")).await.unwrap();
    libvirt.virsh(&["start", "running"]);
    let name: DomainName = "running".parse().unwrap();
    contract::a_running_domain_goes_on_as_it_is(&domains, &name).await;
    // It has the id 1: virsh would take the name 1 for it.
    contract::a_name_that_looks_like_an_id_is_a_name(&domains, &libvirt.template("template", "")).await;
    libvirt.virsh(&["managedsave", "running"]);
    assert!(domains.status(&name).await.unwrap().managed_save);
}

#[tokio::test]
async fn a_transient_domain_is_left_alone() {
    let libvirt = Libvirt::start();
    let file = libvirt.directory.path().join("transient.xml");
    fs::write(&file, libvirt.template("transient", "")).unwrap();
    libvirt.virsh(&["create", file.to_str().unwrap()]);
    contract::a_transient_domain_is_left_alone(&libvirt.domains(), &"transient".parse().unwrap()).await;
}

/// `virsh dumpxml` leaves passwords out unless it is asked for them; defining that would lose them.
#[tokio::test]
async fn secrets_survive_an_edit() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let name: DomainName = "secret".parse().unwrap();
    domains.define(&libvirt.template("secret", "")).await.unwrap();
    enforce(&domains, &name, vf(), Some(&client(Path::new("/run/a.sock")))).await.unwrap();
    assert!(domains.xml(&name, View::Definition).await.unwrap().contains("passwd='secret'"));
}

/// A guest on our socket: QEMU got the interface as it was asked for and each memory backend shared, it
/// speaks vhost-user, runs, and then holds the socket.
#[tokio::test]
async fn a_guest_runs_on_the_socket_with_its_memory_shared() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let two_cells = "<cpu><numa><cell id='0' cpus='0' memory='32' unit='MiB'/>\
                     <cell id='1' cpus='1' memory='32' unit='MiB'/></numa></cpu>";
    for (name, more, backends) in [("plain", "", 1), ("cells", two_cells, 2)] {
        let socket = libvirt.directory.path().join(format!("{name}.sock"));
        let interface = Interface {
            source: Source::VhostUser { socket: socket.clone(), role: Role::Server },
            rx_ring: Some(1024),
            tx_ring: Some(512),
            page_per_vq: true,
            ..client(&socket)
        };
        let domain: DomainName = name.parse().unwrap();
        domains.define(&libvirt.template(name, more)).await.unwrap();
        enforce(&domains, &domain, vf(), Some(&interface)).await.unwrap();
        let resource = Resource::Socket(socket.clone());
        let holder = |active| Holder { domain: domain.clone(), resource: resource.clone(), active };
        assert_eq!(holders(&domains, std::slice::from_ref(&resource)).await.unwrap(), [holder(false)]);

        // QEMU listens and waits; `virsh start` returns when a datapath has connected and answered.
        let datapath = std::thread::spawn(move || serve(connect(&socket)));
        libvirt.virsh(&["start", name]);
        assert_eq!(holders(&domains, std::slice::from_ref(&resource)).await.unwrap(), [holder(true)]);
        let argv = arguments_of_guest(name, libvirt.directory.path());
        assert_eq!(argv.matches(r#""share":true"#).count(), backends, "{name}: {argv}");
        assert_eq!(argv.matches(r#""qom-type":"memory-backend-memfd""#).count(), backends, "{name}: {argv}");
        for part in [
            r#""type":"vhost-user""#,
            r#""queues":2"#,
            r#""mq":true"#,
            r#""vectors":6"#,
            r#""page-per-vq":true"#,
            r#""rx_queue_size":1024"#,
            r#""tx_queue_size":512"#,
            r#""mac":"e4:11:22:33:55:60""#,
        ] {
            assert!(argv.contains(part), "{name}: no {part} in {argv}");
        }
        libvirt.virsh(&["destroy", name]);
        let asked = datapath.join().unwrap();
        assert!(
            asked.contains(&message::GET_FEATURES) && asked.contains(&message::GET_QUEUE_NUM),
            "{asked:?}"
        );
    }
}

/// Connects to a socket as soon as somebody listens there.
fn connect(socket: &Path) -> UnixStream {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => {
                assert!(started.elapsed() < LIMIT, "nobody listens on {}: {error}", socket.display());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// vhost-user's requests that want an answer (QEMU's `docs/interop/vhost-user.rst`).
mod message {
    pub(crate) const GET_FEATURES: u32 = 1;
    pub(crate) const GET_PROTOCOL_FEATURES: u32 = 15;
    pub(crate) const GET_QUEUE_NUM: u32 = 17;
}

/// The least of a datapath: answers what QEMU asks until it goes away. Returns the requests it saw.
fn serve(mut stream: UnixStream) -> Vec<u32> {
    // VHOST_USER_F_PROTOCOL_FEATURES, VIRTIO_F_VERSION_1, VIRTIO_NET_F_MQ; VHOST_USER_PROTOCOL_F_MQ.
    let (features, protocol_features, queues) = (1u64 << 30 | 1 << 32 | 1 << 22, 1u64, 2u64);
    let mut asked = Vec::new();
    let mut header = [0; 12];
    while stream.read_exact(&mut header).is_ok() {
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (request, size) = (word(0), word(8));
        asked.push(request);
        let mut payload = vec![0; size as usize];
        stream.read_exact(&mut payload).unwrap();
        let answer = match request {
            message::GET_FEATURES => features,
            message::GET_PROTOCOL_FEATURES => protocol_features,
            message::GET_QUEUE_NUM => queues,
            _ => continue,
        };
        // Flags: version 1, and bit 2 for an answer.
        let reply = [request.to_ne_bytes(), 5u32.to_ne_bytes(), 8u32.to_ne_bytes()].concat();
        stream.write_all(&[&reply[..], &answer.to_ne_bytes()].concat()).unwrap();
    }
    asked
}

/// The command line of the QEMU that runs a guest below `directory`.
fn arguments_of_guest(name: &str, directory: &Path) -> String {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let guest = format!("guest={name},");
    processes
        .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
        .find(|arguments| arguments.contains(&guest) && arguments.contains(directory.to_str().unwrap()))
        .unwrap_or_else(|| panic!("no QEMU runs {name}"))
}

#[test]
fn every_edited_document_is_valid_by_libvirts_schema() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = Source::Vdpa { device: "/dev/vhost-vdpa-0".into() };
    let full = Interface {
        rx_ring: Some(256),
        tx_ring: Some(1024),
        page_per_vq: true,
        ..client(Path::new("/run/vdpa/a & 'b'.sock"))
    };
    let source = |role| Source::VhostUser { socket: "/run/vdpa/vf0.sock".into(), role };
    let interfaces = [
        full.clone(),
        client(Path::new("/run/vdpa/vf0.sock")),
        Interface { source: kernel, ..full.clone() },
        Interface { source: source(Role::Client { reconnect: Some(5) }), ..full.clone() },
        Interface { source: source(Role::Server), ..full },
    ];
    let bare = "<domain type='kvm'><name>a</name><memory>1</memory><os><type>hvm</type></os></domain>";
    for document in
        [include_str!("../fixtures/cx6.1.xml"), include_str!("../fixtures/cx6.1-running.xml"), bare]
    {
        is_valid(document, directory.path());
        for interface in &interfaces {
            // The bare one has one vCPU, which is a warning and no more.
            let wired = xml::attach(document, vf(), interface).unwrap();
            is_valid(&wired, directory.path());
            assert_eq!(xml::detach(&wired, vf()).unwrap(), document);
        }
    }
}

#[tokio::test]
async fn no_libvirt_is_told_apart() {
    let error = Virsh::new("qemu+unix:///session?socket=/nowhere/libvirt-sock").list().await.unwrap_err();
    let Error::NoLibvirt { why, .. } = &error else { panic!("{error:?}") };
    assert!(why.contains("/nowhere/libvirt-sock"), "{why}");
    let missing = Virsh::new("test:///default").with_program("/nowhere/virsh").list().await.unwrap_err();
    assert!(matches!(missing, Error::NoLibvirt { .. }), "{missing:?}");
    assert_eq!(fs::metadata("/nowhere").unwrap_err().kind(), ErrorKind::NotFound);
}
