//! `cargo xtask errors`: `docs/errors.md`, the catalogue of every error message of the product.
//!
//! A message's words and its meaning are the code's: `source` reads them where they are declared. What usually causes
//! it, and what to do, is in `catalogue.toml`, an entry a message. A message without an entry, an entry without a message,
//! and a page that is not what this writes each fail a test below.

mod source;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::workspace;
use source::{Declared, Message};

/// The page, below the workspace's root.
const PAGE: &str = "docs/errors.md";
/// Causes and remedies, likewise.
const CATALOGUE: &str = "xtask/src/errors/catalogue.toml";

/// What a crate's messages are about. One that is not here has a section under its own name, at the end.
const SECTIONS: &[(&str, &str)] = &[
    ("cli", "Commands, host file and receipt"),
    ("hw", "PCI functions, VFs, links and firmware"),
    ("eswitch", "The card's switch"),
    ("ovs", "Open vSwitch"),
    ("vdpa", "Datapaths: kernel vDPA and dpdk-vdpa"),
    ("vm", "libvirt domains"),
    ("boot", "What the host is booted with"),
    ("tc", "tc filters"),
    ("netlink", "The kernel's answers"),
];

const HEAD: &str = "\
<!-- Written by `cargo xtask errors` from the sources and from xtask/src/errors/catalogue.toml; do not edit. -->

# Errors

Every error message of the program and its libraries, where it comes from and what to do. Look for words of yours that are
not a name, a number or a path: those are `‹…›` here. An error reads like this:

```text
error: cannot switch the eswitch of pci/0000:43:00.0 to switchdev      what failed, and on what
  kernel: Can't change mode, E-Switch is busy (EBUSY)                  why, in the words of whoever refused
rolled back: the host is as it was                                     what became of the host
hint: look for other users of this eswitch: `devlink port show`, …     what to type next
```

The hint that you see is about your case, with your names in it; what is here is about all cases. Behind `kernel:` stand the
kernel's own words (its extended ack), behind a program's name that program's. With `--json` the same parts are members
of `error`. The exit code says what became of the host: 1, it is as it was; 2, the mistake is on the command line or in
the host file; 3, something remains, which is listed, and `vdpa teardown` goes on from there.

What `vdpa doctor` finds is in [doctor.md](doctor.md), why a flow is not offloaded in [offload.md](offload.md).
";

/// What is known of a message beyond its declaration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// What it says, where the code's own declaration has no fixed words.
    says: Option<String>,
    /// What usually brings it about, where that is more than its meaning.
    cause: Option<String>,
    /// What to do.
    remedy: String,
}

type Catalogue = BTreeMap<String, Entry>;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Writes the page.
pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let path = workspace::root().join(PAGE);
    std::fs::write(&path, page()?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} is written", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The page as it is to be now.
fn page() -> Result<String> {
    let declared = Declared::read(&workspace::root().join("crates"))?;
    write(&declared, &catalogue()?)
}

fn catalogue() -> Result<Catalogue> {
    let path = workspace::root().join(CATALOGUE);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {CATALOGUE}"))?;
    toml::from_str(&text).with_context(|| format!("cannot understand {CATALOGUE}"))
}

/// The page; fails where messages and entries do not go one to one.
fn write(declared: &Declared, catalogue: &Catalogue) -> Result<String> {
    let keys: BTreeSet<&str> = declared.messages.iter().map(|message| message.key.as_str()).collect();
    let missing: Vec<_> = keys.iter().copied().filter(|key| !catalogue.contains_key(*key)).collect();
    ensure!(
        missing.is_empty(),
        "{CATALOGUE} has no entry for {}: add `[\"{}\"]` with a `remedy`, then `cargo xtask errors`",
        missing.join(", "),
        missing[0]
    );
    let stale: Vec<_> = catalogue.keys().map(String::as_str).filter(|key| !keys.contains(key)).collect();
    ensure!(stale.is_empty(), "no error is {}: take it out of catalogue.toml", stale.join(", "));

    let mut page = HEAD.to_owned();
    let others = keys.iter().filter_map(|key| key.split("::").next());
    let others: BTreeSet<_> = others.filter(|name| SECTIONS.iter().all(|(known, _)| known != name)).collect();
    for (name, title) in SECTIONS.iter().copied().chain(others.into_iter().map(|name| (name, name))) {
        let of = declared.messages.iter().filter(|message| message.key.split("::").next() == Some(name));
        let mut rows = of.map(|message| row(message, &catalogue[&message.key])).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = write!(page, "\n## {title}\n\n| message | cause | what to do |\n|---|---|---|\n");
        page.extend(rows);
        if name == "cli" && !declared.mistakes.is_empty() {
            page.push_str("\n### Mistakes in the host file and in options\n\nWith line and column, where it is a file's.\n");
            page.push_str("\n| message | what to do |\n|---|---|\n");
            for mistake in &declared.mistakes {
                let _ = writeln!(page, "| {} | {} |", code(&mistake.text), cell(&mistake.hint));
            }
        }
    }
    Ok(page)
}

fn row(message: &Message, entry: &Entry) -> String {
    let says = match (&entry.says, &message.text) {
        (Some(says), _) => format!("*{}*", cell(says)),
        (None, Some(text)) => code(text),
        (None, None) => "*what the line below says*".to_owned(),
    };
    let cause = [Some(&message.meaning), entry.cause.as_ref()];
    let cause = cause.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
    format!("| {says} | {} | {} |\n", cell(&cause), cell(&entry.remedy))
}

/// A message as code, also where it has backticks of its own.
fn code(text: &str) -> String {
    let text = cell(text);
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    // A name in a documentation comment links to what rustdoc knows and this page does not.
    let text = text.replace("[`", "`").replace("`]", "`");
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_message_is_in_the_catalogue_and_the_page_is_the_catalogue() {
        let page = page().unwrap();
        let there = std::fs::read_to_string(workspace::root().join(PAGE)).unwrap_or_default();
        assert!(there == page, "{PAGE} is old: `cargo xtask errors`");
    }

    #[test]
    fn every_remedy_says_what_to_do() {
        for (key, entry) in catalogue().unwrap() {
            assert!(entry.remedy.len() > 10, "{key}: {:?}", entry.remedy);
        }
    }

    fn message(key: &str) -> Message {
        Message {
            key: key.to_owned(),
            text: Some("no ‹a|b›".to_owned()),
            meaning: "There is none.".to_owned(),
        }
    }

    #[test]
    fn a_message_without_an_entry_and_an_entry_without_a_message_are_refused() {
        let declared = Declared { messages: vec![message("hw::Error::New")], mistakes: Vec::new() };
        let known = "[\"hw::Error::New\"]\nremedy = \"plug it in\"\n";
        let page = write(&declared, &toml::from_str(known).unwrap()).unwrap();
        assert!(page.contains("| `no ‹a\\|b›` | There is none. | plug it in |"), "{page}");

        let error = write(&declared, &Catalogue::new()).unwrap_err().to_string();
        assert!(error.contains("no entry for hw::Error::New"), "{error}");
        let both = format!("{known}[\"hw::Error::Old\"]\nremedy = \"plug it in\"\n");
        let error = write(&declared, &toml::from_str(&both).unwrap()).unwrap_err().to_string();
        assert!(error.contains("no error is hw::Error::Old"), "{error}");
    }
}
