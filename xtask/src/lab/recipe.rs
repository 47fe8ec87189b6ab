//! What the lab is made of: package lists, mirrors, and the key that each combination has in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::process;

/// The Debian release of the guest.
pub(crate) const RELEASE: &str = "bookworm";

/// Counts the changes in how the parts are made that show in no file of the lab directory.
const LAYOUT: u32 = 1;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The names in a package list: one a line, `#` begins a comment.
pub(crate) fn packages(list: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// A key over files and directories (with the names and contents of all that is below them) and other keys.
pub(crate) fn key(inputs: &[impl AsRef<Path>], of: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("layout {LAYOUT} {RELEASE} {}\n", std::env::consts::ARCH));
    for other in of {
        hash.update(format!("key {other}\n"));
    }
    for input in inputs {
        add(&mut hash, input.as_ref(), input.as_ref())?;
    }
    let digest = hash.finalize();
    let (start, _) = digest.split_first_chunk().context("a digest of less than eight bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(*start)))
}

fn add(hash: &mut Sha256, path: &Path, below: &Path) -> Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    if path.is_dir() {
        let entries: Result<Vec<_>, _> = fs::read_dir(path).with_context(cannot)?.collect();
        let mut entries: Vec<PathBuf> =
            entries.with_context(cannot)?.iter().map(fs::DirEntry::path).collect();
        entries.sort();
        return entries.iter().try_for_each(|entry| add(hash, entry, below));
    }
    let content = fs::read(path).with_context(cannot)?;
    let name = path.strip_prefix(below.parent().unwrap_or(below)).unwrap_or(path);
    hash.update(format!("file {} {}\n", name.display(), content.len()));
    hash.update(content);
    Ok(())
}

/// Where this machine gets Debian's packages from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirrors {
    debian: String,
    security: String,
    proxy: Option<String>,
}

impl Mirrors {
    /// The mirrors that this machine's apt is set to, or Debian's own where it has none of Debian.
    pub(crate) async fn of_this_machine() -> Result<Self> {
        ensure!(
            Path::new(KEYRING).exists(),
            "cannot check signatures of Debian's packages without {KEYRING}: `apt-get install debian-archive-keyring`"
        );
        let mut apt = process::command("apt-get");
        apt.args(["indextargets", "--format", "$(SITE)", "Created-By: Packages"]);
        let sites = process::output(apt, Duration::from_secs(30)).await.map(|output| output.stdout);
        let mut mirrors = Self::from_sites(&String::from_utf8_lossy(&sites.unwrap_or_default()));
        let mut config = process::command("apt-config");
        config.args(["dump", "--format", "%v", "Acquire::http::Proxy"]);
        let proxy = process::output(config, Duration::from_secs(30)).await?.stdout;
        mirrors.proxy =
            Some(String::from_utf8_lossy(&proxy).trim().to_owned()).filter(|proxy| !proxy.is_empty());
        Ok(mirrors)
    }

    fn from_sites(sites: &str) -> Self {
        let site = |ending: &str, default: &str| {
            let sites = sites.lines().map(|site| site.trim().trim_end_matches('/'));
            let mut fitting = sites.filter(|site| site.starts_with("http") && site.ends_with(ending));
            fitting.next().unwrap_or(default).to_owned()
        };
        Self {
            debian: site("/debian", "http://deb.debian.org/debian"),
            security: site("/debian-security", "http://deb.debian.org/debian-security"),
            proxy: None,
        }
    }

    /// The lines of a `sources.list`.
    pub(crate) fn sources_list(&self) -> String {
        let Self { debian, security, .. } = self;
        let signed = format!("[signed-by={KEYRING}]");
        format!(
            "deb {signed} {debian} {RELEASE} main\n\
             deb {signed} {debian} {RELEASE}-updates main\n\
             deb {signed} {debian} {RELEASE}-backports main\n\
             deb {signed} {security} {RELEASE}-security main\n\
             deb-src {signed} {debian} {RELEASE} main\n"
        )
    }

    /// The proxy that apt goes through.
    pub(crate) fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// The host to name when saying what is downloaded.
    pub(crate) fn host(&self) -> &str {
        self.debian.split('/').nth(2).unwrap_or(&self.debian)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_mirror_is_used() {
        let sites =
            "http://mirror.example/debian-security\nhttps://mirror.example/debian/\nhttp://x.example/other\n";
        let mirrors = Mirrors::from_sites(sites);
        assert_eq!(mirrors.debian, "https://mirror.example/debian");
        assert_eq!(mirrors.security, "http://mirror.example/debian-security");
        assert_eq!(mirrors.host(), "mirror.example");
    }

    #[test]
    fn a_machine_without_a_debian_mirror_gets_debians_own() {
        let mirrors = Mirrors::from_sites("http://archive.ubuntu.com/ubuntu\n");
        assert_eq!(mirrors.debian, "http://deb.debian.org/debian");
        assert_eq!(mirrors.security, "http://deb.debian.org/debian-security");
    }

    #[test]
    fn a_key_follows_names_contents_and_other_keys() {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("input");
        fs::create_dir(&input).unwrap();
        fs::write(input.join("a"), "one").unwrap();
        let first = key(&[&input], &["x"]).unwrap();
        assert_eq!(first.len(), 16);
        assert_eq!(key(&[&input], &["x"]).unwrap(), first);
        assert_ne!(key(&[&input], &["y"]).unwrap(), first);
        fs::rename(input.join("a"), input.join("b")).unwrap();
        let renamed = key(&[&input], &["x"]).unwrap();
        assert_ne!(renamed, first);
        fs::write(input.join("b"), "two").unwrap();
        assert_ne!(key(&[&input], &["x"]).unwrap(), renamed);
    }

    #[test]
    fn a_key_does_not_depend_on_where_the_clone_is() {
        let clones = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let keys = clones.each_ref().map(|clone| {
            let input = clone.path().join("lab");
            fs::create_dir(&input).unwrap();
            fs::write(input.join("a"), "one").unwrap();
            key(&[&input], &[]).unwrap()
        });
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn a_package_list_may_have_comments() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# All of it.\nudev\n\niproute2 # ip\n").unwrap();
        assert_eq!(packages(file.path()).unwrap(), ["udev", "iproute2"]);
    }
}
