//! Whom QEMU runs as under libvirt.

use std::io;
use std::path::Path;

/// A user of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, or the number where it has none.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The groups it is in.
    pub groups: Vec<u32>,
}

/// libvirt's file of settings for QEMU.
const CONFIGURATION: &str = "etc/libvirt/qemu.conf";

/// Whom distributions have QEMU run as: RHEL and Fedora, Debian and Ubuntu.
const USUAL: [&str; 2] = ["qemu", "libvirt-qemu"];

impl User {
    /// Whom the system's libvirt runs QEMU as, by `user` and `group` of qemu.conf or, where these are not set, as the
    /// distribution has it. `None` where no such user is there, which is a host without libvirt.
    ///
    /// # Errors
    /// Where `/etc/passwd` or `/etc/group` below `root` cannot be read.
    pub fn of_qemu(root: &Path) -> io::Result<Option<Self>> {
        let read = |path: &str| std::fs::read_to_string(root.join(path));
        // It is there for root only in some distributions; what cannot be read is taken to be as it is shipped.
        let settings = read(CONFIGURATION).unwrap_or_default();
        let (passwd, group) = (read("etc/passwd")?, read("etc/group")?);
        let names: Vec<&str> = setting(&settings, "user").map_or_else(|| USUAL.to_vec(), |name| vec![name]);
        let Some(found) = names.iter().find_map(|name| entry(&passwd, name)) else { return Ok(None) };
        let [name, _, uid, gid, ..] = found[..] else { return Ok(None) };
        let mut groups: Vec<u32> = gid.parse().into_iter().collect();
        let own: Option<u32> =
            setting(&settings, "group").and_then(|name| entry(&group, name)?.get(2)?.parse().ok());
        groups.extend(own);
        let members = group.lines().map(|line| line.split(':').collect::<Vec<_>>());
        groups.extend(members.filter_map(|fields| match fields[..] {
            [_, _, gid, members] if members.split(',').any(|member| member == name) => {
                gid.parse::<u32>().ok()
            }
            _ => None,
        }));
        groups.sort_unstable();
        groups.dedup();
        let Ok(uid) = uid.parse() else { return Ok(None) };
        Ok(Some(Self { name: name.to_owned(), uid, groups }))
    }
}

/// `user = "root"`: the last one counts, as for libvirt (`virConfParse` in `src/util/virconf.c`).
fn setting<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let value = |line: &'t str| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == name)
            .then(|| value.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']))
    };
    // "+107" is the number 107, also where a user has that for a name.
    text.lines().filter_map(value).next_back().map(|value| value.strip_prefix('+').unwrap_or(value))
}

/// The fields of the entry with this name or number in passwd(5) or group(5).
fn entry<'t>(text: &'t str, wanted: &str) -> Option<Vec<&'t str>> {
    let entries = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    entries.into_iter().find(|fields| fields.first() == Some(&wanted) || fields.get(2) == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(conf: &str) -> Option<User> {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("etc/passwd", "root:x:0:0::/root:/bin/sh\nqemu:x:107:107:qemu user:/:/sbin/nologin\n");
        write("etc/group", "root:x:0:\nkvm:x:36:qemu,other\nqemu:x:107:\nhugetlbfs:x:1001:qemu\n");
        if !conf.is_empty() {
            write("etc/libvirt/qemu.conf", conf);
        }
        User::of_qemu(root.path()).unwrap()
    }

    #[test]
    fn qemu_runs_as_the_distributions_user_unless_told_otherwise() {
        let qemu = User { name: "qemu".to_owned(), uid: 107, groups: vec![36, 107, 1001] };
        assert_eq!(host(""), Some(qemu.clone()));
        assert_eq!(host("#user = \"root\"\n"), Some(qemu.clone()));
        assert_eq!(host("user = \"+107\" # by number\n"), Some(qemu));
        let root = host("user = \"root\"\ngroup = \"kvm\"\n").unwrap();
        assert_eq!((root.uid, root.groups), (0, vec![0, 36]));
        assert_eq!(host("user = \"nobody-here\"\n"), None);
    }
}
