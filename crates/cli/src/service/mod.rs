//! Boot persistence: units that run `setup` at every boot, as far as each time allows.
//!
//! All files are ours or refused, and all are written or none. They are what `systemctl enable` would make, so that
//! `systemctl disable` is understood too.

mod unit;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;

use crate::error::Error;
use crate::owned::{Content, Owned};
pub use unit::Runs;
use unit::{UNITS, WANTED_BY};

/// Where an administrator's units lie: systemd.unit(5).
const DIRECTORY: &str = "etc/systemd/system";

/// Directories that a service does not see or that do not outlive a boot.
const PASSING: [&str; 5] = ["/home", "/root", "/run", "/tmp", "/var/tmp"];

/// Where Open vSwitch's own units lie.
const SWITCH_UNITS: [&str; 4] = [
    "lib/systemd/system/openvswitch-switch.service",
    "usr/lib/systemd/system/openvswitch-switch.service",
    "usr/lib/systemd/system/openvswitch.service",
    "etc/systemd/system/openvswitch.service",
];

/// A file that is to be there or not, and what of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What has to be done.
    pub change: Change,
    /// What is to be in it; where a link is to point.
    pub content: Option<String>,
}

/// What has to be done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    None,
    /// It is made.
    Made,
    /// It is made anew: it was of another version, for another host file, or changed by hand.
    Renewed,
    /// It goes.
    Removed,
}

/// The units of a host.
#[derive(Debug)]
pub struct Services {
    root: PathBuf,
}

impl Services {
    /// Those of the host whose files are below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// What `install` would do.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a file of somebody else's; [`Error::Homeless`] for a program that a service cannot start;
    /// [`Error::Unspeakable`] for a path that a unit cannot hold.
    pub fn installing(&self, runs: &Runs) -> Result<Vec<File>, Error> {
        if PASSING.iter().any(|directory| runs.program.starts_with(directory)) {
            return Err(Error::Homeless(runs.program.clone()));
        }
        if let Some(path) = runs.unspeakable() {
            return Err(Error::Unspeakable(path.to_owned()));
        }
        let state = |file: Owned| {
            let change = match file.found()? {
                None => Change::Made,
                Some(found) if found == *file.content() => Change::None,
                Some(_) => Change::Renewed,
            };
            Ok(File::of(&file, change, true))
        };
        self.files(runs).into_iter().map(state).collect()
    }

    /// What `remove` would do.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a file of somebody else's.
    pub fn removing(&self) -> Result<Vec<File>, Error> {
        let state = |file: Owned| {
            let change = if file.found()?.is_some() { Change::Removed } else { Change::None };
            Ok(File::of(&file, change, false))
        };
        self.nothing().into_iter().map(state).collect()
    }

    /// Writes the units and has them started at boot. They are not started now.
    ///
    /// # Errors
    /// As [`installing`](Self::installing), and [`Error::File`] where one cannot be written; then all are as they were.
    pub fn install(&self, runs: &Runs) -> Result<Vec<File>, Error> {
        let files = self.installing(runs)?;
        all_or_none(&self.files(runs), Owned::put)?;
        Ok(files)
    }

    /// Takes the units away. What they have set up stays.
    ///
    /// # Errors
    /// As [`removing`](Self::removing), and [`Error::File`] where one cannot be removed; then all are as they were.
    pub fn remove(&self) -> Result<Vec<File>, Error> {
        let files = self.removing()?;
        all_or_none(&self.nothing(), Owned::remove)?;
        Ok(files)
    }

    /// Whether there is a unit that starts Open vSwitch.
    pub fn knows_open_vswitch(&self) -> bool {
        SWITCH_UNITS.iter().any(|unit| self.root.join(unit).exists())
    }

    /// The units, and the links by which a boot finds them.
    fn files(&self, runs: &Runs) -> Vec<Owned> {
        self.each(|unit| unit.text(runs))
    }

    /// The same files, to be recognized only; what refers to another comes before it.
    fn nothing(&self) -> Vec<Owned> {
        let mut files = self.each(|_| String::new());
        files.reverse();
        files
    }

    fn each(&self, text: impl Fn(unit::Unit) -> String) -> Vec<Owned> {
        let directory = self.root.join(DIRECTORY);
        let wants = directory.join(format!("{WANTED_BY}.wants"));
        let by = "`vdpa service install`, removed by `vdpa service remove`";
        let units = UNITS.iter().map(|unit| Owned::text(directory.join(unit.name), by, &text(*unit)));
        // As `systemctl enable` has it.
        let links = UNITS
            .iter()
            .map(|unit| Owned::link(wants.join(unit.name), Path::new("/").join(DIRECTORY).join(unit.name)));
        units.chain(links).collect()
    }
}

impl File {
    fn of(file: &Owned, change: Change, wanted: bool) -> Self {
        let content = wanted.then(|| match file.content() {
            Content::Text(text) => text.clone(),
            Content::Link(target) => target.display().to_string(),
        });
        Self { path: file.path().to_owned(), change, content }
    }
}

