//! What `grubby` of the RHEL family shows and is told.
//!
//! Boot entries are files of the Boot Loader Specification there, and `grubby` is the way to change the arguments of
//! all of them, of `/etc/default/grub`, of grubenv's `kernelopts` (RHEL 8) and of `/etc/kernel/cmdline` (RHEL 9) at
//! once. Evidence: the script `grubby-bls` of RHEL's package grubby 8.40. Two of its ways decide what we tell it:
//! `--args` first removes *every* argument of each name that it is given and then appends all of its own, so that
//! names that stand more than once (`hugepagesz`) are given whole; `--info` leaves out `root=`.

use serde::{Deserialize, Serialize};
use vdpa_hw::platform::{Argument, CommandLine};

use crate::programs::Command;
use crate::want::Want;

/// A boot entry as `grubby --info=ALL` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kernel: String,
    pub(crate) arguments: CommandLine,
}

/// What `grubby` is to be told, and what comes of it.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) command: Command,
    /// The arguments of each entry afterwards.
    pub(crate) after: Vec<CommandLine>,
    pub(crate) undo: Undo,
}

/// How arguments stood before: enough to tell `grubby` to bring them back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Undo {
    /// Names of arguments that we changed.
    pub(crate) names: Vec<String>,
    /// What stood there under these names, in order.
    pub(crate) arguments: Vec<String>,
}

/// What shows every entry.
pub(crate) fn info() -> Command {
    Command::new(["grubby", "--info=ALL"])
}

/// The entries that `grubby --info=ALL` printed.
pub(crate) fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        match (key, entries.last_mut()) {
            ("index", _) => entries.push(Entry { kernel: String::new(), arguments: CommandLine::default() }),
            ("kernel", Some(entry)) => value.clone_into(&mut entry.kernel),
            ("args", Some(entry)) => entry.arguments = CommandLine::parse(value),
            _ => {}
        }
    }
    // An entry without a kernel is no Linux (`non linux entry`), and not ours to change.
    entries.retain(|entry| !entry.kernel.is_empty());
    entries
}

/// What to tell `grubby` so that every entry has what is wanted; `None` where all have.
pub(crate) fn change(entries: &[Entry], wants: &[Want]) -> Option<Change> {
    let holds = |want: &Want| entries.iter().all(|entry| want.holds(&entry.arguments));
    let due: Vec<&Want> = wants.iter().filter(|want| !holds(want)).collect();
    let model = entries.iter().find(|entry| due.iter().any(|want| !want.holds(&entry.arguments)))?;
    let mut wanted = [model.arguments.clone()];
    for want in &due {
        want.fulfil(&mut wanted, 0);
    }
    let touched: Vec<&str> = due.iter().flat_map(|want| want.names()).collect();
    let is_touched = |argument: &Argument| touched.iter().any(|name| argument.is(name));
    let of = |line: &CommandLine| -> Vec<Argument> {
        line.arguments().filter(|argument| is_touched(argument)).cloned().collect()
    };
    let (keep, stood) = (of(&wanted[0]), of(&model.arguments));
    // What is to go has no argument left by which `--args` would remove it; by its name as it is written.
    let mut gone: Vec<String> = Vec::new();
    for argument in entries.iter().flat_map(|entry| of(&entry.arguments)) {
        let name = argument.name().to_owned();
        if !keep.iter().any(|kept| kept.name() == name) && !gone.contains(&name) {
            gone.push(name);
        }
    }
    let mut names: Vec<String> =
        keep.iter().map(|argument| argument.name().to_owned()).chain(gone.clone()).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let after = entries.iter().map(|entry| told(&entry.arguments, &names, &keep)).collect();
    let texts = |arguments: &[Argument]| arguments.iter().map(ToString::to_string).collect::<Vec<_>>();
    Some(Change {
        command: update(&gone, &texts(&keep)),
        after,
        undo: Undo { names, arguments: texts(&stood) },
    })
}

/// What tells `grubby` to bring back what stood before.
pub(crate) fn undo(undo: &Undo) -> Option<Command> {
    let stood = |name: &String| undo.arguments.iter().any(|a| a.split('=').next() == Some(name));
    let gone: Vec<String> = undo.names.iter().filter(|name| !stood(name)).cloned().collect();
    (!undo.names.is_empty()).then(|| update(&gone, &undo.arguments))
}

fn update(gone: &[String], arguments: &[String]) -> Command {
    let mut words = vec!["grubby".to_owned(), "--update-kernel=ALL".to_owned()];
    if !gone.is_empty() {
        words.push(format!("--remove-args={}", gone.join(" ")));
    }
    if !arguments.is_empty() {
        words.push(format!("--args={}", arguments.join(" ")));
    }
    Command::new(words)
}

