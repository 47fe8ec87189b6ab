//! Huge pages by size and NUMA node.
//!
//! Source: `Documentation/admin-guide/mm/hugetlbpage.rst`, `mm/hugetlb.c` (and `mm/hugetlb_sysfs.c` since 6.18).
//! Below `/sys/kernel/mm/hugepages` the whole host's, below `/sys/devices/system/node/nodeN/hugepages` a node's,
//! where the kernel keeps no count of reserved ones.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use super::Platform;
use crate::error::{Error, Result};
use crate::nouns::{ParseError, serde_as_text};

/// The size of a huge page, in bytes a power of two. Displays as the kernel takes it: `2M`, `1G`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize {
    kib: u64,
}

serde_as_text!(PageSize);

/// Huge pages of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// The default size: `Hugepagesize` of `/proc/meminfo`.
    pub default: Option<PageSize>,
    /// The pools of the whole host, by size.
    pub host: Vec<Pool>,
    /// The pools of each NUMA node, by node and size.
    pub nodes: Vec<Pool>,
}

/// The huge pages of one size, on the host or on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The size of each.
    pub size: PageSize,
    /// The NUMA node; `None` for the whole host.
    pub node: Option<u16>,
    /// How many there are, surplus ones among them.
    pub total: u64,
    /// How many nobody has mapped yet, reserved ones among them.
    pub free: u64,
    /// How many of the free ones are promised to a mapping. Only the host counts them.
    pub reserved: Option<u64>,
    /// How many there are above what was asked for, as `nr_overcommit_hugepages` allows; they go when they are free.
    pub surplus: u64,
}

impl HugePages {
    /// The pool of this size on `node`, or on the host.
    pub fn pool(&self, size: PageSize, node: Option<u16>) -> Option<&Pool> {
        let pools = if node.is_some() { &self.nodes } else { &self.host };
        pools.iter().find(|pool| pool.size == size && pool.node == node)
    }

    /// The sizes that the kernel has pools of, smallest first.
    pub fn sizes(&self) -> impl Iterator<Item = PageSize> {
        self.host.iter().map(|pool| pool.size)
    }
}

impl Pool {
    /// How many can be mapped by whoever comes next: free and not reserved.
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved.unwrap_or(0))
    }

    /// How many stay: without the surplus ones. It is what was asked for, as far as there was memory for it.
    pub fn persistent(&self) -> u64 {
        self.total.saturating_sub(self.surplus)
    }
}

impl Platform {
    /// Huge pages by size and NUMA node. A kernel without them (`CONFIG_HUGETLBFS`) has no pools.
    pub fn huge_pages(&self) -> Result<HugePages> {
        let host = self.pools(None)?;
        let mut nodes = Vec::new();
        for node in self.node_numbers()? {
            nodes.extend(self.pools(Some(node))?);
        }
        let meminfo = self.text("/proc/meminfo")?.unwrap_or_default();
        let default = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"));
        let default = default.and_then(|size| size.split_whitespace().collect::<String>().parse().ok());
        Ok(HugePages { default, host, nodes })
    }

    /// Asks the kernel for `count` huge pages of a size, on a NUMA node or spread over all, and returns how many
    /// there are then: fewer where memory is short or in pieces, more where some are in use. Needs root; takes as
    /// long as the kernel needs to move memory about, seconds for many pages of 1 GiB.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the kernel has no pool of this size there; [`Error::Refused`] with EINVAL where it
    /// gives pages of this size only at boot (`gigantic_page_runtime_supported()`).
    pub fn set_huge_pages(&self, size: PageSize, node: Option<u16>, count: u64) -> Result<u64> {
        let path = directory(node).join(size.directory()).join("nr_hugepages");
        let place = node.map_or_else(String::new, |node| format!(" on NUMA node {node}"));
        let intent = format!("get {count} huge pages of {size}{place}");
        // nr_hugepages_store_common() says "done" whether or not it found the memory: only reading back tells.
        self.files.write(&path, &count.to_string()).map_err(|error| match error.raw_os_error() {
            Some(errno) if error.kind() != std::io::ErrorKind::NotFound => {
                Error::refused(intent.clone(), vdpa_netlink::Errno(errno).into())
            }
            _ => Error::io(intent.clone(), error),
        })?;
        self.number(&path)?
            .ok_or_else(|| Error::Malformed { what: path.display().to_string(), text: String::new() })
    }

    fn pools(&self, node: Option<u16>) -> Result<Vec<Pool>> {
        let directory = directory(node);
        let mut pools = Vec::new();
        for name in self.list(&directory)?.unwrap_or_default() {
            let Some(size) = name.strip_prefix("hugepages-").and_then(|size| size.parse().ok()) else {
                continue;
            };
            let number = |attribute: &str| self.number(directory.join(&name).join(attribute));
            // A node that goes away meanwhile has no pool.
            let Some(total) = number("nr_hugepages")? else { continue };
            pools.push(Pool {
                size,
                node,
                total,
                free: number("free_hugepages")?.unwrap_or(0),
                reserved: number("resv_hugepages")?,
                surplus: number("surplus_hugepages")?.unwrap_or(0),
            });
        }
        pools.sort_unstable_by_key(|pool| pool.size);
        Ok(pools)
    }
}

