//! The SSH session that the command was typed in: the address of this host that it is connected to.
//!
//! `SSH_CONNECTION` tells it (ssh(1)), and sudo takes it away (sudoers(5), `env_reset`). Then the socket does: one of
//! the processes above this one is sshd's, and what it has open is in `/proc/net/tcp`
//! (`Documentation/networking/proc_net_tcp.rst`).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vdpa_hw::platform::Files;

/// How far above a command sshd can be: shells, sudo, tmux.
const DEPTH: usize = 32;

/// `TCP_ESTABLISHED` in `include/net/tcp_states.h`.
const ESTABLISHED: &str = "01";

/// The local address of the session that process `pid` runs in; `None` where it runs in none.
pub(super) fn local_address(
    files: &dyn Files,
    pid: u32,
    connection: Option<&str>,
) -> Result<Option<IpAddr>, String> {
    // client address, client port, server address, server port
    if let Some(server) = connection.and_then(|connection| connection.split(' ').nth(2)) {
        let server = server.split('%').next().unwrap_or(server);
        return server.parse().map(Some).map_err(|_| format!("SSH_CONNECTION names no address: {server:?}"));
    }
    let mut above = pid;
    for _ in 0..DEPTH {
        let Some((name, parent)) = process(files, above)? else { return Ok(None) };
        // Since OpenSSH 9.8 a session has a program of its own.
        if name == "sshd" || name == "sshd-session" {
            return socket_of(files, above);
        }
        if parent <= 1 {
            return Ok(None);
        }
        above = parent;
    }
    Ok(None)
}

/// A process's name and its parent: `/proc/PID/stat`, where the name is in parentheses and may hold any of them.
fn process(files: &dyn Files, pid: u32) -> Result<Option<(String, u32)>, String> {
    let path = format!("/proc/{pid}/stat");
    let stat = match files.read(path.as_ref()) {
        Ok(stat) => String::from_utf8_lossy(&stat).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {path}: {error}")),
    };
    let parse = || {
        let (_, named) = stat.split_once('(')?;
        let (name, rest) = named.rsplit_once(')')?;
        Some((name.to_owned(), rest.split_whitespace().nth(1)?.parse().ok()?))
    };
    parse().map(Some).ok_or_else(|| format!("{path} is not understood"))
}

fn socket_of(files: &dyn Files, pid: u32) -> Result<Option<IpAddr>, String> {
    let directory = format!("/proc/{pid}/fd");
    let descriptors =
        files.list(directory.as_ref()).map_err(|error| format!("cannot read {directory}: {error}"))?;
    let inode = |name: &String| {
        let target = files.link(format!("{directory}/{name}").as_ref()).ok()?;
        let target = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
        Some(target)
    };
    let sockets: BTreeSet<String> = descriptors.iter().filter_map(inode).collect();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = files.read(table.as_ref()) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        let connected = text.lines().skip(1).find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ours = *words.get(3)? == ESTABLISHED && sockets.contains(*words.get(9)?);
            ours.then(|| address(words[1].split(':').next()?)).flatten()
        });
        if connected.is_some() {
            return Ok(connected);
        }
    }
    Ok(None)
}

/// An address as the kernel prints it: words of 32 bits in the machine's order (`get_tcp4_sock` in
/// `net/ipv4/tcp_ipv4.c`).
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            // sshd listens for both families on one socket.
            Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use vdpa_hw::platform::Rooted;

    fn host(table: &str, line: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/900/stat", "900 (vdpa) S 800 900 0");
        write("proc/800/stat", "800 (sudo) S 700 800 0");
        write("proc/700/stat", "700 (a ) b) S 600 700 0");
        write("proc/600/stat", "600 (sshd) S 1 600 0");
        write(&format!("proc/net/{table}"), &format!("  sl  local_address rem_address   st …\n{line}\n"));
        std::fs::create_dir_all(root.path().join("proc/600/fd")).unwrap();
        symlink("socket:[4711]", root.path().join("proc/600/fd/4")).unwrap();
        symlink("/dev/null", root.path().join("proc/600/fd/0")).unwrap();
        root
    }

    fn found(root: &tempfile::TempDir, connection: Option<&str>) -> Result<Option<IpAddr>, String> {
        local_address(&Rooted::new(root.path()), 900, connection)
    }

    #[test]
    fn the_environment_tells_it() {
        let root = host("tcp", "");
        let server = found(&root, Some("10.0.0.9 50000 10.0.0.5 22")).unwrap();
        assert_eq!(server, "10.0.0.5".parse().ok());
        let scoped = found(&root, Some("fe80::9%eth0 50000 fe80::5%eth0 22")).unwrap();
        assert_eq!(scoped, "fe80::5".parse().ok());
        assert!(found(&root, Some("a b c d")).is_err());
    }

    #[test]
    fn where_sudo_took_the_environment_away_sshds_socket_tells_it() {
        let line = "   0: 0500000A:0016 0900000A:C350 01 00000000:00000000 02:000A7214 00000000     0        0 4711 2";
        assert_eq!(found(&host("tcp", line), None).unwrap(), "10.0.0.5".parse().ok());
        let listening = line.replace(" 01 ", " 0A ");
        assert_eq!(found(&host("tcp", &listening), None).unwrap(), None);
        let mapped = line.replace("0500000A", "0000000000000000FFFF00000500000A");
        assert_eq!(found(&host("tcp6", &mapped), None).unwrap(), "10.0.0.5".parse().ok());
        let six = line.replace("0500000A", "B80D0120000000000000000005000000");
        assert_eq!(found(&host("tcp6", &six), None).unwrap(), "2001:db8::5".parse().ok());
    }

    #[test]
    fn without_sshd_above_there_is_no_session() {
        let root = host("tcp", "");
        std::fs::write(root.path().join("proc/600/stat"), "600 (login) S 1 600 0").unwrap();
        assert_eq!(found(&root, None), Ok(None));
        std::fs::write(root.path().join("proc/700/stat"), "nonsense").unwrap();
        assert_eq!(found(&root, None).unwrap_err(), "/proc/700/stat is not understood");
    }
}
