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
    Blueprint, Disk, DomainName, Domains, Effect, Endpoint, Error, Finding, Holder, Interface, Network, Pin,
    Placement, Resource, Role, Source, Surroundings, View, Virsh, contract, enforce, enforce_as, holders,
    seed, xml,
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

/// Whatever else comes with an interface: words for an old libvirt, a limit, pins, pages, an address, shared cells.
#[test]
fn every_placement_is_valid_by_libvirts_schema() {
    let directory = tempfile::tempdir().unwrap();
    let pins = [(0, 0), (1, 1)].map(|(vcpu, cpu)| Pin { vcpu, cpu }).to_vec();
    let cells = "<cpu><numa><cell id='0' cpus='0' memory='4' unit='GiB'/><cell id='1' cpus='1' memory='4' unit='GiB'/></numa></cpu>";
    let fixture =
        include_str!("../fixtures/cx6.1.xml").replace("<cpu mode='host-model' check='partial'/>", cells);
    let bare = "<domain type='kvm'><name>a</name><memory unit='GiB'>8</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";
    let free = fixture.lines().filter(|line| !line.contains("vcpupin")).collect::<Vec<_>>().join("\n");
    let kernel = |n: u8| Interface {
        source: Source::Vdpa { device: format!("/dev/vhost-vdpa-{n}").into() },
        mac: vdpa_hw::MacAddress::new([0xe4, 0x11, 0x22, 0x33, 0x55, n]),
        page_per_vq: true,
        ..client(Path::new("/x"))
    };
    for document in [free.as_str(), fixture.as_str(), bare] {
        for libvirt in ["7.1.0", "8.0.0", "9.0.0"] {
            let address = Some("0000:00:1e.0".parse().unwrap());
            let pins = if document == fixture { Vec::new() } else { pins.clone() };
            let place = Placement {
                libvirt: Some(libvirt.parse().unwrap()),
                address,
                pins,
                huge_pages: Some("1G".parse().unwrap()),
            };
            let user = Interface { page_per_vq: true, ..client(Path::new("/run/vdpa/vf0.sock")) };
            let one = xml::attach_as(document, vf(), &user, &place).unwrap();
            is_valid(&one, directory.path());
            assert_eq!(xml::detach(&one, vf()).unwrap(), document);
            let anywhere = Placement { address: None, ..place };
            let one = xml::attach_as(document, vf(), &kernel(0), &anywhere).unwrap();
            let two = xml::attach_as(&one, kernel(1).mac, &kernel(1), &anywhere).unwrap();
            assert_eq!(two.contains("hard_limit"), libvirt < "8.7.0", "{two}");
            is_valid(&two, directory.path());
        }
    }
}

