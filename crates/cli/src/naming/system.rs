//! The real udev and `NetworkManager`.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;
use vdpa_hw::PciAddress;

use super::{Naming, Told, files};
use crate::error::Error;
use crate::owned::{Content, Owned};

/// Both answer in milliseconds; udev after what it is at, which on a busy emulated machine takes seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// udev and `NetworkManager` of the host whose files are below a directory.
#[derive(Debug)]
pub(crate) struct System {
    root: PathBuf,
}

impl System {
    /// Those of the host whose files are below `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Has those that run read their files.
    async fn reload(&self) -> Result<(), Error> {
        // Its socket exists from boot on. Left alone, udev looks for new rules only every three seconds.
        if self.root.join("run/udev/control").exists() {
            run("udevadm", &["control", "--reload"]).await?;
        }
        if self.runs_network_manager() {
            run("nmcli", &["general", "reload", "conf"]).await?;
        }
        Ok(())
    }

    /// Without asking D-Bus, which is not there yet early in a boot.
    fn runs_network_manager(&self) -> bool {
        let processes = fs::read_dir(self.root.join("proc")).into_iter().flatten().flatten();
        let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("comm")).ok();
        processes.filter_map(name).any(|name| name.trim_end() == "NetworkManager")
    }
}

#[async_trait]
impl Naming for System {
    async fn told(&self, pf: PciAddress) -> Result<Option<Told>, Error> {
        let [rules, manager] = files(&self.root, pf, 0);
        let (rules, manager) = (rules.found()?, manager.found()?);
        if rules.is_none() && manager.is_none() {
            return Ok(None);
        }
        let vfs = rules.as_ref().map_or(0, named);
        let current = files(&self.root, pf, vfs).each_ref().map(|file| Some(file.content().clone()));
        Ok(Some(Told { vfs, current: current == [rules, manager] }))
    }

    async fn tell(&self, pf: PciAddress, vfs: Option<u16>) -> Result<(), Error> {
        let _span = tracing::debug_span!("names.tell", waits_for = "udev", %pf);
        let files = files(&self.root, pf, vfs.unwrap_or(0));
        match vfs {
            Some(_) => files.iter().try_for_each(Owned::put)?,
            None => files.iter().try_for_each(Owned::remove)?,
        }
        self.reload().await
    }
}

/// How many names rules give.
fn named(rules: &Content) -> u16 {
    let Content::Text(text) = rules else { return 0 };
    u16::try_from(text.matches(" NAME=").count()).unwrap_or(u16::MAX)
}

async fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let said = match tokio::time::timeout(LIMIT, command.output()).await {
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(output)) if output.status.success() => return Ok(()),
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    };
    Err(Error::Untold(format!("`{program} {}`: {said}", arguments.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pf() -> PciAddress {
        "0000:43:00.0".parse().unwrap()
    }

    /// A host without udev and `NetworkManager`.
    fn host() -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        let system = System::new(root.path());
        (root, system)
    }

    #[tokio::test]
    async fn what_was_told_is_read_back_and_goes_without_a_trace() {
        let (root, system) = host();
        assert_eq!(system.told(pf()).await.unwrap(), None);
        for vfs in [2, 127, 1] {
            system.tell(pf(), Some(vfs)).await.unwrap();
            assert_eq!(system.told(pf()).await.unwrap(), Some(Told { vfs, current: true }));
        }
        system.tell(pf(), None).await.unwrap();
        assert_eq!(system.told(pf()).await.unwrap(), None);
        let left = fs::read_dir(root.path().join("run")).unwrap();
        assert_eq!(
            left.map(|entry| entry.unwrap().path())
                .filter(|path| path.read_dir().unwrap().count() > 0)
                .count(),
            0
        );
    }

    #[tokio::test]
    async fn what_somebody_changed_in_our_files_is_seen_and_put_right() {
        let (root, system) = host();
        system.tell(pf(), Some(2)).await.unwrap();
        let [rules, manager] = super::super::paths(root.path(), pf());
        let text = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, text.replace("p67s0f0v1", "uplink")).unwrap();
        assert_eq!(system.told(pf()).await.unwrap(), Some(Told { vfs: 2, current: false }));
        system.tell(pf(), Some(2)).await.unwrap();
        fs::remove_file(manager).unwrap();
        assert_eq!(system.told(pf()).await.unwrap(), Some(Told { vfs: 2, current: false }));
    }

    #[tokio::test]
    async fn a_file_of_somebody_elses_is_refused_and_named() {
        let (root, system) = host();
        let [rules, _] = super::super::paths(root.path(), pf());
        fs::create_dir_all(rules.parent().unwrap()).unwrap();
        fs::write(&rules, "# mine\n").unwrap();
        for result in [system.told(pf()).await.map(drop), system.tell(pf(), Some(2)).await] {
            assert!(matches!(&result, Err(Error::NotOurs(path)) if *path == rules), "{result:?}");
        }
        assert_eq!(fs::read_to_string(&rules).unwrap(), "# mine\n");
    }
}
