//! `vdpa service`: the host set up at every boot.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Result, Session};
use crate::config;
use crate::error::Error;
use crate::report::{Outcome, Report as _};
use crate::service::{Change, File, Runs, Services, forget, is_running, reload};

pub(crate) const EXAMPLES: &str = "\
Three units run `vdpa setup` at boot, each as far as its time allows:
  vdpa-card      switchdev mode and VFs, before network managers and Open vSwitch
  vdpa-datapath  bridge and datapaths, after Open vSwitch and before libvirt
  vdpa-domains   domains, after libvirt and before libvirt-guests

Examples:
  vdpa service install --dry-run        what would be written, in full
  sudo vdpa service install             for /etc/vdpa/host.toml; takes effect at the next boot
  systemctl status 'vdpa-*'             after a boot
  sudo vdpa service remove              what has been set up stays: `vdpa teardown` takes it back";

/// Have the host set up at every boot, or no longer.
#[derive(Debug, clap::Subcommand)]
pub enum Service {
    /// Write the units and have them started at every boot from the next one on.
    Install {
        /// The host file [default: /etc/vdpa/host.toml].
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Show what would be written; writes nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take the units away again.
    Remove {
        /// Show what would be removed; removes nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl Service {
    /// The command's name, for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Install { .. } => "service install",
            Self::Remove { .. } => "service remove",
        }
    }
}

/// Installs or removes the units.
pub(super) async fn run(session: &Session, options: &Service) -> Result {
    let services = Services::new(root(session));
    if !session.is_simulated() && !is_running() {
        return Err(Error::NoSystemd.into());
    }
    let (files, dry_run) = match options {
        Service::Install { config, dry_run } => {
            (install(session, &services, config.as_ref(), *dry_run)?, *dry_run)
        }
        Service::Remove { dry_run: true } => (services.removing()?, true),
        Service::Remove { dry_run: false } => (services.remove()?, false),
    };
    let changed = files.iter().any(|file| file.change != Change::None);
    if changed && !dry_run && !session.is_simulated() {
        if matches!(options, Service::Remove { .. }) {
            forget().await;
        }
        reload().await?;
    }
    tell(session, &files, dry_run);
    let word = match (changed, dry_run) {
        (false, _) => "unchanged",
        (true, true) => "changes",
        (true, false) => "done",
    };
    Ok(Outcome::done(options.name(), word).with("files", &files))
}

/// A simulated host has its files in its directory.
fn root(session: &Session) -> PathBuf {
    if session.is_simulated() { session.run_directory().join("root") } else { PathBuf::from("/") }
}

fn install(
    session: &Session,
    services: &Services,
    config: Option<&PathBuf>,
    dry_run: bool,
) -> Result<Vec<File>, Error> {
    let path = config.cloned().unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH));
    if !session.is_simulated() || config.is_some() {
        // A mistake in it is better met now than at the next boot.
        config::read(&path)?;
    }
    let absolute = |path: PathBuf| {
        std::path::absolute(&path).map_err(|source| Error::File { verb: "find", path, source })
    };
    let program = if session.is_simulated() {
        PathBuf::from("/usr/local/bin/vdpa")
    } else {
        let path = PathBuf::from("/proc/self/exe");
        std::env::current_exe().map_err(|source| Error::File { verb: "find", path, source })?
    };
    let socket = &session.common.ovsdb;
    let ovsdb =
        (socket.as_os_str() != vdpa_ovs::DEFAULT_SOCKET).then(|| absolute(socket.clone())).transpose()?;
    let runs = Runs { program, config: absolute(path)?, ovsdb };
    for file in [&runs.config, &runs.program] {
        if let Some(at) = others_may_write(file) {
            let (file, at) = (file.display(), at.display());
            session.output.caution(format_args!(
                "root will act by {file} at every boot, and others may write {at}: `chmod go-w {at}; chown root {at}`"
            ));
        }
    }
    if !session.is_simulated() && !services.knows_open_vswitch() {
        session.output.note("no unit starts Open vSwitch here: install openvswitch before the next boot");
    }
    Ok(if dry_run { services.installing(&runs)? } else { services.install(&runs)? })
}

/// The file, or the directory above it, that somebody besides root may write or replace.
fn others_may_write(file: &Path) -> Option<PathBuf> {
    let may = |path: &Path| {
        // What cannot be looked at is said when it is used.
        let Ok(found) = path.metadata() else { return false };
        // In a directory like /tmp (sticky) nobody replaces another's file.
        let open = found.mode() & 0o022 != 0 && !(found.is_dir() && found.mode() & 0o1000 != 0);
        open || found.uid() != 0
    };
    file.ancestors().find(|path| may(path)).map(Path::to_owned)
}

fn tell(session: &Session, files: &[File], dry_run: bool) {
    for file in files {
        let word = match file.change {
            Change::None => continue,
            Change::Made => "new",
            Change::Renewed => "renewed",
            Change::Removed => "removed",
        };
        session.output.line(format_args!("{word:8} {}", file.path.display()));
        if let (true, Some(content)) = (dry_run, &file.content) {
            for line in content.lines() {
                session.output.line(format_args!("    {line}"));
            }
        }
    }
    if files.iter().all(|file| file.change == Change::None) {
        session.output.line("unchanged: there was nothing to do");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_others_may_write_is_named_be_it_the_file_or_a_directory_above() {
        // Of root's own files everybody has some.
        assert_eq!(others_may_write(Path::new("/etc/passwd")), None);
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let file = directory.path().join("host.toml");
        std::fs::write(&file, "").unwrap();
        mode(&file, 0o646);
        assert_eq!(others_may_write(&file), Some(file.clone()));
        mode(&file, 0o600);
        mode(directory.path(), 0o777);
        let found = others_may_write(&file);
        // As an ordinary user the file itself is not root's.
        let expected = if rustix::process::geteuid().is_root() { directory.path() } else { &*file };
        assert_eq!(found.as_deref(), Some(expected));
    }
}
