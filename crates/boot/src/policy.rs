//! SELinux: the module with which QEMU reaches our datapaths where a policy confines it.
//!
//! The module is source, `selinux/vdpa.cil` beside this crate, and says itself what each of its rules is for. semodule(8)
//! compiles it into the host's policy and keeps it there.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::programs::{Command, Programs};
use crate::tree::Tree;

/// The module's source, with the mark of what is ours in its first lines.
pub(crate) const SOURCE: &str = include_str!("../selinux/vdpa.cil");

/// Where it lies on the host: semodule calls a module as its file is called.
pub(crate) const PATH: &str = "/var/lib/vdpa/vdpa.cil";

/// What says how SELinux begins with the boot, and by which policy (`selinux_config(5)`).
const CONFIG: &str = "/etc/selinux/config";

/// What is to be done about the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Module {
    /// SELinux is off, or nothing of ours asks for it.
    NotNeeded,
    /// It is in the host's policy, or could be put there.
    Possible {
        /// Whether it is in the host's policy.
        installed: bool,
    },
    /// The program that puts it there is missing.
    NoTool,
}

impl Module {
    /// How the module stands on a host.
    pub(crate) fn of(tree: &Tree, programs: &dyn Programs) -> Result<Self> {
        let Some(policy) = policy(tree)? else { return Ok(Self::NotNeeded) };
        if !programs.has("semodule") {
            return Ok(Self::NoTool);
        }
        // Since policycoreutils 2.4 the store has a directory a module, at the priority that semodule uses by itself.
        let language = store(&policy).join("vdpa/lang_ext");
        Ok(Self::Possible { installed: tree.read(&language)?.is_some() })
    }
}

/// The policy that SELinux goes by from the boot on; `None` where it is off.
fn policy(tree: &Tree) -> Result<Option<String>> {
    let text = tree.read(Path::new(CONFIG))?.unwrap_or_default();
    let value = |name: &str| {
        let of = |line: &str| Some(line.trim().strip_prefix(name)?.strip_prefix('=')?.trim().to_owned());
        text.lines().rev().find_map(of)
    };
    let is_on = value("SELINUX").is_some_and(|mode| mode != "disabled");
    Ok(is_on.then(|| value("SELINUXTYPE").unwrap_or_else(|| "targeted".to_owned())))
}

fn store(policy: &str) -> PathBuf {
    Path::new("/var/lib/selinux").join(policy).join("active/modules/400")
}

/// Puts the module into the policy: takes some seconds, as the whole policy is made anew.
pub(crate) fn install() -> Command {
    Command::new(["semodule", "--install", PATH])
}

/// Takes it out again.
pub(crate) fn remove() -> Command {
    Command::new(["semodule", "--remove", "vdpa"])
}
