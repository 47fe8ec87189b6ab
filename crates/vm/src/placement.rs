//! How a domain is to take an interface: in which words, at which address, on which CPUs and pages.

use vdpa_hw::PciAddress;
use vdpa_hw::platform::PageSize;

use crate::{Finding, Interface, Source, Version};

/// How a domain is to take an interface. What is left out is left to libvirt, or is as the domain has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The version of the libvirt that the document is for; without one, it knows all that it is told.
    pub libvirt: Option<Version>,
    /// Where the guest sees the device.
    pub address: Option<PciAddress>,
    /// The host's CPUs that the guest's are to run on, for a domain that pins none yet.
    pub pins: Vec<Pin>,
    /// The huge pages that the guest's memory is to be made of, where it is of ordinary ones.
    pub huge_pages: Option<PageSize>,
}

/// A CPU of the guest and the one of the host that it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    /// The guest's.
    pub vcpu: u16,
    /// The host's.
    pub cpu: u32,
}

/// In which words a document says what an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// All of it in `<interface>`.
    Interface,
    /// `page_per_vq` in `<qemu:commandline>`, the rest in `<interface>`.
    WithCommandLine,
}

/// From which libvirt on an interface's mark is kept: NEWS, v3.9.0, "user-supplied aliases".
const ALIAS: Version = Version::new(3, 9, 0);
/// NEWS, v6.9.0: "Add support for vDPA network devices".
const VDPA: Version = Version::new(6, 9, 0);
/// NEWS, v7.9.0: "Support `page_per_vq` for driver element". With the same version libvirt began to write `-device`
/// as JSON, which `-set` does not reach; before it, `-set` does.
const PAGE_PER_VQ: Version = Version::new(7, 9, 0);

impl Placement {
    /// For this libvirt, all else left to it.
    pub fn of(libvirt: Version) -> Self {
        Self { libvirt: Some(libvirt), ..Self::default() }
    }

    /// How often libvirt lets QEMU lock the guest's memory for `devices` vhost-vdpa devices by itself.
    ///
    /// Source: libvirt NEWS, v7.2.0 ("increase locked memory limit when a vDPA device is present") and v8.7.0
    /// ("increase memlock limit for a domain with multiple vfio/vdpa devices").
    pub(crate) fn locks_by_itself(&self, devices: u64) -> u64 {
        match self.libvirt {
            Some(old) if old < Version::new(7, 2, 0) => 0,
            Some(old) if old < Version::new(8, 7, 0) => devices.min(1),
            _ => devices,
        }
    }

    /// The words that this libvirt understands for `interface`.
    pub(crate) fn form(&self, interface: &Interface) -> Result<Form, Finding> {
        let Some(libvirt) = self.libvirt else { return Ok(Form::Interface) };
        let needs = |what, since| {
            if libvirt < since { Err(Finding::OldLibvirt { what, since, libvirt }) } else { Ok(()) }
        };
        needs("an alias of ours, by which an interface is found again,", ALIAS)?;
        if matches!(interface.source, Source::Vdpa { .. }) {
            needs("<interface type='vdpa'>", VDPA)?;
        }
        let old = libvirt < PAGE_PER_VQ;
        Ok(if old && interface.page_per_vq { Form::WithCommandLine } else { Form::Interface })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(libvirt: &str, device: Option<&str>, page_per_vq: bool) -> Result<Form, Finding> {
        let source = match device {
            Some(device) => Source::Vdpa { device: device.into() },
            None => Source::VhostUser { socket: "/run/a".into(), role: crate::Role::Server },
        };
        let mac = "e4:11:22:33:55:60".parse().unwrap();
        let interface = Interface { page_per_vq, ..Interface::new(mac, source) };
        Placement::of(libvirt.parse().unwrap()).form(&interface)
    }

    #[test]
    fn the_command_line_is_for_a_libvirt_that_is_too_old_and_no_other() {
        let device = Some("/dev/vhost-vdpa-0");
        for (libvirt, wanted) in
            [("9.0.0", Form::Interface), ("7.9.0", Form::Interface), ("7.8.0", Form::WithCommandLine)]
        {
            assert_eq!(form(libvirt, None, true), Ok(wanted), "{libvirt}");
            assert_eq!(form(libvirt, device, true), Ok(wanted), "{libvirt}");
            assert_eq!(form(libvirt, None, false), Ok(Form::Interface), "{libvirt}");
        }
        let error = form("6.8.0", device, true).unwrap_err();
        assert_eq!(error.to_string(), "<interface type='vdpa'> needs libvirt 6.9.0, and this is 6.8.0");
        assert!(form("3.8.0", None, false).is_err());
    }

    #[test]
    fn each_libvirt_lets_as_much_be_locked_as_its_news_say() {
        let locks = |libvirt: &str| Placement::of(libvirt.parse().unwrap()).locks_by_itself(3);
        assert_eq!([locks("7.1.0"), locks("7.2.0"), locks("8.6.9"), locks("8.7.0")], [0, 1, 1, 3]);
    }
}
