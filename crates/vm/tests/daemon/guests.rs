//! Guests that run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use vdpa_vm::{
    DomainName, Domains as _, Endpoint, Error, Finding, Holder, Interface, Placement, Resource, Role, Source,
    Surroundings, View, enforce, holders,
};

use crate::libvirt::{LIMIT, Libvirt, client, vf};

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

/// Connects to a socket as soon as somebody listens there.
pub(crate) fn connect(socket: &Path) -> UnixStream {
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
pub(crate) fn serve(mut stream: UnixStream) -> Vec<u32> {
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
pub(crate) fn arguments_of_guest(name: &str, directory: &Path) -> String {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let guest = format!("guest={name},");
    processes
        .map(|arguments| String::from_utf8_lossy(&arguments).replace('\0', " "))
        .find(|arguments| arguments.contains(&guest) && arguments.contains(directory.to_str().unwrap()))
        .unwrap_or_else(|| panic!("no QEMU runs {name}"))
}
