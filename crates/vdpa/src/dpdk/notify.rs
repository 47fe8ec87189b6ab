//! The readiness protocol of `sd_notify(3)`: one datagram to `$NOTIFY_SOCKET`.
//!
//! systemd listens there for a unit of type notify; for a detached process, the command that started it
//! does.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The one who wants to know how we are, if there is one.
#[derive(Debug)]
pub(super) struct Notifier(Option<OsString>);

impl Notifier {
    pub(super) fn from_env() -> Self {
        Self(std::env::var_os(VARIABLE).filter(|path| !path.is_empty()))
    }

    /// We are ready.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// What we are about.
    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// We are on the way out, and why.
    pub(super) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    fn send(&self, state: &str) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = send_to(path, state) {
            // Whoever waited has gone; what we do does not depend on it.
            tracing::debug!(%error, ?path, "nobody listens for our readiness");
        }
    }
}

fn send_to(path: &OsString, state: &str) -> io::Result<()> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

fn one_line(status: &str) -> String {
    status.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_reaches_a_path_and_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("vdpa-notify-{}", std::process::id());
        let listeners = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{abstract_name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap(),
            ),
        ];
        for (name, listener) in listeners {
            Notifier(Some(name)).ready("serving\n0000:43:00.2");
            let mut buffer = [0; 100];
            let length = listener.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1\nSTATUS=serving 0000:43:00.2");
        }
        Notifier(None).ready("to nobody");
        Notifier(Some("/nowhere/notify".into())).ready("to nobody");
    }
}
