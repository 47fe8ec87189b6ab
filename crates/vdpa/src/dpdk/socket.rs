//! Unix sockets as files: who listens there, and which may be removed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::{Error, Result};

/// Removes a socket that a killed process left behind, once it is sure that nobody uses it.
///
/// dpdk-vdpa refuses to start on an existing path. A socket is stale only if nobody listens on it, and
/// that only a connect proves: /proc/net/unix knows this network namespace alone.
pub(super) fn clear_stale(path: &Path) -> Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    let taken = |why| Err(Error::SocketTaken { path: path.to_owned(), why });
    if !found.file_type().is_socket() {
        return taken("it is no socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => taken("another process listens there"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            tracing::info!(path = %path.display(), "removing a socket on which nobody listens");
            fs::remove_file(path).map_err(Error::io(format!("remove the stale socket {}", path.display())))
        }
        Err(error) => Err(Error::io(format!("find out who listens on {}", path.display()))(error)),
    }
}

/// Whether a process listens on this socket, by /proc/net/unix: it has the flag `__SO_ACCEPTCON`
/// (`unix_seq_show` in `net/unix/af_unix.c`). Nobody is disturbed, as by a connect.
pub(super) fn is_listening(path: &Path) -> Result<bool> {
    const ACCEPTCON: u32 = 1 << 16;
    let table = fs::read_to_string("/proc/net/unix").map_err(Error::io("read /proc/net/unix"))?;
    Ok(table.lines().any(|line| {
        // Num RefCount Protocol Flags Type St Inode Path
        let fields: Vec<_> = line.splitn(8, ' ').collect();
        let flags = fields.get(3).and_then(|flags| u32::from_str_radix(flags, 16).ok()).unwrap_or(0);
        flags & ACCEPTCON != 0
            && line.split_once(" /").is_some_and(|(_, name)| path == Path::new("/").join(name))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn listening_is_told_from_merely_being_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_listening(&path).unwrap());
        let connected = UnixStream::connect(&path).unwrap();
        drop(listener);
        drop(connected);
        assert!(path.exists());
        assert!(!is_listening(&path).unwrap());
    }

    #[test]
    fn only_a_stale_socket_is_cleared_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.sock");
        clear_stale(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        assert!(matches!(clear_stale(&path), Err(Error::SocketTaken { .. })));
        drop(listener);
        clear_stale(&path).unwrap();
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(clear_stale(&path), Err(Error::SocketTaken { .. })));
        assert!(path.exists());
    }
}
