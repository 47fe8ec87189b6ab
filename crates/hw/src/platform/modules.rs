//! Kernel modules: loaded, built in, available, and their parameters.
//!
//! Source: `m_show()` in `kernel/module/procfs.c` for `/proc/modules`, `Documentation/kbuild/kbuild.rst` for
//! `modules.builtin`, `depmod(8)` for `modules.dep`, `Documentation/ABI/stable/sysfs-module` for parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Platform;
use crate::error::Result;
use crate::nouns::{ParseError, serde_as_text};

/// A module's name. `-` and `_` are one, as for modprobe; displays with `_`, as the kernel does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

serde_as_text!(ModuleName);

/// Where a module stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Part of the kernel's image.
    BuiltIn,
    /// Loaded and at work.
    Loaded,
    /// Being loaded or unloaded.
    Changing,
    /// Not loaded; modprobe would find it.
    Available,
    /// Nothing of it is there for this kernel.
    Missing,
}

impl ModuleState {
    /// Whether what it provides is there.
    pub fn is_there(self) -> bool {
        matches!(self, Self::BuiltIn | Self::Loaded)
    }
}

/// The modules of the running kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modules {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    loaded: BTreeMap<ModuleName, bool>,
    built_in: BTreeSet<ModuleName>,
    available: BTreeSet<ModuleName>,
}

impl Modules {
    /// Where a module stands.
    pub fn state(&self, name: &ModuleName) -> ModuleState {
        match self.loaded.get(name) {
            Some(true) => ModuleState::Loaded,
            Some(false) => ModuleState::Changing,
            None if self.built_in.contains(name) => ModuleState::BuiltIn,
            None if self.available.contains(name) => ModuleState::Available,
            None => ModuleState::Missing,
        }
    }
}

impl Platform {
    /// The modules of the running kernel. Aliases are not followed: names are those of files.
    pub fn modules(&self) -> Result<Modules> {
        let release = self.attribute("/proc/sys/kernel/osrelease")?.unwrap_or_default();
        let list = |file: &str| -> Result<BTreeSet<ModuleName>> {
            let text = self.text(format!("/lib/modules/{release}/{file}"))?.unwrap_or_default();
            Ok(text.lines().filter_map(of_file).collect())
        };
        let loaded = self.text("/proc/modules")?.unwrap_or_default();
        let loaded = loaded.lines().filter_map(|line| {
            // name size users dependents state address
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.nth(3)? == "Live"))
        });
        Ok(Modules {
            loaded: loaded.collect(),
            built_in: list("modules.builtin")?,
            available: list("modules.dep")?,
            release,
        })
    }

    /// What a parameter of a module that is there is set to, as the kernel writes it (`Y`, `0`, `enabled`); `None`
    /// where the module or its parameter is not there.
    pub fn module_parameter(&self, module: &ModuleName, parameter: &str) -> Result<Option<String>> {
        self.attribute(format!("/sys/module/{module}/parameters/{parameter}"))
    }
}

/// The module that a line of `modules.dep` or `modules.builtin` begins with:
/// `kernel/drivers/vdpa/vdpa.ko.xz: kernel/drivers/vhost/vringh.ko.xz`.
fn of_file(line: &str) -> Option<ModuleName> {
    let file = line.split(':').next()?.rsplit('/').next()?;
    file.split_once(".ko")?.0.parse().ok()
}

impl ModuleName {
    /// The name with `_`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ModuleName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        // MODULE_NAME_LEN is 64 - sizeof(unsigned long), the end of the string included.
        if text.is_empty() || text.len() > 55 || !text.chars().all(fits) {
            let why = "letters, digits, `-` and `_`, at most 55 of them";
            return Err(ParseError::new("a kernel module", text, why));
        }
        Ok(Self(text.replace('-', "_")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Host;
    use super::*;

    fn state(modules: &Modules, name: &str) -> ModuleState {
        modules.state(&name.parse().unwrap())
    }

    #[test]
    fn modules_are_loaded_built_in_available_or_missing() {
        let host = Host::with(&[
            ("/proc/sys/kernel/osrelease", "6.12.6-amd64\n"),
            (
                "/proc/modules",
                "kvm_intel 413696 0 - Live 0x0000000000000000\nvdpa 36864 2 vhost_vdpa,mlx5_vdpa, Loading 0x0 (OE+)\n",
            ),
            (
                "/lib/modules/6.12.6-amd64/modules.builtin",
                "kernel/drivers/vfio/vfio-iommu.ko\nkernel/fs/ext4/ext4.ko\n",
            ),
            (
                "/lib/modules/6.12.6-amd64/modules.dep",
                "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\nkernel/drivers/vhost/vhost_vdpa.ko.zst:\n",
            ),
            ("/sys/module/kvm_intel/parameters/nested", "Y\n"),
        ]);
        let platform = host.platform();
        let modules = platform.modules().unwrap();
        assert_eq!(modules.release, "6.12.6-amd64");
        assert_eq!(state(&modules, "kvm-intel"), ModuleState::Loaded);
        assert_eq!(state(&modules, "vdpa"), ModuleState::Changing);
        assert_eq!(state(&modules, "vfio_iommu"), ModuleState::BuiltIn);
        assert_eq!(state(&modules, "vfio-pci"), ModuleState::Available);
        assert_eq!(state(&modules, "vhost_vdpa"), ModuleState::Available);
        assert_eq!(state(&modules, "vfio"), ModuleState::Missing, "a dependency alone is no file");
        let nested = platform.module_parameter(&"kvm-intel".parse().unwrap(), "nested").unwrap();
        assert_eq!(nested.as_deref(), Some("Y"));
        assert_eq!(platform.module_parameter(&"vdpa".parse().unwrap(), "x").unwrap(), None);
    }

    #[test]
    fn a_name_holds_no_path() {
        for text in ["", "../x", "a b", "a=b", "x.ko"] {
            assert!(text.parse::<ModuleName>().is_err(), "{text}");
        }
        assert_eq!("vhost-vdpa".parse::<ModuleName>().unwrap().to_string(), "vhost_vdpa");
    }
}
