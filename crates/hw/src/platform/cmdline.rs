//! Kernel command lines: read as the kernel reads them, changed without touching what is not meant.
//!
//! Source: `next_arg()` in `lib/cmdline.c` (blanks separate, double quotes protect them and are not part of a
//! value), `parse_args()` in `kernel/params.c` (what follows `--` is init's, `-` and `_` are one in a name), and
//! `Documentation/admin-guide/kernel-parameters.txt`.

use std::fmt;
use std::str::FromStr;

use super::{PageSize, Platform};
use crate::error::{Error, Result};

/// A list of kernel arguments. [`Display`](fmt::Display) gives back the text that was parsed, byte for byte, save
/// for what was changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// Each with the blanks before it.
    arguments: Vec<(String, Argument)>,
    /// The blanks behind the last one.
    tail: String,
}

/// One kernel argument as it is written: `quiet`, `iommu=pt`, `foo="a b"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    text: String,
}

/// Huge pages as a command line asks for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct HugePageRequest {
    /// How large; `None` for the default size.
    pub size: Option<PageSize>,
    /// On which NUMA node; `None` where the kernel spreads them over all (since 5.16 a node can be named:
    /// `hugepages=0:8,1:8`).
    pub node: Option<u16>,
    /// How many.
    pub count: u64,
}

impl Platform {
    /// What the running kernel was started with: `/proc/cmdline`.
    pub fn command_line(&self) -> Result<CommandLine> {
        let text = self.text("/proc/cmdline")?.unwrap_or_default();
        Ok(CommandLine::parse(text.trim_end_matches('\n')))
    }
}

impl CommandLine {
    /// Reads a command line. Every text is one: the kernel refuses none either.
    pub fn parse(text: &str) -> Self {
        let mut line = Self::default();
        let mut rest = text;
        loop {
            let start = rest.find(|c: char| !is_blank(c)).unwrap_or(rest.len());
            let (blanks, behind) = rest.split_at(start);
            if behind.is_empty() {
                blanks.clone_into(&mut line.tail);
                return line;
            }
            let mut quoted = false;
            let end = behind.find(|c: char| {
                quoted ^= c == '"';
                is_blank(c) && !quoted
            });
            let (argument, next) = behind.split_at(end.unwrap_or(behind.len()));
            line.arguments.push((blanks.to_owned(), Argument { text: argument.to_owned() }));
            rest = next;
        }
    }

    /// The kernel's arguments, in order: those before `--`.
    pub fn arguments(&self) -> impl DoubleEndedIterator<Item = &Argument> {
        self.arguments[..self.end()].iter().map(|(_, argument)| argument)
    }

