//! Ways to a server: TCP with its probes, TLS with its certificates; and servers that are not there.

use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

use vdpa_ovs::{
    Error,
    ovsdb::{Client, Freshness, Options, Remote},
};

use crate::{
    LIMIT, Switch, queue, queues,
    servers::{Server, free_port},
    write,
};

fn remote(text: &str) -> Remote {
    text.parse().unwrap()
}

/// ovsdb-server probes after 5 s without a word, and hangs up after 5 more.
#[tokio::test]
async fn the_probes_of_tcp_are_answered() {
    let port = free_port();
    let server = Server::start(&[&format!("--remote=ptcp:{port}:127.0.0.1")]).await;
    // Ours are so far apart that only the server's keep the connection.
    let options = Options { probe: Some(LIMIT), ..Options::default() };
    let client = Client::with(vec![remote(&format!("tcp:127.0.0.1:{port}"))], options);
    let switch = client.replicate::<Switch>().await.unwrap();
    let connection = client.connection().await.unwrap();
    tokio::time::sleep(Duration::from_millis(11_500)).await;
    assert!(connection.is_connected(), "the server dropped a client that did not answer its echo");
    write(&server.client(), &queue(3)).await;
    switch.until(LIMIT, |switch| (queues(switch) == [3]).then_some(())).await.unwrap();
}

