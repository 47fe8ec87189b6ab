//! The real udev and `NetworkManager`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use async_trait::async_trait;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use vdpa_hw::PciAddress;

use super::{Naming, Told, files};
use crate::error::Error;
use crate::owned::{Content, Owned};

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

    /// Has those that run read their files: both do on SIGHUP (systemd-udevd.service(8), NetworkManager(8)), which takes
    /// no program to send. Left alone, udev looks for new rules only every three seconds, and `NetworkManager` never.
    fn reload(&self) -> Result<(), Error> {
        for (pid, name) in self.readers() {
            hang_up(pid).map_err(|error| Error::Untold(format!("SIGHUP to {name}, PID {pid}: {error}")))?;
        }
        Ok(())
    }

    /// Those that read what is told. systemd knows the processes of their services; without it, all there are on the
    /// host are gone through, which takes a while on a busy one.
    fn readers(&self) -> Vec<(i32, String)> {
        let proc = self.root.join("proc");
        let known = SERVICES.iter().flat_map(|service| self.processes_of(service));
        let found = readers(&proc, known);
        if found.iter().any(|(_, name)| name.ends_with("udevd")) {
            return found;
        }
        let entries = fs::read_dir(&proc).into_iter().flatten().flatten();
        readers(&proc, entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
    }

    /// The processes in the control group of a service (cgroups(7)).
    fn processes_of(&self, service: &str) -> Vec<i32> {
        let groups = GROUPS.iter().map(|group| self.root.join(group).join(service).join("cgroup.procs"));
        let texts = groups.filter_map(|processes| fs::read_to_string(processes).ok());
        texts.flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect()
    }
}

/// Where systemd has the control groups of services: in version 2's one hierarchy, and in its own one beside those of
/// version 1.
const GROUPS: [&str; 2] = ["sys/fs/cgroup/system.slice", "sys/fs/cgroup/systemd/system.slice"];

/// The services of [`READERS`]; since systemd 254 udev's processes are one group further down (`DelegateSubgroup=`).
const SERVICES: [&str; 3] = ["systemd-udevd.service", "systemd-udevd.service/udev", "NetworkManager.service"];

/// Those that read what is told, as their processes are called; without systemd, udev's has the shorter name.
const READERS: [&str; 3] = ["systemd-udevd", "udevd", "NetworkManager"];

/// Those of `pids` that are [`READERS`] and that init started, in a directory like /proc. udev's workers are not among
/// them.
fn readers(proc: &Path, pids: impl Iterator<Item = i32>) -> Vec<(i32, String)> {
    let reader = |pid: i32| {
        let read = |file: &str| fs::read_to_string(proc.join(format!("{pid}/{file}"))).ok();
        let name = read("comm")?.trim_end().to_owned();
        if !READERS.contains(&&*name) {
            return None;
        }
        // proc_pid_stat(5): `PID (NAME) STATE PARENT …`.
        let stat = read("stat")?;
        let parent = stat.strip_prefix(&format!("{pid} ({name}) "))?.split(' ').nth(1)?;
        (parent == "1").then_some((pid, name))
    };
    pids.filter_map(reader).collect()
}

/// One that has ended since has nothing to read.
fn hang_up(pid: i32) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::empty()).and_then(|process| pidfd_send_signal(process, Signal::HUP)) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
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
        self.reload()
    }
}

/// How many names rules give.
fn named(rules: &Content) -> u16 {
    let Content::Text(text) = rules else { return 0 };
    u16::try_from(text.matches(" NAME=").count()).unwrap_or(u16::MAX)
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

    #[test]
    fn only_what_init_started_under_the_name_is_told() {
        let (root, system) = host();
        for (pid, name, parent) in [
            (1, "systemd", 0),
            (310, "systemd-udevd", 1),
            (412, "systemd-udevd", 310),
            (413, "(udev-worker)", 310),
            (500, "NetworkManager", 1),
            (501, "NetworkManager) S 1", 500),
            // Of no service: another init's, say, that a container has.
            (600, "udevd", 1),
        ] {
            let directory = root.path().join("proc").join(pid.to_string());
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
            fs::write(directory.join("stat"), format!("{pid} ({name}) S {parent} {pid}\n")).unwrap();
        }
        let found = || {
            let mut found = system.readers();
            found.sort();
            found
        };
        let [udev, manager, stray] = [(310, "systemd-udevd"), (500, "NetworkManager"), (600, "udevd")]
            .map(|(pid, name)| (pid, name.to_owned()));
        assert_eq!(found(), [udev.clone(), manager.clone(), stray], "without systemd");
        for (groups, udevs) in [
            ("sys/fs/cgroup/system.slice", "systemd-udevd.service/udev"),
            ("sys/fs/cgroup/systemd/system.slice", "systemd-udevd.service"),
        ] {
            for (service, processes) in [(udevs, "310\n412\n413\n"), ("NetworkManager.service", "500\n501\n")]
            {
                let directory = root.path().join(groups).join(service);
                fs::create_dir_all(&directory).unwrap();
                fs::write(directory.join("cgroup.procs"), processes).unwrap();
            }
            assert_eq!(found(), [udev.clone(), manager.clone()], "{groups}");
            fs::remove_dir_all(root.path().join("sys")).unwrap();
        }
    }

    #[test]
    fn a_process_is_told_and_one_that_has_ended_is_no_error() {
        let mut process = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(process.id()).unwrap();
        hang_up(pid).unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(1));
        hang_up(pid).unwrap();
    }
}