    /// Every argument of this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Argument> {
        self.arguments().filter(move |argument| argument.is(name))
    }

    /// The value of the last argument of this name: the one that counts where only one can. `None` where there is
    /// none, or where it has no value.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.arguments().rfind(|argument| argument.is(name)).and_then(Argument::value)
    }

    /// Whether an argument of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    /// The huge pages that are asked for: each `hugepages=` belongs to the `hugepagesz=` before it, or to the
    /// default size (`hugepages_setup()` and `hugepagesz_setup()` in `mm/hugetlb.c`).
    pub fn huge_pages(&self) -> Vec<HugePageRequest> {
        let mut size = None;
        let mut requests = Vec::new();
        for argument in self.arguments() {
            let Some(value) = argument.value() else { continue };
            if argument.is("hugepagesz") {
                size = value.parse().ok();
            } else if argument.is("hugepages") {
                for part in value.split(',') {
                    let (node, count) = match part.split_once(':') {
                        Some((node, count)) => (node.parse().ok(), count.parse()),
                        None => (None, part.parse()),
                    };
                    requests.extend(count.ok().map(|count| HugePageRequest { size, node, count }));
                }
            }
        }
        requests
    }

    /// Writes what `change` makes of each of the kernel's arguments in its place. `None` leaves it out, with the blanks
    /// before it.
    pub fn rewrite(&mut self, mut change: impl FnMut(&Argument) -> Option<Argument>) {
        let mut at = 0;
        while at < self.end() {
            if let Some(new) = change(&self.arguments[at].1) {
                self.arguments[at].1 = new;
                at += 1;
                continue;
            }
            let (blanks, _) = self.arguments.remove(at);
            // The first argument's place is the next one's.
            if at == 0
                && let Some((before, _)) = self.arguments.first_mut()
            {
                *before = blanks;
            }
        }
    }

    /// Adds an argument behind the kernel's last.
    pub fn push(&mut self, argument: Argument) {
        let end = self.end();
        let blanks = if end == 0 && self.arguments.is_empty() { "" } else { " " };
        self.arguments.insert(end, (blanks.to_owned(), argument));
        // Before `--` in the first place: its blanks were none.
        if end == 0
            && let Some((blanks, _)) = self.arguments.get_mut(1)
        {
            " ".clone_into(blanks);
            self.arguments[0].0.clear();
        }
    }

    /// Where `--` stands, or the end.
    fn end(&self) -> usize {
        let is_end = |(_, argument): &(String, Argument)| argument.text == "--";
        self.arguments.iter().position(is_end).unwrap_or(self.arguments.len())
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (blanks, argument) in &self.arguments {
            write!(f, "{blanks}{argument}")?;
        }
        f.write_str(&self.tail)
    }
}

impl serde::Serialize for CommandLine {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Argument {
    /// The argument's name, without quotes.
    pub fn name(&self) -> &str {
        match self.equals() {
            Some(at) => &self.inner()[..at],
            None => self.inner().strip_suffix('"').filter(|_| self.is_quoted()).unwrap_or(self.inner()),
        }
    }

    /// The argument's value, without quotes; `None` where it has none.
    pub fn value(&self) -> Option<&str> {
        let value = &self.inner()[self.equals()? + 1..];
        let (value, quoted) = match value.strip_prefix('"') {
            Some(value) => (value, true),
            None => (value, self.is_quoted()),
        };
        Some(value.strip_suffix('"').filter(|_| quoted).unwrap_or(value))
    }

    /// The parts of a value that is a list: `intel_iommu=on,sm_on`.
    pub fn list(&self) -> impl Iterator<Item = &str> {
        self.value().unwrap_or_default().split(',').filter(|part| !part.is_empty())
    }

    /// Whether this is its name; `-` and `_` are one.
    pub fn is(&self, name: &str) -> bool {
        let plain = |c: u8| if c == b'-' { b'_' } else { c };
        self.name().bytes().map(plain).eq(name.bytes().map(plain))
    }

    /// The argument as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn is_quoted(&self) -> bool {
        self.text.starts_with('"')
    }

    fn inner(&self) -> &str {
        self.text.strip_prefix('"').unwrap_or(&self.text)
    }

    /// As `next_arg()` has it, an `=` in the first place is part of the name.
    fn equals(&self) -> Option<usize> {
        self.inner().char_indices().find(|(at, c)| *at > 0 && *c == '=').map(|(at, _)| at)
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Argument {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let line = CommandLine::parse(text);
        match line.arguments.as_slice() {
            [(blanks, argument)] if blanks.is_empty() && line.tail.is_empty() => Ok(argument.clone()),
            _ => Err(Error::Malformed { what: "a kernel argument".to_owned(), text: text.to_owned() }),
        }
    }
}

impl serde::Serialize for Argument {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn is_blank(c: char) -> bool {
    // The kernel's isspace() in ASCII; char::is_ascii_whitespace() leaves out the vertical tab.
    c.is_ascii_whitespace() || c == '\u{b}'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::Host;
    use super::*;

    fn argument(text: &str) -> Argument {
        text.parse().unwrap()
    }