/// A server that stands still cannot be told from a slow one but by asking it.
#[tokio::test]
async fn a_server_that_stands_still_is_found_out_by_our_probe() {
    let server = Server::start(&[]).await;
    let options = Options { probe: Some(Duration::from_millis(100)), ..Options::default() };
    let client = server.client_with(options);
    write(&client, &queue(1)).await;
    let switch = client.replicate::<Switch>().await.unwrap();
    server.signal(rustix::process::Signal::STOP);
    let stale = async {
        loop {
            if let Freshness::Stale(reason) = switch.freshness() {
                return reason;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reason = tokio::time::timeout(LIMIT, stale).await.unwrap();
    assert!(reason.contains("did not answer an echo"), "{reason}");
    server.signal(rustix::process::Signal::CONT);
    switch.live(LIMIT).await.unwrap();
    assert_eq!(queues(&switch.read()), [1]);
}

#[tokio::test]
async fn the_next_remote_is_tried_where_one_is_not_there() {
    let server = Server::start(&[]).await;
    let remotes = vec![remote(&format!("tcp:127.0.0.1:{}", free_port())), server.remote()];
    let client = Client::with(remotes, Options::default());
    write(&client, &queue(1)).await;
    assert_eq!(*client.connection().await.unwrap().remote(), server.remote());
}

#[tokio::test]
async fn a_socket_nobody_serves_and_one_that_is_closed_to_us_are_told_apart() {
    let mut server = Server::start(&[]).await;
    if !rustix::process::geteuid().is_root() {
        let socket = server.dir().join("sock");
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
        let error = server.client().connection().await.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    }
    server.kill();
    let error = server.client().connection().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("/sock") && error.hint().is_some(), "{error}");
    let nobody = remote("ssl:127.0.0.1:1");
    let error = Client::new(nobody).connection().await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::{Path, PathBuf};

    use vdpa_ovs::ovsdb::Tls;

    use super::*;
    use crate::servers::run;

    /// An authority and what it has signed.
    struct Authority(PathBuf);

    impl Authority {
        fn new(dir: &Path, name: &str) -> Self {
            let authority = Self(dir.join(name));
            std::fs::create_dir(&authority.0).unwrap();
            let (key, certificate) = (authority.file("ca-key.pem"), authority.file("ca.pem"));
            let subject = format!("/CN={name}");
            run(openssl(&[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", &subject, "-keyout"])
            .arg(key)
            .arg("-out")
            .arg(certificate));
            authority
        }

        fn file(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        /// A key, and a certificate that names a host, or none as those of ovs-pki(8).
        fn sign(&self, who: &str, host: Option<&str>) -> (PathBuf, PathBuf) {
            let key = self.file(&format!("{who}-key.pem"));
            let request = self.file(&format!("{who}.csr"));
            let certificate = self.file(&format!("{who}.pem"));
            let extensions = self.file(&format!("{who}.ext"));
            let names = host.map_or(String::new(), |host| format!("subjectAltName=IP:{host}\n"));
            std::fs::write(&extensions, format!("basicConstraints=CA:FALSE\n{names}")).unwrap();
            run(openssl(&["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-subj", &format!("/CN={who}"), "-keyout"])
                .arg(&key)
                .arg("-out")
                .arg(&request));
            run(openssl(&["x509", "-req", "-days", "2", "-CAcreateserial", "-in"])
                .arg(&request)
                .arg("-CA")
                .arg(self.file("ca.pem"))
                .arg("-CAkey")
                .arg(self.file("ca-key.pem"))
                .arg("-extfile")
                .arg(&extensions)
                .arg("-out")
                .arg(&certificate));
            (certificate, key)
        }

        fn tls(&self, (certificate, key): &(PathBuf, PathBuf)) -> Tls {
            Tls::from_files(&self.file("ca.pem"), certificate, key).unwrap()
        }
    }

    fn openssl(arguments: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments);
        command
    }

    async fn serve(authority: &Authority, host: Option<&str>) -> (Server, Remote) {
        let port = free_port();
        let (certificate, key) = authority.sign("server", host);
        let arguments = [
            format!("--remote=pssl:{port}:127.0.0.1"),
            format!("--ca-cert={}", authority.file("ca.pem").display()),
            format!("--certificate={}", certificate.display()),
            format!("--private-key={}", key.display()),
        ];
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        (Server::start(&arguments).await, remote(&format!("ssl:127.0.0.1:{port}")))
    }

    fn client(remote: &Remote, tls: Tls) -> Client {
        Client::with(vec![remote.clone()], Options { tls: Some(tls), ..Options::default() })
    }

    #[tokio::test]
    async fn both_ends_are_held_against_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, foreign) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "foreign"));
        let (_server, remote) = serve(&ours, None).await;
        let client_files = ours.sign("client", None);
        let trusted = client(&remote, ours.tls(&client_files));
        let switch = trusted.replicate::<Switch>().await.unwrap();
        write(&trusted, &queue(5)).await;
        assert_eq!(queues(&switch.read()), [5]);

        // A server that our authority has not signed.
        let error =
            client(&remote, foreign.tls(&foreign.sign("client", None))).connection().await.unwrap_err();
        assert!(matches!(&error, Error::Tls { text, .. } if text.contains("certificate")), "{error:?}");
        // A client that the server's authority has not signed: in TLS 1.3 it learns so after the handshake.
        let (certificate, key) = foreign.sign("stranger", None);
        let stranger = Tls::from_files(&ours.file("ca.pem"), &certificate, &key).unwrap();
        let error = client(&remote, stranger).databases().await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. } | Error::Disconnected { .. }), "{error:?}");
        // The host's name counts where that is asked for.
        let strict = ours.tls(&client_files).with_host_names();
        let error = client(&remote, strict.clone()).connection().await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        let dir = tempfile::tempdir().unwrap();
        let named = Authority::new(dir.path(), "named");
        let (_server, remote) = serve(&named, Some("127.0.0.1")).await;
        let strict = named.tls(&named.sign("client", None)).with_host_names();
        client(&remote, strict).databases().await.unwrap();
    }

    #[tokio::test]
    async fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new(dir.path(), "ours");
        let (certificate, key) = authority.sign("client", None);
        let missing = authority.file("missing.pem");
        let error = Tls::from_files(&missing, &certificate, &key).unwrap_err();
        assert!(matches!(&error, Error::TlsFile { path, .. } if *path == missing), "{error:?}");
        let error = Tls::from_files(&certificate, &key, &key).unwrap_err();
        assert!(matches!(&error, Error::TlsFile { path, .. } if *path == key), "{error:?}");
        let error = Tls::from_files(&certificate, &certificate, &certificate).unwrap_err();
        assert!(matches!(&error, Error::TlsFile { .. }), "{error:?}");
    }
}
