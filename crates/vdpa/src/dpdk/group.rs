//! The group that QEMU runs in, which must be able to connect to our sockets.

use std::path::Path;

use crate::error::{Error, Result};

/// The groups that distributions run QEMU in: Debian and Ubuntu, RHEL and SUSE, and the group that
/// owns /dev/kvm as the last resort.
const USUAL: [&str; 3] = ["libvirt-qemu", "qemu", "kvm"];

/// The number of QEMU's group: the configured one by name or number, or the first of the usual ones
/// that the file (`/etc/group`, group(5)) has. `None` if it has none of them.
pub fn qemu_group(group_file: &Path, configured: Option<&str>) -> Result<Option<u32>> {
    if let Some(number) = configured.and_then(|name| name.parse().ok()) {
        return Ok(Some(number));
    }
    let text = std::fs::read_to_string(group_file)
        .map_err(Error::io(format!("read {} to find QEMU's group", group_file.display())))?;
    if let Some(name) = configured {
        let number = number_of(&text, name).ok_or_else(|| Error::Malformed {
            what: format!("the group `{name}`"),
            why: format!("{} does not have it", group_file.display()),
        })?;
        return Ok(Some(number));
    }
    Ok(USUAL.iter().find_map(|name| number_of(&text, name)))
}

fn number_of(text: &str, wanted: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (name == wanted).then(|| number.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemus_group_is_the_configured_or_the_first_usual_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "root:x:0:\nkvm:x:108:\nqemu:x:107:qemu\nbroken\n").unwrap();
        let group = |configured| qemu_group(file.path(), configured);
        assert_eq!(group(None).unwrap(), Some(107));
        assert_eq!(group(Some("kvm")).unwrap(), Some(108));
        assert_eq!(group(Some("4711")).unwrap(), Some(4711));
        assert!(group(Some("nobody-here")).unwrap_err().to_string().contains("`nobody-here`"));
        std::fs::write(file.path(), "root:x:0:\n").unwrap();
        assert_eq!(group(None).unwrap(), None);
    }
}
