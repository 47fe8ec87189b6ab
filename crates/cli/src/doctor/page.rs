//! `docs/doctor.md`: written from the list of checks and the table of minimums, and held against them by a test.

use std::fmt::Write as _;

use super::checks::TOPICS;
use super::minimums::{Below, Minimum};

const HEAD: &str = "\
<!-- Written by `vdpa doctor --list` from the program's own list of checks; do not edit. -->

# vdpa doctor

`sudo vdpa doctor` asks whether this host is ready for what its host file wants of it, or, without a host file, what
its cards could do. It changes nothing. Every check says what was found, where, and what to type where it will not do:

| verdict | mark | means |
|---|---|---|
| pass | ✓ | it will do |
| warn | ! | it will do, less well than it could, or only for now |
| fail | ✗ | `setup`, or the VM after it, fails |
| unknown | ? | it could not be found out, and the reason is given |

The exit code is 1 where a check fails, otherwise 0; with `--strict`, 1 also where one warns or is unknown. `--json` prints
one document, with the checks in `checks`.

## For a support case

`sudo vdpa doctor --bundle case.tar.gz` writes all that was looked at into an archive, and `vdpa doctor --from case.tar.gz`
asks the same questions of it on another machine, without privileges. It is an ordinary tar.gz: look into it before you send
it. What is in it:

- **Only what is asked for.** Of a domain's XML its memory, its vCPUs and its NUMA nodes are kept; no password, no disk, no
  other device. Of a process its number and its name and, of a VM, the domain's name; not its command line.
- **Kernel arguments** keep their names; values are kept only of those that set the kernel (`iommu=pt`, `hugepages=16`), and
  `...` stands for the others.
- **No serial numbers**, no addresses in kernel memory, nothing of NetworkManager's connections.
- MAC addresses, names of devices, domains and the host, and IP addresses on the cards are in it: the checks are about them.

## The checks
";

/// The page.
pub fn write() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| check | asks | why, and when it matters |\n|---|---|---|\n");
    for topic in TOPICS {
        let _ = writeln!(page, "| `{}` | {} | {} |", topic.id, topic.asks, topic.because);
    }
    page.push_str("\n## Minimums\n\nBelow one of these a version fails or is a warning.\n\n");
    page.push_str("| of | from | for | below | because | source |\n|---|---|---|---|---|---|\n");
    for minimum in Minimum::all() {
        let Minimum { of, version, needs, below, line, reason, source } = minimum;
        let line = line.map_or_else(String::new, |line| format!(" (`{line}`)"));
        let below = if below == Below::Fail { "fail" } else { "warn" };
        let _ = writeln!(page, "| {of}{line} | {version} | {needs} | {below} | {reason} | {source} |");
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_what_the_program_writes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == super::write(),
            "docs/doctor.md is old: `cargo run -- doctor --list > docs/doctor.md`"
        );
    }
}
