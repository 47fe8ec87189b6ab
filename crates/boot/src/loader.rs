//! Which boot loader's configuration counts on this host.

use std::path::{Path, PathBuf};

use vdpa_hw::platform::CommandLine;

use crate::error::Result;
use crate::grub::{DEFAULT_FILE, Defaults};
use crate::programs::{Command, Programs};
use crate::tree::Tree;
use crate::want::Want;

/// Where kernel arguments are written.
#[derive(Debug)]
pub(crate) enum Loader {
    /// `grubby` changes the entries.
    Grubby,
    /// GRUB's defaults are edited, then its configuration is made anew.
    Grub(Grub),
    /// A way to boot that we do not write: what was found, and what to do by hand.
    Other { found: &'static str, instead: &'static str },
}

/// GRUB without grubby.
#[derive(Debug)]
pub(crate) struct Grub {
    /// What the configuration is made from.
    pub(crate) defaults: Defaults,
    /// The same as it is written, by file.
    pub(crate) before: Vec<(PathBuf, String)>,
    /// What makes the configuration.
    pub(crate) regenerate: Command,
    /// The configuration, which is what GRUB reads.
    pub(crate) config: PathBuf,
}

impl Grub {
    /// What no entry of the configuration has: it was not made since the defaults ask for it. Nothing where the
    /// configuration cannot be read, or has its entries elsewhere (Boot Loader Specification).
    pub(crate) fn lacks<'a>(&self, tree: &Tree, wants: &'a [Want]) -> Vec<&'a Want> {
        let text = tree.read(&self.config).ok().flatten().unwrap_or_default();
        let kernels = text.lines().filter_map(|line| {
            let (command, line) = line.trim_start().split_once([' ', '\t'])?;
            matches!(command, "linux" | "linux16" | "linuxefi").then(|| CommandLine::parse(line))
        });
        let kernels: Vec<CommandLine> = kernels.collect();
        let has = |want: &Want| kernels.is_empty() || kernels.iter().any(|line| want.holds(line));
        wants.iter().filter(|want| !has(want)).collect()
    }
}

impl Loader {
    /// Finds out which it is.
    pub(crate) fn of(tree: &Tree, programs: &dyn Programs) -> Result<Self> {
        if tree.exists("/run/ostree-booted") {
            let found = "the host is an image that rpm-ostree manages";
            return Ok(Self::Other {
                found,
                instead: "type `rpm-ostree kargs --append-if-missing=…` for each",
            });
        }
        // Entries are root's to read; who may not look meets the same refusal later, by the file's name.
        let has_entries =
            tree.list(Path::new("/boot/loader/entries"), ".conf").map_or(true, |e| !e.is_empty());
        if programs.has("grubby") && has_entries {
            return Ok(Self::Grubby);
        }
        if let (Some(text), Some((regenerate, config))) =
            (tree.read(Path::new(DEFAULT_FILE))?, regenerate(tree, programs)?)
        {
            let mut before = vec![(PathBuf::from(DEFAULT_FILE), text)];
            if sources_drop_ins(tree, programs)? {
                for path in tree.list(Path::new("/etc/default/grub.d"), ".cfg")? {
                    let text = tree.read(&path)?.unwrap_or_default();
                    before.push((path, text));
                }
            }
            let defaults = Defaults::parse(before.clone())?;
            return Ok(Self::Grub(Grub { defaults, before, regenerate, config }));
        }
        let systemd_boot =
            ["/boot/loader/loader.conf", "/efi/loader/loader.conf", "/boot/efi/loader/loader.conf"];
        if systemd_boot.iter().any(|path| tree.exists(path)) || tree.exists("/etc/kernel/cmdline") {
            return Ok(Self::Other {
                found: "systemd-boot starts the kernel",
                instead: "add them to the line in /etc/kernel/cmdline, then run `kernel-install add-all`",
            });
        }
        Ok(Self::Other {
            found: "neither grubby nor GRUB's /etc/default/grub is there",
            instead: "give them to whatever starts this kernel",
        })
    }
}

/// What makes GRUB's configuration anew, and where it is.
fn regenerate(tree: &Tree, programs: &dyn Programs) -> Result<Option<(Command, PathBuf)>> {
    // Debian and Ubuntu: a script of one line, `grub-mkconfig -o /boot/grub/grub.cfg`.
    if programs.has("update-grub") {
        return Ok(Some((Command::new(["update-grub"]), "/boot/grub/grub.cfg".into())));
    }
    for (program, usual) in
        [("grub2-mkconfig", "/boot/grub2/grub.cfg"), ("grub-mkconfig", "/boot/grub/grub.cfg")]
    {
        if !programs.has(program) {
            continue;
        }
        // On the RHEL family links in /etc name the file; RHEL 8 keeps it on the EFI system partition.
        let is_efi = tree.exists("/sys/firmware/efi");
        let link = Path::new(if is_efi { "/etc/grub2-efi.cfg" } else { "/etc/grub2.cfg" });
        let file = tree.link(link).unwrap_or_else(|| usual.into());
        let mut words = vec![program.to_owned(), "-o".to_owned(), file.display().to_string()];
        // Since RHEL 9.3 entries of the Boot Loader Specification change only if asked.
        if script(tree, program)?.contains("--update-bls-cmdline") {
            words.push("--update-bls-cmdline".to_owned());
        }
        return Ok(Some((Command::new(words), file)));
    }
    Ok(None)
}

/// Whether drop-ins are sourced: Debian's and Ubuntu's `grub-mkconfig` does it, upstream's does not.
fn sources_drop_ins(tree: &Tree, programs: &dyn Programs) -> Result<bool> {
    if programs.has("update-grub") {
        return Ok(true);
    }
    Ok(script(tree, "grub2-mkconfig")?.contains("default/grub.d")
        || script(tree, "grub-mkconfig")?.contains("default/grub.d"))
}

fn script(tree: &Tree, program: &str) -> Result<String> {
    Ok(tree.read(&Path::new("/usr/sbin").join(program))?.unwrap_or_default())
}