/// Does something to every file, or brings back what was there.
fn all_or_none(files: &[Owned], change: impl Fn(&Owned) -> Result<(), Error>) -> Result<(), Error> {
    let befores: Vec<_> = files.iter().map(Owned::found).collect::<Result<_, _>>()?;
    for (done, file) in files.iter().enumerate() {
        if let Err(error) = change(file) {
            for (file, before) in files.iter().zip(&befores).take(done) {
                if let Err(error) = file.restore(before.as_ref()) {
                    tracing::warn!("{}", error.flat());
                }
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Has systemd read its units anew.
///
/// # Errors
/// [`Error::Systemd`] with what it said.
pub async fn reload() -> Result<(), Error> {
    systemctl(&["daemon-reload"]).await.map_err(Error::Systemd)
}

/// Has systemd forget what it knows of the units' last start. They do nothing when they stop.
pub async fn forget() {
    for verb in ["stop", "reset-failed"] {
        let arguments: Vec<&str> = std::iter::once(verb).chain(UNITS.map(|unit| unit.name)).collect();
        if let Err(said) = systemctl(&arguments).await {
            tracing::debug!(verb, said, "systemd knows none of them");
        }
    }
}

async fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("systemctl");
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(Duration::from_mins(1), command.output()).await {
        Err(_) => Err("no answer within a minute".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Whether systemd runs this host: `sd_booted(3)`.
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Runs {
        Runs { program: "/usr/local/bin/vdpa".into(), config: "/etc/vdpa/host.toml".into(), ovsdb: None }
    }

    fn changes(files: &[File]) -> Vec<Change> {
        files.iter().map(|file| file.change).collect()
    }

    #[test]
    fn installing_twice_changes_nothing_and_removing_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let services = Services::new(root.path());
        assert_eq!(changes(&services.install(&runs()).unwrap()), [Change::Made; 6]);
        assert_eq!(changes(&services.install(&runs()).unwrap()), [Change::None; 6]);
        let other = Runs { config: "/etc/other.toml".into(), ..runs() };
        let expected = [[Change::Renewed; 3], [Change::None; 3]].concat();
        assert_eq!(changes(&services.install(&other).unwrap()), expected);
        assert_eq!(changes(&services.remove().unwrap()), [Change::Removed; 6]);
        assert_eq!(changes(&services.remove().unwrap()), [Change::None; 6]);
        assert!(!root.path().join(DIRECTORY).exists());
    }

    #[test]
    fn a_unit_of_somebody_elses_is_refused_before_anything_is_written() {
        let root = tempfile::tempdir().unwrap();
        let services = Services::new(root.path());
        let theirs = root.path().join(DIRECTORY).join(UNITS[2].name);
        std::fs::create_dir_all(theirs.parent().unwrap()).unwrap();
        std::fs::write(&theirs, "[Unit]\n").unwrap();
        for result in [services.install(&runs()).map(drop), services.remove().map(drop)] {
            assert!(matches!(&result, Err(Error::NotOurs(path)) if *path == theirs), "{result:?}");
        }
        assert_eq!(std::fs::read_dir(theirs.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn where_one_file_cannot_be_written_none_is() {
        let root = tempfile::tempdir().unwrap();
        let services = Services::new(root.path());
        // The links' directory cannot be made.
        let wants = root.path().join(DIRECTORY).join(format!("{WANTED_BY}.wants"));
        std::fs::create_dir_all(wants.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/proc/nowhere", &wants).unwrap();
        let error = services.install(&runs()).unwrap_err();
        assert!(matches!(&error, Error::File { verb: "write", .. }), "{error:?}");
        assert_eq!(std::fs::read_dir(wants.parent().unwrap()).unwrap().count(), 1, "a unit is left");
    }

    #[test]
    fn a_host_without_open_vswitch_is_told_from_one_with_it() {
        let root = tempfile::tempdir().unwrap();
        let services = Services::new(root.path());
        assert!(!services.knows_open_vswitch());
        let unit = root.path().join(SWITCH_UNITS[1]);
        std::fs::create_dir_all(unit.parent().unwrap()).unwrap();
        std::fs::write(unit, "").unwrap();
        assert!(services.knows_open_vswitch());
    }

    #[test]
    fn a_program_that_a_service_cannot_start_is_refused() {
        let services = Services::new("/nowhere");
        let error = services.installing(&Runs { program: "/home/me/vdpa".into(), ..runs() }).unwrap_err();
        assert!(matches!(error, Error::Homeless(_)), "{error:?}");
    }

    #[test]
    fn a_path_that_would_be_a_line_of_a_unit_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;

        let root = tempfile::tempdir().unwrap();
        let services = Services::new(root.path());
        let not_text = std::ffi::OsString::from_vec(b"/etc/\xff.toml".to_vec());
        for config in ["/etc/a\nExecStartPre=/bin/sh".into(), "/etc/a\u{7}".into(), PathBuf::from(not_text)] {
            let error = services.install(&Runs { config: config.clone(), ..runs() }).unwrap_err();
            assert!(matches!(&error, Error::Unspeakable(path) if *path == config), "{error:?}");
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "something was written");
    }
}
