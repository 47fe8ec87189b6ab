//! What is wanted of a kernel command line, and how one is made to have it with as little change as possible.
//!
//! A boot loader's configuration is often several lists that the kernel gets as one (`GRUB_CMDLINE_LINUX`, then
//! `GRUB_CMDLINE_LINUX_DEFAULT`). [`Want::fulfil`] works on all of them: what holds already is left alone wherever it
//! stands, what contradicts is replaced where it stands, and what is new goes into the list that is named.
//! Doing it twice is doing it once.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use vdpa_hw::platform::{Argument, CommandLine, PageSize, Vendor};

/// One thing that is wanted of a kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A list-valued argument has this word, and has none of those: `intel_iommu=on`, not `off`.
    Word {
        /// The argument's name.
        name: &'static str,
        /// The word; `None` where only the others must go.
        word: Option<&'static str>,
        /// What contradicts it.
        without: &'static [&'static str],
    },
    /// This argument, and no other of its name.
    Only(Argument),
    /// Huge pages of this size, counted for the host or for each node.
    HugePages {
        /// Their size.
        size: PageSize,
        /// How many.
        count: Count,
    },
}

/// How many huge pages of a size: `hugepages=16`, or `hugepages=0:8,1:8`, which Linux knows since 5.16.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Count {
    /// On the host; the kernel spreads them over its nodes.
    Host(u64),
    /// By NUMA node.
    Nodes(BTreeMap<u16, u64>),
}

impl Want {
    /// What lets the host hand devices to guests: the IOMMU on, and the host's own devices past it (`pt`), so that
    /// their traffic is not slowed by it.
    ///
    /// Intel's is off by default in kernels built without `CONFIG_INTEL_IOMMU_DEFAULT_ON`, as distributions' were for
    /// long. AMD's is on by default and has no `on` to say (`parse_amd_iommu_options()` in
    /// `drivers/iommu/amd/init.c`): only an `off` has to go.
    pub fn iommu(vendor: Vendor) -> Vec<Self> {
        let passthrough = Self::Word { name: "iommu", word: Some("pt"), without: &["off", "nopt", "soft"] };
        match vendor {
            Vendor::Intel => {
                vec![Self::Word { name: "intel_iommu", word: Some("on"), without: &["off"] }, passthrough]
            }
            Vendor::Amd => {
                vec![Self::Word { name: "amd_iommu", word: None, without: &["off"] }, passthrough]
            }
            Vendor::Other => Vec::new(),
        }
    }

    /// Whether a command line has it.
    pub fn holds(&self, line: &CommandLine) -> bool {
        let mut lines = [line.clone()];
        self.fulfil(&mut lines, 0);
        lines[0] == *line
    }

    /// Makes `lines`, which the kernel gets one behind the other, have it. What is new goes into `lines[home]`.
    pub fn fulfil(&self, lines: &mut [CommandLine], home: usize) {
        match self {
            Self::Word { name, word, without } => fulfil_word(lines, home, name, *word, without),
            Self::Only(argument) => fulfil_only(lines, home, argument),
            Self::HugePages { size, count } => fulfil_huge_pages(lines, home, *size, &count.to_string()),
        }
    }

    /// The names of the arguments that it may change.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Word { name, .. } => vec![name],
            Self::Only(argument) => vec![argument.name()],
            // They belong together: each count goes by the size before it.
            Self::HugePages { .. } => vec!["hugepagesz", "hugepages"],
        }
    }
}

impl fmt::Display for Want {
    /// As one would type it; nothing for what only must go.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word { name, word: Some(word), .. } => write!(f, "{name}={word}"),
            Self::Word { name, word: None, without } => write!(f, "no {name}={}", without.join(",")),
            Self::Only(argument) => argument.fmt(f),
            Self::HugePages { size, count } => write!(f, "hugepagesz={size} hugepages={count}"),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(count) => count.fmt(f),
            Self::Nodes(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|(node, count)| format!("{node}:{count}")).collect();
                f.write_str(&nodes.join(","))
            }
        }
    }
}