/// The address is where the guest sees it, and detaching gives libvirt's definition back to the byte.
#[tokio::test]
async fn libvirt_puts_the_device_where_it_is_asked_for() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let domain: DomainName = "placed".parse().unwrap();
    domains
        .define(
            &libvirt.template(
                "placed",
                "<cpu><numa><cell id='0' cpus='0-1' memory='64' unit='MiB'/></numa></cpu>",
            ),
        )
        .await
        .unwrap();
    let before = domains.xml(&domain, View::Definition).await.unwrap();
    let socket = libvirt.directory.path().join("placed.sock");
    let interface = Interface {
        source: Source::VhostUser { socket: socket.clone(), role: Role::Server },
        page_per_vq: true,
        ..client(&socket)
    };
    let place = Placement { address: Some("0000:00:1d.0".parse().unwrap()), ..Placement::default() };
    let effect = enforce_as(&domains, &domain, vf(), Some(&interface), place).await.unwrap();
    assert_eq!(effect, Effect::Defined);
    let datapath = std::thread::spawn(move || serve(connect(&socket)));
    libvirt.virsh(&["start", "placed"]);
    let argv = arguments_of_guest("placed", libvirt.directory.path());
    libvirt.virsh(&["destroy", "placed"]);
    datapath.join().unwrap();
    assert!(argv.contains(r#""bus":"pcie.0","addr":"0x1d""#), "{argv}");
    assert!(argv.contains(r#""share":true"#), "{argv}");
    enforce(&domains, &domain, vf(), None).await.unwrap();
    assert_eq!(domains.xml(&domain, View::Definition).await.unwrap(), before);
}

/// A new domain with an overlay of an image, a seed and an interface: valid, defined, and it runs.
#[tokio::test]
async fn a_new_domain_is_made_and_runs() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let at = |name: &str| libvirt.directory.path().join(name);
    let image = Disk { path: at("image.qcow2"), size_gib: Some(1), image: None };
    image.make().await.unwrap();
    let disk = Disk { path: at("new.qcow2"), size_gib: None, image: Some(image.path.clone()) };
    disk.make().await.unwrap();
    fs::write(at("new.seed.img"), seed("CIDATA", &[("user-data", b"#cloud-config\n")]).unwrap()).unwrap();
    fs::write(at("installer.iso"), [0; 2048]).unwrap();
    // libvirtd may be another user than we are.
    for name in ["image.qcow2", "new.qcow2", "new.seed.img", "installer.iso"] {
        fs::set_permissions(at(name), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }
    let blueprint = Blueprint {
        name: "new".parse().unwrap(),
        memory_mib: 64,
        huge_pages: None,
        vcpus: 2,
        pins: Vec::new(),
        disk: disk.path.clone(),
        installer: Some(at("installer.iso")),
        seed: Some(at("new.seed.img")),
        network: Network::Absent,
        vnc: None,
        emulator: Some(libvirt.emulator.clone()),
        kvm: false,
    };
    let full = Blueprint {
        huge_pages: Some("1G".parse().unwrap()),
        pins: vec![Pin { vcpu: 0, cpu: 14 }],
        network: Network::Bridge("baremetal".to_owned()),
        vnc: Some(59000),
        kvm: true,
        ..blueprint.clone()
    };
    for text in [blueprint.xml(), full.xml()] {
        is_valid(&text, libvirt.directory.path());
        is_valid(
            &xml::attach(&text, vf(), &client(Path::new("/run/a.sock"))).unwrap(),
            libvirt.directory.path(),
        );
    }
    domains.define(&blueprint.xml()).await.unwrap();
    domains.start(&blueprint.name, LIMIT).await.unwrap();
    assert!(domains.status(&blueprint.name).await.unwrap().active);
    let argv = arguments_of_guest("new", libvirt.directory.path());
    for part in ["new.qcow2", "image.qcow2", "new.seed.img", "installer.iso", "-accel tcg"] {
        assert!(argv.contains(part), "{part}: {argv}");
    }
    let again = domains.start(&blueprint.name, LIMIT).await.unwrap_err();
    assert!(
        matches!(&again, Error::Refused { message, .. } if message.contains("already active")),
        "{again}"
    );
}

/// A start that hangs is ended, and the domain is shut off and can be started again.
#[tokio::test]
async fn a_start_that_hangs_is_ended() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    let domain: DomainName = "hangs".parse().unwrap();
    let socket = libvirt.directory.path().join("hangs.sock");
    let source = Source::VhostUser { socket: socket.clone(), role: Role::Server };
    domains.define(&libvirt.template("hangs", "")).await.unwrap();
    enforce(&domains, &domain, vf(), Some(&Interface { source, ..client(&socket) })).await.unwrap();
    let limit = Duration::from_secs(6);
    let error = domains.start(&domain, limit).await.unwrap_err();
    assert_eq!(error, Error::StartHangs { domain: domain.clone(), limit });
    assert!(!domains.status(&domain).await.unwrap().active);
    let datapath = std::thread::spawn(move || serve(connect(&socket)));
    domains.start(&domain, LIMIT).await.unwrap();
    libvirt.virsh(&["destroy", "hangs"]);
    datapath.join().unwrap();
}

/// The seed is a file system that others read: by its label, and its files by their names.
#[test]
fn a_seed_is_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("seed.img");
    let content: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(
        &file,
        seed("OEMDRV", &[("ks.cfg", b"text\n"), ("user-data of some length", &content)]).unwrap(),
    )
    .unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("packages util-linux and mtools");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let path = file.to_str().unwrap();
    let probed = String::from_utf8(run("blkid", &["-p", "-o", "export", path])).unwrap();
    assert!(probed.contains("\nLABEL=OEMDRV\n") && probed.contains("\nTYPE=vfat\n"), "{probed}");
    assert_eq!(run("mtype", &["-i", path, "::ks.cfg"]), b"text\n");
    assert_eq!(run("mtype", &["-i", path, "::user-data of some length"]), content);
}

/// What is said of a start is what a start does: it waits where QEMU listens, it fails where nobody does.
#[tokio::test]
async fn a_start_does_what_the_findings_say() {
    let libvirt = Libvirt::start();
    let domains = libvirt.domains();
    for (name, role) in [("waits", Role::Server), ("fails", Role::Client { reconnect: None })] {
        let domain: DomainName = name.parse().unwrap();
        let socket = libvirt.directory.path().join(format!("{name}.sock"));
        // A socket that somebody left.
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let interface =
            Interface { source: Source::VhostUser { socket: socket.clone(), role }, ..client(&socket) };
        domains.define(&libvirt.template(name, "")).await.unwrap();
        enforce(&domains, &domain, vf(), Some(&interface)).await.unwrap();
        let definition = domains.xml(&domain, View::Definition).await.unwrap();
        let endpoint = Endpoint::look(Path::new("/"), &socket).unwrap();
        let around = Surroundings { endpoint: Some(endpoint), ..Surroundings::default() };
        let found = around.check(&domain, &definition, &interface, &Placement::default()).unwrap();
        let started = Command::new("timeout")
            .args(["8", "virsh", "-q", "-c", &libvirt.uri, "start", name])
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        // timeout(1) ends with 124 what it had to stop.
        let (code, said) = (started.status.code(), String::from_utf8_lossy(&started.stderr));
        if role == Role::Server {
            assert_eq!(found, [Finding::StartWaits(socket)]);
            assert_eq!(code, Some(124), "{said}");
            libvirt.virsh(&["destroy", name]);
        } else {
            assert_eq!(found, [Finding::StartFails(socket)]);
            assert!(code == Some(1) && said.contains("Connection refused"), "{code:?} {said}");
        }
    }
}

/// The two arguments that an old libvirt is given do in QEMU what `page_per_vq` does.
#[test]
fn qemu_takes_the_arguments_for_an_old_libvirt() {
    let interface = Interface { page_per_vq: true, ..client(Path::new("/x")) };
    let place = Placement::of("7.0.0".parse().unwrap());
    let text = xml::attach_as(include_str!("../fixtures/cx6.1.xml"), vf(), &interface, &place).unwrap();
    let value =
        |line: &str| line.trim().strip_prefix("<qemu:arg value='")?.strip_suffix("'/>").map(str::to_owned);
    let set: Vec<String> = text.lines().filter_map(value).collect();
    assert_eq!(set.len(), 2, "{text}");
    // As libvirt before 7.9 wrote a device: its id is the alias.
    let device = format!("virtio-net-pci,netdev=n0,id={}", vdpa_vm::Alias::from(vf()));
    let mut qemu = Command::new(emulator())
        .args(["-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none", "-monitor", "stdio"])
        .args(["-netdev", "hubport,id=n0,hubid=0", "-device", &device])
        .args(&set)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    qemu.stdin.take().unwrap().write_all(b"info qtree\nquit\n").unwrap();
    let said = qemu.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("page-per-vq = true"), "{said}");
}

/// libvirt's test driver, on a node that each connection reads anew: what was defined is not kept, and that is told.
#[tokio::test]
async fn a_libvirt_that_does_not_keep_an_interface_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.xml");
    let domain = "<domain type='test'><name>a</name>\
        <uuid>5c9ae2b8-3cf9-4c0c-8f0e-3b7d5a1f7e11</uuid><memory>65536</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>";
    fs::write(&file, format!("<node>{domain}</node>")).unwrap();
    let domains = Virsh::new(format!("test://{}", file.display()));
    let name: DomainName = "a".parse().unwrap();
    assert_eq!(domains.list().await.unwrap(), std::slice::from_ref(&name));
    let error = enforce(&domains, &name, vf(), Some(&client(Path::new("/run/a.sock")))).await.unwrap_err();
    let Error::NotKept { domain, why } = &error else { panic!("{error:?}") };
    assert!(*domain == name && why.ends_with("found none"), "{error}");
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
