//! A socket or device as it stands on this host: who may come to it, who is there.
//!
//! Source: unix(7), inode(7), xattr(7); `/proc/net/unix` as `unix_seq_show()` in `net/unix/af_unix.c` prints it.
//! POSIX access control lists are not looked at: with one, a file is open to more users than its mode says.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::user::User;

/// A socket or device, and the directories on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub path: PathBuf,
    /// What is there; `None` where nothing is.
    pub kind: Option<Kind>,
    /// Everything on the way, from `/`, and the file itself where it is there.
    pub way: Vec<Place>,
    /// Its SELinux label (`security.selinux`), where it has one.
    pub label: Option<String>,
    /// Who listens there: `dpdk-vdpa (4711)`, or nothing where that cannot be told. `None`: nobody.
    pub listener: Option<Option<String>>,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A Unix socket.
    Socket,
    /// A character device.
    Device,
    /// Something else.
    Other,
}

/// A file or directory, and who may do what there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// Its mode, as chmod(1) takes it.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Endpoint {
    /// Looks at `path` on the host whose files are below `root`.
    ///
    /// # Errors
    /// Where a directory on the way cannot be looked into: EACCES for an ordinary user.
    pub fn look(root: &Path, path: &Path) -> io::Result<Self> {
        let at = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
        let mut way = Vec::new();
        let mut own = None;
        for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let found = match std::fs::metadata(at(ancestor)) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            way.push(Place::new(ancestor, &found));
            own = (ancestor == path).then_some(found);
        }
        let kind = own.map(|own| match own.file_type() {
            kind if kind.is_socket() => Kind::Socket,
            kind if kind.is_char_device() => Kind::Device,
            _ => Kind::Other,
        });
        let label = kind.and_then(|_| label(&at(path)));
        let listener = match kind {
            Some(Kind::Socket) => listener(root, path)?.map(|inode| process_with(root, inode)),
            _ => None,
        };
        Ok(Self { path: path.to_owned(), kind, way, label, listener })
    }

    /// What keeps `user` from connecting to the socket, or, where it is to `make` it, from making it.
    pub(crate) fn in_the_way(&self, user: &User, make: bool) -> Option<(&Place, &'static str)> {
        let (own, directories) = match self.way.split_last() {
            Some((last, rest)) if last.path == self.path => (Some(last), rest),
            _ => (None, &self.way[..]),
        };
        if let Some(closed) = directories.iter().find(|place| !place.lets(user, 1)) {
            return Some((closed, "enter"));
        }
        if make {
            let directory =
                directories.last().filter(|place| Some(place.path.as_path()) == self.path.parent())?;
            return (!directory.lets(user, 2)).then_some((directory, "make a socket in"));
        }
        // connect(2) asks for write permission on the socket.
        own.filter(|own| !own.lets(user, 2)).map(|own| (own, "connect to"))
    }
}

impl Place {
    fn new(path: &Path, found: &Metadata) -> Self {
        Self { path: path.to_owned(), mode: found.mode() & 0o7777, uid: found.uid(), gid: found.gid() }
    }

    /// Whether its mode has the `bit` (4 read, 2 write, 1 execute) for `user`: the first class that it is in counts.
    fn lets(&self, user: &User, bit: u32) -> bool {
        let shift = if user.uid == self.uid {
            6
        } else if user.groups.contains(&self.gid) {
            3
        } else {
            0
        };
        user.uid == 0 || self.mode >> shift & bit != 0
    }
}

fn label(path: &Path) -> Option<String> {
    let mut bytes = [0u8; 256];
    let length = rustix::fs::getxattr(path, "security.selinux", &mut bytes[..]).ok()?;
    let text = std::str::from_utf8(bytes.get(..length)?).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// The inode of the socket that listens at `path`, by `/proc/net/unix`.
fn listener(root: &Path, path: &Path) -> io::Result<Option<u64>> {
    let text = std::fs::read(root.join("proc/net/unix"))?;
    let text = String::from_utf8_lossy(&text);
    Ok(path.to_str().and_then(|path| text.lines().find_map(|line| listens_at(line, path))))
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a.sock`: flag 0x10000 is `__SO_ACCEPTCON`.
fn listens_at(line: &str, path: &str) -> Option<u64> {
    let mut fields = line.split(' ').filter(|field| !field.is_empty());
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?;
    let rest = line.split_once(&format!(" {inode} "))?.1;
    (flags & 0x1_0000 != 0 && rest == path).then(|| inode.parse().ok()).flatten()
}

/// The process that has a socket open, by name and number.
fn process_with(root: &Path, inode: u64) -> Option<String> {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let processes = std::fs::read_dir(root.join("proc")).ok()?.flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { continue };
        if open.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|link| link == wanted)) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} ({pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn stranger() -> User {
        User { name: "qemu".to_owned(), uid: 107, groups: vec![107, 36] }
    }

    #[test]
    fn a_socket_is_seen_with_who_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a socket");
        let look = || Endpoint::look(Path::new("/"), &path).unwrap();
        let found = look();
        assert_eq!((found.kind, found.listener.is_some()), (None, false));
        let listener = UnixListener::bind(&path).unwrap();
        let found = look();
        assert_eq!(found.kind, Some(Kind::Socket));
        let who = found.listener.flatten().unwrap();
        assert!(who.ends_with(&format!("({})", std::process::id())), "{who}");
        drop(listener);
        assert_eq!(look().listener, None, "the file is there, and nobody behind it");
        let other = directory.path().join("other");
        let _bound = UnixDatagram::bind(&other).unwrap();
        assert_eq!(Endpoint::look(Path::new("/"), &other).unwrap().listener, None);
        let null = Endpoint::look(Path::new("/"), Path::new("/dev/null")).unwrap();
        assert_eq!(null.kind, Some(Kind::Device));
    }

    #[test]
    fn the_first_place_that_keeps_a_user_out_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let look = || Endpoint::look(Path::new("/"), &path).unwrap();
        let in_the_way =
            |make| look().in_the_way(&stranger(), make).map(|(place, what)| (place.path.clone(), what));
        mode(directory.path(), 0o700);
        assert_eq!(in_the_way(false), Some((directory.path().to_owned(), "enter")));
        mode(directory.path(), 0o711);
        mode(&inner, 0o755);
        mode(&path, 0o755);
        assert_eq!(in_the_way(false), Some((path.clone(), "connect to")));
        mode(&path, 0o722);
        assert_eq!(in_the_way(false), None);
        assert_eq!(in_the_way(true), Some((inner.clone(), "make a socket in")));
        // The class that the user is in counts, also where another one lets more.
        let gid = std::fs::metadata(&path).unwrap().gid();
        mode(&path, 0o702);
        let member = User { groups: vec![gid], ..stranger() };
        assert!(look().in_the_way(&member, false).is_some());
        let root = User { name: "root".to_owned(), uid: 0, groups: vec![0] };
        assert_eq!(look().in_the_way(&root, false), None);
    }

    /// What a kernel 6.1 printed.
    #[test]
    fn listeners_are_told_from_the_connected() {
        let line = |flags: &str| {
            format!("0000000000000000: 00000002 00000000 {flags} 0001 01 18723 /run/vdpa/a b.sock")
        };
        assert_eq!(listens_at(&line("00010000"), "/run/vdpa/a b.sock"), Some(18723));
        assert_eq!(listens_at(&line("00000000"), "/run/vdpa/a b.sock"), None);
        assert_eq!(listens_at(&line("00010000"), "/run/vdpa/a"), None);
        assert_eq!(listens_at("Num       RefCount Protocol Flags    Type St Inode Path", "Path"), None);
    }
}
