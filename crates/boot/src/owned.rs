//! The files that are ours alone: written whole, removed when nothing in them is wanted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use vdpa_hw::platform::ModuleName;

use crate::error::{Error, Result};
use crate::plan::{NodePages, Request};
use crate::policy;
use crate::tree::Tree;

/// The first line of each, by which we know it again.
const HEADER: &str =
    "# Written by `vdpa host prepare`, taken back by `vdpa host restore`; what is changed here gets lost.\n";

/// modules-load.d(5).
pub(crate) const MODULES: &str = "/etc/modules-load.d/vdpa.conf";
/// modprobe.d(5).
pub(crate) const OPTIONS: &str = "/etc/modprobe.d/vdpa.conf";
/// tmpfiles.d(5).
pub(crate) const PAGES: &str = "/etc/tmpfiles.d/vdpa.conf";

/// All of them.
pub(crate) const ALL: [&str; 4] = [MODULES, OPTIONS, PAGES, policy::PATH];

/// Our files with the text that each is to have; `None` where it is not needed. `confined` says whether SELinux would
/// keep QEMU from our datapaths.
pub(crate) fn texts(
    request: &Request,
    kvm: Option<&ModuleName>,
    confined: bool,
) -> Vec<(PathBuf, Option<String>)> {
    vec![
        (MODULES.into(), modules(&request.modules)),
        (OPTIONS.into(), kvm.filter(|_| request.nested).map(nested)),
        (PAGES.into(), pages(&request.run_time_pages)),
        (policy::PATH.into(), confined.then(|| policy::SOURCE.to_owned())),
    ]
}

/// The text of a file of ours now; an error where somebody else wrote it.
pub(crate) fn now(tree: &Tree, path: &Path) -> Result<Option<String>> {
    let text = tree.read(path)?;
    match &text {
        Some(text) if !is_ours(text) => Err(Error::Foreign(path.to_owned())),
        _ => Ok(text),
    }
}

/// A policy's comments are of another kind, and its first line says what it is.
fn is_ours(text: &str) -> bool {
    text.starts_with(HEADER)
        || text.lines().take(2).any(|line| line.starts_with("; Written by `vdpa host prepare`"))
}

/// Notes on files of others that overrule what we say of nested virtualization: modprobe hands all options of a module
/// to the kernel, in the order of the files' names, and the last of a name counts (`modprobe.d(5)`).
pub(crate) fn overruled(tree: &Tree, kvm: &ModuleName) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for directory in ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"] {
        for path in tree.list(Path::new(directory), ".conf")? {
            if path.file_name() <= Path::new(OPTIONS).file_name() {
                continue;
            }
            for (line, text) in (1..).zip(tree.read(&path)?.unwrap_or_default().lines()) {
                let mut words = text.split_whitespace();
                let is_ours = words.next() == Some("options")
                    && words.next().and_then(|name| name.parse().ok()).as_ref() == Some(kvm);
                if is_ours && words.any(|word| matches!(word, "nested=0" | "nested=N" | "nested=n")) {
                    let path = path.display();
                    notes.push(format!("{path}:{line} overrules it: remove its nested=0"));
                }
            }
        }
    }
    Ok(notes)
}

fn modules(modules: &[(ModuleName, String)]) -> Option<String> {
    let mut text = HEADER.to_owned();
    for (module, reason) in modules {
        let _ = write!(text, "# {reason}\n{module}\n");
    }
    (!modules.is_empty()).then_some(text)
}

fn nested(kvm: &ModuleName) -> String {
    format!("{HEADER}# Guests may have guests.\noptions {kvm} nested=1\n")
}

fn pages(pages: &[NodePages]) -> Option<String> {
    let mut text = HEADER.to_owned();
    for NodePages { size, node, count } in pages {
        let directory =
            format!("/sys/devices/system/node/node{node}/hugepages/hugepages-{}kB", size.bytes() >> 10);
        let _ = write!(
            text,
            "# {count} huge pages of {size} on NUMA node {node}\nw {directory}/nr_hugepages - - - - {count}\n"
        );
    }
    (!pages.is_empty()).then_some(text)
}