/// What `update_args()` of grubby-bls makes of a line: every argument of these names out, the new ones at the end.
fn told(line: &CommandLine, names: &[String], arguments: &[Argument]) -> CommandLine {
    let mut line = line.clone();
    line.rewrite(|argument| (!names.iter().any(|name| argument.name() == name)).then(|| argument.clone()));
    for argument in arguments {
        line.push(argument.clone());
    }
    line
}

#[cfg(test)]
mod tests {
    use vdpa_hw::platform::{PageSize, Vendor};

    use super::*;
    use crate::want::Count;

    /// As a Rocky 8.4 prints it: the form of `display_info_values()` in grubby-bls.
    const ROCKY_8: &str = r#"index=0
kernel="/boot/vmlinuz-4.18.0-305.el8.x86_64"
args="ro crashkernel=auto resume=/dev/mapper/rl-swap rd.lvm.lv=rl/root rhgb quiet $tuned_params"
root="/dev/mapper/rl-root"
initrd="/boot/initramfs-4.18.0-305.el8.x86_64.img $tuned_initrd"
title="Rocky Linux (4.18.0-305.el8.x86_64) 8.4 (Green Obsidian)"
id="0f1e2d3c4b5a69788796a5b4c3d2e1f0-4.18.0-305.el8.x86_64"
index=1
kernel="/boot/vmlinuz-0-rescue-0f1e2d3c4b5a69788796a5b4c3d2e1f0"
args="ro crashkernel=auto resume=/dev/mapper/rl-swap rd.lvm.lv=rl/root rhgb quiet"
root="/dev/mapper/rl-root"
initrd="/boot/initramfs-0-rescue-0f1e2d3c4b5a69788796a5b4c3d2e1f0.img"
title="Rocky Linux (0-rescue-0f1e2d3c4b5a69788796a5b4c3d2e1f0) 8.4 (Green Obsidian)"
id="0f1e2d3c4b5a69788796a5b4c3d2e1f0-0-rescue"
index=2
non linux entry
"#;

    fn wants() -> Vec<Want> {
        let pages = Want::HugePages { size: PageSize::GIB_1, count: Count::Host(16) };
        [Want::iommu(Vendor::Intel), vec![pages]].concat()
    }

    fn with(arguments: &str) -> Vec<Entry> {
        vec![Entry { kernel: "/boot/vmlinuz".to_owned(), arguments: CommandLine::parse(arguments) }]
    }

    #[test]
    fn entries_are_read() {
        let entries = entries(ROCKY_8);
        assert_eq!(entries.len(), 2, "a non-Linux entry is none");
        assert_eq!(entries[0].kernel, "/boot/vmlinuz-4.18.0-305.el8.x86_64");
        assert!(entries[0].arguments.has("$tuned_params"));
    }

    #[test]
    fn one_command_serves_all_entries_and_is_not_needed_twice() {
        let mut entries = entries(ROCKY_8);
        let change = change(&entries, &wants()).unwrap();
        assert_eq!(
            change.command.words(),
            ["grubby", "--update-kernel=ALL", "--args=intel_iommu=on iommu=pt hugepagesz=1G hugepages=16"]
        );
        for (entry, after) in entries.iter_mut().zip(&change.after) {
            assert!(wants().iter().all(|want| want.holds(after)), "{after}");
            entry.arguments = after.clone();
        }
        assert!(super::change(&entries, &wants()).is_none());
        let undo = undo(&change.undo).unwrap();
        assert_eq!(undo.words()[2..], ["--remove-args=intel_iommu iommu hugepagesz hugepages"]);
    }

    #[test]
    fn what_stood_there_otherwise_is_given_back() {
        let entries = with("ro intel_iommu=off hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=2");
        let change = change(&entries, &wants()).unwrap();
        assert_eq!(
            change.command.words()[2..],
            ["--args=intel_iommu=on hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=16 iommu=pt"]
        );
        let undo = undo(&change.undo).unwrap();
        assert_eq!(
            undo.words()[2..],
            [
                "--remove-args=iommu",
                "--args=intel_iommu=off hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=2"
            ]
        );
    }

    #[test]
    fn what_only_has_to_go_is_removed_by_name() {
        let change = change(&with("ro amd_iommu=off iommu=pt"), &Want::iommu(Vendor::Amd)).unwrap();
        assert_eq!(change.command.words()[2..], ["--remove-args=amd_iommu"]);
        assert_eq!(change.after[0].to_string(), "ro iommu=pt");
    }
}