/// Several, as one would type them.
pub(crate) fn listed<'a>(wants: impl IntoIterator<Item = &'a Want>) -> String {
    wants.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn fulfil_word(
    lines: &mut [CommandLine],
    home: usize,
    name: &'static str,
    word: Option<&'static str>,
    without: &[&str],
) {
    let has =
        |wanted: &str| lines.iter().flat_map(|line| line.all(name)).any(|a| a.list().any(|w| w == wanted));
    let mut missing = word.filter(|word| !has(word));
    for line in &mut *lines {
        line.rewrite(|argument| {
            let contradicts = argument.list().any(|word| without.contains(&word));
            if !argument.is(name) || !(contradicts || missing.is_some()) {
                return Some(argument.clone());
            }
            let kept = argument.list().filter(|word| !without.contains(word));
            let words: Vec<&str> = missing.take().into_iter().chain(kept).collect();
            // Only words that stood there or that we know, so that the text is an argument.
            (!words.is_empty())
                .then(|| format!("{}={}", argument.name(), words.join(",")).parse().ok())
                .flatten()
        });
    }
    if let Some(word) = missing {
        lines[home].extend(&[&format!("{name}={word}")]);
    }
}

fn fulfil_only(lines: &mut [CommandLine], home: usize, wanted: &Argument) {
    let all = || lines.iter().flat_map(|line| line.all(wanted.name()));
    let count = all().count();
    if count == 0 {
        lines[home].push(wanted.clone());
    } else if all().any(|argument| argument.value() != wanted.value()) {
        let mut left = count;
        for line in lines {
            line.rewrite(|argument| {
                if !argument.is(wanted.name()) {
                    return Some(argument.clone());
                }
                left -= 1;
                (left == 0).then(|| wanted.clone())
            });
        }
    }
}

/// Each `hugepages=` belongs to the `hugepagesz=` before it, or to the default size. The kernel ignores what asks
/// for a size twice (`hugepagesz_setup()`, `hugepages_setup()` in `mm/hugetlb.c`), so that there may be only one.
fn fulfil_huge_pages(lines: &mut [CommandLine], home: usize, wanted: PageSize, count: &str) {
    let default = lines.iter().rev().find_map(|line| line.value("default_hugepagesz"));
    let default = default.and_then(|size| size.parse().ok()).unwrap_or(PageSize::MIB_2);
    let size_of = |argument: &Argument| argument.value().and_then(|size| size.parse::<PageSize>().ok());

    // What is asked for now, and where a count goes by a size that stands in an earlier list, or in none.
    let (mut size, mut counts, mut leaning) = (None, Vec::new(), None);
    for (index, line) in lines.iter().enumerate() {
        let mut is_sized = false;
        for argument in line.arguments() {
            if argument.is("hugepagesz") {
                size = size_of(argument);
                is_sized = true;
            } else if argument.is("hugepages") {
                leaning = if is_sized { leaning } else { Some(index) };
                if size.unwrap_or(default) == wanted {
                    counts.push(argument.value().unwrap_or_default().to_owned());
                }
            }
        }
    }
    if counts == [count] {
        return;
    }

    // The first count of this size gets the wanted value, what else there is of this size goes.
    let (mut size, mut seen) = (None, false);
    let has_count = !counts.is_empty();
    for line in &mut *lines {
        line.rewrite(|argument| {
            if argument.is("hugepagesz") {
                size = size_of(argument);
                let keep = size != Some(wanted) || (has_count && !seen);
                return keep.then(|| argument.clone());
            }
            if !argument.is("hugepages") || size.unwrap_or(default) != wanted {
                return Some(argument.clone());
            }
            let first = !std::mem::replace(&mut seen, true);
            if first { format!("hugepages={count}").parse().ok() } else { None }
        });
    }
    if !has_count {
        // Behind such a count, or it would go by our size.
        let at = leaning.map_or(home, |index| index.max(home));
        lines[at].extend(&[&format!("hugepagesz={wanted}"), &format!("hugepages={count}")]);
    }
}

/// Adds arguments that are known to be such.
trait Extend {
    fn extend(&mut self, arguments: &[&str]);
}

impl Extend for CommandLine {
    fn extend(&mut self, arguments: &[&str]) {
        for argument in arguments.iter().filter_map(|text| text.parse().ok()) {
            self.push(argument);
        }
    }
}

#[cfg(test)]
mod tests;