    #[test]
    fn arguments_are_read_as_the_kernel_does() {
        let line =
            CommandLine::parse("quiet foo=\"a b\" \"bar=c d\" =x=1 dyndbg=\"file x +p\"  -- iommu=off");
        let read: Vec<_> = line.arguments().map(|a| (a.name(), a.value())).collect();
        let expected = [
            ("quiet", None),
            ("foo", Some("a b")),
            ("bar", Some("c d")),
            ("=x", Some("1")),
            ("dyndbg", Some("file x +p")),
        ];
        assert_eq!(read, expected);
        assert!(!line.has("iommu"), "what follows -- is init's");
        assert_eq!(CommandLine::parse("\"lonely one\"").arguments().next().unwrap().name(), "lonely one");
    }

    #[test]
    fn dash_and_underscore_are_one_and_the_last_counts() {
        let line = CommandLine::parse("intel-iommu=off intel_iommu=on,sm_on");
        assert_eq!(line.value("intel_iommu"), Some("on,sm_on"));
        assert_eq!(line.all("intel-iommu").count(), 2);
        assert!(line.all("intel_iommu").next_back().unwrap().list().eq(["on", "sm_on"]));
    }

    #[test]
    fn huge_pages_go_by_the_size_before_them() {
        let line = CommandLine::parse(
            "hugepages=64 default_hugepagesz=1G hugepagesz=1G hugepages=0:8,1:4 hugepagesz=2M hugepages=512",
        );
        let request = |size: Option<&str>, node, count| HugePageRequest {
            size: size.map(|size| size.parse().unwrap()),
            node,
            count,
        };
        let expected = [
            request(None, None, 64),
            request(Some("1G"), Some(0), 8),
            request(Some("1G"), Some(1), 4),
            request(Some("2M"), None, 512),
        ];
        assert_eq!(line.huge_pages(), expected);
    }

    #[test]
    fn changes_leave_the_rest_as_it_was() {
        let mut line = CommandLine::parse("  ro\tquiet  iommu=off rhgb  -- single ");
        line.rewrite(|old| match old.name() {
            "quiet" => None,
            "iommu" => Some(argument("iommu=pt")),
            _ => Some(old.clone()),
        });
        line.push(argument("intel_iommu=on"));
        assert_eq!(line.to_string(), "  ro  iommu=pt rhgb intel_iommu=on  -- single ");
        line.rewrite(|old| Some(old.clone()).filter(|old| !old.is("ro")));
        assert_eq!(line.to_string(), "  iommu=pt rhgb intel_iommu=on  -- single ");
    }

    #[test]
    fn an_empty_line_takes_arguments() {
        for (before, after) in [("", "iommu=pt"), ("-- single", "iommu=pt -- single")] {
            let mut line = CommandLine::parse(before);
            line.push(argument("iommu=pt"));
            assert_eq!(line.to_string(), after);
        }
    }

    #[test]
    fn the_running_kernels_are_read() {
        let host = Host::with(&[("/proc/cmdline", "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=UUID=1 iommu=pt\n")]);
        let line = host.platform().command_line().unwrap();
        assert_eq!(line.value("BOOT_IMAGE"), Some("(hd0,gpt2)/vmlinuz"));
        assert_eq!(line.value("iommu"), Some("pt"));
        assert_eq!(line.value("root"), Some("UUID=1"));
    }

    #[test]
    fn an_argument_is_one() {
        assert!("a b".parse::<Argument>().is_err());
        assert!("".parse::<Argument>().is_err());
        assert!(" a".parse::<Argument>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_given_back(text in "[a-z=\" \t,._-]{0,60}") {
            prop_assert_eq!(CommandLine::parse(&text).to_string(), text);
        }

        #[test]
        fn what_is_pushed_is_found_and_removed(text in "([a-z]{1,3}(=[a-z]{0,3})? ){0,6}") {
            let mut line = CommandLine::parse(text.trim_end());
            let before = line.to_string();
            line.push(argument("zzzz=1"));
            prop_assert_eq!(line.value("zzzz"), Some("1"));
            line.rewrite(|old| Some(old.clone()).filter(|old| !old.is("zzzz")));
            prop_assert_eq!(line.to_string(), before);
        }
    }
}
