//! `[boot]` of a host file: what `vdpa host prepare` prepares the host for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use vdpa_hw::platform::{Argument, ModuleName, PageSize};

use super::ConfigError;
use super::parse::Reader;

/// What a host is to be booted with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Boot {
    /// Whether the kernel is told to use the IOMMU, and to let the host's own devices past it.
    pub iommu: bool,
    /// Further kernel arguments, each the only one of its name.
    pub arguments: Vec<Argument>,
    /// The default size of huge pages.
    pub default_huge_page: Option<PageSize>,
    /// Huge pages.
    pub huge_pages: Vec<HugePages>,
    /// Modules to load at boot, besides those that the datapaths need.
    pub modules: Vec<ModuleName>,
    /// Whether guests may have guests.
    pub nested: bool,
}

/// Huge pages that a host is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// Their size.
    pub size: PageSize,
    /// How many.
    pub count: u64,
    /// On which NUMA node; left out, the kernel spreads them over all.
    pub node: Option<u16>,
    /// When they are set; left out, whichever is surer.
    pub at: Option<At>,
}

/// When huge pages are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// By the kernel's arguments, while all memory is free.
    Boot,
    /// Now, and by systemd-tmpfiles early in each boot.
    Run,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            iommu: true,
            arguments: Vec::new(),
            default_huge_page: None,
            huge_pages: Vec::new(),
            modules: Vec::new(),
            nested: false,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBoot {
    iommu: Option<bool>,
    #[serde(default)]
    arguments: Vec<Spanned<String>>,
    default_huge_page: Option<PageSize>,
    #[serde(default)]
    huge_pages: Vec<Spanned<RawHugePages>>,
    #[serde(default)]
    modules: Vec<ModuleName>,
    #[serde(default)]
    nested: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHugePages {
    size: PageSize,
    count: u64,
    node: Option<u16>,
    at: Option<At>,
}

impl Reader<'_> {
    pub(super) fn boot(&self, raw: RawBoot) -> Result<Boot, ConfigError> {
        let mut arguments = Vec::new();
        for text in raw.arguments {
            let argument = argument(text.get_ref());
            arguments.push(argument.map_err(|(message, hint)| self.wrong(&text.span(), message, hint))?);
        }
        let (mut huge_pages, mut seen) = (Vec::new(), BTreeSet::new());
        for raw in raw.huge_pages {
            let (span, RawHugePages { size, count, node, at }) = (raw.span(), raw.into_inner());
            let pages = HugePages { size, count, node, at };
            if !seen.insert((size, node)) {
                let message = format!("huge pages of {size} are counted twice for {}", pages.place());
                return Err(self.wrong(&span, message, "keep one of the two"));
            }
            if node.is_none() && at == Some(At::Run) {
                let message = format!("huge pages of {size} are to be set at run time, and no node is named");
                return Err(self.wrong(&span, message, "add `node = 0`: at run time each node has its own"));
            }
            huge_pages.push(pages);
        }
        Ok(Boot {
            iommu: raw.iommu.unwrap_or(true),
            arguments,
            default_huge_page: raw.default_huge_page,
            huge_pages,
            modules: raw.modules,
            nested: raw.nested,
        })
    }
}

impl HugePages {
    fn place(&self) -> String {
        self.node.map_or_else(|| "the host".to_owned(), |node| format!("node {node}"))
    }
}

/// A kernel argument that every boot loader's file takes as it is; otherwise what is wrong, and what to do.
pub(crate) fn argument(text: &str) -> Result<Argument, (String, &'static str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:=+/@%".contains(c);
    let argument =
        text.parse::<Argument>().ok().filter(|_| text.chars().all(plain) && !text.starts_with('-'));
    let argument = argument.ok_or_else(|| {
        let hint =
            "one argument like `isolcpus=4-15`: quotes, blanks and `$` mean other things to each boot loader";
        (format!("`{text}` is no kernel argument that can be written everywhere"), hint)
    })?;
    if ["hugepages", "hugepagesz", "default_hugepagesz"].iter().any(|name| argument.is(name)) {
        let hint =
            "say it by `huge_pages = [{ size = \"1G\", count = 16 }]` and `default_huge_page = \"1G\"`";
        return Err((format!("`{text}` is about huge pages"), hint));
    }
    Ok(argument)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse::parse;
    use super::*;

    fn read(boot: &str) -> Result<Boot, ConfigError> {
        let text = format!("[[nic]]\npci = \"0000:43:00.0\"\nvfs = 1\n[boot]\n{boot}");
        parse(Path::new("host.toml"), &text).map(|host| host.boot)
    }

    #[test]
    fn a_host_file_says_what_to_boot_with() {
        let boot = read(
            "huge_pages = [{ size = \"1G\", count = 16 }, { size = \"2M\", node = 0, count = 512, at = \"run\" }]\n\
             arguments = [\"isolcpus=4-15\"]\nmodules = [\"vfio-pci\"]\nnested = true\n",
        )
        .unwrap();
        assert!(boot.iommu && boot.nested);
        assert_eq!(boot.huge_pages[1].at, Some(At::Run));
        assert_eq!(boot.modules[0].as_str(), "vfio_pci");
        assert_eq!(read("").unwrap(), Boot::default());
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        for (boot, message) in [
            ("arguments = [\"a b\"]", "5:14"),
            ("arguments = [\"x=\\\"y\\\"\"]", "5:14"),
            ("arguments = [\"hugepages=4\"]", "5:14"),
            ("huge_pages = [{ size = \"3M\", count = 1 }]", "5:24"),
            ("huge_pages = [{ size = \"2M\", count = 1 }, { size = \"2M\", count = 2 }]", "5:43"),
            ("huge_pages = [{ size = \"2M\", count = 1, at = \"run\" }]", "5:15"),
            ("modules = [\"../x\"]", "5:11"),
            ("nestde = true", "5:1"),
        ] {
            let error = read(boot).unwrap_err();
            let place = error.place.as_ref().map(|place| format!("{}:{}", place.line, place.column));
            assert_eq!(place.as_deref(), Some(message), "{boot}: {error:?}");
            assert!(!error.hint.is_empty());
        }
    }
}