fn directory(node: Option<u16>) -> PathBuf {
    match node {
        None => PathBuf::from("/sys/kernel/mm/hugepages"),
        Some(node) => Path::new("/sys/devices/system/node").join(format!("node{node}/hugepages")),
    }
}

impl PageSize {
    /// 2 MiB, the usual size on x86.
    pub const MIB_2: Self = Self { kib: 2 << 10 };
    /// 1 GiB.
    pub const GIB_1: Self = Self { kib: 1 << 20 };

    /// How many bytes.
    pub fn bytes(self) -> u64 {
        self.kib << 10
    }

    /// How many MiB; none for sizes below, as arm64's 64 KiB.
    pub fn mib(self) -> u64 {
        self.kib >> 10
    }

    /// The directory that the kernel keeps its pool in: `hugepages-2048kB`.
    fn directory(self) -> String {
        format!("hugepages-{}kB", self.kib)
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.kib {
            kib if kib % (1 << 20) == 0 => (kib >> 20, 'G'),
            kib if kib % (1 << 10) == 0 => (kib >> 10, 'M'),
            kib => (kib, 'K'),
        };
        f.pad(&format!("{number}{unit}"))
    }
}

impl FromStr for PageSize {
    type Err = ParseError;

    /// As the kernel's arguments, sysfs and people write it: `2M`, `2048kB`, `2 MiB`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new("the size of a huge page", text, "write it like `2M` or `1G`");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
        let shift = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
            "k" | "kb" | "kib" => 0,
            "m" | "mb" | "mib" => 10,
            "g" | "gb" | "gib" => 20,
            _ => return Err(wrong()),
        };
        let kib = number.checked_mul(1 << shift).filter(|kib| kib.is_power_of_two() && *kib < 1 << 54);
        kib.map(|kib| Self { kib }).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::Host;
    use super::*;

    fn host() -> Host {
        let host =
            Host::with(&[("/proc/meminfo", "MemTotal:       98304000 kB\nHugepagesize:       2048 kB\n")]);
        for (place, total) in
            [("kernel/mm", 24), ("devices/system/node/node0", 16), ("devices/system/node/node1", 8)]
        {
            let pool = format!("/sys/{place}/hugepages/hugepages-1048576kB");
            host.write(&format!("{pool}/nr_hugepages"), format!("{total}\n").as_bytes());
            host.write(&format!("{pool}/free_hugepages"), b"4\n");
            host.write(&format!("{pool}/surplus_hugepages"), b"1\n");
            if place == "kernel/mm" {
                host.write(&format!("{pool}/resv_hugepages"), b"3\n");
            }
        }
        host
    }

    #[test]
    fn pools_are_read_by_size_and_node() {
        let pages = host().platform().huge_pages().unwrap();
        assert_eq!(pages.default, Some(PageSize::MIB_2));
        let all = pages.pool(PageSize::GIB_1, None).unwrap();
        assert_eq!((all.total, all.reserved, all.available(), all.persistent()), (24, Some(3), 1, 23));
        let node = pages.pool(PageSize::GIB_1, Some(1)).unwrap();
        assert_eq!((node.total, node.reserved, node.available()), (8, None, 4));
        assert_eq!(pages.pool(PageSize::MIB_2, None), None);
        assert_eq!(pages.sizes().collect::<Vec<_>>(), [PageSize::GIB_1]);
    }

    #[test]
    fn what_is_set_is_read_back() {
        let host = host();
        let platform = host.platform();
        assert_eq!(platform.set_huge_pages(PageSize::GIB_1, Some(1), 9).unwrap(), 9);
        assert_eq!(platform.huge_pages().unwrap().pool(PageSize::GIB_1, Some(1)).unwrap().total, 9);
        let error = platform.set_huge_pages(PageSize::MIB_2, Some(1), 9).unwrap_err();
        assert_eq!(error.to_string(), "cannot get 9 huge pages of 2M on NUMA node 1");
    }

    #[test]
    fn a_kernel_without_huge_pages_has_no_pools() {
        let pages = Host::with(&[]).platform().huge_pages().unwrap();
        assert_eq!((pages.host.len(), pages.nodes.len(), pages.default), (0, 0, None));
    }

    #[test]
    fn a_size_is_a_power_of_two_with_a_unit() {
        for (text, size) in [
            ("2048kB", PageSize::MIB_2),
            ("2M", PageSize::MIB_2),
            ("1 GiB", PageSize::GIB_1),
            ("1g", PageSize::GIB_1),
        ] {
            assert_eq!(text.parse(), Ok(size), "{text}");
        }
        for text in ["", "G", "3M", "0G", "1", "1X", "-1G", "99999999999999999999G", "18014398509481984K"] {
            assert!(text.parse::<PageSize>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_round_trip(shift in 0..54u32) {
            let size = PageSize { kib: 1 << shift };
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
