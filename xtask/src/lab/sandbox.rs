//! Namespaces in which parts of the lab are made.
//!
//! Root gets a mount and a PID namespace, so that whatever a build mounts or starts is gone when the build is. An
//! ordinary user gets a user namespace too, in which root owns the files of the guest.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::{process, workspace};

/// Whether we are root here.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command in namespaces of its own, all killed with the command.
pub(crate) fn command(program: &str) -> Command {
    let mut command = process::command("unshare");
    if !is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", program]);
    command
}

/// Checks that this machine allows what a build does.
pub(crate) async fn check() -> Result<()> {
    if !process::on_path("mmdebstrap") {
        bail!("building the lab needs mmdebstrap: `apt-get install mmdebstrap`");
    }
    let Err(error) = process::output(command("true"), Duration::from_secs(10)).await else { return Ok(()) };
    if is_root() {
        return Err(error.context(
            "root may not make mount and PID namespaces here (a container without CAP_SYS_ADMIN?)",
        ));
    }
    Err(error.context(
        "this user may not make user namespaces with a range of ids; either run as root, or \
         `apt-get install uidmap`, give the user a range in /etc/subuid and /etc/subgid (`usermod --add-subuids`), \
         and see that the sysctls kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns allow it",
    ))
}

/// Where a command in the tools root finds what it works on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'a> {
    /// The tools root.
    pub(crate) tools: &'a Path,
    /// Seen as `/in`.
    pub(crate) input: &'a Path,
    /// Seen as `/out`, and written to.
    pub(crate) output: &'a Path,
}

/// Runs one of the lab's build scripts in the tools root.
pub(crate) async fn in_tools(
    script: &str,
    places: Places<'_>,
    limit: Duration,
    line: impl FnMut(&str),
) -> Result<()> {
    let mut enter = command("sh");
    enter.arg(workspace::lab().join("build/enter.sh")).arg(places.tools).arg(workspace::lab());
    enter.args([places.input, places.output]).arg("sh").arg(format!("/lab/build/{script}"));
    process::watched(enter, limit, line).await.with_context(|| format!("cannot run lab/build/{script}"))
}

/// Runs a command in a fresh copy of the root in `tar`, below `directory`, with `input` as its `/in`.
pub(crate) async fn in_root(
    tar: &Path,
    directory: &Path,
    input: &Path,
    command_line: &[&str],
    limit: Duration,
    line: impl FnMut(&str),
) -> Result<()> {
    let mut enter = command("sh");
    enter.arg(workspace::lab().join("build/clean.sh")).args([tar, directory, input]).args(command_line);
    process::watched(enter, limit, line).await
}

/// Removes a directory with whatever is in it, also what belongs to ids of a user namespace.
pub(crate) async fn remove(directory: &Path) -> Result<()> {
    if !directory.exists() || fs::remove_dir_all(directory).is_ok() {
        return Ok(());
    }
    let mut rm = command("rm");
    rm.args(["-rf", "--"]).arg(directory);
    process::run(rm, Duration::from_mins(2)).await
}
