//! What keeps root from the hardware: lockdown, Secure Boot, SELinux.
//!
//! Source: `lockdown_read()` in `security/lockdown/lockdown.c`, `fs/efivarfs/file.c` (four bytes of attributes
//! before the value), the UEFI specification's global variables, `security/selinux/selinuxfs.c`.

use std::path::Path;

use serde::Serialize;

use super::Platform;
use crate::error::{Error, Result};

/// How far the kernel keeps even root from changing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lockdown {
    /// Not at all.
    None,
    /// Nothing that would change the running kernel: no raw access to PCI configuration space or memory, which
    /// firmware tools need.
    Integrity,
    /// Nor anything that would read its secrets.
    Confidentiality,
}

/// Whether the firmware starts only what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecureBoot {
    /// The host was not started by UEFI.
    NoUefi,
    /// Off, or in setup mode.
    Off,
    /// On.
    On,
}

/// What SELinux does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Selinux {
    /// Not there, or switched off.
    Disabled,
    /// It reports what it would refuse.
    Permissive,
    /// It refuses.
    Enforcing,
}

impl Platform {
    /// How far the kernel is locked down; `None` where it cannot tell (built without, or securityfs not mounted).
    pub fn lockdown(&self) -> Result<Option<Lockdown>> {
        let path = "/sys/kernel/security/lockdown";
        let Some(text) = self.attribute(path)? else { return Ok(None) };
        // `none [integrity] confidentiality`
        let level = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        match level {
            Some("none") => Ok(Some(Lockdown::None)),
            Some("integrity") => Ok(Some(Lockdown::Integrity)),
            Some("confidentiality") => Ok(Some(Lockdown::Confidentiality)),
            _ => Err(Error::Malformed { what: path.to_owned(), text }),
        }
    }

    /// Whether Secure Boot is on; `None` where the host has UEFI and its variables cannot be read (efivarfs is not
    /// mounted).
    pub fn secure_boot(&self) -> Result<Option<SecureBoot>> {
        if self.list("/sys/firmware/efi")?.is_none() {
            return Ok(Some(SecureBoot::NoUefi));
        }
        let directory = Path::new("/sys/firmware/efi/efivars");
        if self.list(directory)?.is_none_or(|names| names.is_empty()) {
            return Ok(None);
        }
        let path = directory.join("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        match self.bytes(&path)?.as_deref() {
            // Firmware without Secure Boot has no such variable.
            None | Some([_, _, _, _, 0]) => Ok(Some(SecureBoot::Off)),
            Some([_, _, _, _, 1]) => Ok(Some(SecureBoot::On)),
            Some(bytes) => {
                Err(Error::Malformed { what: path.display().to_string(), text: format!("{bytes:?}") })
            }
        }
    }

    /// What SELinux does now.
    pub fn selinux(&self) -> Result<Selinux> {
        let path = Path::new("/sys/fs/selinux/enforce");
        match self.attribute(path) {
            Ok(None) => Ok(Selinux::Disabled),
            Ok(Some(text)) if text == "1" => Ok(Selinux::Enforcing),
            Ok(Some(text)) if text == "0" => Ok(Selinux::Permissive),
            Ok(Some(text)) => Err(Error::Malformed { what: path.display().to_string(), text }),
            // A policy may hide selinuxfs from a domain: only an enforcing one does.
            Err(Error::Permission { .. }) => Ok(Selinux::Enforcing),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Host;
    use super::*;

    #[test]
    fn the_level_in_brackets_counts() {
        let host = Host::with(&[]);
        assert_eq!(host.platform().lockdown().unwrap(), None);
        for (text, level) in [
            ("[none] integrity confidentiality\n", Lockdown::None),
            ("none [integrity] confidentiality\n", Lockdown::Integrity),
            ("none integrity [confidentiality]\n", Lockdown::Confidentiality),
        ] {
            host.write("/sys/kernel/security/lockdown", text.as_bytes());
            assert_eq!(host.platform().lockdown().unwrap(), Some(level));
        }
        host.write("/sys/kernel/security/lockdown", b"what\n");
        assert!(host.platform().lockdown().is_err());
    }

    #[test]
    fn secure_boot_is_a_byte_behind_four() {
        let host = Host::with(&[]);
        let now = || host.platform().secure_boot().unwrap();
        assert_eq!(now(), Some(SecureBoot::NoUefi));
        host.write("/sys/firmware/efi/fw_platform_size", b"64\n");
        assert_eq!(now(), None);
        host.write(
            "/sys/firmware/efi/efivars/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c",
            &[7, 0, 0, 0, 1, 0],
        );
        assert_eq!(now(), Some(SecureBoot::Off));
        let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
        host.write(variable, &[6, 0, 0, 0, 1]);
        assert_eq!(now(), Some(SecureBoot::On));
        host.write(variable, &[6, 0, 0, 0, 0]);
        assert_eq!(now(), Some(SecureBoot::Off));
        host.write(variable, &[6, 0]);
        assert!(host.platform().secure_boot().is_err());
    }

    #[test]
    fn selinux_says_what_it_does() {
        let host = Host::with(&[]);
        assert_eq!(host.platform().selinux().unwrap(), Selinux::Disabled);
        for (text, mode) in [("1", Selinux::Enforcing), ("0", Selinux::Permissive)] {
            host.write("/sys/fs/selinux/enforce", text.as_bytes());
            assert_eq!(host.platform().selinux().unwrap(), mode);
        }
    }
}
